"""Limits on the day's loss and on the drawdown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide

from runner.config.risk import Portion
from runner.risk.latches import MemoryLatches
from runner.risk.limits import Limits, LimitsBook
from runner.risk.losses import Report, resume_record
from runner.risk.state import NODE, Scope, State, States
from tests.risk.conftest import IBM, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
DAY = 86_400
START = 1_795_500_000  # 2026-11-24 01:00 in New York, a Tuesday


def usd(amount: str) -> Portion:
    return Portion(amount=Decimal(amount))


def part(fraction: str) -> Portion:
    return Portion(fraction=Decimal(fraction))


def at(*prices: str, start: int = START, step: int = 1) -> list[Any]:
    return [quote(price, price, start + i * step) for i, price in enumerate(prices)]


def nothing(_s: Any) -> None: ...


def buy(qty: int) -> Any:
    return lambda s: s.market(BUY, qty)


LEVELS = {
    NODE: lambda limits: LimitsBook(top=limits),
    Scope("account", "ALPACA"): lambda limits: LimitsBook(accounts={"ALPACA": limits}),
    Scope("strategy", "main"): lambda limits: LimitsBook(strategies={"main": limits}),
}


@pytest.mark.parametrize("scope", LEVELS)
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_daily_loss=usd("500")), "MAX_DAILY_LOSS"),
        (Limits(max_daily_loss=part("0.0005")), "MAX_DAILY_LOSS"),  # of a million
        (Limits(max_drawdown=usd("500")), "MAX_DRAWDOWN"),
        (Limits(max_drawdown=part("0.0005")), "MAX_DRAWDOWN"),
    ],
)
@pytest.mark.parametrize(("price", "state"), [("95.00", State.ACTIVE), ("94.99", State.REDUCING)])
def test_a_loss_may_reach_its_limit_and_one_cent_more_latches_reducing(bench, scope, limits, code, price, state):
    ours, gate, engine = bench.run(
        buy(100),
        nothing,
        buy(1),
        lambda s: s.market(SELL, 50),
        limits=LEVELS[scope](limits),
        quotes=at("100.00", "100.00", price, price, price),
    )
    standing = gate.states.get(scope)
    assert standing.state is state
    assert gate.errors == 0
    if state is State.REDUCING:
        assert ours.codes() == ["STATE_REDUCING"]
        assert (standing.by, standing.causes) == ("breach", (code,))
        assert standing.why.startswith(f"{code}: 501 ")
        assert standing.why.endswith(f"of {scope.section}.{code.lower()}")
        assert engine.portfolio.net_position(IBM) == 50
    else:
        assert ours.denials() == []


def test_a_realized_loss_counts_as_one_that_is_not(bench):
    _, gate, _ = bench.run(
        buy(100),
        lambda s: s.market(SELL, 100),
        buy(1),
        limits=Limits(max_daily_loss=usd("500")),
        quotes=at("100.00", "94.00", "94.00", "94.00"),
    )
    assert gate.states.get(NODE).why.startswith("MAX_DAILY_LOSS: 600 lost today")


def test_a_fill_that_brings_the_loss_latches_at_once(bench):
    states: list[Any] = []
    bench.run(
        lambda s: (s.market(BUY, 100), states.append(s)),
        nothing,
        limits=Limits(max_daily_loss=usd("500")),
        # Bought at the ask, worth the middle: six dollars a share are lost with the fill.
        quotes=[quote("88.00", "100.00", START), quote("88.00", "100.00", START + 1)],
        on_state=states.append,
    )
    assert [s.state for s in states if not hasattr(s, "events")] == [State.REDUCING]


def test_a_drawdown_is_told_from_the_best_point_and_a_days_loss_from_its_beginning(bench):
    _, gate, _ = bench.run(
        buy(100),
        nothing,
        nothing,
        buy(1),
        limits=Limits(max_daily_loss=usd("500"), max_drawdown=usd("500")),
        quotes=at("100.00", "100.00", "110.00", "104.00", "104.00"),
        prepare=lambda _engine, gate: gate.begin(timedelta(seconds=1), datetime.fromtimestamp(START, UTC)),
    )
    assert gate.states.get(NODE).causes == ("MAX_DRAWDOWN",)


def test_a_timer_notices_a_loss_that_no_order_asks_about(bench):
    _, gate, _ = bench.run(
        buy(100),
        *[nothing] * 3,
        limits=Limits(max_daily_loss=usd("500")),
        quotes=at("100.00", "100.00", "90.00", "90.00"),
        prepare=lambda _engine, gate: gate.begin(timedelta(seconds=1), datetime.fromtimestamp(START, UTC)),
    )
    assert gate.states.get(NODE).state is State.REDUCING


def test_resuming_accepts_the_loss_and_counts_anew(bench):
    gates: list[Any] = []
    ours, _gate, _ = bench.run(
        buy(100),
        buy(1),  # denied
        lambda s: gates[0].resume(why="looked at it"),
        buy(1),
        buy(1),  # denied again, 600 after the first
        limits=Limits(max_daily_loss=usd("500"), max_drawdown=usd("500")),
        quotes=at("100.00", "94.00", "94.00", "94.00", "88.00", "88.00"),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["STATE_REDUCING"] * 2


@pytest.mark.parametrize(
    ("rearms", "drawdown", "codes"),
    [
        ("manual", None, ["STATE_REDUCING"] * 2),
        ("next_day", None, ["STATE_REDUCING"]),
        ("next_day", "500", ["STATE_REDUCING"] * 2),
    ],
)
def test_a_new_trading_day_begins_the_days_loss_anew_and_lifts_its_latch_where_the_file_says(
    bench, rearms, drawdown, codes
):
    limits = Limits(
        max_daily_loss=usd("500"),
        max_drawdown=None if drawdown is None else usd(drawdown),
        daily_loss_rearms=rearms,
    )
    ours, gate, _ = bench.run(
        buy(100), buy(1), buy(1), limits=limits, quotes=at("100.00", "94.00", "94.00", "94.00", step=DAY // 2)
    )
    assert ours.codes() == codes
    assert gate.errors == 0


@pytest.mark.parametrize("by", ["command", "fault"])
def test_a_new_trading_day_lifts_no_more_than_the_days_loss(bench, by):
    """Who said under a breach that it is to stay closed was not heard."""
    gates: list[Any] = []
    ours, gate, _ = bench.run(
        buy(100),
        buy(1),  # denied
        lambda _s: gates[0].set_state("reducing", why="keep it closed", by=by),
        buy(1),  # the next day
        limits=Limits(max_daily_loss=usd("500"), daily_loss_rearms="next_day"),
        quotes=at("100.00", "94.00", "94.00", "94.00", "94.00", step=DAY // 3),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["STATE_REDUCING"] * 2
    assert (gate.states.get(NODE).why, gate.states.get(NODE).causes) == ("keep it closed", ())


def test_what_was_lost_today_is_kept_over_a_restart(bench):
    store = MemoryLatches()
    limits = Limits(max_daily_loss=usd("500"))
    first, _, _ = bench.run(
        buy(100), buy(1), limits=limits, latches=store, quotes=at("100.00", "97.00", "97.00", step=10)
    )
    assert first.denials() == []
    # 300 before, 201 now.
    again = at("100.00", "97.99", "97.99", start=START + 60, step=10)
    second, gate, _ = bench.run(buy(100), buy(1), limits=limits, latches=store, quotes=again)
    assert second.codes() == ["STATE_REDUCING"]
    assert gate.states.get(NODE).why.startswith("MAX_DAILY_LOSS: 501 lost today")
    # The latch itself too.
    third, _, _ = bench.run(buy(1), limits=limits, latches=store, quotes=at("100.00", start=START + 120))
    assert third.codes() == ["STATE_REDUCING"]


def test_another_days_loss_is_not_counted_after_a_restart_but_the_drawdown_is(bench):
    store = MemoryLatches()
    limits = Limits(max_daily_loss=usd("500"), max_drawdown=usd("1000"))
    bench.run(buy(100), buy(1), limits=limits, latches=store, quotes=at("100.00", "96.00", "96.00", step=10))
    later = at("100.00", "93.98", "93.98", start=START + DAY, step=10)
    _, gate, _ = bench.run(buy(100), buy(1), limits=limits, latches=store, quotes=later)
    assert gate.states.get(NODE).causes == ("MAX_DAILY_LOSS", "MAX_DRAWDOWN")


@pytest.mark.parametrize("record", ["{", '{"day": "2026-11-24"}'])
def test_losses_that_can_not_be_read_leave_the_node_reducing(bench, record):
    ours, gate, _ = bench.run(
        buy(1), limits=Limits(max_daily_loss=usd("1")), latches=MemoryLatches({"loss/node/": record})
    )
    assert ours.codes() == ["STATE_REDUCING"]
    assert gate.errors == 1


@pytest.mark.parametrize("broken", ["{", "[]", '{"day": "2026-11-24", "lost": "0", "below": "much"}'])
def test_a_record_that_can_not_be_read_takes_no_other_levels_losses_with_it(bench, broken):
    """The node had lost 400, and 900 from its best point, when the record of an account could not be read."""
    told = {"day": "2026-11-24", "lost": "400", "below": "900", "starts": {}}
    store = MemoryLatches({"loss/account/other": broken, "loss/node/": json.dumps(told)})
    limits = Limits(max_daily_loss=usd("500"), max_drawdown=usd("1000"))
    _, gate, _ = bench.run(buy(1), limits=limits, latches=store, quotes=at("100.00"))
    used = {name: part for _, name, part in gate.losses.used()}
    assert used == {"max_daily_loss": Decimal("0.8"), "max_drawdown": Decimal("0.9")}
    assert gate.states.get(NODE).by == "fault"
    assert gate.errors == 1


@pytest.mark.parametrize(("most", "codes"), [("500", ["STATE_REDUCING"]), ("1000", [])])
def test_a_clock_that_was_ahead_for_a_moment_keeps_no_loss_unseen_or_unwritten(bench, most, codes):
    store, gates, now = MemoryLatches(), [], [START]

    def an_hour_ahead(_s: Any) -> None:
        now[0] = START + 3600
        gates[0].tick()

    def put_right(s: Any) -> None:
        now[0] = START + 10
        s.market(BUY, 1)

    ours, _, _ = bench.run(
        buy(100),
        an_hour_ahead,
        put_right,
        limits=Limits(max_daily_loss=usd(most)),
        latches=store,
        quotes=at("100.00", "100.00", "94.00"),
        venue_now_ns=lambda: now[0] * 10**9,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == codes
    assert Decimal(json.loads(store.records["loss/node/"])["lost"]) == 600


def report(closing: str, equity: str, closed_on: str, doubted: str = "0") -> Report:
    """What the broker's figures make of an account."""
    return Report(Decimal(closing), Decimal(equity), closed_on, Decimal(doubted))


