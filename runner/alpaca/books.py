"""Order books of crypto pairs, and halts of stocks, as Nautilus has them, of what the engine hands on as JSON.

Sources: Alpaca's pages on real-time crypto data (`r`: a whole book; else levels, a size of 0 removes one) and on
trading status messages (codes of the CTA and the UTP plan).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
from nautilus_trader.model.data import BookOrder, InstrumentStatus, OrderBookDelta, OrderBookDeltas, OrderBookDepth10
from nautilus_trader.model.enums import BookAction, MarketStatusAction, OrderSide, RecordFlag
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.models import decode, timestamp_ns

DEPTH = 10
SNAPSHOT, LAST = int(RecordFlag.F_SNAPSHOT), int(RecordFlag.F_LAST)
_SIDES = (("b", OrderSide.BUY), ("a", OrderSide.SELL))
#: Status codes of both plans: what trading does then, and whether there is any.
_STATUSES: dict[str, tuple[MarketStatusAction, bool | None]] = {
    "2": (MarketStatusAction.HALT, False),
    "3": (MarketStatusAction.TRADING, True),
    "5": (MarketStatusAction.NEW_PRICE_INDICATION, None),
    "6": (MarketStatusAction.NEW_PRICE_INDICATION, None),
    "D": (MarketStatusAction.NONE, None),
    "E": (MarketStatusAction.SHORT_SELL_RESTRICTION_CHANGE, None),
    "F": (MarketStatusAction.PAUSE, False),
    "H": (MarketStatusAction.HALT, False),
    "P": (MarketStatusAction.PAUSE, False),
    "Q": (MarketStatusAction.QUOTING, False),
    "T": (MarketStatusAction.TRADING, True),
}


class BookKeeper:
    """The book of one pair, from its messages."""

    def __init__(self, instrument: Any) -> None:
        self._id = instrument.id
        self._price_digits, self._size_digits = instrument.price_precision, instrument.size_precision
        self._levels: dict[OrderSide, dict[Decimal, Decimal]] = {OrderSide.BUY: {}, OrderSide.SELL: {}}
        self._sequence = 0

    def read(self, body: bytes, ts_init: int) -> OrderBookDeltas | None:
        """The changes that a message makes; None for one that changes nothing. Raises ValueError, KeyError."""
        message = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        ts_event = timestamp_ns(message["t"])
        whole = bool(message.get("r"))
        self._sequence += 1
        rows: list[tuple[BookAction, BookOrder | None]] = []
        if whole:
            for levels in self._levels.values():
                levels.clear()
            rows.append((BookAction.CLEAR, None))
        for key, side in _SIDES:
            levels = self._levels[side]
            for level in message.get(key) or ():
                action = self._change(levels, level["p"], level["s"])
                if action is not None:
                    rows.append((action, self._order(side, level["p"], level["s"])))
        if not rows:
            return None
        return self._deltas(rows, SNAPSHOT if whole else 0, ts_event, ts_init)

    def _deltas(
        self, rows: list[tuple[BookAction, BookOrder | None]], base: int, ts_event: int, ts_init: int
    ) -> OrderBookDeltas:
        return OrderBookDeltas(
            self._id,
            [
                OrderBookDelta(
                    self._id,
                    action,
                    order,
                    base | (LAST if number == len(rows) else 0),
                    self._sequence,
                    ts_event,
                    ts_init,
                )
                for number, (action, order) in enumerate(rows, 1)
            ],
        )

    def whole(self, ts_event: int, ts_init: int, *, levels: int = 0) -> OrderBookDeltas:
        """The book as it stands, for who joins later; with `levels`, so many of the best of each side."""
        rows: list[tuple[BookAction, BookOrder | None]] = [(BookAction.CLEAR, None)]
        for _, side in _SIDES:
            best = sorted(self._levels[side].items(), reverse=side == OrderSide.BUY)
            rows += [(BookAction.ADD, self._order(side, *level)) for level in best[: levels or None]]
        return self._deltas(rows, SNAPSHOT, ts_event, ts_init)

    @property
    def empty(self) -> bool:
        """Whether nothing of it has come yet."""
        return self._sequence == 0

    def depth(self, ts_event: int, ts_init: int) -> OrderBookDepth10:
        """The ten best levels of each side; missing ones have neither price nor size."""
        sides = []
        for side, reverse in ((OrderSide.BUY, True), (OrderSide.SELL, False)):
            best = sorted(self._levels[side].items(), reverse=reverse)[:DEPTH]
            orders = [self._order(side, price, size) for price, size in best]
            empty = BookOrder(OrderSide.NO_ORDER_SIDE, Price(0, self._price_digits), Quantity(0, self._size_digits), 0)
            sides.append((orders + [empty] * (DEPTH - len(orders)), [1] * len(orders) + [0] * (DEPTH - len(orders))))
        (bids, bid_counts), (asks, ask_counts) = sides
        return OrderBookDepth10(self._id, bids, asks, bid_counts, ask_counts, LAST, self._sequence, ts_event, ts_init)

    @staticmethod
    def _change(levels: dict[Decimal, Decimal], price: Decimal, size: Decimal) -> BookAction | None:
        known = price in levels
        if not size:
            if known:
                del levels[price]
            return BookAction.DELETE if known else None
        levels[price] = size
        return BookAction.UPDATE if known else BookAction.ADD

    def _order(self, side: OrderSide, price: Decimal, size: Decimal) -> BookOrder:
        return BookOrder(side, Price(price, self._price_digits), Quantity(size, self._size_digits), 0)


class LatestBooks(msgspec.Struct, frozen=True, kw_only=True):
    """`/v1beta3/crypto/{loc}/latest/orderbooks`, by symbol."""

    orderbooks: dict[str, msgspec.Raw] | None = None


def snapshot(instrument: Any, body: bytes, ts_init: int, *, levels: int = 0) -> OrderBookDeltas | None:
    """A pair's book out of a reply with the latest ones; None where it has none. Raises ValueError, KeyError."""
    found = (decode(LatestBooks, body, "the latest order books").orderbooks or {}).get(str(instrument.id.symbol.value))
    if found is None:
        return None
    book = BookKeeper(instrument)
    deltas = book.read(bytes(found), ts_init)
    return None if deltas is None else book.whole(deltas.ts_event, ts_init, levels=levels)


def status(instrument_id: Any, body: bytes, ts_init: int) -> InstrumentStatus:
    """A trading status; a code that is not known here is no change, with its words as the reason.

    Raises ValueError, KeyError.
    """
    message = json.loads(body)
    action, trading = _STATUSES.get(str(message.get("sc", "")).upper(), (MarketStatusAction.NONE, None))
    return InstrumentStatus(
        instrument_id,
        action,
        timestamp_ns(message["t"]),
        ts_init,
        reason=str(message.get("rm") or message.get("rc") or ""),
        trading_event=str(message.get("sm") or ""),
        is_trading=trading,
    )
