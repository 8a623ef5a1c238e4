"""Alpaca's replies as typed records.

Numbers arrive as strings and become Decimal; every enum stays a plain string, so that a new value survives.
Fields that have come and gone over the years are optional. Shapes: Alpaca's trading OpenAPI specification.
"""

from __future__ import annotations

import calendar
import functools
import re
from decimal import Decimal
from typing import Any

import msgspec

from runner.alpaca.constants import NANOS, TERMINAL_STATUSES

_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(Z|z|[+-]\d\d:?\d\d)?")
ZERO = Decimal(0)


class WireError(ValueError):
    """A reply that can't be read. The message says which, and shows its beginning."""


@functools.lru_cache(maxsize=256)
def timestamp_ns(text: str | None) -> int:
    """UNIX nanoseconds of an RFC 3339 stamp, exact to its nine digits; 0 where there is none."""
    if not text:
        return 0
    match = _STAMP.fullmatch(text)
    if match is None:
        raise WireError(f"{text!r} is no RFC 3339 time")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    seconds = calendar.timegm((int(year), int(month), int(day), int(hour), int(minute), int(second)))
    if zone and zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * NANOS + int((fraction or "").ljust(9, "0"))


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """`/v2/account`. Money in `currency`."""

    id: str = ""
    account_number: str = ""
    status: str = ""
    currency: str = "USD"
    cash: Decimal
    equity: Decimal
    buying_power: Decimal | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    trading_blocked: bool = False
    account_blocked: bool = False
    shorting_enabled: bool = True
    crypto_tier: int | None = None
    #: The day that the `last_…` figures are of.
    balance_asof: str | None = None
    pending_transfer_out: Decimal | None = None


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `/v2/assets`. Margin requirements are per cent."""

    id: str
    asset_class: str = msgspec.field(name="class", default="us_equity")
    exchange: str = ""
    symbol: str
    name: str = ""
    status: str = "active"
    tradable: bool = True
    marginable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = False
    maintenance_margin_requirement: Decimal | None = None
    margin_requirement_long: Decimal | None = None
    margin_requirement_short: Decimal | None = None
    attributes: list[str] | None = None
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None


class OptionContractRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `/v2/options/contracts`. `type` is call or put, `expiration_date` YYYY-MM-DD, `strike_price` USD."""

    id: str
    symbol: str
    name: str = ""
    status: str = "active"
    tradable: bool = True
    expiration_date: str
    root_symbol: str = ""
    underlying_symbol: str
    type: str
    style: str = "american"
    strike_price: Decimal
    multiplier: Decimal = Decimal(100)
    size: Decimal = Decimal(100)
    open_interest: Decimal | None = None


class OptionContractPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `/v2/options/contracts`. Its rows are read one by one, as there may be thousands."""

    option_contracts: list[msgspec.Raw]
    next_page_token: str | None = None


class LatestTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A stock's last trade: its price, USD."""

    p: Decimal


class LatestQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A stock's newest bid and offer, USD; 0 where there is none."""

    bp: Decimal = ZERO
    ap: Decimal = ZERO


class StockSnapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A member of `/v2/stocks/snapshots`."""

    latest_trade: LatestTrade | None = None
    latest_quote: LatestQuote | None = None

    @property
    def price(self) -> Decimal | None:
        """The last trade, or the middle of the quote where nothing traded yet; None where there is neither."""
        if self.latest_trade is not None:
            return self.latest_trade.p
        quote = self.latest_quote
        return (quote.bp + quote.ap) / 2 if quote is not None and quote.bp > 0 and quote.ap > 0 else None


class LatestTrades(msgspec.Struct, frozen=True, kw_only=True):
    """`/v2/stocks/trades/latest`, by symbol."""

    trades: dict[str, LatestTrade | None] | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as Alpaca shows it. `filled_qty` and `filled_avg_price` are cumulative."""

    id: str
    client_order_id: str
    symbol: str = ""
    asset_class: str = ""
    side: str = ""
    type: str = ""
    order_class: str = ""
    time_in_force: str = "day"
    status: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    filled_qty: Decimal = ZERO
    filled_avg_price: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    ratio_qty: Decimal | None = None
    position_intent: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    submitted_at: str | None = None
    filled_at: str | None = None
    expired_at: str | None = None
    canceled_at: str | None = None
    failed_at: str | None = None
    replaced_at: str | None = None
    legs: list[Order] | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether this id never fills again."""
        return self.status in TERMINAL_STATUSES

    @property
    def last_ns(self) -> int:
        """UNIX nanoseconds of the newest stamp."""
        stamps = (self.updated_at, self.filled_at, self.canceled_at, self.expired_at, self.failed_at, self.replaced_at)
        return max(timestamp_ns(stamp) for stamp in (*stamps, self.submitted_at, self.created_at))

    @property
    def submitted_ns(self) -> int:
        """UNIX nanoseconds of the submission."""
        return timestamp_ns(self.submitted_at or self.created_at)


#: Events of an order's executions.
FILLS = frozenset({"fill", "partial_fill"})


class LegFill(msgspec.Struct, frozen=True, kw_only=True):
    """One leg's execution in a trade update of a multi-leg order."""

    order_id: str
    symbol: str = ""
    qty: Decimal
    price: Decimal
    execution_id: str | None = None
    timestamp: str | None = None


class TradeUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the trade-updates stream. `qty` and `price` are this execution's, `position_qty` is signed."""

    event: str
    order: Order
    timestamp: str | None = None
    at: str | None = None
    execution_id: str | None = None
    event_id: str | None = None
    price: Decimal | None = None
    qty: Decimal | None = None
    position_qty: Decimal | None = None
    legs: list[LegFill] | None = None

    @property
    def ts_ns(self) -> int:
        """UNIX nanoseconds of the event at the venue."""
        return timestamp_ns(self.timestamp or self.at) or self.order.last_ns


class CalendarDay(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `/v2/calendar`: a trading day. Times are New York's, of the core session and of the whole day."""

    date: str
    open: str
    close: str
    session_open: str = ""
    session_close: str = ""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `/v2/account/activities`: a trade (FILL) or another booking (FEE, DIV, …)."""

    id: str
    activity_type: str
    order_id: str = ""
    symbol: str | None = None
    side: str = ""
    price: Decimal | None = None
    qty: Decimal | None = None
    cum_qty: Decimal | None = None
    leaves_qty: Decimal | None = None
    transaction_time: str | None = None
    date: str | None = None
    net_amount: Decimal | None = None
    description: str | None = None
    created_at: str | None = None
    #: executed, correct or canceled.
    status: str = ""

    @property
    def ts_ns(self) -> int:
        """UNIX nanoseconds of the execution; of a booking without a time, its day's midnight UTC."""
        if self.transaction_time:
            return timestamp_ns(self.transaction_time)
        return timestamp_ns(f"{self.date}T00:00:00Z") if self.date else 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `/v2/positions`. A short's `qty` is negative."""

    symbol: str
    asset_id: str = ""
    asset_class: str = "us_equity"
    side: str = "long"
    qty: Decimal
    qty_available: Decimal | None = None
    avg_entry_price: Decimal | None = None
    market_value: Decimal | None = None
    current_price: Decimal | None = None
    unrealized_pl: Decimal | None = None

    @property
    def signed_qty(self) -> Decimal:
        """Quantity, negative for a short, whichever way the venue wrote it."""
        return -abs(self.qty) if self.side == "short" else self.qty


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """`/v2/clock`."""

    timestamp: str
    is_open: bool
    next_open: str | None = None
    next_close: str | None = None


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode[T](kind: type[T], body: bytes | str, what: str) -> T:
    """Read `body` as `kind` (a record, or a list of them). Raises WireError that says what could not be read."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        result: T = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        start = body[:120] if isinstance(body, str) else body[:120].decode("utf-8", "replace")
        raise WireError(f"can't read {what}: {error}; it begins with {start!r}") from error
    return result


def decode_update(body: bytes | str) -> TradeUpdate | None:
    """Read a trade update, bare or in its envelope; None for the `"data": null` that Alpaca has been seen to send."""
    raw = decode(dict[str, Any], body, "a trade update") if _is_envelope(body) else None
    if raw is not None:
        if raw.get("data") is None:
            return None
        body = msgspec.json.encode(raw["data"])
    return decode(TradeUpdate, body, "a trade update")


def _is_envelope(body: bytes | str) -> bool:
    head = body[:200] if isinstance(body, str) else body[:200].decode("utf-8", "replace")
    return '"stream"' in head or head.strip() == "null"
