"""Every command reaches the account of its strategy, with everything else as it was."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    QueryAccount,
    QueryOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    InstrumentId,
    PositionId,
    StrategyId,
    TraderId,
    VenueOrderId,
)
from nautilus_trader.model.objects import Price, Quantity

from runner.node.router import Router

IBM = InstrumentId.from_str("IBM.ALPACA")
TRADER, MINE, OTHER = TraderId("T-1"), StrategyId("S-mine"), StrategyId("S-other")
TWO = ClientId("ALPACA_TWO")
PARAMS = {"extended_hours": True}


def commands(strategy: StrategyId) -> dict[str, Any]:
    factory = OrderFactory(TRADER, strategy, TestClock())
    order = factory.limit(IBM, OrderSide.BUY, Quantity.from_int(1), Price.from_str("1.00"))
    bracket = factory.bracket(
        IBM,
        OrderSide.BUY,
        Quantity.from_int(1),
        sl_trigger_price=Price.from_str("1.00"),
        tp_price=Price.from_str("3.00"),
    )
    ids = (TRADER, strategy, IBM, ClientOrderId("O-1"), VenueOrderId("V-1"))
    cancel = CancelOrder(*ids, UUID4(), 7, None, PARAMS)
    made = [
        SubmitOrder(TRADER, strategy, order, UUID4(), 7, PositionId("P-1"), None, PARAMS, UUID4()),
        SubmitOrderList(TRADER, strategy, bracket, UUID4(), 7, PositionId("P-1"), None, PARAMS, UUID4()),
        ModifyOrder(
            *ids,
            Quantity.from_int(2),
            Price.from_str("1.10"),
            Price.from_str("1.20"),
            UUID4(),
            7,
            None,
            PARAMS,
            UUID4(),
        ),
        cancel,
        CancelAllOrders(TRADER, strategy, IBM, OrderSide.SELL, UUID4(), 7, None, PARAMS, UUID4()),
        BatchCancelOrders(TRADER, strategy, IBM, [cancel], UUID4(), 7, None, PARAMS, UUID4()),
        QueryOrder(*ids, UUID4(), 7, None, PARAMS, UUID4()),
    ]
    return {type(c).__name__: c for c in made}


FIELDS = [
    "id", "ts_init", "params", "correlation_id", "trader_id", "strategy_id", "instrument_id", "position_id", "order",
    "order_list", "client_order_id", "venue_order_id", "quantity", "price", "trigger_price", "order_side",
]  # fmt: skip


@pytest.mark.parametrize("kind", list(commands(MINE)))
def test_a_command_gets_its_strategys_client_and_keeps_the_rest(kind: str) -> None:
    before = commands(MINE)[kind]
    after = Router({"S-mine": TWO}).route(before)
    assert type(after) is type(before)
    assert after.client_id == TWO
    for name in FIELDS:
        if hasattr(before, name):
            assert getattr(after, name) == getattr(before, name), name
    if kind == "BatchCancelOrders":
        assert [c.client_id for c in after.cancels] == [TWO]


@pytest.mark.parametrize("kind", list(commands(MINE)))
def test_other_strategies_commands_go_as_they_are(kind: str) -> None:
    before = commands(OTHER)[kind]
    assert Router({"S-mine": TWO}).route(before) is before


def test_a_query_of_an_account_goes_as_it_is() -> None:
    query = QueryAccount(TRADER, AccountId("ALPACA-1"), UUID4(), 7)
    assert Router({"S-mine": TWO}).route(query) is query
