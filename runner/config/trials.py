"""A file's own tests of its limits: given an account, its positions and quotes, an order is allowed or denied."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from runner.config.fields import Duration, Limit, Name, wrong
from runner.config.section import Section

ALLOWED = "allowed"
Price = Limit
_YEARS = range(1971, 2200)


def _time(value: Any) -> Any:
    if isinstance(value, str):
        try:
            at = datetime.strptime(value.strip(), "%Y-%m-%d %H:%M")  # noqa: DTZ007 (New York's, made aware later)
            if at.year in _YEARS:
                return at
            raise ValueError  # Nautilus's nanoseconds hold no other
        except ValueError:
            raise wrong(f"`{value}` is no time, write New York's as 2026-01-05 10:00") from None
    return value


NewYorkTime = Annotated[
    datetime,
    BeforeValidator(_time),
    PlainSerializer(lambda value: f"{value:%Y-%m-%d %H:%M}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d$"}),
]


class TrialQuote(Section):
    bid: Price | None = None
    ask: Price | None = None
    age: Duration | None = Field(None, description="How old it is; default: new.")


def _quote(value: Any) -> Any:
    return {"bid": value, "ask": value} if isinstance(value, str) else value


Quote = Annotated[TrialQuote, BeforeValidator(_quote, json_schema_input_type=Price | TrialQuote)]


class TrialPosition(Section):
    qty: Decimal
    price: Price | None = Field(None, description="What it was opened at; default: the quote's middle.")


def _position(value: Any) -> Any:
    return {"qty": value} if isinstance(value, str) else value


Position = Annotated[TrialPosition, BeforeValidator(_position, json_schema_input_type=str | float | TrialPosition)]


class TrialLeg(Section):
    """One contract of a multi-leg order: bought, or sold with `side: sell`, so many in each unit."""

    symbol: str
    side: Literal["buy", "sell"] = "buy"
    ratio: int = Field(1, ge=1)


class TrialOrder(Section):
    symbol: str | None = None
    legs: list[TrialLeg] | None = Field(
        None, description="Instead of symbol and side: an order of several option contracts, which is bought as it is."
    )
    side: Literal["buy", "sell"] | None = None
    qty: Price | None = None
    notional: Price | None = Field(None, description="Instead of qty: dollars.")
    type: Literal["market", "limit", "stop", "stop_limit"] | None = Field(
        None, description="Default: told by limit and stop."
    )
    limit: Decimal | None = Field(None, description="Of several legs: the net price, below 0 for a credit.")
    stop: Price | None = None
    time_in_force: Literal["day", "gtc", "ioc", "fok"] = "day"

    @model_validator(mode="after")
    def _shape(self) -> TrialOrder:
        several = self.legs is not None
        if several == (self.symbol is not None) or several == (self.side is not None):
            raise wrong("an order is of a symbol with its side, or of legs that have theirs")
        if self.limit is not None and (not self.limit.is_finite() or (self.limit <= 0 and not several)):
            raise wrong("only the limit of an order of several legs may be 0 or less")
        if (self.qty is None) == (self.notional is None):
            raise wrong("an order has one size, write either qty or notional")
        wanted = {"market": (False, False), "limit": (True, False), "stop": (False, True), "stop_limit": (True, True)}
        if self.type is not None and wanted[self.type] != (self.limit is not None, self.stop is not None):
            raise wrong(f"a {self.type} order does not go with what limit and stop say, write the prices it has")
        return self


class TrialAccount(Section):
    cash: Decimal = Decimal(100_000)
    lost_today: Price | None = Field(None, description="What the strategy, its account and the node lost already.")
    positions: dict[str, Position] = Field(
        default_factory=dict, description="By symbol: a quantity (negative: short), or qty and price."
    )
    options_level: int = Field(3, ge=0, le=3, description="The level that the account may trade options at.")
    working: list[TrialOrder] = Field(default_factory=list, description="Orders that work at the venue already.")


class Trial(Section):
    """One test. Nothing is sent anywhere."""

    name: str | None = Field(None, description="What it shows.")
    strategy: Name | None = Field(None, description="Whose order it is; default: the first strategy.")
    at: NewYorkTime | None = Field(
        None,
        description="New York time; default: a Monday, 10:00. Where it is given, the strategy's schedule holds too.",
    )
    account: TrialAccount = Field(default_factory=TrialAccount)
    quotes: dict[str, Quote] = Field(default_factory=dict, description="By symbol: one price, or bid, ask and age.")
    state: Literal["active", "reducing", "halted"] = Field("active", description="Of the node, besides the file's.")
    order: TrialOrder | None = None
    orders: list[TrialOrder] | None = Field(None, description="Several in a row; the last one is judged.")
    expect: str = Field(description="`allowed`, or the code of the denial, such as MAX_ORDER_NOTIONAL.")

    @field_validator("expect")
    @classmethod
    def _code(cls, value: str) -> str:
        if value != ALLOWED and not (value.isupper() and value.replace("_", "").isalnum()):
            raise wrong(f"`{value}` is neither `allowed` nor the code of a denial, such as MAX_ORDER_NOTIONAL")
        return value

    @model_validator(mode="after")
    def _something(self) -> Trial:
        if (self.order is None) == (not self.orders):
            raise wrong("a test judges an order, write order or orders")
        return self

    def sequence(self) -> list[TrialOrder]:
        return [self.order] if self.order is not None else list(self.orders or ())
