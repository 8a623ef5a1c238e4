"""What Alpaca takes at all: one table of asset × order class × time in force × type, and in which session.

Words are Alpaca's own. Sources: docs.alpaca.markets "Orders at Alpaca" (types by time in force, order classes),
"Extended hours trading", "Options trading", "Crypto orders"; Alpaca's trading OpenAPI specification (TimeInForce,
OrderType, OrderClass), and its changelog of 2026-08-28, which adds gtc to day for options (the specification of June
2026 does not have it yet). What no row names is denied, with the reason and what to send instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final, Literal
from zoneinfo import ZoneInfo

from runner.alpaca.constants import NANOS

#: What is traded: whole shares, parts of shares or dollars' worth, pairs, contracts, several contracts at once.
type Asset = Literal["stock", "fraction", "crypto", "option", "spread"]
#: When an order is taken: at any time (it queues for its session), in the core session, before the opening auction,
#: before the closing auction; `extended` asks to trade outside of the core session as well.
type Session = Literal["any", "core", "opening", "closing", "extended"]

ASSETS: Final[tuple[Asset, ...]] = ("stock", "fraction", "crypto", "option", "spread")
CLASSES: Final = ("simple", "bracket", "oco", "oto", "mleg")
TIMES: Final = ("day", "gtc", "ioc", "fok", "opg", "cls")
TYPES: Final = ("market", "limit", "stop", "stop_limit", "trailing_stop")

_NEW_YORK: Final = ZoneInfo("America/New_York")
_NAMES: Final[dict[Asset, str]] = {
    "stock": "stocks",
    "fraction": "fractions of shares and dollar amounts",
    "crypto": "crypto pairs",
    "option": "options",
    "spread": "multi-leg orders",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Any of the classes with any of the times in force and any of the types, each a list of words."""

    asset: Asset
    classes: str
    times: str
    types: str
    session: Session = "any"


TABLE: Final = (
    #   asset       class          time in force  types                                       session
    Row("stock",    "simple",      "day gtc",     "market limit stop stop_limit trailing_stop"),
    Row("stock",    "simple",      "ioc fok",     "market limit"),
    Row("stock",    "simple",      "opg",         "market limit",                             "opening"),
    Row("stock",    "simple",      "cls",         "market limit",                             "closing"),
    Row("stock",    "simple",      "day gtc",     "limit",                                    "extended"),
    Row("stock",    "bracket oto", "day gtc",     "market limit stop stop_limit"),
    Row("stock",    "oco",         "day gtc",     "limit"),
    Row("fraction", "simple",      "day",         "market limit stop stop_limit"),
    Row("fraction", "simple",      "day",         "limit",                                    "extended"),
    Row("crypto",   "simple",      "gtc",         "market limit stop_limit"),
    Row("crypto",   "simple",      "ioc",         "market limit"),
    Row("option",   "simple",      "day gtc",     "market",                                   "core"),
    Row("option",   "simple",      "day gtc",     "limit stop stop_limit"),
    Row("spread",   "mleg",        "day gtc",     "market",                                   "core"),
    Row("spread",   "mleg",        "day gtc",     "limit"),
)  # fmt: skip

#: From minute to minute of New York's day in which orders for an auction are refused.
_SHUT: Final = {"opening": (9 * 60 + 28, 19 * 60), "closing": (15 * 60 + 50, 19 * 60)}
_CORE: Final = (9 * 60 + 30, 16 * 60)

type Cell = tuple[Asset, str, str, str]

_CELLS: Final[dict[Cell, frozenset[Session]]] = {}
for _row in TABLE:
    for _cell in product((_row.asset,), _row.classes.split(), _row.times.split(), _row.types.split()):
        _CELLS[_cell] = _CELLS.get(_cell, frozenset()) | {_row.session}


