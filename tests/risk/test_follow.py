"""What the gate keeps of Nautilus's events, where following one of them fails."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import AccountState, OrderFilled
from nautilus_trader.model.objects import AccountBalance, Money

from runner.config.risk import Portion
from runner.risk.limits import Limits, Rate
from runner.risk.seat import PRIORITY
from runner.risk.state import NODE, State
from tests.risk.conftest import IBM, SECOND, quote
from tests.risk.test_exercise import exercise
from tests.risk.test_margin_options import ALL, C100, CONTRACTS, quotes, trade

BUY, SELL = OrderSide.BUY, OrderSide.SELL
D = Decimal
LIMITS = Limits(
    max_daily_loss=Portion(amount=D(500)),
    max_gross_exposure=Portion(amount=D(100_000)),
    max_fills=Rate(100, SECOND),
    headroom=D(0),
)
#: Each step of following a fill.
STEPS = [
    "ledger.on_fill",
    "reservations.on_event",
    "working.note",
    "working._look",  # within it
    "book.drop",
    "margin.note",
    "book.instrument",  # within it
    "positions.on_event",
    "book.touch",
    "collateral.touch",
    "margin.moved",
    "margin.on_fill",
    "losses.check",
    "_runaway.fills",
]


def break_at(gate: Any, step: str, times: int) -> None:
    """From now on that step of the gate raises so many times."""
    *path, name = step.split(".")
    owner: Any = gate
    for each in path:
        owner = getattr(owner, each)
    whole, left = getattr(owner, name), [times]

    def broken(*args: Any, **more: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise ValueError("a bug")
        return whole(*args, **more)

    setattr(owner, name, broken)


def run(bench: Any, step: str, times: int, *then: Any) -> tuple[Any, Any, Any]:
    """Hundred shares are bought at 100, and that step of following the fill fails; then they are worth 94."""

    def prepare(engine: Any, gate: Any) -> None:
        gate.begin()

        def fail(event: Any) -> None:
            if isinstance(event, OrderFilled) and event.is_buy:
                break_at(gate, step, times)

        engine.kernel.msgbus.subscribe("events.order.*", fail, priority=PRIORITY + 1)

    return bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: None,
        *then,
        limits=LIMITS,
        quotes=[quote(price, price, at) for at, price in enumerate(["100.00"] * 3 + ["94.00"] * 5, 1)],
        prepare=prepare,
    )


@pytest.mark.parametrize("step", STEPS)
def test_what_fails_once_while_a_fill_is_followed_loses_nothing_of_it(bench, step):
    ours, gate, engine = run(bench, step, 1)
    gate.tick()
    (account_id,) = gate.account_ids()
    assert engine.portfolio.net_position(IBM) == 100
    assert gate.errors == 1
    assert gate.ledger.value() == -600
    assert (gate.book.total(account_id), gate.book.count(account_id)) == (9_400, 0)
    assert (gate.margin.reserved(account_id), len(gate.reservations)) == (0, 0)
    assert gate.positions.qty(IBM, account_id) == 100
    assert gate.states.get(NODE).causes == ("MAX_DAILY_LOSS",)
    assert ours.denials() == []


# Those that nothing else tells of, or that looking it all up anew needs.
@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("losses.check", "reservations.on_event")])
def test_what_fails_again_leaves_the_node_reducing(bench, step):
    """A loss was not seen any more, and positions counted for no limit, until the next start."""
    ours, gate, _ = run(bench, step, 2, lambda s: s.market(BUY, 1), lambda s: s.market(SELL, 1))
    standing = gate.states.get(NODE)
    assert (standing.state, standing.by) == (State.REDUCING, "fault" if step == "ledger.on_fill" else standing.by)
    assert ours.codes() == ["STATE_REDUCING"]
    gate.states.lift("MAX_DAILY_LOSS", scope=NODE, why="a new trading day")
    assert gate.states.get(NODE).by == "fault"
    assert "a bug" in gate.states.get(NODE).why


def test_a_clock_that_fails_while_a_fill_is_counted_ends_nothing(bench):
    """It fails again where the state is set that this leads to."""
    rig: list[Any] = []

    def now_ns() -> int:
        if len(rig) > 1:
            raise RuntimeError("no clock")
        return rig[0].kernel.clock.timestamp_ns()  # type: ignore[no-any-return]

    ours, gate, engine = bench.run(
        lambda s: s.limit(BUY, 1, "99.00"),
        lambda s: rig.append("broken"),
        lambda s: None,  # it is filled
        lambda s: s.market(BUY, 1),
        lambda s: s.market(SELL, 1),
        limits=Limits(max_fills=Rate(5, SECOND)),
        quotes=[quote(price, price, at) for at, price in enumerate(["100.00"] * 2 + ["98.00"] * 4, 1)],
        prepare=lambda engine, gate: (rig.append(engine), None),
        venue_now_ns=now_ns,
    )
    assert (gate.states.get(NODE).state, gate.states.get(NODE).by) == (State.REDUCING, "fault")
    assert ours.codes() == ["GATE_ERROR"]
    assert engine.portfolio.net_position(IBM) == 0


def test_while_losses_can_not_be_looked_at_nothing_opens(bench):
    ours, _gate, engine = run(bench, "losses.check", 10**6, lambda s: s.market(BUY, 1), lambda s: s.market(SELL, 100))
    assert ours.codes() == ["GATE_ERROR"]
    assert engine.portfolio.net_position(IBM) == 0


def told(engine: Any, power: str) -> None:
    """The broker tells the account's figures."""
    account = engine.cache.accounts()[0]
    info = {"buying_power": power, "multiplier": "2"}
    balances = [AccountBalance(Money(1_000_000, USD), Money(0, USD), Money(1_000_000, USD))]
    state = AccountState(account.id, account.type, USD, True, balances, [], info, UUID4(), 0, 0)
    account.apply(state)
    engine.kernel.msgbus.publish(f"events.account.{account.id}", state)


