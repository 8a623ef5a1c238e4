"""Exercising contracts, judged as what it comes to: an order for the shares at the strike, which is filled for certain.

A call buys the shares of its contracts, a put sells them. To Nautilus it is a market order that sells the contracts
(`submit_order(order, params={"exercise": True})`), and until that has ended the shares take room beside it.
"""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.enums import InstrumentClass, OptionKind, OrderSide, OrderType
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, Symbol
from nautilus_trader.model.objects import Quantity

from runner.risk.codes import Code, Denial
from runner.risk.collateral import is_option, root_of


def is_exercise(params: Any) -> bool:
    """Whether a command's params ask to exercise."""
    return params is not None and bool(params.get("exercise"))


def refused(why: str) -> Denial:
    return Denial(Code.ORDER_ILLEGAL, f"EXERCISE: {why}")


class Shares:
    """Stands where a Nautilus order would: as much of it is open as of the order for the contracts."""

    order_type = OrderType.LIMIT
    has_price = True
    has_trigger_price = False

    def __init__(self, order: Any, contract: Any) -> None:
        """`contract` is the instrument. Raises ValueError for one whose shares can't be told."""
        symbol = contract.id.symbol.value
        if contract.instrument_class != InstrumentClass.OPTION or not is_option(contract.id):
            raise ValueError(f"{symbol} is no option contract")
        if root_of(symbol) != contract.underlying:
            raise ValueError(f"{symbol} is not for shares of {contract.underlying} alone")
        self._order = order
        self._size = int(contract.multiplier)
        self.client_order_id = ClientOrderId(f"{order.client_order_id.value}-SHARES")
        self.instrument_id = InstrumentId(Symbol(contract.underlying), contract.id.venue)
        self.side = OrderSide.BUY if contract.option_kind == OptionKind.CALL else OrderSide.SELL
        self.price = contract.strike_price

    def __getattr__(self, name: str) -> Any:
        return getattr(self._order, name)

    @property
    def quantity(self) -> Quantity:
        return self._shares(self._order.quantity)

    @property
    def filled_qty(self) -> Quantity:
        return self._shares(self._order.filled_qty)

    @property
    def leaves_qty(self) -> Quantity:
        return self._shares(self._order.leaves_qty)

    def _shares(self, contracts: Quantity) -> Quantity:
        return Quantity.from_int(int(contracts) * self._size)
