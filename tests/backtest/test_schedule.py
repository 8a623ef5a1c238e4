"""Schedules over history: the same keeper as in a node, by the data's clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce

from runner.backtest.catalog import History
from runner.backtest.engine import Terms
from runner.backtest.recording import import_recording
from tests.backtest import strategies
from tests.backtest.conftest import OPEN, Run, at_ns, write_recording
from tests.backtest.test_engine import TWAP, at, fills

HALF = timedelta(minutes=30)
CLOSE = OPEN.replace(hour=16, minute=0)
#: The day after Thanksgiving ends early.
SHORT = OPEN.replace(month=11, day=29, hour=13, minute=0)


def left(backtest) -> int:
    return sum(each.signed_decimal_qty() for each in backtest.engine.kernel.cache.positions_open())


def test_nothing_is_opened_before_the_start_and_after_the_stop(run: Run) -> None:
    """Bars end at 9:31 and so on; each step is one of them."""
    schedule = {"start": "09:32", "stop": "09:34"}
    backtest, recorder = run({"a": {"steps": "buy 1, buy 2, buy 4, buy 8, buy 16", "schedule": schedule}})
    assert [(qty, ts) for ts, _, qty, _ in fills(recorder)] == [
        (2, at_ns(OPEN + timedelta(minutes=2))),
        (4, at_ns(OPEN + timedelta(minutes=3))),
    ]
    assert backtest.denials == {("a", "SCHEDULE_CLOSED"): 3}
    assert backtest.gate.errors == 0


@pytest.mark.parametrize(
    ("on_stop", "position", "entry", "exit_"),
    [
        ("keep", 10, "ACCEPTED", "ACCEPTED"),
        ("cancel", 10, "CANCELED", "ACCEPTED"),
        ("flatten", 0, "CANCELED", "CANCELED"),
    ],
)
@pytest.mark.parametrize("latency", [timedelta(), timedelta(seconds=1)])
def test_at_its_stop_orders_and_positions_are_what_the_file_says(
    run: Run, on_stop, position, entry, exit_, latency
) -> None:
    """Of a position of 10 with an exit above and another entry below."""
    schedule = {"stop": "10:00", "on_stop": on_stop}
    steps = "buy 10, ask 10 150, bid 5 90"
    backtest, recorder = run(
        {"a": {"steps": steps, "on_stop": "keep", "schedule": schedule}}, terms=Terms(latency=latency)
    )
    assert left(backtest) == position
    orders = {str(order.price): order for order in backtest.engine.kernel.cache.orders() if order.has_price}
    assert (orders["90.00"].status, orders["150.00"].status) == (OrderStatus[entry], OrderStatus[exit_])
    if on_stop != "keep":
        assert timedelta() <= timedelta(microseconds=(orders["90.00"].ts_last - at_ns(OPEN + HALF)) // 1_000) <= latency
    if on_stop == "flatten":
        # The cancellations, then the closing order: each takes the latency.
        (_, _, qty, _) = closing = fills(recorder)[-1]
        assert (qty, closing[0]) == (-10, pytest.approx(at_ns(OPEN + HALF + 2 * latency), abs=10**9))


@pytest.mark.parametrize("closes", [CLOSE, SHORT], ids=["whole", "half"])
def test_it_is_flat_before_the_close_of_a_whole_and_of_a_half_day(run: Run, tmp_path: Path, closes) -> None:
    data = at(tmp_path, closes - timedelta(minutes=20))
    schedule = {"flat_before_close": "5m"}
    backtest, recorder = run(
        {"a": {"steps": "buy 10, " + ", " * 14 + "buy 5, buy 5", "on_stop": "keep", "schedule": schedule}}, data=data
    )
    assert [(qty, ts // 10**9) for ts, _, qty, _ in fills(recorder)] == [
        (10, at_ns(closes - timedelta(minutes=19)) // 10**9),
        (-10, at_ns(closes - timedelta(minutes=5)) // 10**9),
    ]
    assert backtest.denials == {("a", "SCHEDULE_CLOSED"): 2}


def test_a_pair_goes_by_the_clock_alone(run: Run, tmp_path: Path) -> None:
    """On a Sunday, with a feed of crypto; `flatten` at its stop."""
    sunday = OPEN - timedelta(days=1)
    history = History(tmp_path / "pairs")
    with history.writing():
        import_recording(history, [write_recording(tmp_path / "r.jsonl", start=sunday, symbol="BTC/USD")])
    backtest, recorder = run(
        {
            "a": {
                "steps": ", buy 1, buy 1, , buy 1",
                "instrument_id": "BTC/USD.ALPACA",
                "bar_type": "BTC/USD.ALPACA-1-MINUTE-LAST-EXTERNAL",
                "feed": "pairs",
                "schedule": {"days": ["sun"], "start": "09:33", "stop": "09:35", "on_stop": "flatten"},
            }
        },
        data=history.folder,
        feeds={"pairs": {"market": "crypto"}},
    )
    assert [qty for _, _, qty, _ in fills(recorder)] == [1, -1]
    assert backtest.denials == {("a", "SCHEDULE_CLOSED"): 2}


@pytest.mark.parametrize(("on_stop", "left_over"), [("keep", 5), ("cancel", 5), ("flatten", 0)])
def test_what_an_algorithm_has_not_sent_by_the_stop_is_not_sent_any_more(run: Run, on_stop, left_over) -> None:
    """10 in two parts, a minute apart; the stop is between them."""
    schedule = {"stop": "09:31:30", "on_stop": on_stop}
    backtest, recorder = run({"a": {"steps": "twap 10", "on_stop": "keep", "schedule": schedule}}, exec_algorithms=TWAP)
    assert left(backtest) == left_over
    at_stop = at_ns(OPEN.replace(minute=31, second=30))
    assert [qty for ts, _, qty, _ in fills(recorder) if ts < at_stop] == [5]
    assert [qty for ts, _, qty, _ in fills(recorder) if ts >= at_stop] == ([-5] if on_stop == "flatten" else [])
    assert backtest.gate.errors == 0


@pytest.mark.parametrize("latency", [timedelta(), timedelta(seconds=1)])
@pytest.mark.parametrize("at_stop", [True, False], ids=["by its schedule", "at the end"])
def test_opposite_positions_that_are_to_be_closed_are_set_off_against_each_other(run: Run, at_stop, latency) -> None:
    """10 and -6: the account holds 4."""
    mine = (
        {"on_stop": "keep", "schedule": {"stop": "10:00", "on_stop": "flatten"}} if at_stop else {"on_stop": "flatten"}
    )
    backtest, recorder = run(
        {"a": {"steps": "buy 10", **mine}, "b": {"steps": ", sell 6", **mine}}, terms=Terms(latency=latency)
    )
    assert backtest.engine.kernel.cache.positions_open() == []
    assert [qty for _, _, qty, _ in fills(recorder)[:2]] == [10, -6]
    assert sorted(qty for _, _, qty, _ in fills(recorder)[2:]) == [-6, -4, 6]
    closing = [order for order in backtest.engine.kernel.cache.orders() if order.tags]
    assert [(order.side_string(), order.quantity) for order in closing] == [("SELL", 4)]
    assert not backtest.denials
    assert backtest.gate.errors == 0


def test_an_order_that_answers_a_set_off_is_judged_once_all_of_it_is_booked(run: Run, monkeypatch) -> None:
    """Of 10 and -10: a purchase of 10 closes nothing, though the first fill alone leaves the account with -10."""
    sent, judged = [], []

    def again(self, _event) -> None:
        if not sent:
            ten = self.cache.instrument(self.config.instrument_id).make_qty(10)
            sent.append(self.order_factory.market(self.config.instrument_id, OrderSide.BUY, ten, TimeInForce.DAY))
            self.submit_order(sent[0])
            judged.append(sent[0].status)

    monkeypatch.setattr(strategies.Steps, "on_position_closed", again, raising=False)
    mine = {"on_stop": "keep", "schedule": {"stop": "10:00", "on_stop": "flatten"}}
    backtest, _ = run({"a": {"steps": "buy 10", **mine}, "b": {"steps": ", sell 10", **mine}})
    assert judged == [OrderStatus.INITIALIZED], "not in between"
    assert sent[0].status is OrderStatus.DENIED
    assert sent[0].last_event.reason.startswith("SCHEDULE_CLOSED")
    assert left(backtest) == 0
    assert backtest.gate.errors == 0
