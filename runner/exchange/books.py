"""Order books of crypto pairs, kept from stream messages: a whole book, then changes of its levels.

Source: docs.alpaca.markets "Real-time crypto data", order books: `r` marks a whole book; otherwise each level replaces
the one at its price, and size 0 takes it away.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from runner.exchange.wire import Message, canonical, dumps, stamp


class OrderBook:
    """One pair's levels: price to size, as they stand at `ts_ns`."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal | int] = {}
        self.asks: dict[Decimal, Decimal | int] = {}
        self.ts_ns = 0

    def apply(self, fields: dict[str, Any], ts_ns: int) -> None:
        """Take in a message of type o."""
        if fields.get("r"):
            self.bids.clear()
            self.asks.clear()
        for side, levels in ((self.bids, fields.get("b")), (self.asks, fields.get("a"))):
            for level in levels or ():
                price = Decimal(level["p"])
                if level["s"]:
                    side[price] = level["s"]
                else:
                    side.pop(price, None)
        self.ts_ns = ts_ns

    def levels(self) -> dict[str, Any]:
        """Both sides, the best price first, as REST and the stream show them."""
        return {
            "b": _levels(sorted(self.bids.items(), reverse=True)),
            "a": _levels(sorted(self.asks.items())),
            "t": stamp(self.ts_ns),
        }

    def to_json(self) -> bytes:
        """The body that Alpaca's spec calls `crypto_orderbook`."""
        return dumps(self.levels()).encode()

    def message(self, symbol: str) -> Message:
        """The whole book as a stream message."""
        return Message(self.ts_ns, "o", symbol, canonical("o", symbol, {**self.levels(), "r": True}))


def _levels(side: Iterable[tuple[Decimal, Decimal | int]]) -> list[dict[str, Any]]:
    return [{"p": price, "s": size} for price, size in side]
