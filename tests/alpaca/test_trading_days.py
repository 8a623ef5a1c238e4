"""A node that is left up over nights, weekends, holidays and changes of the clocks: when its day begins anew.

The exchange's clock goes in leaps; the node, its gate and its adapter live on. A restart is a gate of the same store.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Quantity

from runner.alpaca.calendar import TradingCalendar
from runner.backtest.session import trading_calendar
from runner.config.risk import Portion
from runner.node.build import direct
from runner.node.calendar import is_short, read
from runner.risk.gate import RiskGate
from runner.risk.latches import MemoryLatches
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import NODE, State
from tests.alpaca.conftest import IBM, NEW_YORK

LIMITS = Limits(max_daily_loss=Portion(amount=Decimal(500)), daily_loss_rearms="next_day")
#: (name, the last trading day, times without trading that belong to it, the next trading day)
SPELLS = {
    "a weekend, and the end of summer time": (
        "2026-10-30", ["2026-10-30 21:00", "2026-10-31 12:00", "2026-11-01 01:30", "2026-11-01 23:59"], "2026-11-02",
    ),
    "Thanksgiving": ("2026-11-25", ["2026-11-26 00:00", "2026-11-26 12:00", "2026-11-26 23:59"], "2026-11-27"),
    "a weekend after a short day": ("2026-11-27", ["2026-11-27 14:00", "2026-11-29 20:30"], "2026-11-30"),
    "a long weekend": ("2026-09-04", ["2026-09-05 12:00", "2026-09-07 12:00", "2026-09-07 23:59"], "2026-09-08"),
    "a weekend, and the begin of summer time": (
        "2027-03-12", ["2027-03-13 12:00", "2027-03-14 01:59", "2027-03-14 03:00", "2027-03-14 23:59"], "2027-03-15",
    ),
    "a night": ("2026-06-02", ["2026-06-02 16:30", "2026-06-02 23:59"], "2026-06-03"),
}  # fmt: skip


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


class Days:
    """A node on days that the test chooses."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.store = MemoryLatches()
        self.parts: Any = SimpleNamespace(calendar=TradingCalendar(), exec_clients={"main": rig.client})
        self.gate: Any = None

    def start(self) -> None:
        """A gate takes the seat, of what was kept."""
        if self.gate is not None:
            self.gate.uninstall()
        kernel = self.rig.node.kernel
        self.gate = RiskGate(
            msgbus=kernel.msgbus,
            cache=kernel.cache,
            clock=kernel.clock,
            limits=LimitsBook(top=LIMITS),
            venue_now_ns=self.rig.client.venue_clock.now_ns,
            day=self.parts.calendar.day,
            latches=self.store,
        )
        self.gate.install(kernel.exec_engine, direct(kernel.exec_engine, ExecutionEngine))
        self.rig.client.set_gate_check(self.gate.approved)
        self.gate.begin()

    async def at(self, when: str, price: str) -> Any:
        """It is so late, and IBM is worth so much: the node's state, and what was lost today."""
        rig = self.rig
        rig.exchange.market.set_clock(ns(when))
        rig.quote("IBM", price, price)
        now_ns = rig.exchange.market.now_ns
        instrument = rig.node.kernel.cache.instrument(IBM)
        at, size = instrument.make_price(Decimal(price)), Quantity.from_int(100)
        rig.node.kernel.cache.add_quote_tick(QuoteTick(IBM, at, at, size, size, now_ns, now_ns))
        rig.client.venue_clock.observe(now_ns)
        await rig.client.book.refresh()
        await rig.until(lambda: rig.node.kernel.exec_engine.evt_qsize() == 0)
        if self.gate is None:
            return None
        self.gate.tick()
        assert self.gate.errors == 0
        return self.gate.states.get(NODE).state, self.gate.losses._days[NODE].lost


@pytest.mark.parametrize(("spell", "is_restarted"), [*((name, True) for name in SPELLS), (next(iter(SPELLS)), False)])
def test_the_day_begins_anew_with_the_next_trading_day(play: Any, running: Any, spell: str, is_restarted: bool) -> None:
    last, between, following = SPELLS[spell]

    async def scenario() -> None:
        async with running() as rig:
            days = Days(rig)
            await days.at(f"{last} 10:00", "180.00")
            await read(days.parts)
            days.start()
            await rig.status(rig.market("buy", 100), OrderStatus.FILLED)
            assert await days.at(f"{last} 11:00", "180.00") == (State.ACTIVE, 0)
            assert await days.at(f"{last} 11:30", "175.00") == (State.ACTIVE, 500)
            for when in between:
                if is_restarted:
                    days.start()
                assert await days.at(when, "175.00") == (State.ACTIVE, 500), when
            assert await days.at(between[-1], "174.00") == (State.REDUCING, 600)
            if is_restarted:
                days.start()
            # The broker tells the new day's loss from the close, of 175.
            assert await days.at(f"{following} 00:00", "174.00") == (State.ACTIVE, 100)
            assert await days.at(f"{following} 09:31", "170.00") == (State.ACTIVE, 500)
            if is_restarted:
                days.start()
            assert await days.at(f"{following} 09:32", "169.99") == (State.REDUCING, 501)
            assert await days.at(f"{following} 12:30", "180.00") == (State.REDUCING, -500)

    play(scenario())


def test_the_calendar_is_read_again_before_its_end(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            days = Days(rig)
            assert is_short(days.parts)
            await read(days.parts)
            assert not is_short(days.parts)
            rig.client.venue_clock.observe(rig.client.venue_clock.now_ns() + 360 * 86_400 * 1_000_000_000)
            assert is_short(days.parts)

    play(scenario())


def test_days_of_a_calendar_over_two_years() -> None:
    calendar = trading_calendar(ns("2026-01-02 00:00"), ns("2027-12-31 00:00"))
    day, before = date(2026, 1, 2), ""
    while day < date(2027, 12, 31):
        for hour in (0, 1, 2, 3, 12, 23):
            told = calendar.day(ns(f"{day} {hour:02}:30"))
            assert told is not None
            assert told >= before, f"{day} {hour}"
            before = told
        is_trading = calendar.session(ns(f"{day} 10:00")) == "core"
        assert (before == day.isoformat()) is is_trading
        day += timedelta(days=1)
