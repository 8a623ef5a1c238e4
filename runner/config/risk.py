"""The limits of a file: one section that may stand at the top, on an account and on a strategy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from runner.config.fields import Duration, Flag, Limit, wrong
from runner.config.section import Section

State = Literal["active", "reducing", "halted"]
Session = Literal["pre", "core", "post", "overnight"]

_PERCENT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*%")
_MONEY = re.compile(r"\d[\d_]*(?:\.\d+)?")
# A symbol as Alpaca writes it, or a pattern with * and ? for several of them.
_SYMBOL = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9./*?-]*")


@dataclass(frozen=True, slots=True)
class Portion:
    """Money (USD), or a fraction of something that the limit names (equity); one of the two is None."""

    amount: Decimal | None = None
    fraction: Decimal | None = None

    def __str__(self) -> str:
        return f"{self.amount:f}" if self.fraction is None else f"{(self.fraction * 100).normalize():f}%"


def _percent(value: Any) -> Any:
    """Text such as `2%` as a fraction."""
    if isinstance(value, Decimal):
        return value
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise wrong(f"`{value}` is not a percentage, write a number and %, such as 2%")
    fraction = Decimal(match[1]) / 100
    if fraction <= 0:
        raise wrong(f"`{value}` is nothing at all, write more than 0%")
    return fraction


def _headroom(value: Any) -> Any:
    fraction = (
        Decimal(0) if isinstance(value, str) and re.fullmatch(r"0(\.0+)?\s*%", value.strip()) else _percent(value)
    )
    if fraction >= 1:
        raise wrong(f"`{value}` leaves nothing to trade with, write less than 100%")
    return fraction


def _loss(value: Any) -> Any:
    portion = _portion(value)
    if portion.fraction is not None and portion.fraction > 1:
        raise wrong(f"`{value}` is more than there is to lose, write at most 100%")
    return portion


def _portion(value: Any) -> Any:
    if isinstance(value, Portion):
        return value
    if isinstance(value, str):
        text = value.strip()
        if _PERCENT.fullmatch(text):
            return Portion(fraction=_percent(text))
        if _MONEY.fullmatch(text):
            amount = Decimal(text)
            if amount <= 0:
                raise wrong(f"`{value}` is too small, write more than 0")
            return Portion(amount=amount)
    raise wrong(f"`{value}` is neither an amount in USD nor a percentage, write one such as 1_000 or 2%")


def _as_percent(fraction: Decimal) -> str:
    return f"{(fraction * 100).normalize():f}%"


_PERCENT_SCHEMA = {"type": "string", "pattern": r"^[\d_]+(\.\d+)? ?%$", "examples": ["2%"]}
Percent = Annotated[
    Decimal, BeforeValidator(_percent), PlainSerializer(_as_percent, return_type=str), WithJsonSchema(_PERCENT_SCHEMA)
]
Headroom = Annotated[
    Decimal, BeforeValidator(_headroom), PlainSerializer(_as_percent, return_type=str), WithJsonSchema(_PERCENT_SCHEMA)
]
_PORTION_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[\d_]+(\.\d+)?( ?%)?$", "examples": ["1_000", "2%"]},
    ]
}
MoneyOrPercent = Annotated[
    Portion, BeforeValidator(_portion), PlainSerializer(str, return_type=str), WithJsonSchema(_PORTION_SCHEMA)
]
Loss = Annotated[
    Portion, BeforeValidator(_loss), PlainSerializer(str, return_type=str), WithJsonSchema(_PORTION_SCHEMA)
]


class RateLimit(Section):
    """So many in so long, counted in venue time."""

    count: int = Field(gt=0)
    per: Duration

    @model_validator(mode="before")
    @classmethod
    def _both(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise wrong(f"`{value}` does not say in how long, write it like {{count: 60, per: 1m}}")
        return value


class PriceCollar(Section):
    """How far from the middle of the quote an order may be filled; both hold where both are given."""

    percent: Percent | None = Field(None, description="Of the middle of the quote.")
    absolute: Limit | None = Field(None, description="In the instrument's currency.")

    @model_validator(mode="after")
    def _something(self) -> PriceCollar:
        if self.percent is None and self.absolute is None:
            raise wrong("empty, write percent, absolute or both")
        return self


def _collar(value: Any) -> Any:
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value.strip()) and not _MONEY.fullmatch(value.strip()):
            raise wrong(f"`{value}` is neither a percentage nor an amount, write one such as 2% or 0.50")
        return {"percent" if value.strip().endswith("%") else "absolute": value}
    return value


Collar = Annotated[PriceCollar, BeforeValidator(_collar, json_schema_input_type=Percent | Limit | PriceCollar)]


class Universe(Section):
    """What may be opened at all. Over all levels, everything that any of them forbids is forbidden."""

    allow: list[str] | None = Field(None, description="Symbols, or patterns such as `AAPL*`; nothing else is opened.")
    deny: list[str] = Field(default_factory=list, description="Symbols, or patterns, that are never opened.")
    sessions: list[Session] | None = Field(
        None, description="When stocks and options may be opened: pre, core, post, overnight. Default: always."
    )
    shorting: Flag = Field(True, description="Whether stocks may be sold short.")

    @field_validator("allow", "deny")
    @classmethod
    def _symbols(cls, value: list[str] | None) -> list[str] | None:
        for symbol in value or ():
            if not _SYMBOL.fullmatch(symbol):
                raise wrong(f"`{symbol}` is no symbol, write one such as IBM, BTC/USD or AAPL*")
            # It would match nothing, and so forbid nothing.
            if symbol.upper().endswith(".ALPACA"):
                raise wrong(f"`{symbol}` is an instrument's id, write the symbol alone: {symbol[:-7]}")
        return None if value is None else [symbol.upper() for symbol in value]

    @field_validator("allow", "sessions")
    @classmethod
    def _not_empty(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not value:
            raise wrong("empty, so nothing could be opened: write `state: reducing` if that is meant")
        return value


class MarginLimits(Section):
    """Exact margin before each order."""

    headroom: Headroom = Field(Decimal(0), description="The part of the buying power that is never used.")


class RiskLimits(Section):
    """Limits of one level (the top, an account or a strategy); over all levels the tightest wins."""

    max_order_qty: Limit | None = Field(None, description="Largest quantity of one order.")
    max_order_notional: Limit | None = Field(None, description="Largest value of one order, in USD.")
    max_position_notional: Limit | None = Field(
        None, description="Largest value of one instrument's position with its working orders, in USD."
    )
    max_gross_exposure: MoneyOrPercent | None = Field(
        None,
        description="Largest sum of all positions' absolute values with their working orders: in USD, or in % of the "
        "equity.",
    )
    max_daily_loss: Loss | None = Field(
        None,
        description="A larger loss of the trading day makes this level reducing: in USD, or in % of the equity before "
        "it was lost.",
    )
    max_drawdown: Loss | None = Field(
        None, description="The same for what was lost since the best point so far, over any number of days."
    )
    daily_loss_rearms: Literal["manual", "next_day"] = Field(
        "manual",
        description="After max_daily_loss: reducing until somebody resumes it, or until the next trading day.",
    )
    price_collar: Collar | None = Field(
        None,
        description="How far above the middle of the quote a buy, or below it a sale, may be filled: `2%`, `0.50` "
        "(an amount), or both under percent and absolute. Needs a sound quote.",
    )
    max_quote_age: Duration | None = Field(
        None, description="An instrument whose newest quote is older, by venue time, is not opened."
    )
    max_open_orders: int | None = Field(None, gt=0, description="How many orders may work at once.")
    max_orders: RateLimit | None = Field(None, description="How many orders may be sent in how long.")
    max_cancels: RateLimit | None = Field(
        None, description="How many cancels may be sent in how long. They always pass; more make this level reducing."
    )
    max_fills: RateLimit | None = Field(
        None, description="How many fills there may be in how long; more make this level reducing."
    )
    duplicate_window: Duration | None = Field(
        None, description="The same order again within this time is denied, whether it opens or closes."
    )
    self_match: Literal["deny", "allow"] = Field(
        "allow", description="deny: an order that could trade with one of our own is denied, with the one to cancel."
    )
    margin: MarginLimits | None = Field(
        None,
        description="What opens must be covered by the account's buying power; without this key it is not checked.",
    )
    universe: Universe | None = Field(None, description="What may be opened, and when.")
    state: State = Field(
        "active",
        description="active: all orders; reducing: only what shrinks a position; halted: nothing that opens.",
    )