def test_what_the_broker_says_was_lost_counts_where_it_is_more(bench):
    monday, tuesday = "2026-11-23", "2026-11-24"
    reports = [("100000", "99500", monday)]
    gates: list[Any] = []

    def prepare(_engine: Any, gate: Any) -> None:
        gates.append(gate)

        gate.losses._reported = lambda _scope: {"main": report(*reports[-1])}

    ours, gate, _ = bench.run(
        buy(1),  # 500 lost, which is allowed
        lambda s: (reports.append(("100000", "99499.99", monday)), buy(1)(s)),
        lambda s: (gates[0].resume(why="seen"), buy(1)(s)),
        # The next day: the broker still tells yesterday's figures, then today's.
        buy(1),
        lambda s: (reports.append(("99499.99", "99499.99", tuesday)), buy(1)(s)),
        lambda s: (reports.append(("99499.99", "98999.98", tuesday)), buy(1)(s)),
        limits=Limits(max_daily_loss=usd("500")),
        quotes=at("100.00", "100.00", "100.00") + at(*["100.00"] * 5, start=START + DAY),
        prepare=prepare,
    )
    assert ours.codes() == ["STATE_REDUCING"] * 2
    assert gate.errors == 0


def test_how_much_of_each_limit_is_used(bench):
    _, gate, _ = bench.run(
        buy(100),
        buy(1),
        limits=Limits(max_daily_loss=usd("500"), max_drawdown=part("0.001")),
        quotes=at("100.00", "97.50", "97.50", step=2),
    )
    assert list(gate.losses.used()) == [
        (NODE, "max_daily_loss", Decimal("0.5")),
        (NODE, "max_drawdown", Decimal("0.25")),
    ]


