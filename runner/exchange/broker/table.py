"""What may be sent at all: one table of kind of order × class × time in force × type, and when each is taken.

Sources: docs.alpaca.markets "Orders at Alpaca" (tables of order types and times in force, order classes), "Extended
hours trading", "Options trading", "Crypto orders"; [OAS-T] TimeInForce (windows of opg and cls); the changelog of
2026-08-28 (gtc beside day for options, which the specification of June 2026 does not have yet). What no row names is
refused, with Alpaca's words for it where they are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# When an order is taken: at any time; while the core session is on; 19:00 to 09:28; 19:00 to 15:50 (New York).
type Hours = Literal["any", "core", "opening", "closing"]

SIMPLE: Final = "simple"
PLAIN: Final = "market limit stop stop_limit"
ALL: Final = f"{PLAIN} trailing_stop"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. The three words are lists: any of the classes with any of the times in force and any of the types."""

    kind: str
    classes: str
    times: str
    types: str
    hours: Hours = "any"


TABLE: Final = (
    #   what                  class         time in force  types                      taken
    Row("stock",              SIMPLE,       "day gtc",     ALL),
    Row("stock",              SIMPLE,       "ioc fok",     "market limit"),
    Row("stock",              SIMPLE,       "opg",         "market limit",            "opening"),
    Row("stock",              SIMPLE,       "cls",         "market limit",            "closing"),
    Row("stock",              "bracket oto", "day gtc",    PLAIN),
    Row("stock",              "oco",        "day gtc",     "limit"),
    Row("stock extended",     SIMPLE,       "day gtc",     "limit"),
    Row("fraction",           SIMPLE,       "day",         PLAIN),  # by fractional qty or by notional
    Row("fraction extended",  SIMPLE,       "day",         "limit"),
    Row("crypto",             SIMPLE,       "gtc",         "market limit stop_limit"),
    Row("crypto",             SIMPLE,       "ioc",         "market limit"),
    Row("option",             SIMPLE,       "day gtc",     "market",                  "core"),
    Row("option",             SIMPLE,       "day gtc",     "limit stop stop_limit"),
    Row("option",             "mleg",       "day gtc",     "market",                  "core"),
    Row("option",             "mleg",       "day gtc",     "limit"),
)  # fmt: skip
KINDS: Final = tuple(dict.fromkeys(row.kind for row in TABLE))

LEGAL: Final[dict[tuple[str, str, str, str], Hours]] = {
    (row.kind, order_class, tif, order_type): row.hours
    for row in TABLE
    for order_class in row.classes.split()
    for tif in row.times.split()
    for order_type in row.types.split()
}


def is_legal_somewhere(kind: str, *, order_class: str | None = None, tif: str | None = None) -> bool:
    """Whether any row of the kind has this class, and this time in force: tells which part of an order is wrong."""
    return any(known == kind and order_class in (None, cls) and tif in (None, time) for known, cls, time, _ in LEGAL)
