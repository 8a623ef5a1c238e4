"""Sends each command to the account of its strategy: strategies don't say one, and the field is read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    QueryOrder,
    SubmitOrder,
    SubmitOrderList,
)


class Router:
    """`accounts` maps a strategy id (text) to the client id of its account's execution client.

    Commands of strategies that are not in it (orders taken over from outside, `EXTERNAL`) go as they are. One that
    names another account than its strategy's is sent to the strategy's: one strategy trades one account.
    """

    def __init__(self, accounts: Mapping[str, Any]) -> None:
        self._accounts = dict(accounts)

    def assign(self, strategy_id: str, client_id: Any) -> None:
        """Send a strategy's commands to this account from now on."""
        self._accounts[strategy_id] = client_id

    def route(self, command: Any) -> Any:
        strategy_id = getattr(command, "strategy_id", None)
        if strategy_id is None:
            return command
        client_id = self._accounts.get(strategy_id.value)
        if client_id is None or command.client_id == client_id:
            return command
        rebuild = _REBUILD.get(type(command))
        return command if rebuild is None else rebuild(command, client_id)

    def install(self, msgbus: Any, exec_engine: Any) -> None:
        """Take the seat in front of the execution engine, where no gate calls `route`."""
        inner = exec_engine.execute
        msgbus.deregister("ExecEngine.execute", inner)
        msgbus.register("ExecEngine.execute", lambda command: inner(self.route(command)))


def _submit(c: Any, client_id: Any) -> Any:
    return SubmitOrder(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        order=c.order,
        command_id=c.id,
        ts_init=c.ts_init,
        position_id=c.position_id,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _submit_list(c: Any, client_id: Any) -> Any:
    return SubmitOrderList(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        order_list=c.order_list,
        command_id=c.id,
        ts_init=c.ts_init,
        position_id=c.position_id,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _modify(c: Any, client_id: Any) -> Any:
    return ModifyOrder(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        instrument_id=c.instrument_id,
        client_order_id=c.client_order_id,
        venue_order_id=c.venue_order_id,
        quantity=c.quantity,
        price=c.price,
        trigger_price=c.trigger_price,
        command_id=c.id,
        ts_init=c.ts_init,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _cancel(c: Any, client_id: Any) -> Any:
    return CancelOrder(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        instrument_id=c.instrument_id,
        client_order_id=c.client_order_id,
        venue_order_id=c.venue_order_id,
        command_id=c.id,
        ts_init=c.ts_init,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _cancel_all(c: Any, client_id: Any) -> Any:
    return CancelAllOrders(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        instrument_id=c.instrument_id,
        order_side=c.order_side,
        command_id=c.id,
        ts_init=c.ts_init,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _batch_cancel(c: Any, client_id: Any) -> Any:
    return BatchCancelOrders(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        instrument_id=c.instrument_id,
        cancels=[_cancel(cancel, client_id) for cancel in c.cancels],
        command_id=c.id,
        ts_init=c.ts_init,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


def _query(c: Any, client_id: Any) -> Any:
    return QueryOrder(
        trader_id=c.trader_id,
        strategy_id=c.strategy_id,
        instrument_id=c.instrument_id,
        client_order_id=c.client_order_id,
        venue_order_id=c.venue_order_id,
        command_id=c.id,
        ts_init=c.ts_init,
        client_id=client_id,
        params=c.params,
        correlation_id=c.correlation_id,
    )


# QueryAccount names its account itself and carries no strategy.
_REBUILD = {
    SubmitOrder: _submit,
    SubmitOrderList: _submit_list,
    ModifyOrder: _modify,
    CancelOrder: _cancel,
    CancelAllOrders: _cancel_all,
    BatchCancelOrders: _batch_cancel,
    QueryOrder: _query,
}