def test_a_loss_that_was_resumed_while_no_node_ran_is_accepted_at_the_next_start(bench):
    store = MemoryLatches()
    limits = Limits(max_daily_loss=usd("500"))
    bench.run(buy(100), buy(1), limits=limits, latches=store, quotes=at("100.00", "94.00", "94.00", step=10))
    assert "resumed" not in store.records["loss/node/"]
    resume_record(store, NODE)
    states = States(lambda: 1, store=store)
    states.restore()
    states.resume(scope=NODE, why="looked at it")

    def prepare(_engine: Any, gate: Any) -> None:
        # The broker still reports what was lost before; 500 more may be lost, and no more.
        gate.losses._reported = lambda _scope: {"main": Report(Decimal(100_000), 100_000 - lost[-1], "2026-11-23")}

    lost = [Decimal(601)]
    ours, gate, _ = bench.run(
        buy(1),
        lambda s: (lost.append(Decimal(1101)), buy(1)(s)),
        lambda s: (lost.append(Decimal(1102)), buy(1)(s)),
        limits=limits,
        latches=store,
        quotes=at(*["94.00"] * 4, start=START + 60, step=10),
        prepare=prepare,
    )
    assert ours.codes() == ["STATE_REDUCING"]
    assert "resumed" not in store.records["loss/node/"]
    assert gate.errors == 0


