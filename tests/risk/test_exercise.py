"""What can't be judged of an exercise is denied; over the wire: `alpaca/test_exercise.py`."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import OptionContract
from nautilus_trader.model.objects import Quantity

from runner.risk.limits import Limits
from runner.risk.state import Scope
from tests.risk.conftest import quote
from tests.risk.test_margin_options import ALL, C100, C110, CONTRACTS, contract, quotes, trade

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ADJUSTED = "IBM1280121C00100000"
OTHER = "XYZ280121C00100000"


def exercise(s: Any, symbol: str, qty: int, side: Any = SELL) -> Any:
    instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
    order = s.order_factory.market(instrument_id, side, Quantity.from_int(qty), time_in_force=TimeInForce.DAY)
    s.submit_order(order, params={"exercise": True})
    return order


def of(symbol: str, underlying: str) -> Any:
    made = OptionContract.to_dict(contract(f"IBM{symbol[-15:]}"))
    return OptionContract.from_dict(made | {"id": f"{symbol}.ALPACA", "raw_symbol": symbol, "underlying": underlying})


@pytest.mark.parametrize(
    ("symbol", "underlying", "says"),
    [
        (ADJUSTED, "IBM", "is not for shares of IBM alone"),
        (OTHER, "XYZ", "XYZ.ALPACA is not loaded, so that nothing can be held against its shares"),
    ],
)
def test_an_exercise_whose_shares_can_not_be_told_is_denied(bench, symbol, underlying, says):
    instrument = of(symbol, underlying)
    shown = [quote("8.00", "8.00", second, instrument.id) for second in range(1, 5)]
    ours, gate, _ = bench.run(
        lambda s: trade(s, symbol, BUY, 1),
        lambda s: exercise(s, symbol, 1),
        quotes=[*shown, *(quote("100.00", "100.00", second) for second in range(1, 5))],
        instruments=[instrument],
    )
    (reason,) = ours.denials()
    assert reason.startswith("ORDER_ILLEGAL: EXERCISE: ")
    assert says in reason
    assert gate.errors == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: exercise(s, C110, 1),  # nothing is held of it
        lambda s: exercise(s, C100, 3),  # more than is held
        lambda s: exercise(s, C100, 2, BUY),
        lambda s: exercise(s, "IBM", 2),
    ],
)
def test_only_contracts_that_are_held_are_exercised(bench, wrong):
    ours, gate, _ = bench.run(
        lambda s: trade(s, C100, BUY, 2), wrong, limits=Limits(), quotes=quotes(3), instruments=CONTRACTS
    )
    (reason,) = ours.denials()
    assert reason.startswith("ORDER_ILLEGAL: EXERCISE: ")
    assert gate.errors == 0


@pytest.mark.parametrize("state", ["active", "reducing", "halted"])
@pytest.mark.parametrize(("own", "words"), [(0, "2 are held, of which 0 are"), (1, "3 are held, of which 1 are")])
def test_contracts_that_another_strategy_holds_are_not_exercised_in_any_state(bench, state, own, words):
    gates: list[Any] = []

    def theirs(s: Any) -> None:
        if state != "active":
            gates[0].set_state(state, scope=Scope("strategy", "main"), why="a test")
        exercise(s, C100, own + 2)

    ours, gate, _ = bench.run(
        lambda s: s.market(SELL, 300),
        lambda s: trade(s, C100, BUY, own) if own else None,
        theirs,
        others={"other": [lambda s: trade(s, C100, BUY, 2)]},
        limits=Limits(),
        quotes=quotes(4),
        instruments=CONTRACTS,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    (reason,) = {*ours.denials()}
    assert reason.startswith("ORDER_ILLEGAL: EXERCISE: ")
    assert f"{words} this strategy's own" in reason
    assert gate.errors == 0


@pytest.mark.parametrize(
    ("state", "others_short", "codes"),
    [
        ("active", True, []),
        ("reducing", False, []),
        ("reducing", True, ["STATE_REDUCING"]),
        ("halted", True, ["STATE_HALTED"]),
    ],
)
def test_a_strategy_that_may_only_reduce_exercises_for_shares_of_its_own_position_alone(
    bench, state, others_short, codes
):
    gates: list[Any] = []

    def exercised(s: Any) -> None:
        if state != "active":
            gates[0].set_state(state, scope=Scope("strategy", "main"), why="a test")
        exercise(s, C100, 2)

    ours, gate, _ = bench.run(
        lambda s: trade(s, C100, BUY, 2),
        lambda s: None if others_short else s.market(SELL, 200),
        lambda s: None,
        exercised,
        others={"other": [lambda s: s.market(SELL, 200) if others_short else None]},
        limits=Limits(),
        quotes=quotes(5),
        instruments=CONTRACTS,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert list(dict.fromkeys(ours.codes())) == codes
    assert gate.errors == 0


def test_a_call_that_covers_a_short_one_is_not_exercised(bench):
    ours, gate, _ = bench.run(
        lambda s: trade(s, C100, BUY, 1),
        lambda s: s.market(BUY, 100),
        lambda s: trade(s, C110, SELL, 1),
        lambda s: s.market(SELL, 100),  # the other call covers it from now on
        lambda s: exercise(s, C100, 1),
        limits=ALL,
        quotes=quotes(6),
        instruments=CONTRACTS,
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def test_after_a_fault_no_exercise_passes_as_a_sale_of_its_contracts(bench, monkeypatch):
    gates: list[Any] = []

    def fail(s: Any) -> None:
        monkeypatch.setattr(gates[0].judge, "_exercise", lambda *_args: 1 / 0)
        exercise(s, C100, 1)

    ours, gate, _ = bench.run(
        lambda s: trade(s, C100, BUY, 1),
        fail,
        limits=ALL,
        quotes=quotes(3),
        instruments=CONTRACTS,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["GATE_ERROR"]
    assert gate.errors == 1
