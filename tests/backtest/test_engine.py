"""The same strategies, gate and guard over history."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from runner.backtest.catalog import History
from runner.backtest.engine import Terms, not_here
from runner.backtest.errors import DataError
from runner.backtest.feed import Feed
from runner.backtest.recording import import_recording
from runner.backtest.summary import summarize
from runner.node.exit_codes import NodeError
from tests.backtest.conftest import BARS, OPEN, Run, at_ns, write_recording

D = Decimal


def fills(recorder):
    return [(fill.ts_ns, fill.strategy, fill.quantity, fill.price) for fill in recorder.fills]


def test_a_market_order_pays_the_quotes_far_side_though_a_trade_came_after_it(run: Run) -> None:
    backtest, recorder = run({"a": {"steps": "buy 10, sell 10"}})
    quotes = {tick.ts_event: tick for tick in backtest.feed._history.read("quotes", "IBM.ALPACA", 0, 2**62)}
    for at, _, qty, price in fills(recorder):
        last = quotes[max(ts for ts in quotes if ts < at)]
        assert price == (last.ask_price if qty > 0 else last.bid_price).as_decimal()
    assert len(recorder.fills) == 2
    # The trades still reach the strategy.
    assert len(backtest.parts.strategies["a"].seen) == backtest.feed.counts["trades"] == 360


def test_the_same_file_data_and_seed_give_the_same_fills_twice(run: Run) -> None:
    slips = Terms(seed=3, slippage=D("0.5"))
    strategies = {"a": {"steps": "buy 10, sell 10, " * 10}, "b": {"steps": ", buy 5, sell 5" * 10}}
    first, second, other = (
        fills(run(strategies, terms=terms)[1]) for terms in (slips, slips, Terms(seed=4, slippage=D("0.5")))
    )
    assert first == second
    assert len(first) == 40
    assert [fill[:3] for fill in first] == [fill[:3] for fill in other]
    assert first != other, "the slips are the seed's"


def test_limits_deny_as_in_a_node_and_the_reasons_are_counted(run: Run) -> None:
    steps = "buy 10, buy 500, buy 200, sell 10"
    backtest, recorder = run(
        {"a": {"steps": steps, "limits": {"max_position_notional": 2_000}}}, risk={"max_order_notional": 30_000}
    )
    summary = summarize(backtest, recorder)
    assert summary["denials"] == {"MAX_ORDER_NOTIONAL": 1, "MAX_POSITION_NOTIONAL": 1}
    assert summary["strategies"]["a"]["denied"] == 2
    assert summary["orders"]["filled"] == 2
    assert backtest.gate.errors == 0


def test_nobody_buys_more_than_the_account_can_pay_though_the_file_names_no_margin(run: Run) -> None:
    backtest, _ = run({"a": {"steps": "buy 150, buy 60"}}, terms=Terms(cash=D(10_000)))
    assert dict(backtest.tally.denials) == {"MARGIN_INSUFFICIENT": 1}


def test_a_list_is_held_to_the_shapes_that_the_broker_takes(run: Run) -> None:
    backtest, recorder = run({"a": {"steps": "oto 10 10 99.00, oto 10 20 99.00"}})
    assert summarize(backtest, recorder)["denials"] == {"ORDER_ILLEGAL": 2}
    reasons = {
        order.last_event.reason for order in backtest.engine.cache.orders() if order.status == OrderStatus.DENIED
    }
    assert any("its exits have another quantity than its entry" in reason for reason in reasons)


@pytest.mark.parametrize("how", ["raise", "timer"])
def test_a_fault_ends_its_strategy_and_no_other(run: Run, how: str) -> None:
    bad = {"steps": "bid 5 90, raise, buy 10"} if how == "raise" else {"steps": "bid 5 90", "timer": True}
    backtest, _ = run({"bad": bad, "good": {"steps": ", , , , , , , , buy 10, sell 10"}})
    assert list(backtest.faults) == ["bad"]
    assert backtest.tally.strategies["good"]["fills"] == 2
    assert backtest.tally.strategies["bad"]["canceled"] == 1
    assert backtest.parts.strategies["bad"].stops == 0


@pytest.mark.parametrize(
    ("on_stop", "position", "order"), [("keep", 10, "ACCEPTED"), ("cancel", 10, "CANCELED"), ("flatten", 0, "CANCELED")]
)
@pytest.mark.parametrize("latency", [timedelta(), timedelta(seconds=1)])
def test_at_the_end_orders_and_positions_are_what_the_file_says(run: Run, on_stop, position, order, latency) -> None:
    backtest, _ = run({"a": {"steps": "buy 10, bid 5 90", "on_stop": on_stop}}, terms=Terms(latency=latency))
    cache = backtest.engine.kernel.cache
    assert sum(each.signed_decimal_qty() for each in cache.positions_open()) == position
    (limit,) = [each for each in cache.orders() if each.has_price]
    assert limit.status == OrderStatus[order]


def at(tmp_path: Path, start: datetime) -> Path:
    """A catalog whose hour of data begins then."""
    history = History(tmp_path / "other")
    with history.writing():
        import_recording(history, [write_recording(tmp_path / "r.jsonl", start=start)])
    return history.folder


def test_day_orders_end_with_the_core_session(run: Run, tmp_path: Path) -> None:
    late = at(tmp_path, OPEN + timedelta(hours=6))
    backtest, _ = run({"a": {"steps": "bid 5 90", "on_stop": "keep"}}, data=late)
    (order,) = backtest.engine.kernel.cache.orders()
    assert order.status == OrderStatus.CANCELED
    assert order.ts_last == at_ns(OPEN.replace(hour=16, minute=0))


def test_orders_before_the_open_wait_for_it(run: Run, tmp_path: Path) -> None:
    early = at(tmp_path, OPEN - timedelta(minutes=30))
    backtest, recorder = run({"a": {"steps": "buy 10, bid 5 150, sell 3, cancel"}}, data=early)
    assert recorder.fills == []
    assert backtest.tally.orders()["canceled"] == 3
    backtest, recorder = run({"a": {"steps": "buy 10, bid 5 150"}}, data=early)
    assert [(fill.quantity, fill.ts_ns) for fill in recorder.fills] == [(10, at_ns(OPEN)), (5, at_ns(OPEN))]
    assert backtest.tally.orders()["filled"] == 2


def test_on_a_holiday_nothing_is_filled_and_what_waits_is_taken_back_at_the_end(run: Run, tmp_path: Path) -> None:
    good_friday = at(tmp_path, OPEN.replace(month=3, day=29))
    backtest, recorder = run({"a": {"steps": "buy 10"}}, data=good_friday)
    assert recorder.fills == []
    assert backtest.tally.orders()["canceled"] == 1


@pytest.mark.parametrize(
    ("july", "hour", "code"),
    [
        (4, 10, "SESSION_CLOSED"),  # a holiday
        (3, 14, "SESSION_CLOSED"),  # a half day, over at 13:00
        (3, 12, None),
    ],
)
def test_the_gate_knows_holidays_and_half_days(
    run: Run, tmp_path: Path, july: int, hour: int, code: str | None
) -> None:
    data = tmp_path / "data"
    with (history := History(data)).writing():
        at = OPEN.replace(month=7, day=july, hour=hour)
        import_recording(history, [write_recording(tmp_path / "r.jsonl", 10, start=at)])
    backtest, _ = run({"a": {"steps": "buy 1"}}, data=data, risk={"universe": {"sessions": ["core"]}})
    assert backtest.denials == ({("a", code): 1} if code else {})
    assert backtest.tally.fills == (0 if code else 1)


def test_with_extended_hours_they_don_t_wait(run: Run, tmp_path: Path) -> None:
    early = at(tmp_path, OPEN - timedelta(minutes=30))
    backtest, recorder = run({"a": {"steps": "bid 5 150", "extended": True}}, data=early)
    assert [fill.ts_ns for fill in recorder.fills] == [at_ns(OPEN - timedelta(minutes=29))]
    assert "1 of 1 fills" in summarize(backtest, recorder)["notes"][0]


def test_history_that_a_strategy_asks_for_ends_where_the_test_begins(run: Run) -> None:
    start = at_ns(OPEN + timedelta(minutes=30))
    backtest, _ = run({"a": {"warm_up": True}}, window={"start_ns": start})
    asked = backtest.parts.strategies["a"].asked
    assert len(asked) == 29
    assert all(told <= now for now, told in asked)


def test_latency_moves_an_order_to_a_later_quote(run: Run) -> None:
    (now,) = fills(run({"a": {"steps": "buy 10"}})[1])
    (later,) = fills(run({"a": {"steps": "buy 10"}}, terms=Terms(latency=timedelta(seconds=30)))[1])
    assert later[0] - now[0] >= 30_000_000_000


def test_fees_are_the_commands(run: Run) -> None:
    backtest, recorder = run({"a": {"steps": "buy 10, sell 10"}}, terms=Terms(fee_per_share=D("0.01")))
    assert recorder.fees == D("0.20")
    bought, sold = (fill.price for fill in recorder.fills)
    assert recorder.last.equity == 100_000 + (sold - bought) * 10 - D("0.20")
    assert summarize(backtest, recorder)["statistics"]["PnL (USD)"]["Fees"] == "0.20"


def test_one_account_at_a_time(run: Run) -> None:
    strategies = {"a": {"steps": "buy 10"}, "b": {"steps": "buy 10", "account": "other"}}
    with pytest.raises(NodeError, match="trades 2 accounts"):
        run(strategies)
    backtest, _ = run(strategies, account="other")
    assert list(backtest.parts.strategies) == ["b"]
    with pytest.raises(NodeError, match="no account third"):
        run(strategies, account="third")


def test_what_a_quote_does_not_hold_is_filled_a_tick_worse(run: Run) -> None:
    (first, rest) = run({"a": {"steps": "buy 600"}})[1].fills
    assert (first.quantity, rest.quantity) == (400, 200)
    assert rest.price - first.price == D("0.01")


CALL = "IBM260116C00100000"
BOTH = {"stocks": {"market": "stocks"}, "options": {"market": "options"}}


@pytest.fixture
def chain(tmp_path: Path, recording: Path) -> Path:
    """IBM, and a quote of a call on it each minute."""
    lines = [
        f'{{"T":"q","S":"{CALL}","bp":1.20,"bs":9,"ap":1.30,"as":9,"t":"2024-03-04T14:{minute}:05Z"}}\n'
        for minute in range(30, 59)
    ]
    (tmp_path / "calls.jsonl").write_text("".join(lines))
    history = History(tmp_path / "chain")
    with history.writing():
        import_recording(history, [recording, tmp_path / "calls.jsonl"])
    return history.folder


def test_contracts_of_what_is_named_are_there_in_a_file_with_options(run: Run, chain: Path) -> None:
    stocks, _ = run({"a": {}}, data=chain)
    assert stocks.feed.counts["quotes"] == 360
    both, recorder = run({"a": {}}, data=chain, feeds=BOTH)
    assert both.feed.counts["quotes"] == 360 + 29
    assert set(recorder.prices) == {"IBM", CALL}


def test_a_contract_costs_a_hundred_times_its_price(run: Run, chain: Path) -> None:
    steps = {"steps": "buy 2, sell 2", "instrument_id": f"{CALL}.ALPACA"}
    _, recorder = run({"a": steps}, data=chain, feeds=BOTH)
    assert recorder.last.equity == 100_000 - 2 * 100 * D("0.10")


def test_orders_of_several_legs_and_exercises_are_refused_with_what_does_them() -> None:
    assert not_here(None, None) is None
    assert not_here(None, {"extended_hours": True, "exercise": False}) is None
    for params in ({"order_class": "mleg"}, {"exercise": True}, {"do_not_exercise": True}):
        assert "--sim" in (not_here(None, params) or "")


def test_what_nautilus_raises_ends_it_with_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    one, size = Price.from_str("1.0"), Quantity.from_int(1)
    bad = QuoteTick(InstrumentId.from_str("IBM.ALPACA"), one, one, size, size, at_ns(OPEN), at_ns(OPEN))
    monkeypatch.setattr(Feed, "days", lambda _self: iter([[bad]]))
    with pytest.raises(NodeError, match=r"Nautilus ended the backtest: invalid .*precision"):
        run({"a": {}})


TWAP = {"TWAP": {"class": "nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm"}}


def test_an_algorithm_carries_an_order_out_over_time_and_an_actor_hears_the_data(run: Run) -> None:
    actors = {
        "count": {"class": "tests.backtest.strategies:Count", "params": {"bar_type": BARS}},
        "bad": {"class": "tests.backtest.strategies:Count", "params": {"bar_type": BARS, "fails_at": 3}},
    }
    backtest, recorder = run({"a": {"steps": "twap 11, , , , sell 11"}}, actors=actors, exec_algorithms=TWAP)
    times, quantities = zip(*((fill.ts_ns, fill.quantity) for fill in recorder.fills), strict=True)
    assert quantities == (D("5.5"), D("5.5"), -11)
    assert times[1] - times[0] == 60_000_000_000
    counted = {name: guard.component.bars for name, guard in backtest.parts.actors.items()}
    assert counted == {"count": backtest.feed.counts["bars"], "bad": 3}
    assert [(fault.kind.word, fault.name) for fault in backtest.other_faults] == [("actor", "bad")]
    assert "actor bad was stopped: ValueError: an actor that fails in on_bar" in summarize(backtest, recorder)["notes"]


def test_what_the_gate_denies_of_an_algorithm_is_not_lost_and_the_end_takes_back_the_rest(run: Run) -> None:
    limits = {"max_order_qty": 5}
    backtest, recorder = run({"a": {"steps": "twap 14", "limits": limits}}, exec_algorithms=TWAP)
    # The first part is denied, and comes back to what is sent last: nothing is lost, and nothing left lying.
    assert recorder.fills == []
    (primary,) = (each for each in backtest.engine.kernel.cache.orders() if each.is_primary)
    assert (primary.status, int(primary.quantity)) == (OrderStatus.DENIED, 14)
    # The data ends in the middle of it.
    last = ", " * (backtest.feed.counts["bars"] - 1) + "twap 10"
    backtest, recorder = run({"a": {"steps": last, "on_stop": "keep"}}, exec_algorithms=TWAP)
    (primary,) = (each for each in backtest.engine.kernel.cache.orders() if each.is_primary)
    assert primary.status == OrderStatus.CANCELED
    assert [fill.quantity for fill in recorder.fills] == [5]


def test_without_the_algorithm_its_orders_are_denied(run: Run) -> None:
    backtest, recorder = run({"a": {"steps": "twap 10"}})
    (order,) = backtest.engine.kernel.cache.orders()
    assert order.status == OrderStatus.DENIED
    assert recorder.fills == []


def test_history_that_only_an_actor_needs_is_asked_for(run: Run) -> None:
    params = {"bar_type": "BAC.ALPACA-1-MINUTE-LAST-EXTERNAL"}
    actors = {"count": {"class": "tests.backtest.strategies:Count", "params": params}}
    with pytest.raises(DataError, match=r"actor count needs BAC\.ALPACA-1-MINUTE-LAST-EXTERNAL"):
        run({"a": {"steps": "buy 10"}}, actors=actors)