def reporting(bench: Any, *reports: Report, days: list[int] | None = None, **more: Any) -> list[State]:
    """The node's state at each of these reports, one a day or as `days` after the first say."""
    seen: list[State] = []
    shown = [reports[0]]
    gates: list[Any] = []

    def step(number: int) -> Any:
        def do(_s: Any) -> None:
            shown.append(reports[number])
            gates[0].tick()
            seen.append(gates[0].states.get(NODE).state)

        return do

    def prepare(_engine: Any, gate: Any) -> None:
        gates.append(gate)
        gate.losses._reported = lambda _scope: {"main": shown[-1]}
        gate.begin()

    at_days = days or list(range(len(reports)))
    quotes = [quote("100.00", "100.00", START + day * DAY) for day in at_days]
    _, gate, _ = bench.run(
        *(step(number) for number in range(len(reports))),
        limits=Limits(max_daily_loss=usd("500")),
        quotes=quotes,
        prepare=prepare,
        **more,
    )
    assert gate.errors == 0
    return seen


def test_a_loss_of_today_counts_after_a_restart_though_a_node_ran_the_day_before(bench):
    """It was taken for one of the day before."""
    store = MemoryLatches()
    assert reporting(bench, report("1000", "1000", "2026-11-23"), latches=store) == [State.ACTIVE]
    lost = report("1000", "499", "2026-11-24")  # at the next day's first look, from its own close
    assert reporting(bench, lost, days=[1], latches=store) == [State.REDUCING]


def test_figures_of_the_day_before_are_not_todays_loss(bench):
    stale = "2026-11-23"
    reports = [
        report("2000", "1600", stale),  # 400 lost on Tuesday
        report("2000", "1500", stale),  # on Wednesday, as Tuesday's close is not there yet: 100 since
        report("2000", "1099", stale),
    ]
    assert reporting(bench, *reports, days=[0, 1, 1]) == [State.ACTIVE, State.ACTIVE, State.ACTIVE]
    assert reporting(bench, *reports, report("2000", "998.99", stale), days=[0, 1, 1, 1])[-1] is State.REDUCING


def test_what_was_won_the_day_before_hides_no_loss_of_today(bench):
    stale = "2026-11-23"
    reports = report("1000", "2000", stale), report("1000", "2000", stale), report("1000", "1499", stale)
    assert reporting(bench, *reports, days=[0, 1, 1]) == [State.ACTIVE, State.ACTIVE, State.REDUCING]


def resumed(bench: Any, *after: Report) -> list[State]:
    """As `reporting`, resumed after the first."""
    gates: list[Any] = []
    shown = [report("10000", "5000", "2026-11-23", "-5000")]
    seen: list[State] = []

    def prepare(_engine: Any, gate: Any) -> None:
        gates.append(gate)
        gate.losses._reported = lambda _scope: {"main": shown[-1]}
        gate.begin()
        assert gate.states.get(NODE).state is State.REDUCING
        gate.resume(why="a withdrawal")

    def step(each: Report) -> Any:
        return lambda _s: (shown.append(each), gates[0].tick(), seen.append(gates[0].states.get(NODE).state))

    bench.run(*map(step, after), limits=Limits(max_daily_loss=usd("500")), prepare=prepare)
    return seen


def test_a_withdrawal_that_was_accepted_before_it_was_explained_hides_no_loss_afterwards(bench):
    assert resumed(bench, report("10000", "4500", "2026-11-23", "-5000")) == [State.ACTIVE]
    assert resumed(bench, report("10000", "4499", "2026-11-23", "-5000")) == [State.REDUCING]
    # The activity has come: it is no loss any more, so that nothing of it is to be taken off.
    # 4499 are there, and the 5000 that went are not lost.
    assert resumed(bench, report("10000", "9499", "2026-11-23")) == [State.REDUCING]


def test_what_was_accepted_is_not_taken_off_the_next_close(bench):
    assert resumed(bench, report("5000", "4499", "2026-11-24")) == [State.REDUCING]
