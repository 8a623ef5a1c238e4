"""A synthetic trading day, the same for the same seed: quotes and trades as an exchange would print them.

The shape is that of real days (for example Wood, McInish & Ord 1985; McInish & Wood 1992): volume and volatility
follow a U over the core session and are thin outside it; spreads are wide before the open and in its first minutes;
most prints are at the bid or the offer, some between them. Prices are a random walk.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import random
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final, Literal

from runner.exchange.assets import asset_class_of, make_asset
from runner.exchange.calendar import CORE_OPEN, NEW_YORK, NS, Calendar, to_ns
from runner.exchange.contracts import OptionContract
from runner.exchange.generator_crypto import Pair
from runner.exchange.generator_news import ARTICLES_PER_SYMBOL, articles
from runner.exchange.generator_options import Chain
from runner.exchange.random_walk import pick, poisson
from runner.exchange.tape import TapeInfo
from runner.exchange.wire import Message, stamp

# A price to begin with, in cents, and the standard deviation of a day's return. Others get theirs from their name.
_KNOWN: Final[dict[str, tuple[int, float]]] = {
    "AAPL": (23_150, 0.015),
    "BAC": (4_520, 0.016),
    "F": (1_210, 0.02),
    "FAKEPACA": (13_300, 0.02),
    "GOOG": (18_340, 0.016),
    "IBM": (22_480, 0.013),
    "MSFT": (42_300, 0.014),
    "NVDA": (13_420, 0.028),
    "QQQ": (51_200, 0.012),
    "SPY": (59_100, 0.009),
    "TSLA": (34_800, 0.035),
}
_QUOTES_PER_S: Final = 0.75
"""Chances of a new quote per second at midday; the U multiplies it."""
_TRADES_PER_QUOTE: Final = 0.4
_VENUES: Final = {"A": "NPQZKD", "B": "PQZKVD", "C": "QPZKVD", "O": "QPZKVD"}
_SIZES: Final = (100, 100, 100, 200, 200, 300, 400, 500, 800, 1_000)
_TIME: Final = operator.attrgetter("ts_ns")


def _activity(second: float, core_open: float, core_close: float) -> float:
    """How busy a moment is, 1 at midday."""
    if second < core_open:
        return 0.03 + 0.12 * max(0.0, 1 - (core_open - second) / 7_200)
    if second >= core_close:
        return 0.02 + 0.15 * math.exp(-(second - core_close) / 900)
    since, left = second - core_open, core_close - second
    return 1.0 + 2.4 * math.exp(-since / 2_400) + 2.0 * math.exp(-left / 2_400)


def _volatility(second: float, core_open: float, core_close: float) -> float:
    """Standard deviation of a second's return against that of midday."""
    if second < core_open or second >= core_close:
        return 0.35
    return 1.0 + 2.0 * math.exp(-(second - core_open) / 900) + 0.5 * math.exp(-(core_close - second) / 900)


