"""The day's loss by the figures that the broker tells of each account."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.accounting.accounts.margin import MarginAccount
from nautilus_trader.cache.cache import Cache
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import AccountId
from nautilus_trader.model.objects import AccountBalance, Money

from runner.config.risk import Portion
from runner.risk.latches import MemoryLatches
from runner.risk.ledger import Ledger
from runner.risk.limits import Limits, LimitsBook
from runner.risk.losses import Losses
from runner.risk.prices import Prices
from runner.risk.state import NODE, State, States

MON, TUE, WED, THU = "2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26"
DAYS = ("2026-11-20", MON, TUE, WED, THU, "2026-11-27")
DAY_NS = 86_400 * 1_000_000_000
ONE, TWO = AccountId("ALPACA-1"), AccountId("ALPACA-2")


class Desk:
    """Accounts whose figures a test tells, on days that it chooses."""

    def __init__(self, most: int = 5_000, rearms: Any = "manual", store: MemoryLatches | None = None) -> None:
        self.limits = LimitsBook(top=Limits(max_daily_loss=Portion(amount=Decimal(most)), daily_loss_rearms=rearms))
        self.cache = Cache()
        self.store = MemoryLatches() if store is None else store
        self.today = TUE
        self.begin()

    def begin(self) -> None:
        """As after a restart."""
        self.states = States(lambda: 1, store=self.store)
        self.states.restore()
        self.errors: list[Any] = []
        self.losses = Losses(
            cache=self.cache,
            ledger=Ledger(self.cache, Prices(self.cache)),
            states=self.states,
            store=self.store,
            now_ns=lambda: DAYS.index(self.today) * DAY_NS,
            day=lambda now_ns: DAYS[max(now_ns // DAY_NS, 0)],
            account_name=str,
            strategy_name=str,
            on_error=lambda *error: self.errors.append(error),
        )
        self.losses.watch(self.limits)

    def tell(self, account_id: AccountId, last_equity: str, equity: str, asof: str = MON, **more: str) -> None:
        """What the broker tells."""
        info = {"last_equity": last_equity, "equity": equity, **({"balance_asof": asof} if asof else {}), **more}
        zero = Money(0, USD)
        event = AccountState(
            account_id, AccountType.MARGIN, USD, True, [AccountBalance(zero, zero, zero)], [], info, UUID4(), 0, 0
        )
        account = self.cache.account(account_id)
        if account is None:
            self.cache.add_account(MarginAccount(event))
        else:
            account.apply(event)

    def look(self) -> tuple[State, Decimal]:
        """The node's state, and what was lost today."""
        self.losses.check()
        assert self.errors == []
        return self.states.get(NODE).state, self.losses._days[NODE].lost

    def resume(self) -> None:
        self.losses.rearm(NODE)
        self.states.resume(scope=NODE, why="accepted")


def test_accounts_whose_figures_turn_at_different_moments_lose_no_more_than_they_lost():
    desk = Desk()
    desk.tell(ONE, "100000", "100000")
    desk.tell(TWO, "100000", "96000")
    desk.losses.begin()
    assert desk.look() == (State.ACTIVE, 4_000)
    desk.today = WED
    assert desk.look() == (State.ACTIVE, 0)
    # The first account's figures turn, and it loses something; the other's are yesterday's still.
    desk.tell(ONE, "100000", "98500", TUE)
    assert desk.look() == (State.ACTIVE, 1_500)
    desk.tell(TWO, "100000", "95000")
    assert desk.look() == (State.ACTIVE, 2_500)
    desk.tell(TWO, "96000", "95000", TUE)
    assert desk.look() == (State.ACTIVE, 2_500)
    desk.tell(TWO, "96000", "92499.99", TUE)
    assert desk.look() == (State.REDUCING, Decimal("5000.01"))


def test_what_one_account_had_lost_when_it_was_resumed_stays_accepted_when_the_other_turns():
    desk = Desk()
    desk.tell(ONE, "100000", "94000")
    desk.tell(TWO, "100000", "100000")
    assert desk.look() == (State.REDUCING, 6_000)
    desk.resume()
    desk.tell(TWO, "100000", "100000", TUE)
    assert desk.look() == (State.ACTIVE, 0)
    desk.begin()
    desk.losses.begin()
    assert desk.look() == (State.ACTIVE, 0)


