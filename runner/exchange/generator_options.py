"""A synthetic option chain on a synthetic stock: contracts, quotes each minute, some prints, the same for a seed.

Prices follow the stock by the Black-Scholes formula with a smile; spreads are a few per cent of the price, in the ticks
of Cboe's penny program (Cboe Rule 5.4): cents below 3 dollars, nickels above.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from runner.exchange.calendar import NS, Calendar
from runner.exchange.contracts import OptionContract, OptionType, contract_of, option_symbol
from runner.exchange.greeks import YEAR_NS, Terms, price
from runner.exchange.wire import Message, canonical, fields_of, stamp

MINUTE_NS: Final = 60 * NS
_STRIKES_EACH_SIDE: Final = 5
_STRIKE_STEPS: Final = ((25, Decimal("0.5")), (100, Decimal(1)), (500, Decimal(5)), (math.inf, Decimal(10)))
_FRIDAYS: Final = (0, 1, 2, 3, 7)
"""Which Fridays from the day on have contracts, counted from 0."""
_FRIDAY: Final = 4
_KINDS: Final[tuple[OptionType, ...]] = ("call", "put")
_REQUOTES: Final = 0.4
_TRADES: Final = 0.02
_VENUES: Final = "ABCDEHIJMNPQSTUWX"


@dataclass(slots=True)
class _Shown:
    """What a contract last showed, dollars."""

    bid: Decimal = Decimal(0)
    ask: Decimal = Decimal(0)


class Chain:
    """The options on one stock for one day. `sigma` is the standard deviation of the stock's return of a day."""

    def __init__(
        self, underlying: str, previous_close: Decimal, sigma: float, day: date, *, seed: int, rate: float = 0.0
    ) -> None:
        # Seeded by text: the same on every machine and with any hash seed.
        self._random = random.Random(f"{seed}/{underlying}/options/{day}")  # noqa: S311  # reproducible, not secret
        self._calendar = Calendar()
        self._underlying = underlying
        self._volatility = sigma * math.sqrt(252) * math.exp(self._random.gauss(0, 0.1))
        self._rate = rate
        self._expiry_ns: dict[date, int] = {}
        self._shown: dict[str, _Shown] = {}
        self.contracts = list(self._contracts(previous_close, day))

    def messages(self, stock: Iterable[Message], start_ns: int, end_ns: int, activity: float) -> Iterator[Message]:
        """Quotes and prints from `start_ns` to `end_ns`, the core session, that follow the stock's quotes."""
        rnd = self._random
        chance = min(1.0, _REQUOTES * activity)
        for minute_ns, spot in _minutes(stock, start_ns, end_ns):
            moments = sorted(
                (minute_ns + rnd.randrange(MINUTE_NS // 1_000) * 1_000, number)
                for number, contract in enumerate(self.contracts)
                if contract.symbol not in self._shown or rnd.random() < chance
            )
            for ts_ns, number in moments:
                if ts_ns >= end_ns:
                    continue
                contract = self.contracts[number]
                yield self._quote(contract, spot, ts_ns)
                if rnd.random() < _TRADES and self._shown[contract.symbol].bid:
                    yield self._print(contract, ts_ns)

    def _contracts(self, close: Decimal, day: date) -> Iterator[OptionContract]:
        rnd = self._random
        yesterday = self._calendar.previous_trading_day(day)
        middle = float(close)
        step = (
            Decimal("0.5")
            if middle < 25
            else Decimal(1)
            if middle < 100
            else Decimal(5)
            if middle < 500
            else Decimal(10)
        )
        center = round(close / step)
        friday = day + timedelta(days=(_FRIDAY - day.weekday()) % 7)
        for weeks in _FRIDAYS:
            expires = friday + timedelta(weeks=weeks)
            if not self._calendar.is_trading_day(expires):
                expires = self._calendar.previous_trading_day(expires)
            if expires < day:
                continue
            self._expiry_ns[expires] = self._calendar.close_ns(expires)
            for number in range(center - _STRIKES_EACH_SIDE, center + _STRIKES_EACH_SIDE + 1):
                for kind in _KINDS:
                    contract = contract_of(option_symbol(self._underlying, expires, kind, step * number))
                    worth = self._worth(contract, middle, self._calendar.close_ns(yesterday))
                    tick = _tick(worth)
                    yield replace(
                        contract,
                        open_interest=int(math.exp(rnd.gauss(6, 1.5))),
                        open_interest_date=yesterday,
                        close_price=max(tick, round(Decimal(worth) / tick) * tick),
                        close_price_date=yesterday,
                        penny_program=True,
                    )

    def _worth(self, contract: OptionContract, spot: float, now_ns: int) -> float:
        years = max((self._expiry_ns[contract.expiration_date] - now_ns) / YEAR_NS, 1e-6)
        strike = float(contract.strike)
        away = math.log(strike / spot)
        # A smirk: what is below the stock costs more volatility than what is above.
        volatility = self._volatility * (1 - 0.5 * away + 2 * away * away)
        return price(Terms(contract.type == "call", spot, strike, years, self._rate), volatility)

    def _quote(self, contract: OptionContract, spot: float, ts_ns: int) -> Message:
        rnd = self._random
        worth = self._worth(contract, spot, ts_ns)
        tick = _tick(worth)
        half = max(float(tick) / 2, worth * 0.012 * (0.6 + 0.8 * rnd.random()))
        bid = max(Decimal(0), math.floor((worth - half) / float(tick)) * tick)
        ask = max(bid + tick, math.ceil((worth + half) / float(tick)) * tick)
        self._shown[contract.symbol] = _Shown(bid, ask)
        fields = {
            "bx": rnd.choice(_VENUES) if bid else " ",
            "bp": bid.normalize() if bid else 0,
            "bs": rnd.randrange(1, 200) if bid else 0,
            "ax": rnd.choice(_VENUES),
            "ap": ask.normalize(),
            "as": rnd.randrange(1, 200),
            "c": "A",
            "t": stamp(ts_ns),
        }
        return Message(ts_ns, "q", contract.symbol, canonical("q", contract.symbol, fields))

    def _print(self, contract: OptionContract, ts_ns: int) -> Message:
        rnd, shown = self._random, self._shown[contract.symbol]
        fields = {
            "p": (shown.ask if rnd.random() < 0.5 else shown.bid).normalize(),
            "s": rnd.choice((1, 1, 1, 2, 3, 5, 10, 20)),
            "x": rnd.choice(_VENUES),
            "c": "I",
            "t": stamp(ts_ns),
        }
        return Message(ts_ns, "t", contract.symbol, canonical("t", contract.symbol, fields))


def _tick(worth: float) -> Decimal:
    return Decimal("0.01") if worth < 3 else Decimal("0.05")


def _minutes(stock: Iterable[Message], start_ns: int, end_ns: int) -> Iterator[tuple[int, float]]:
    """Each minute, and the middle of the stock's quote at its start."""
    minute_ns, last = start_ns, None
    for message in stock:
        while message.ts_ns > minute_ns and minute_ns < end_ns:
            if last is not None:
                yield minute_ns, _middle(last)
            minute_ns += MINUTE_NS
        if message.kind == "q":
            last = message.raw
    while minute_ns < end_ns and last is not None:
        yield minute_ns, _middle(last)
        minute_ns += MINUTE_NS


def _middle(raw: bytes) -> float:
    fields = fields_of(raw)
    return float(fields["bp"] + fields["ap"]) / 2