class Stock:
    """One symbol's walk through the day. Prices are whole cents inside."""

    def __init__(self, symbol: str, seed: int, day: date) -> None:
        # Seeded by text: the same on every machine and with any hash seed.
        self._random = random.Random(f"{seed}/{symbol}/{day}")  # noqa: S311  # reproducible, not secret
        cents, sigma = _character(symbol)
        self._fair = cents * math.exp(self._random.gauss(0, sigma))
        # Most of a day's variance falls into 23,400 core seconds whose mean multiplier is about 1.2.
        self._sigma_s = sigma / math.sqrt(23_400) / 1.2
        self._symbol = symbol
        asset = make_asset(symbol)
        self._tape, self._venues = asset.tape, _VENUES[asset.tape]
        self._lit = self._venues[:-1]
        self._regular = "@" if asset.tape in "CO" else " "
        # A tick for a 20-dollar stock, about 2 hundredths of a percent of the price above that.
        self._tight = max(1, round(cents * 0.00012))
        self._bid = self._ask = self._bid_size = self._ask_size = 0
        self._trade_id = 0

    def day(self, start_s: int, end_s: int, core_open_s: int, core_close_s: int, activity: float) -> Iterator[Message]:
        """Messages from `start_s` to `end_s`, seconds of UNIX time, in time order."""
        rnd = self._random
        second = start_s
        while second < end_s:
            busy = _activity(second, core_open_s, core_close_s)
            core = core_open_s <= second < core_close_s
            # Quiet times go in longer strides, which never pass the opening or the close.
            stride = int(0.5 / (_QUOTES_PER_S * busy * activity))
            mark = next((at for at in (core_open_s, core_close_s - 1, core_close_s) if at > second), end_s)
            step = max(1, min(stride, 60, mark - second))
            sigma = self._sigma_s * _volatility(second, core_open_s, core_close_s) * math.sqrt(step)
            self._fair *= math.exp(rnd.gauss(0, sigma))
            expected = _QUOTES_PER_S * busy * activity * step
            # A quiet second still shows a quote when the market has moved away from the last one.
            count = poisson(rnd, expected)
            if second == core_open_s:
                yield self._quote((second * 1_000 + 4) * 1_000_000, core_open_s, second)
                yield self._print((second * 1_000 + 350 + rnd.randrange(400)) * 1_000_000, "opening")
                count = 0
            moments = sorted([int(rnd.random() * step * 1_000_000) for _ in range(count)])
            for micros in moments:
                ts_ns = second * NS + micros * 1_000
                yield self._quote(ts_ns, core_open_s, second, core=core)
                if rnd.random() < _TRADES_PER_QUOTE:
                    yield self._print(ts_ns + rnd.randrange(1, 400) * 1_000, "core" if core else "extended")
            if second == core_close_s - 1:
                yield self._print((core_close_s * 1_000 - 1) * 1_000_000, "closing")
            second += step

    def _quote(self, ts_ns: int, core_open_s: int, second: int, *, core: bool = True) -> Message:
        # `pick` written out: most of a day is made here, and every start waits for it.
        draw, lit = self._random.random, self._lit
        wide = 6.0 if not core else 1.0 + 3.0 * math.exp(-(second - core_open_s) / 300)
        spread = max(1, round(self._tight * wide * (0.7 + 0.9 * draw())))
        bid = max(1, math.floor(self._fair - spread / 2 + draw()))
        if bid != self._bid or bid + spread != self._ask:
            self._bid, self._ask = bid, bid + spread
            self._bid_size, self._ask_size = _SIZES[int(draw() * 10)], _SIZES[int(draw() * 10)]
        elif draw() < 0.5:
            self._bid_size = _SIZES[int(draw() * 10)]
        else:
            self._ask_size = _SIZES[int(draw() * 10)]
        bid_at, ask_at = lit[int(draw() * len(lit))], lit[int(draw() * len(lit))]
        raw = (
            f'{{"T":"q","S":"{self._symbol}","bx":"{bid_at}","bp":{_money(self._bid * 100)},"bs":{self._bid_size},'
            f'"ax":"{ask_at}","ap":{_money(self._ask * 100)},"as":{self._ask_size},"c":["R"],'
            f'"z":"{self._tape}","t":"{stamp(ts_ns)}"}}'
        )
        return Message(ts_ns, "q", self._symbol, raw.encode())

    def _print(self, ts_ns: int, what: Literal["opening", "core", "extended", "closing"]) -> Message:
        rnd = self._random
        venue = self._venues[0]
        conditions = [self._regular]
        if not self._bid:  # nothing quoted yet: the fair price
            price = round(self._fair) * 100
        elif what in ("opening", "closing"):
            price = (self._bid if rnd.random() < 0.5 else self._ask) * 100
        else:
            price, venue = self._trade_price(venue)
        if what in ("opening", "closing"):
            size = rnd.randrange(20_000, 120_000)
            conditions.append("O" if what == "opening" else "6")
        else:
            size = rnd.randrange(1, 100) if rnd.random() < 0.3 else pick(rnd, _SIZES)
            if what == "extended":
                conditions.append("T")
            if size < 100:
                conditions.append("I")
        self._trade_id += 1
        listed = ",".join(f'"{condition}"' for condition in conditions)
        raw = (
            f'{{"T":"t","S":"{self._symbol}","i":{self._trade_id},"x":"{venue}","p":{_money(price)},"s":{size},'
            f'"c":[{listed}],"z":"{self._tape}","t":"{stamp(ts_ns)}"}}'
        )
        return Message(ts_ns, "t", self._symbol, raw.encode())

    def _trade_price(self, venue: str) -> tuple[int, str]:
        """In hundredths of a cent, and where: off-exchange prints (D) improve on the quote by part of a cent."""
        rnd = self._random
        where = rnd.random()
        buyer = rnd.random() < 0.5
        touch = (self._ask if buyer else self._bid) * 100
        if where < 0.72:
            return touch, pick(rnd, self._lit)
        if where < 0.85:
            return (self._bid + self._ask) * 50, "D"
        better = rnd.randrange(1, 40)
        inside = touch - better if buyer else touch + better
        return (inside, "D") if self._bid * 100 <= inside <= self._ask * 100 else (touch, venue)