@pytest.mark.parametrize("told", ["100000.00", "1E+5", "100000.01", "99000", "104000"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_resumed_loss_stays_accepted_when_the_same_close_is_told_otherwise(told, is_restarted):
    desk = Desk()
    desk.tell(ONE, "100000", "94000")
    assert desk.look() == (State.REDUCING, 6_000)
    desk.resume()
    if is_restarted:
        desk.begin()
        desk.losses.begin()
    desk.tell(ONE, told, "94000")
    assert desk.look() == (State.ACTIVE, 0)
    desk.tell(ONE, told, "88999.99")
    assert desk.look() == (State.REDUCING, Decimal("5000.01"))


def test_a_close_that_is_put_right_counts_where_nothing_was_accepted():
    desk = Desk()
    desk.tell(ONE, "100000", "96000")
    assert desk.look() == (State.ACTIVE, 4_000)
    desk.tell(ONE, "101000.01", "96000")
    assert desk.look() == (State.REDUCING, Decimal("5000.01"))


def test_without_a_day_of_the_close_another_figure_is_another_close():
    desk = Desk()
    desk.tell(ONE, "100000", "94000", asof="")
    desk.look()
    desk.resume()
    desk.tell(ONE, "100000.00", "94000", asof="")
    assert desk.look() == (State.ACTIVE, 0)
    desk.tell(ONE, "99000", "94000", asof="")
    assert desk.look() == (State.ACTIVE, 5_000)


def test_figures_of_an_older_close_that_come_once_more_are_not_todays_loss():
    desk = Desk()
    desk.tell(ONE, "100000", "94500")
    desk.today = WED
    desk.losses.begin()
    desk.tell(ONE, "94500", "94500", TUE)
    assert desk.look() == (State.ACTIVE, 0)
    desk.tell(ONE, "100000", "94500", MON)
    assert desk.look() == (State.ACTIVE, 0)
    desk.tell(ONE, "94500", "89499.99", TUE)
    assert desk.look() == (State.REDUCING, Decimal("5000.01"))


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_clock_that_steps_back_over_midnight_begins_no_day(is_restarted):
    desk = Desk(rearms="next_day")
    desk.tell(ONE, "100000", "100000")
    desk.today = WED
    desk.tell(ONE, "100000", "94000", TUE)
    assert desk.look() == (State.REDUCING, 6_000)
    desk.tell(ONE, "100000", "100000", TUE)  # it is won back, and the latch stays
    desk.today = TUE
    if is_restarted:
        desk.begin()
        desk.losses.begin()
    assert desk.look() == (State.REDUCING, 0)
    desk.today = WED
    assert desk.look() == (State.REDUCING, 0)
    desk.today = THU
    desk.tell(ONE, "94000", "94000", WED)
    assert desk.look() == (State.ACTIVE, 0)


def test_a_clock_that_was_far_ahead_keeps_no_day_from_beginning(monkeypatch):
    desk = Desk(rearms="next_day")
    desk.tell(ONE, "100000", "94000")
    assert desk.look() == (State.REDUCING, 6_000)
    monkeypatch.setattr(desk.losses, "_day", lambda _now_ns: "2027-05-03")
    monkeypatch.setattr(desk.losses, "_day_before", lambda _now_ns: "2027-04-30")
    assert desk.look() == (State.ACTIVE, 0)
    monkeypatch.undo()
    desk.today = WED
    desk.tell(ONE, "94000", "88000", TUE)
    assert desk.look() == (State.REDUCING, 6_000)


def test_a_record_that_has_one_amount_for_all_accounts_is_read():
    def kept(**more: Any) -> MemoryLatches:
        record = {"day": TUE, "lost": "0", "below": "0", **more}
        return MemoryLatches({"loss/node/": json.dumps(record)})

    closing = repr([(MON, "100000")])
    desk = Desk(store=kept(forgiven="6000", closing=closing, doubted="-6000"))
    desk.tell(ONE, "100000.00", "92000", unexplained="-6000")
    desk.losses.begin()
    assert desk.look() == (State.ACTIVE, 2_000)
    for more in ({"forgiven": "0"}, {"forgiven": "0", "closing": "", "doubted": "0"}):
        desk = Desk(store=kept(**more))
        desk.tell(ONE, "100000", "92000")
        desk.losses.begin()
        assert desk.look() == (State.REDUCING, 8_000)
    desk = Desk(store=kept(forgiven="6000", closing=repr([(MON, "100000"), (MON, "100000")])))
    desk.tell(ONE, "100000", "94000")
    desk.tell(TWO, "100000", "100000")
    desk.losses.begin()
    assert desk.look() == (State.REDUCING, 6_000)
    with pytest.raises(SyntaxError):
        Desk(store=kept(forgiven="0", closing="[")).losses.begin()
