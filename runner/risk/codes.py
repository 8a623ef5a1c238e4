"""Why an order was denied: stable codes, counted by the metrics and readable by programs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Code(StrEnum):
    """The first word of every denial's reason. A code is never renamed and never used for something else."""

    MAX_ORDER_QTY = "MAX_ORDER_QTY"
    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    PRICE_COLLAR = "PRICE_COLLAR"
    QUOTE_MISSING = "QUOTE_MISSING"
    QUOTE_CROSSED = "QUOTE_CROSSED"
    QUOTE_STALE = "QUOTE_STALE"
    MAX_POSITION_NOTIONAL = "MAX_POSITION_NOTIONAL"
    MAX_GROSS_EXPOSURE = "MAX_GROSS_EXPOSURE"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    MAX_ORDERS = "MAX_ORDERS"
    MAX_CANCELS = "MAX_CANCELS"
    """Never a denial's: a cancel always passes, and the state that follows says it."""
    MAX_FILLS = "MAX_FILLS"
    """As MAX_CANCELS."""
    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    """As MAX_CANCELS."""
    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    """As MAX_CANCELS."""
    MARGIN_INSUFFICIENT = "MARGIN_INSUFFICIENT"
    MARGIN_UNCOVERED = "MARGIN_UNCOVERED"
    OPTION_REFUSED = "OPTION_REFUSED"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    SELF_MATCH = "SELF_MATCH"
    SYMBOL_DENIED = "SYMBOL_DENIED"
    NOT_SHORTABLE = "NOT_SHORTABLE"
    SESSION_CLOSED = "SESSION_CLOSED"
    SCHEDULE_CLOSED = "SCHEDULE_CLOSED"
    ORDER_ILLEGAL = "ORDER_ILLEGAL"
    STATE_HALTED = "STATE_HALTED"
    STATE_REDUCING = "STATE_REDUCING"
    STREAM_DOWN = "STREAM_DOWN"
    NO_PRICE = "NO_PRICE"
    NO_ACCOUNT = "NO_ACCOUNT"
    GATE_ERROR = "GATE_ERROR"
    GATE_BYPASSED = "GATE_BYPASSED"
    """Given by the adapter, to an order that reached it without having passed the gate."""


#: They make a state, which is what orders are denied for.
BREACHES = frozenset({Code.MAX_CANCELS, Code.MAX_FILLS, Code.MAX_DAILY_LOSS, Code.MAX_DRAWDOWN})


@dataclass(frozen=True, slots=True)
class Denial:
    """A code with the sentence that holds the numbers."""

    code: Code
    sentence: str

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.sentence}"


def text(number: Decimal) -> str:
    """The number as a person writes it: no exponent and no needless zeros, rounded to six places."""
    written = f"{number:,.6f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def seconds(ns: int | Decimal) -> str:
    """Nanoseconds as seconds, for people."""
    return f"{text(Decimal(ns) / 10**9)} s"


def percent(fraction: Decimal) -> str:
    return f"{text(fraction * 100)}%"