def _character(symbol: str) -> tuple[int, float]:
    """The price to begin with, in cents, and the standard deviation of a day's return."""
    digest = sha256(symbol.encode()).digest()
    return _KNOWN.get(symbol, (1_000 + int.from_bytes(digest[:2]) % 29_000, 0.01 + digest[2] / 12_800))


@functools.lru_cache(maxsize=16_384)
def _money(hundredths: int) -> str:
    """Hundredths of a cent as dollars, without trailing zeros."""
    text = f"{hundredths // 10_000}.{hundredths % 10_000:04d}".rstrip("0")
    return text.removesuffix(".")


class SyntheticDay:
    """A made-up day for stocks, crypto pairs and option chains, ready to be replayed. The same arguments give the same
    bytes, and what a symbol does depends on no other.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        day: date,
        *,
        seed: int = 0,
        extended_hours: bool = True,
        activity: float = 1.0,
        options: Iterable[str] = (),
        rate: float = 0.0,
        calendar: Calendar | None = None,
    ) -> None:
        """Generate it. `options` are the stocks that have a chain; `rate` is the interest that its prices assume.

        Stocks trade from 04:00 to 20:00, pairs all day long, both of New York; without `extended_hours` all of them in
        the core session. Raises ValueError where `day` is no trading day of the stocks, or there are no symbols.
        """
        calendar = calendar or Calendar()
        chained = set(options)
        names = sorted({*symbols, *chained})
        if not names:
            raise ValueError("a synthetic day needs at least one symbol")
        pairs = [name for name in names if asset_class_of(name) == "crypto"]
        stocks = [name for name in names if asset_class_of(name) == "us_equity"]
        if chained - set(stocks):
            raise ValueError(f"options are on stocks, not on {', '.join(sorted(chained - set(stocks)))}")
        self.contracts: list[OptionContract] = []
        """The contracts of all chains."""
        streams: list[Iterable[Message]] = []
        starts, ends = [], []
        if stocks:
            core_open, core_close = calendar.open_ns(day) // NS, calendar.close_ns(day) // NS
            starts.append(calendar.session_open(day) // NS if extended_hours else core_open)
            ends.append(calendar.session_close(day) // NS if extended_hours else core_close)
            for name in stocks:
                walk = Stock(name, seed, day).day(starts[0], ends[0], core_open, core_close, activity)
                stream = _in_order(walk)
                if name in chained:
                    chain = Chain(
                        name, Decimal(_character(name)[0]) / 100, _character(name)[1], day, seed=seed, rate=rate
                    )
                    self.contracts += chain.contracts
                    streams.append(chain.messages(stream, core_open * NS, core_close * NS, activity))
                streams.append(stream)
        if pairs:
            first, last = (time(0), timedelta(days=1)) if extended_hours else (CORE_OPEN, timedelta(hours=6.5))
            moment = datetime.combine(day, first, NEW_YORK)
            starts.append(to_ns(moment) // NS)
            ends.append(to_ns(moment + last) // NS)
            streams += [Pair(name, seed, day).day(starts[-1], ends[-1], activity) for name in pairs]
        streams.append(articles(names, day, min(starts) + 1, max(ends), seed))
        # What comes at the same time stays in the order of the streams.
        self._messages = sorted(itertools.chain(*streams), key=_TIME)
        if len(self._messages) == len(names) * ARTICLES_PER_SYMBOL:
            raise ValueError("so little activity that the synthetic day is empty")
        self._symbols = tuple(names)

    def scan(self) -> TapeInfo:
        """Start, end, and how many messages."""
        return TapeInfo(
            start_ns=self._messages[0].ts_ns,
            end_ns=self._messages[-1].ts_ns,
            total=len(self._messages),
            symbols=self._symbols,
            with_bars=frozenset(),
        )

    def messages(self) -> Iterator[Message]:
        """Every message in time order."""
        return iter(self._messages)


def _in_order(stream: Iterator[Message]) -> list[Message]:
    """A print follows its quote by less than half a millisecond and may so pass the next quote: put them in order."""
    return sorted(stream, key=_TIME)
