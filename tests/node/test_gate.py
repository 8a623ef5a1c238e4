"""When orders that open are held back by a stream."""

from __future__ import annotations

import gc
from decimal import Decimal
from types import SimpleNamespace

import pytest
from nautilus_trader.model.enums import OrderSide, OrderType, TimeInForce
from nautilus_trader.model.objects import Price, Quantity

from runner.config.models import RunnerConfig
from runner.node.gate import GateHook, illegal, illegal_list, outage, quoted, tell
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import NODE, Standing, State
from tests.risk.conftest import IBM, bench  # noqa: F401


def config(on_stream_down: str) -> RunnerConfig:
    keys = {"key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}}
    return RunnerConfig.model_validate(
        {
            "name": "n",
            "environment": "paper",
            "feeds": {"stocks": {"market": "stocks"}},
            "accounts": {"main": {"broker": "alpaca", **keys, "on_stream_down": on_stream_down}},
            "strategies": {"s": {"class": "m:C", "account": "main", "feed": "stocks"}},
        }
    )


@pytest.mark.parametrize(
    ("policy", "ready", "gapped", "says"),
    [
        ("deny", True, False, None),
        ("deny", False, False, "the trade updates of account main are not arriving"),
        ("deny", True, True, "feed stocks has lost trades or bars that are not read again yet"),
        ("wait", False, True, None),
    ],
)
def test_a_stream_that_is_down_holds_openings_back_as_the_file_says(policy, ready, gapped, says):
    exec_clients = {"main": SimpleNamespace(ready=ready)}
    data_clients = {"stocks": SimpleNamespace(gapped=gapped)}
    assert outage(config(policy), exec_clients, data_clients, "main", "s") == says


def test_an_order_of_no_strategy_of_the_file_is_judged_by_its_account_alone():
    exec_clients = {"main": SimpleNamespace(ready=True)}
    data_clients = {"stocks": SimpleNamespace(gapped=True)}
    assert outage(config("deny"), exec_clients, data_clients, "main", "EXTERNAL") is None


def test_what_alpaca_does_not_take_is_told_by_the_adapters_own_table(bench):  # noqa: F811
    def stop(s):
        price, one = Price.from_str("110.00"), Quantity.from_int(1)
        s.submit_order(s.order_factory.stop_market(IBM, OrderSide.BUY, one, price, time_in_force=TimeInForce.FOK))

    ours, gate, _ = bench.run(
        lambda s: s.market(OrderSide.BUY, 1),
        stop,
        lambda s: s.bracket(OrderSide.BUY, 1, "99.00", "90.00", "110.00"),
        legality=lambda order, instrument, params: illegal(order, instrument, params, None),
    )
    assert ours.codes() == ["ORDER_ILLEGAL"]
    assert gate.errors == 0


@pytest.mark.parametrize(
    ("tif", "params", "says"),
    [
        (TimeInForce.DAY, {}, None),
        (TimeInForce.FOK, {}, "UNSUPPORTED_TIME_IN_FORCE: Alpaca takes limit bracket orders of stocks"),
        (TimeInForce.DAY, {"order_class": "oto"}, "UNSUPPORTED_ORDER_CLASS"),
    ],
)
def test_a_list_that_alpaca_does_not_take_is_denied_as_a_whole(bench, tif, params, says):  # noqa: F811
    def send(s):
        orders = s.order_factory.bracket(
            IBM,
            OrderSide.BUY,
            Quantity.from_int(1),
            time_in_force=tif,
            sl_time_in_force=tif,
            tp_time_in_force=tif,
            entry_order_type=OrderType.LIMIT,
            entry_price=Price.from_str("99.00"),
            sl_trigger_price=Price.from_str("90.00"),
            tp_price=Price.from_str("110.00"),
            tp_post_only=False,
        )
        s.submit_order_list(orders, params=params)

    ours, gate, engine = bench.run(
        send, list_legality=lambda orders, instrument_of, own: illegal_list(orders, instrument_of, own, None)
    )
    assert gate.errors == 0
    if says is None:
        assert ours.denials() == []
        return
    assert ours.codes() == ["ORDER_ILLEGAL"] * 3
    assert all(says in reason for reason in ours.denials())
    assert engine.cache.orders_open() == []


def test_an_illegal_exit_denies_its_entry_too(bench):  # noqa: F811
    """The take profit is below the stop loss."""

    def send(s):
        orders = s.order_factory.bracket(
            IBM,
            OrderSide.BUY,
            Quantity.from_int(1),
            sl_trigger_price=Price.from_str("90.00"),
            tp_price=Price.from_str("80.00"),  # below the stop loss
            tp_post_only=False,
        )
        s.submit_order_list(orders)

    ours, gate, _ = bench.run(
        send, list_legality=lambda orders, instrument_of, own: illegal_list(orders, instrument_of, own, None)
    )
    assert (ours.codes(), gate.errors) == (["ORDER_ILLEGAL"] * 3, 0)


def test_quotes_are_asked_for_where_a_limit_is_held_against_them():
    collar, none = Limits(collar_percent=Decimal("0.02")), Limits()
    strategies = {
        name: SimpleNamespace(spec=SimpleNamespace(account="main"), instruments=instruments)
        for name, instruments in {"a": ("IBM.ALPACA",), "b": ("BAC.ALPACA", "IBM.ALPACA")}.items()
    }
    plan = SimpleNamespace(strategies=strategies)
    assert quoted(plan, LimitsBook(top=none)) == []
    assert quoted(plan, LimitsBook(strategies={"b": collar})) == ["BAC.ALPACA", "IBM.ALPACA"]
    assert quoted(plan, LimitsBook(top=collar)) == ["IBM.ALPACA", "BAC.ALPACA"]


def test_a_state_is_told_in_the_log_with_what_led_to_it(caplog):
    with caplog.at_level("INFO", "runner.node"):
        tell(Standing(NODE, State.REDUCING, "MAX_DAILY_LOSS: 7 lost today", 0, "breach"))
        tell(Standing(NODE, State.HALTED, "ValueError in on_bar", 0, "fault"))  # told by the guard, with its trace
        tell(Standing(NODE, State.ACTIVE, "looked at", 0))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the node is reducing, by breach: MAX_DAILY_LOSS: 7 lost today"),
        ("INFO", "the node is active, by command: looked at"),
    ]


async def test_what_is_made_at_the_start_is_not_looked_through_again_until_the_node_stops():
    hook = GateHook()
    node = SimpleNamespace(gate=SimpleNamespace(begin=lambda: None), plan=SimpleNamespace(real_time=False), parts=None)
    await hook.connected(node)
    assert gc.get_freeze_count() > 0
    await hook.stopped(node)
    assert gc.get_freeze_count() == 0
