"""Synthetic crypto pairs, round the clock: order book, best bid and offer, and prints, the same for the same seed.

The shape is that of real markets (Eross et al. 2019, "The intraday dynamics of bitcoin"): no session and no close,
busiest when Europe and America are both awake, quieter at night and at weekends; a book of some levels whose depth
grows away from the price.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Final

from runner.exchange.assets import make_asset
from runner.exchange.calendar import NS, new_york
from runner.exchange.random_walk import poisson
from runner.exchange.wire import Message, stamp

# Dollars to begin with, and the standard deviation of a day's return. Others get theirs from their name.
_KNOWN: Final[dict[str, tuple[float, float]]] = {
    "AVAX": (35.0, 0.05),
    "BCH": (450.0, 0.045),
    "BTC": (94_000.0, 0.028),
    "DOGE": (0.33, 0.055),
    "ETH": (3_300.0, 0.036),
    "LINK": (20.0, 0.05),
    "LTC": (102.0, 0.045),
    "SOL": (190.0, 0.045),
    "USDC": (1.0, 0.0004),
    "USDT": (1.0, 0.0004),
    "XRP": (2.4, 0.05),
}
_CHANGES_PER_S: Final = 0.25
"""Chances of a change of the best prices per second in the busiest hour."""
_TRADES_PER_CHANGE: Final = 0.35
_LEVELS: Final = 10
_ORDER_USD: Final = 4_000.0
"""A usual size at the best price, dollars."""
_SIZE_UNITS: Final = 100_000_000
"""Sizes are whole hundred-millionths of a coin inside."""


def _activity(second: int) -> float:
    """How busy a moment is, 1 at most: a wave over the day that peaks at 10:30 in New York, and calm weekends."""
    clock = new_york(second * NS)
    hour = clock.hour + clock.minute / 60
    wave = 0.6 + 0.4 * math.cos((hour - 10.5) / 24 * 2 * math.pi)
    return wave * (0.6 if clock.weekday() >= 5 else 1.0)


class Pair:
    """One pair's walk. The book is kept in steps of the price."""

    def __init__(self, symbol: str, seed: int, day: date) -> None:
        # Seeded by text: the same on every machine and with any hash seed.
        self._random = random.Random(f"{seed}/{symbol}/{day}")  # noqa: S311  # reproducible, not secret
        base, _, currency = symbol.partition("/")
        digest = sha256(symbol.encode()).digest()
        usd, sigma = _KNOWN.get(base, (0.5 + digest[0], 0.03 + digest[1] / 6_400))
        unit = _KNOWN["BTC"][0] if currency == "BTC" else 1.0
        step = make_asset(symbol).price_increment
        assert step is not None
        # In cents the book of a 94,000 dollar coin would be all gaps: the walk goes in about half basis points.
        coarse = Decimal(10) ** max(0, math.floor(math.log10(max(usd / unit * 0.00005 / float(step), 1.0))))
        self._step = step * coarse
        self._fair = usd / unit * math.exp(self._random.gauss(0, sigma)) / float(self._step)
        self._sigma_s = sigma / math.sqrt(86_400)
        self._size = _ORDER_USD / usd
        self._half_spread = max(0.5, self._fair * 0.0001)
        self._symbol = symbol
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._prices: dict[int, str] = {}
        self._trade_id = int.from_bytes(digest[2:5])

    def day(self, start_s: int, end_s: int, activity: float) -> Iterator[Message]:
        """Messages from `start_s` to `end_s`, seconds of UNIX time, in time order. The first is a whole book."""
        rnd = self._random
        self._requote()
        yield self._book(start_s * NS, self._bids, self._asks, whole=True)
        yield self._quote(start_s * NS)
        second = start_s
        while second < end_s:
            busy = _CHANGES_PER_S * _activity(second) * activity
            step = max(1, min(60, int(0.5 / busy), end_s - second))
            self._fair *= math.exp(rnd.gauss(0, self._sigma_s * math.sqrt(step)))
            for micros in sorted(rnd.randrange(step * 1_000_000) for _ in range(poisson(rnd, busy * step))):
                yield from self._change(second * NS + micros * 1_000)
            second += step

    def _change(self, ts_ns: int) -> Iterator[Message]:
        """The book moves: what has changed of it, the new best prices, perhaps a print."""
        before = dict(self._bids), dict(self._asks)
        self._requote()
        bids, asks = (_changes(old, new) for old, new in zip(before, (self._bids, self._asks), strict=True))
        if bids or asks:
            yield self._book(ts_ns, bids, asks)
            yield self._quote(ts_ns)
        if self._random.random() < _TRADES_PER_CHANGE:
            yield self._print(ts_ns)

    def _requote(self) -> None:
        """Levels around the fair price; those that stay where they were mostly keep their size."""
        rnd = self._random
        spread = self._half_spread * (0.6 + 0.8 * rnd.random())
        bid = max(1, math.floor(self._fair - spread))
        ask = max(bid + 1, math.ceil(self._fair + spread))
        gap = max(1, round(self._half_spread))
        bids = [price for level in range(_LEVELS) if (price := bid - bid % gap - level * gap) > 0]
        asks = [ask + -ask % gap + level * gap for level in range(_LEVELS)]
        self._bids = {price: self._depth(self._bids.get(price), level) for level, price in enumerate(bids)}
        self._asks = {price: self._depth(self._asks.get(price), level) for level, price in enumerate(asks)}

    def _depth(self, size: int | None, level: int) -> int:
        rnd = self._random
        if size is not None and rnd.random() < 0.8:
            return size
        return _amount(self._size * (1 + level / 2) * math.exp(rnd.gauss(0, 0.8)))

    def _book(self, ts_ns: int, bids: dict[int, int], asks: dict[int, int], *, whole: bool = False) -> Message:
        below = ",".join(self._level(price, bids[price]) for price in sorted(bids, reverse=True))
        above = ",".join(self._level(price, asks[price]) for price in sorted(asks))
        mark = ',"r":true' if whole else ""
        return self._message("o", ts_ns, f'"b":[{below}],"a":[{above}]{mark}')

    def _level(self, price: int, size: int) -> str:
        return f'{{"p":{self._price(price)},"s":{_text(size)}}}'

    def _quote(self, ts_ns: int) -> Message:
        bid, ask = max(self._bids), min(self._asks)
        below = f'"bp":{self._price(bid)},"bs":{_text(self._bids[bid])}'
        return self._message("q", ts_ns, f'{below},"ap":{self._price(ask)},"as":{_text(self._asks[ask])}')

    def _print(self, ts_ns: int) -> Message:
        rnd = self._random
        buyer = rnd.random() < 0.5
        side = self._asks if buyer else self._bids
        best = min(side) if buyer else max(side)
        size = min(side[best], _amount(self._size * math.exp(rnd.gauss(-2, 1.2))))
        self._trade_id += 1
        taker = "B" if buyer else "S"
        return self._message(
            "t", ts_ns, f'"p":{self._price(best)},"s":{_text(size)},"i":{self._trade_id},"tks":"{taker}"'
        )

    def _message(self, kind: str, ts_ns: int, members: str) -> Message:
        raw = f'{{"T":"{kind}","S":"{self._symbol}",{members},"t":"{stamp(ts_ns)}"}}'
        return Message(ts_ns, kind, self._symbol, raw.encode())

    def _price(self, steps: int) -> str:
        found = self._prices.get(steps)
        if found is None:
            found = self._prices[steps] = f"{(self._step * steps).normalize():f}"
        return found


def _changes(old: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """Levels that are new or different, and those that went, with size 0."""
    gone = {price: 0 for price in old if price not in new}
    return gone | {price: size for price, size in new.items() if old.get(price) != size}


def _amount(coins: float) -> int:
    return max(1, round(coins * _SIZE_UNITS))


def _text(size: int) -> str:
    whole, rest = divmod(size, _SIZE_UNITS)
    return f"{whole}.{rest:08d}".rstrip("0").removesuffix(".")