def sessions(asset: Asset, order_class: str, time_in_force: str, order_type: str) -> frozenset[Session]:
    """In which sessions the table has this cell; none where Alpaca does not take it."""
    return _CELLS.get((asset, order_class, time_in_force, order_type), frozenset())


def illegal(
    asset: Asset,
    order_class: str,
    time_in_force: str,
    order_type: str,
    *,
    extended: bool = False,
    now_ns: int | None = None,
) -> str | None:
    """Why Alpaca does not take such an order as `CODE: sentence` that says what to send instead, or None.

    `extended`: whether it is to trade outside of the core session. `now_ns`: venue time, for what is taken at some
    hours only; None judges everything else. Holidays and short days are left to the venue.
    """
    known = sessions(asset, order_class, time_in_force, order_type)
    if not known:
        return _off_the_table(asset, order_class, time_in_force, order_type)
    if extended:
        return None if "extended" in known else _not_extended(asset)
    return None if now_ns is None else _wrong_hour(known, now_ns)


def _off_the_table(asset: Asset, order_class: str, time_in_force: str, order_type: str) -> str:
    name = _NAMES[asset]
    cells = [cell for cell in _CELLS if cell[0] == asset]
    if not any(cell[1] == order_class for cell in cells):
        classes = _listed(CLASSES, {cell[1] for cell in cells})
        return f"UNSUPPORTED_ORDER_CLASS: Alpaca takes no {order_class} orders of {name}; send {classes} orders"
    cells = [cell for cell in cells if cell[1] == order_class]
    if not any(cell[3] == order_type for cell in cells):
        types = _listed(TYPES, {cell[3] for cell in cells})
        return f"UNSUPPORTED_ORDER_TYPE: Alpaca takes no {order_type} {_of(order_class, name)}; use {types}"
    times = _listed(TIMES, {cell[2] for cell in cells if cell[3] == order_type})
    code = "FRACTIONAL_ORDER" if asset == "fraction" else "UNSUPPORTED_TIME_IN_FORCE"
    return (
        f"{code}: Alpaca takes {order_type} {_of(order_class, name)} with time in force {times} only, "
        f"not with {time_in_force}" + ("; use whole shares or another time in force" if asset == "fraction" else "")
    )


def _of(order_class: str, name: str) -> str:
    return f"orders of {name}" if order_class in ("simple", "mleg") else f"{order_class} orders of {name}"


def _not_extended(asset: Asset) -> str:
    found = [row for row in TABLE if row.asset == asset and row.session == "extended"]
    if not found:
        instead = "crypto trades around the clock" if asset == "crypto" else "leave extended_hours out"
        return f"UNSUPPORTED_EXTENDED_HOURS: Alpaca has no extended hours for {_NAMES[asset]}; {instead}"
    ways = " or ".join(f"{row.types} {row.classes} orders with {row.times.replace(' ', ' or ')}" for row in found)
    return f"UNSUPPORTED_EXTENDED_HOURS: for {_NAMES[asset]}, extended hours take {ways} only"


def _wrong_hour(known: frozenset[Session], now_ns: int) -> str | None:
    if "any" in known:
        return None
    now = datetime.fromtimestamp(now_ns // NANOS, _NEW_YORK)
    minute = now.hour * 60 + now.minute
    if known == {"core"} and not (now.weekday() < 5 and _CORE[0] <= minute < _CORE[1]):
        return (
            f"SESSION: market orders of options are taken from 09:30 to 16:00 New York only, and it is {now:%H:%M}; "
            "send a limit order"
        )
    for session, (start, end) in _SHUT.items():
        if known == {session} and start <= minute < end and now.weekday() < 5:
            first, last = ("09:28", "19:00") if session == "opening" else ("15:50", "19:00")
            return (
                f"SESSION: orders for the {session} auction are not taken from {first} to {last} New York, "
                f"and it is {now:%H:%M}; send it before, after, or as a day order"
            )
    return None


def _listed(order: tuple[str, ...], found: set[str]) -> str:
    names = [name for name in order if name in found]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