@pytest.mark.parametrize(("times", "codes"), [(1, ["MARGIN_INSUFFICIENT"]), (2, ["STATE_REDUCING"])])
def test_an_accounts_figures_that_can_not_be_followed_are_not_counted_with_as_they_were(bench, times, codes):
    engines: list[Any] = []

    def poorer(_s: Any) -> None:
        break_at(gates[0], "margin.on_account", times)
        told(engines[0], "5000")

    gates: list[Any] = []
    ours, _, _ = bench.run(
        lambda _s: told(engines[0], "500000"),
        poorer,
        lambda s: s.market(BUY, 51),
        limits=LIMITS,
        prepare=lambda engine, gate: (engines.append(engine), gates.append(gate), gate.begin()),
    )
    assert ours.codes() == codes


def test_a_fill_that_raises_halfway_is_booked_whole_the_second_time(bench):
    _, gate, _ = run(bench, "ledger._mark", 1)
    gate.tick()
    assert (gate.errors, gate.ledger.value()) == (1, -600)
    assert gate.states.get(NODE).by == "breach"


@pytest.mark.parametrize("step", ["reservations.follow", "working.note", "margin.note"])
def test_what_fails_once_while_an_exercise_is_followed_gives_its_shares_room_back(bench, step):
    """The shares' order is in no cache: nothing else tells that it has ended."""
    exercised: list[Any] = []

    def prepare(engine: Any, gate: Any) -> None:
        follow = gate.reservations.follow

        def follow_once(client_order_id: Any) -> None:
            gate.reservations.follow = follow
            break_at(gate, step, 1)
            gate.reservations.follow(client_order_id)

        def fail(event: Any) -> None:
            if exercised and isinstance(event, OrderFilled):
                gate.reservations.follow = follow_once

        engine.kernel.msgbus.subscribe("events.order.*", fail, priority=PRIORITY + 1)

    _, gate, _ = bench.run(
        lambda s: trade(s, C100, BUY, 1),
        lambda s: exercised.append(exercise(s, C100, 1)),
        lambda s: None,
        limits=ALL,
        quotes=quotes(4),
        instruments=CONTRACTS,
        prepare=prepare,
    )
    (account_id,) = gate.account_ids()
    assert exercised[0].is_closed
    assert gate.errors == 1
    assert (len(gate.reservations), gate.margin.reserved(account_id), gate.book.count(account_id)) == (0, 0, 0)
    assert not list(gate.working.legs(IBM, account_id))
