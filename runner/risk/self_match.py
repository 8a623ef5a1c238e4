"""An order that could trade with one of our own: Alpaca refuses it as a potential wash trade.

Source: docs.alpaca.markets "User protection". Against any open order on the other side of the symbol: where one of
the two is a market or a stop order, always; where both have a limit, if the buy's is at or above the sale's. Trailing
stops, and orders of a list (brackets, OCO, OTO), are exempt on either side; an exercise trades with nobody.
"""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.enums import ContingencyType

from runner.risk.exercise import Shares
from runner.risk.prices import TRAILING

_ALONE = ContingencyType.NO_CONTINGENCY


def exempt(order: Any) -> bool:
    if order.contingency_type != _ALONE or order.order_type in TRAILING:
        return True
    return isinstance(order, Shares)
