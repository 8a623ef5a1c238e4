"""What may be traded at all: symbols, sessions, short sales, and what the venue's own table of orders forbids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from nautilus_trader.model.enums import InstrumentClass, TimeInForce

from runner.risk.codes import Code, Denial, text
from runner.risk.collateral import legs_of
from runner.risk.exposure import ZERO
from runner.risk.instruments import Facts
from runner.risk.limits import Rules

_DAY = ("pre", "core", "post")
Legality = Callable[[Any, Any, Any], str | None]
"""Why the venue takes no such order, in words; None where it does. (order, instrument, the command's params)"""
ListLegality = Callable[[Sequence[Any], Callable[[Any], Any], Any], tuple[str, Any] | None]
"""The same of a list, with the order that it is about. (orders, instrument by its id, the command's params)"""


def listed(symbol: str, patterns: tuple[str, ...]) -> str | None:
    """The first pattern that the symbol fits."""
    return next((pattern for pattern in patterns if fnmatchcase(symbol, pattern)), None)


def check(
    facts: Facts, rules: Rules, session: Callable[[int], str], now_ns: int, extended: Any = None
) -> Denial | None:
    """Whether the instrument may be opened now, in either direction. `extended`: the time in force of an order that may
    be filled outside of the core session, None for others.
    """
    symbol, symbols = facts.symbol, rules.symbols
    denial = symbols[symbol] if symbol in symbols else symbols.setdefault(symbol, _unlisted(facts.instrument.id, rules))
    if denial is not None:
        return denial
    if rules.open_sessions is None or facts.crypto:
        return None
    now = session(now_ns)
    reach = () if extended is None else _reach(now, extended)
    if now in rules.open_sessions and rules.open_sessions.issuperset(reach):
        return None
    for where, sessions in rules.sessions:
        if now not in sessions:
            return Denial(
                Code.SESSION_CLOSED,
                f"{symbol} is opened in the sessions {', '.join(sessions)} of {where}.sessions, and it is {now}",
            )
        if (other := next((each for each in reach if each not in sessions), None)) is not None:
            return Denial(
                Code.SESSION_CLOSED,
                f"{symbol} with extended_hours can be filled in {other} too, and is opened in the sessions "
                f"{', '.join(sessions)} of {where}.sessions only",
            )
    return None


def _reach(now: str, time_in_force: Any) -> Sequence[str]:
    """The sessions that an order for extended hours can still be filled in: of its day those to come, or all."""
    if time_in_force == TimeInForce.DAY and now in _DAY:
        return _DAY[_DAY.index(now) :]
    return _DAY


def _unlisted(instrument_id: Any, rules: Rules) -> Denial | None:
    """Of a spread each contract's symbol must be allowed."""
    symbols = [leg.symbol.value for leg, _ in legs_of(instrument_id)]
    for symbol, (where, universe) in product(symbols, rules.universe):
        if (pattern := listed(symbol, universe.deny)) is not None:
            return Denial(Code.SYMBOL_DENIED, f"{symbol} is denied by `{pattern}` of {where}.deny")
        if universe.allow is not None and listed(symbol, universe.allow) is None:
            return Denial(Code.SYMBOL_DENIED, f"{symbol} is not in {where}.allow")
    return None


def check_short(facts: Facts, rules: Rules, after: Any) -> Denial | None:
    """Whether the instrument may be held short; `after` is the signed position once all sales are filled.

    Options are not borrowed: what they need when sold is margin's to say.
    """
    if after >= ZERO or facts.instrument.instrument_class != InstrumentClass.SPOT:
        return None
    becomes = f"it could leave {text(after)} of {facts.symbol}"
    for where, universe in rules.universe:
        if not universe.shorting:
            return Denial(Code.NOT_SHORTABLE, f"{becomes}, and {where}.shorting is false")
    if facts.crypto:
        return Denial(Code.NOT_SHORTABLE, f"{becomes}, and crypto can't be sold short")
    info = facts.instrument.info or {}
    if info.get("shortable") is False:
        return Denial(Code.NOT_SHORTABLE, f"{becomes}, and the broker does not lend it")
    if info.get("easy_to_borrow") is False:
        return Denial(Code.NOT_SHORTABLE, f"{becomes}, and it is not easy to borrow")
    return None
