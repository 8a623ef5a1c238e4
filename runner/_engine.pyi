"""Network, parsing and exact arithmetic, compiled from `engine_rs/`. Knows nothing of Nautilus.

Threads: every object runs its input and output on the engine's own threads, which never hold the GIL. Results reach
Python when the event loop calls `dispatch()` or `drain()`, woken by `fd`: add a reader for it. No method here blocks.
Money, prices and quantities cross as decimal text or as scaled integers, never as floats.
"""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "OPTION_REFUSALS",
    "Accepted",
    "AlpacaHttpClient",
    "AlpacaWebSocketClient",
    "Builders",
    "EngineError",
    "HttpError",
    "LoopWatchdog",
    "MarginAccount",
    "MarginFigures",
    "MarginRates",
    "OptionCost",
    "OptionRequirement",
    "Outcome",
    "RateLimits",
    "RateWindows",
    "Rejected",
    "RiskBook",
    "RiskFault",
    "RiskLook",
    "RiskOrder",
    "RiskRules",
    "Unavailable",
    "UncoveredError",
    "Unknown",
    "__version__",
    "nano_product",
    "option_margin",
    "option_order_refusal",
    "option_requirement",
    "order_unit_value",
]

__version__: str

@final
class Accepted:
    """The venue took the command. `body` is its reply (empty for a cancel)."""

    def __new__(cls, status: int, body: bytes, request_id: str | None = None) -> Self: ...
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def request_id(self) -> str | None: ...

@final
class Rejected:
    """The venue refused, and nothing happened there. `code` is Alpaca's eight-digit one where the body had it."""

    def __new__(
        cls, status: int, code: int | None, message: str, body: bytes, request_id: str | None = None
    ) -> Self: ...
    @property
    def status(self) -> int: ...
    @property
    def code(self) -> int | None: ...
    @property
    def message(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def request_id(self) -> str | None: ...

@final
class Unknown:
    """Nobody can say what happened: timeout, broken connection, 408/429/5xx, unreadable reply. Look it up, never resend.

    `sent` is False when not one byte can have left (the connection was never made).
    """

    def __new__(cls, reason: str, status: int | None = None, sent: bool = True) -> Self: ...
    @property
    def reason(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def sent(self) -> bool: ...

type Outcome = Accepted | Rejected | Unknown

class EngineError(Exception):
    """Base of what the engine raises."""

class HttpError(EngineError):
    """A read that the venue refused. Attributes: `status`, `code` (or None), `message`, `request_id` (or None)."""

    status: int
    code: int | None
    message: str
    request_id: str | None

class Unavailable(EngineError):
    """A read that got no usable answer after its retries. Attribute: `reason`."""

    reason: str

@final
class Builders:
    """The constructors that turn parsed ticks into the caller's objects; each is called with positional arguments.

    quote(instrument_id, bid_raw, ask_raw, price_prec, price_prec, bid_size_raw, ask_size_raw, size_prec, size_prec, ts_event, ts_init)
    trade(instrument_id, price_raw, price_prec, size_raw, size_prec, aggressor, trade_id(text), ts_event, ts_init)
    bar(bar_type, open_raw, high_raw, low_raw, close_raw, price_prec, volume_raw, size_prec, ts_event, ts_init)

    revision(...): as bar, for bars of the channel updatedBars (default: `bar`)
    band(instrument_id, upper_raw, lower_raw, price_prec, indicator, tape, ts_event, ts_init); without it bands are dropped

    Raw values are scaled by 10 ** `scale` whatever the precision. `aggressors` are (none, buyer, seller). A price keeps the
    wire's digits when they are more than the mapped precision. Times are UNIX nanoseconds.
    """

    def __new__(
        cls,
        *,
        scale: int,
        quote: Callable[..., object],
        trade: Callable[..., object],
        bar: Callable[..., object],
        trade_id: Callable[[str], object],
        aggressors: tuple[object, object, object],
        revision: Callable[..., object] | None = None,
        band: Callable[..., object] | None = None,
    ) -> Self: ...

@final
class AlpacaHttpClient:
    """Keep-alive client for Alpaca's trading and market-data hosts; one account's keys.

    Reads (`get`, `request_*`) are retried with back-off on 429, 5xx and broken connections. Commands are sent once.
    Both wait for the quota: a token bucket per host, narrowed by X-RateLimit-* headers; reads leave `reserve` of it to commands.
    """

    def __new__(
        cls,
        key: str,
        secret: str,
        *,
        trading_url: str,
        data_url: str,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        pool_size: int = 8,
        trading_per_min: int = 200,
        data_per_min: int = 200,
        reserve: float = 0.2,
        read_retries: int = 3,
        retry_delay_s: float = 0.5,
        serial: bool = False,
    ) -> Self: ...
    @property
    def fd(self) -> int: ...
    def attach(self, loop: AbstractEventLoop) -> None:
        """Resolve futures on `loop` from now on (adds a reader for `fd`). Call from the loop's thread."""
    def keep_open(self) -> None:
        """From now on a connection stands open for the next command, so that it need not wait for one."""
    def detach(self) -> None: ...
    def dispatch(self) -> int:
        """Resolve the futures whose replies are here; returns how many."""
    def get(self, path: str, params: Sequence[tuple[str, str]] = ..., *, data: bool = False) -> Future[bytes]:
        """One read. Raises (through the future) HttpError or Unavailable. `data` picks the market-data host."""
    def post(self, path: str, body: bytes) -> Future[Outcome]: ...
    def patch(self, path: str, body: bytes) -> Future[Outcome]: ...
    def delete(self, path: str, params: Sequence[tuple[str, str]] = ...) -> Future[Outcome]: ...
    def request_quotes(
        self,
        path: str,
        params: Sequence[tuple[str, str]],
        symbol: str,
        instrument_id: object,
        price_precision: int,
        size_precision: int,
        builders: Builders,
        limit: int = 0,
    ) -> Future[list[Any]]:
        """All pages of a history of quotes, oldest first, built by `builders.quote`. `limit` 0 is all. ts_init = ts_event."""
    def request_trades(
        self,
        path: str,
        params: Sequence[tuple[str, str]],
        symbol: str,
        instrument_id: object,
        price_precision: int,
        size_precision: int,
        builders: Builders,
        limit: int = 0,
    ) -> Future[list[Any]]: ...
    def request_bars(
        self,
        path: str,
        params: Sequence[tuple[str, str]],
        symbol: str,
        bar_type: object,
        price_precision: int,
        size_precision: int,
        close_offset_ns: int,
        builders: Builders,
        limit: int = 0,
    ) -> Future[list[Any]]: ...
    def stats(self) -> dict[str, int]:
        """requests, replies, retries, throttled, unknown, in_flight, rate_limit, rate_remaining, last_latency_ns."""
    def close(self) -> None:
        """Stop; what is still in flight resolves to Unknown or Unavailable."""
    def __repr__(self) -> str: ...  # never shows the secret

@final
class AlpacaWebSocketClient:
    """One stream connection that stays up: authenticates, subscribes, re-subscribes, backs off, watches for silence.

    `protocol` "market" speaks the data streams, "trading" the `/stream` of trade updates (listens to `trade_updates`
    by itself; JSON in text and in binary frames). States, in order: connecting, authenticated, ready (subscribed as asked, or
    listening), disconnected(reason), refused(reason: keys or plan; retried slowly), stopped.
    """

    def __new__(
        cls,
        url: str,
        key: str,
        secret: str,
        *,
        protocol: Literal["market", "trading"],
        codec: Literal["json", "msgpack"] = "json",
        header_auth: bool = False,
        connect_timeout_s: float = 10.0,
        ping_interval_s: float = 10.0,
        silence_timeout_s: float = 30.0,
        backoff_min_s: float = 0.5,
        backoff_max_s: float = 30.0,
        busy_backoff_s: float = 5.0,
        conflate_above: int = 20_000,
        spill_above: int = 1_000_000,
    ) -> Self: ...
    @property
    def fd(self) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def set_builders(self, builders: Builders) -> None: ...
    def map_symbol(self, symbol: str, instrument_id: object, price_precision: int, size_precision: int) -> None:
        """Needed before its quotes and trades are delivered; ticks of unmapped symbols are counted and dropped."""
    def map_bar(
        self,
        channel: str,
        symbol: str,
        bar_type: object,
        price_precision: int,
        size_precision: int,
        close_offset_ns: int,
    ) -> None:
        """`channel` is bars, updatedBars or dailyBars; ts_event = wire start + close_offset_ns."""
    def unmap_bar(self, channel: str, symbol: str) -> None: ...
    def subscribe(self, channel: str, symbols: Sequence[str]) -> None:
        """Add to the wanted set; sent as a delta, again in full after every reconnect."""
    def unsubscribe(self, channel: str, symbols: Sequence[str]) -> None: ...
    def subscriptions(self) -> dict[str, list[str]]:
        """What the server last confirmed."""
    def drain(
        self,
        sink: Callable[[Any], object] | None,
        on_message: Callable[[str, bytes], object],
        on_state: Callable[[str, str], object],
        limit: int = 512,
    ) -> int:
        """Deliver up to `limit` items in the order they came; returns how many (fd stays readable while more wait).

        Ticks go to `sink` as built objects. Everything else goes to `on_message(kind, json)`: kind is the wire's T or stream
        ("trade_updates", "error", "s", "l", "c", "x", unknown ones as they come); msgpack is turned into JSON. A market message
        comes whole; a trading one as its `data` alone ("null" where it has none), or untouched where it could not be read.
        Ticks that can't be read exactly come as messages of their T. A symbol whose subscription the venue refused comes
        as an "error" with "channel" and "symbol"; a refused request is tried in halves first, so that one bad symbol or
        the plan's limit costs no other its subscription.
        `on_state(state, detail)`; "gapped" (detail: symbol, or "*" after a malformed frame) when trades or bars were lost.
        An exception from a callback stops the drain and propagates; the item counts as delivered.
        """
    def stats(self) -> dict[str, int]:
        """frames, messages, quotes, trades, bars, other, unmapped, conflated, dropped, gaps, parse_errors, reconnects,
        backlog, delivered, bytes, last_frame_ns (UNIX; 0 none), last_event_ns (newest venue stamp), state (0 down, 1 connected,
        2 authenticated, 3 ready)."""
    @property
    def state(self) -> str: ...
    def __repr__(self) -> str: ...

@final
class LoopWatchdog:
    """A thread that notices a stuck event loop. `beat()` must be called at least every `limit_s`.

    When a beat is late, `healthy` turns False at once after `unhealthy_s`; after `limit_s` `on_stuck` work is done in Rust, without
    the GIL: each of `cancel_requests` (method, url, headers) is sent, then the process exits with `exit_code`. What it says goes to the
    descriptor `stderr_fd`. `trace_signal` (0: none) is raised first: register faulthandler for it, and it tells where every thread stands.
    """

    def __new__(
        cls,
        *,
        unhealthy_s: float,
        limit_s: float,
        exit_code: int,
        cancel_requests: Sequence[tuple[str, str, Sequence[tuple[str, str]]]] = ...,
        deadline_s: float = 5.0,
        stderr_fd: int = 2,
        trace_signal: int = 0,
    ) -> Self: ...
    def start(self) -> None: ...
    def beat(self) -> None: ...
    def set_cancel_requests(self, cancel_requests: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]) -> None: ...
    def serve_health(self, port: int) -> int:
        """Answer `/-/healthy` on this port of 127.0.0.1 (0 picks one), whatever the loop does. Returns the port."""
    @property
    def healthy(self) -> bool: ...
    @property
    def late_s(self) -> float: ...
    def stop(self) -> None: ...

# -- margin ------------------------------------------------------------------------------------------------------------
#
# Money is in nano-dollars (10**-9 USD), quantities of shares and coins in nano-units, strikes in mills (10**-3 USD, as
# in an OCC symbol), expirations the number YYMMDD, contracts whole and negative where short. All results are exact; a
# product that does not come out even is rounded up in size. Numbers out of range raise ValueError, nothing overflows.
# Sources: docs.alpaca.markets "Options Level 3 Trading", "Options Trading Overview", "Margin and Short Selling".

OPTION_REFUSALS: list[str]
"""Every code that `option_order_refusal` may return."""

class UncoveredError(ValueError):
    """Short calls that neither long calls nor shares cover: no requirement is enough. `args`: (text, expiry, contracts)."""

def option_margin(
    legs: list[tuple[bool, int, int, int]], shares: int = 0, expirations: Literal["per_date", "from_date"] = "per_date"
) -> int:
    """The Universal Spread Rule's requirement of one underlying's options, in nano-dollars.

    `legs`: (whether it is a call, strike, expiry, contracts). `shares`: whole long shares beside them, which cover short
    calls. `expirations` "per_date" takes each date by itself, helped by later longs that no later short needs;
    "from_date" takes at each date all that is still alive. Raises UncoveredError.
    """

def option_requirement(
    legs: list[tuple[bool, int, int, int]], shares: int = 0, expirations: Literal["per_date", "from_date"] = "per_date"
) -> OptionRequirement:
    """As `option_margin`, with the price and the expiration of the worst loss."""

def option_order_refusal(legs: list[tuple[str, int, str, int]], qty: int, level: int) -> str | None:
    """The code of why an options order is not taken whatever money there is, or None.

    `legs`: (OCC symbol, ratio, position intent, contracts held before). `level` 0 to 3. Raises ValueError for what is
    no OCC symbol or no intent.
    """

def order_unit_value(buys: bool, limit: int | None, ask: int | None) -> int | None:
    """What one share of an opening order is valued at: a purchase at its limit or the ask, a short sale at the higher of
    its limit and 1.03 times the ask. None where no price is known.
    """

def nano_product(a: int, b: int) -> int:
    """`a * b / 10**9`, rounded up in size: nano-shares times nano-dollars are nano-dollars."""

@disjoint_base
class RiskFault:
    """What orders break: a class for each kind. `order`, `bound`: which one, counted from 0."""
    @final
    class Twin(RiskFault):
        """The same order passed so long ago; None: it is in the list twice."""

        __match_args__ = ("order", "age_ns")
        def __new__(cls, order: int, age_ns: int | None) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def age_ns(self) -> int | None: ...

    @final
    class SelfMatch(RiskFault):
        """It could trade with this order of our own."""

        __match_args__ = ("order", "met")
        def __new__(cls, order: int, met: str) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def met(self) -> str: ...

    @final
    class Qty(RiskFault):
        __match_args__ = ("order",)
        def __new__(cls, order: int) -> Self: ...
        @property
        def order(self) -> int: ...

    @final
    class Notional(RiskFault):
        __match_args__ = ("order", "value")
        def __new__(cls, order: int, value: int) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def value(self) -> int: ...

    @final
    class Unpriced(RiskFault):
        """A limit on one order can't be judged: that on its value, or on its quantity."""

        __match_args__ = ("order", "notional")
        def __new__(cls, order: int, notional: bool) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def notional(self) -> bool: ...

    @final
    class QuoteMissing(RiskFault):
        __match_args__ = ("order",)
        def __new__(cls, order: int) -> Self: ...
        @property
        def order(self) -> int: ...

    @final
    class QuoteCrossed(RiskFault):
        __match_args__ = ("order",)
        def __new__(cls, order: int) -> Self: ...
        @property
        def order(self) -> int: ...

    @final
    class QuoteStale(RiskFault):
        __match_args__ = ("order", "age_ns")
        def __new__(cls, order: int, age_ns: int) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def age_ns(self) -> int: ...

    @final
    class Collar(RiskFault):
        """Prices are doubled nano-dollars; `worth` is what a percentage is of."""

        __match_args__ = ("order", "price", "reference", "away", "worth", "absolute", "at_trigger")
        def __new__(
            cls, order: int, price: int, reference: int, away: int, worth: int, absolute: bool, at_trigger: bool
        ) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def price(self) -> int: ...
        @property
        def reference(self) -> int: ...
        @property
        def away(self) -> int: ...
        @property
        def worth(self) -> int: ...
        @property
        def absolute(self) -> bool: ...
        @property
        def at_trigger(self) -> bool: ...

    @final
    class Position(RiskFault):
        """`worst` in 10^-18 USD; `held` and what the others of its side could add in nano-units. The account's, or the
        strategy's; of a spread perhaps that in one of its contracts."""

        __match_args__ = ("order", "account", "instrument", "worst", "held", "working")
        def __new__(cls, order: int, account: bool, instrument: int, worst: int, held: int, working: int) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def account(self) -> bool: ...
        @property
        def instrument(self) -> int: ...
        @property
        def worst(self) -> int: ...
        @property
        def held(self) -> int: ...
        @property
        def working(self) -> int: ...

    @final
    class PositionUnpriced(RiskFault):
        __match_args__ = ("order", "account")
        def __new__(cls, order: int, account: bool) -> Self: ...
        @property
        def order(self) -> int: ...
        @property
        def account(self) -> bool: ...

    @final
    class Gross(RiskFault):
        """Gross exposure now, and as it could become, in 10^-18 USD."""

        __match_args__ = ("bound", "before", "after")
        def __new__(cls, bound: int, before: int, after: int) -> Self: ...
        @property
        def bound(self) -> int: ...
        @property
        def before(self) -> int: ...
        @property
        def after(self) -> int: ...

    @final
    class GrossUnpriced(RiskFault):
        """This one has no price."""

        __match_args__ = ("bound", "instrument")
        def __new__(cls, bound: int, instrument: int) -> Self: ...
        @property
        def bound(self) -> int: ...
        @property
        def instrument(self) -> int: ...

    @final
    class OpenOrders(RiskFault):
        __match_args__ = ("bound", "working")
        def __new__(cls, bound: int, working: int) -> Self: ...
        @property
        def bound(self) -> int: ...
        @property
        def working(self) -> int: ...

    @final
    class Rate(RiskFault):
        """So many passed within the window."""

        __match_args__ = ("bound", "held")
        def __new__(cls, bound: int, held: int) -> Self: ...
        @property
        def bound(self) -> int: ...
        @property
        def held(self) -> int: ...

    @final
    class Short(RiskFault):
        """A short sale where the broker does not lend."""

        __match_args__ = ("order",)
        def __new__(cls, order: int) -> Self: ...
        @property
        def order(self) -> int: ...

    @final
    class Margin(RiskFault):
        """What it costs and what headroom keeps, against what is left by our own books and by the broker's."""

        __match_args__ = ("cost", "kept", "own", "broker")
        def __new__(cls, cost: int, kept: int, own: int, broker: int | None) -> Self: ...
        @property
        def cost(self) -> int: ...
        @property
        def kept(self) -> int: ...
        @property
        def own(self) -> int: ...
        @property
        def broker(self) -> int | None: ...

    @final
    class NoPrice(RiskFault):
        """What it costs is not known."""

        __match_args__ = ("order",)
        def __new__(cls, order: int) -> Self: ...
        @property
        def order(self) -> int: ...

    @final
    class NoEquity(RiskFault):
        __match_args__ = ()
        def __new__(cls) -> Self: ...

    @final
    class Unreadable(RiskFault):
        """A figure that the broker told, and that is needed, is no number."""

        __match_args__ = ()
        def __new__(cls) -> Self: ...

    @final
    class Burden(RiskFault):
        """What the positions ask for was not told."""

        __match_args__ = ()
        def __new__(cls) -> Self: ...

    @final
    class Unsized(RiskFault):
        """What a contract of it is of was not told."""

        __match_args__ = ("instrument",)
        def __new__(cls, instrument: int) -> Self: ...
        @property
        def instrument(self) -> int: ...

    @final
    class Overflow(RiskFault):
        """It does not fit 128 bits."""

        __match_args__ = ()
        def __new__(cls) -> Self: ...

@final
class RiskRules:
    """What binds the orders of one strategy on one account. Quantities in nano-units, prices in nano-dollars, values in
    10^-18 USD, fractions in billionths; a level is node, account or strategy.

    A limit on one order comes with its place in the file. `gross` None: it is a fraction of the equity, and is told with
    each order.
    """

    def __new__(
        cls,
        *,
        qty: tuple[int, str] | None = None,
        notional: tuple[int, str] | None = None,
        position_of_account: int | None = None,
        position_of_strategy: int | None = None,
        gross: Sequence[tuple[str, int]] | None = ...,
        open_orders: Sequence[tuple[str, int]] = ...,
        collar_percent: int | None = None,
        collar_absolute: int | None = None,
        quote_age_ns: int | None = None,
        twins_ns: int | None = None,
        self_match: bool = False,
        rates: Sequence[tuple[str, int, int]] = ...,
        headroom: int | None = None,
    ) -> Self: ...

@final
class RiskOrder:
    """An order as it would be, by the caller's small numbers for instruments and types.

    `held_to`: the price that is held against the market is the far side's (0), its limit (1), or its limit to its
    trigger (2). `asked`: its quantity as it was given, be it `money`; `units`: in nano-units, None where that can't be
    told; `left`: what is not filled; `released`: what can be filled now, by default all that is left. A unit costs `cost`
    at most and `least` at least, counts for `worth` in limits, and is `mark` at the market. `purse`: what it is paid from
    is judged elsewhere (0), cash (1) or Reg T buying power (2). Of a `group` only one order can be filled; one that is
    not `plain` does not count by itself; `exempt`: it may stand beside what it could trade with; `exit`: it closes what
    its own entry opens; `change`: it is what a working order is to become; `legs`: see `RiskBook.put`.
    """

    def __new__(
        cls,
        id: str,
        instrument: int,
        buy: bool,
        kind: int,
        held_to: int,
        asked: int,
        units: int | None,
        left: int,
        cost: int | None,
        worth: int | None,
        limit: int | None,
        mark: int | None,
        purse: int,
        /,
        *,
        released: int | None = None,
        filled: int = ...,
        trigger: int | None = None,
        trail: int | None = None,
        least: int = ...,
        group: str | None = None,
        plain: bool = True,
        exempt: bool = False,
        exit: bool = False,
        money: bool = False,
        change: bool = False,
        legs: Sequence[tuple[int, int, int | None]] = ...,
    ) -> Self: ...

@final
class RiskLook:
    """What orders would do."""

    @property
    def orders(self) -> list[RiskOrder]:
        """Those that were asked about."""

    @property
    def reduces(self) -> bool:
        """Whether they only shrink positions of the account, together with what closes them already."""

    @property
    def at_all(self) -> RiskFault | None:
        """What they do that no order may do."""

    @property
    def opening(self) -> RiskFault | None:
        """What they do that none may do that opens. Not looked for where they reduce."""

@final
class RiskBook:
    """Positions, working orders, prices and buying power of all accounts, with every sum kept up change by change. Exact.

    Accounts, strategies and instruments are small numbers of the caller's. Quantities are nano-units, prices nano-dollars
    a unit, values 10^-18 USD. What does not fit 128 bits, and an instrument that was never declared, is a ValueError.
    """

    LEAST_EQUITY: Final[int]
    """That the broker lends on."""
    NEW_ORDER: Final[int]
    """All checks; those that follow are parts of it."""
    SELF_MATCH: Final[int]
    QTY: Final[int]
    NOTIONAL: Final[int]
    QUOTES: Final[int]
    EXPOSURE: Final[int]
    OPEN_ORDERS: Final[int]
    RATES: Final[int]
    MARGIN: Final[int]
    def __new__(cls) -> Self: ...
    def declare(
        self, instrument: int, multiplier: int | None, spread: bool = False, rates: MarginRates | None = None
    ) -> None:
        """What one contract is of (None where that is not known), whether it is several contracts at once, and how it is
        margined where the broker lends on it: an order that opens costs no less than twice the initial margin of its
        position, which is what that takes of twice the excess. Without rates, its price."""

    def mark(self, instrument: int, buy: bool, price: int | None) -> None:
        """What a unit is bought or sold for now; None where nothing says it."""

    def quote(
        self,
        instrument: int,
        bid: int | None,
        ask: int | None,
        ts_ns: int,
        worth: int | None = None,
        newest_ns: int | None = None,
    ) -> None:
        """The newest quote; `worth`: twice what a percentage is of, by default what an order is held to. Of several
        quotes as one `ts_ns` is the oldest's, `newest_ns` the newest's.
        """

    def hold(self, account: int, strategy: int | None, instrument: int, held: int, opened_at: int | None) -> None:
        """A signed position: the account's whole one, or a strategy's share. `opened_at` stands in for a missing mark."""

    def put(
        self,
        order: str,
        account: int,
        strategy: int,
        instrument: int,
        buy: bool,
        released: int,
        price: int | None,
        limit: int | None = None,
        exempt: bool = False,
        group: str | None = None,
        legs: Sequence[tuple[int, int, int | None]] = ...,
    ) -> None:
        """An order works with so much of it free to be filled; again replaces what was said before. `legs`: of a spread
        its contracts, each with its ratio and what a unit is worth."""

    def drop(self, order: str) -> None:
        """An order is over. Nothing where it is not known."""

    def follow_margin(self) -> None:
        """What orders cost is kept from now on."""

    def own(
        self, account: int, equity: int | None, cash: int, burden: int | None, lends: bool, secured: int = 0
    ) -> None:
        """What an account has by our own books (equity None: unknown), what of that its positions ask for (None: can't be
        told), whether it is a margin account, should the broker not say, and what of the burden secures options."""

    def report(
        self,
        account: int,
        buying_power: int | str | None,
        cash: int | str | None,
        options: int | str | None,
        multiplier: int | str | None,
        now_ns: int,
    ) -> None:
        """What the broker told; None where it did not, a text where it is no number."""

    def fill(self, account: int, now_ns: int) -> None:
        """A fill was told of."""

    def is_current(self, account: int) -> bool:
        """Whether the last report has every fill in it that was told of."""

    def levered(self, account: int) -> bool:
        """Whether the broker lends: a margin account, of 2,000 dollars at least. False where that is unknown."""

    def enter(
        self,
        order: str,
        account: int,
        priced: tuple[int, bool, int | None],
        closing: int,
        least: int,
        lent: bool,
        whole: tuple[int, int] | None = None,
        *,
        seen: bool = False,
    ) -> None:
        """An order works that was not taken here: its instrument, side and unit price, how much of it closes, what a unit costs at least, whether half of it is
        lent, what it costs as a whole and of how many nano-units that is, whether the broker's figures have it."""

    def expect(
        self, order: str, least: int, whole: tuple[int, int] | None = None, becomes: RiskOrder | None = None
    ) -> None:
        """A modification passed: the dearer of before and after counts. `becomes`: the order as modified, where it was
        judged."""

    def settle(
        self, order: str, priced: tuple[int, bool, int | None], least: int, whole: tuple[int, int] | None = None
    ) -> None:
        """No modification is under way any more: see `enter`; without `whole` that stays as it is."""

    def recost(self, order: str, whole: tuple[int, int]) -> None:
        """What an order of options costs as a whole, and of how many nano-units, is something else by now."""

    def note(
        self,
        order: str,
        instrument: int,
        left: int,
        worth: int | None,
        filled: int,
        closed: bool,
        accepted: bool,
        now_ns: int,
    ) -> None:
        """Something happened to an order: what it costs is worked out anew. Nothing where it was never entered."""

    def closable(self, account: int, instrument: int, buy: bool, order: str, strategy: int | None = None) -> int:
        """What of the account's position, or of a strategy's, is there to be closed by an order of this side, besides what other orders can close."""

    def cost(self, order: str) -> int:
        """What a working order holds of the buying power."""

    def reserved(self, account: int) -> int:
        """What all of them hold."""

    def missing(self, account: int) -> int:
        """What the broker's last figure can't have had taken off yet."""

    def power(self, account: int, of: str) -> tuple[int, int | None, int] | None:
        """What is left of a purse (regt, cash, options): by our own books, by the broker's (None: untold), and the power of
        the whole equity. None where the equity is unknown."""

    def orders(self, account: int | None = None, strategy: int | None = None) -> int:
        """How many work."""

    def instruments(self) -> list[int]:
        """Those that anybody holds or has ordered."""

    def total(self, account: int, strategy: int | None = None) -> int:
        """Gross exposure. Raises LookupError with the number of an instrument that has no price."""

    def largest(self, account: int, strategy: int | None = None) -> int:
        """The largest instrument's part of it."""

    def side(self, account: int, instrument: int, buy: bool, orders: Sequence[RiskOrder] = ...) -> int:
        """The quantity that could be filled on one side, that of these orders included, and without orders of spreads."""

    def largest_order(self, place: str) -> int:
        """The largest that passed a limit on one order, by the limit's place in the file: a quantity or a value."""

    def passed(self, key: str, per_ns: int, now_ns: int) -> int:
        """How many orders a window of this length holds, by the key of a rate."""

    def look(
        self,
        account: int,
        strategy: int,
        rules: RiskRules,
        orders: list[RiskOrder],
        now_ns: int,
        checks: int = ...,
        gross: Sequence[tuple[str, int]] | None = None,
    ) -> RiskLook:
        """Hold orders that are one command against what binds them. Their marks are the market's from here on."""

    def reduces(self, account: int, strategy: int, orders: Sequence[RiskOrder]) -> bool:
        """Whether orders only shrink what one strategy holds, together with what closes that already."""

    def costs(self, account: int, orders: Sequence[RiskOrder]) -> tuple[int, int]:
        """What orders open costs, of options nothing: what is lent on, and what is not (all, where nothing is lent)."""

    def take(
        self,
        account: int,
        strategy: int,
        rules: RiskRules,
        orders: Sequence[RiskOrder],
        wholes: Sequence[int | None],
        counted: int,
        now_ns: int,
    ) -> None:
        """Orders passed as one command: their room is taken, then the first `counted` of them count (see `count`). Where
        there is an error, some of them may have taken their room. `wholes`: what each costs, where its price does not
        tell that."""

    def count(self, strategy: int, rules: RiskRules, orders: Sequence[RiskOrder], now_ns: int) -> None:
        """They count for the rates, as doubles of later ones, and for the largest. Without any it was a modification that
        was not judged, which counts for the rates alone."""

@final
class RateLimits:
    """What binds somebody: of each key at most so many within any so many nanoseconds."""

    def __new__(cls, limits: Sequence[tuple[str, int, int]]) -> Self: ...
    def __len__(self) -> int: ...

@final
class RateWindows:
    """How much happened lately, by key: a sliding window each, in nanoseconds of a clock that may step back a little, or
    be put back by more than the window where it was ahead.
    """

    def __new__(cls) -> Self: ...
    def exceeded(self, limits: RateLimits, more: int, now_ns: int) -> tuple[int, int] | None:
        """The first limit that `more` would exceed, counted from 0, with how many its window holds; counts nothing."""

    def count(self, limits: RateLimits, more: int, now_ns: int) -> None:
        """Remember that so many happened now."""

    def held(self, key: str, per_ns: int, now_ns: int) -> int:
        """How many a key's window of this length holds."""

@final
class MarginRates:
    """How an asset is margined: whether money is lent on it, its own per cent (0: none of its own), its leverage."""

    def __new__(
        cls, *, marginable: bool = True, long_percent: int = 0, short_percent: int = 0, leverage: int = 1
    ) -> Self: ...
    def initial(self, qty: int, price: int) -> int:
        """Initial margin of a position (negative: short) at a price."""

    def maintenance(self, qty: int, price: int) -> int:
        """Maintenance margin of a position (negative: short) at a price."""

@final
class OptionRequirement:
    """`amount` in nano-dollars, at the `price` (mills) of the underlying on the `expiry` where the loss is largest."""

    @property
    def amount(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def expiry(self) -> int: ...

@final
class OptionCost:
    """What an order takes from options buying power: `amount` = after - before + owed + net, at least 0."""

    @property
    def amount(self) -> int: ...
    @property
    def net(self) -> int:
        """Paid (positive) or got (negative) for the whole order."""

    @property
    def owed(self) -> int:
        """By how much what calls on shares are worth, at the prices told, rises; negative where some are bought back."""

    @property
    def before(self) -> OptionRequirement: ...
    @property
    def after(self) -> OptionRequirement: ...

@final
class MarginFigures:
    """An account's figures, all in nano-dollars."""

    @property
    def equity(self) -> int: ...
    @property
    def long_market_value(self) -> int: ...
    @property
    def short_market_value(self) -> int: ...
    @property
    def initial_margin(self) -> int: ...
    @property
    def maintenance_margin(self) -> int: ...
    @property
    def options_margin(self) -> int:
        """Of both margins what the options ask for."""

    @property
    def excess(self) -> int:
        """Equity less initial margin less what is reserved; negative where too much is held. Of options only calls on shares
        count for what they are worth."""

    @property
    def buying_power(self) -> int:
        """For marginable shares: excess times the multiplier. Where that is 1, or the equity below 2,000 USD, this and
        options' is excess, and no more than the cash that secures no options."""

    @property
    def options_buying_power(self) -> int: ...
    @property
    def non_marginable_buying_power(self) -> int: ...

@final
class MarginAccount:
    """One account, kept up change by change; a figure costs no walk over what did not change. Safe between threads."""

    def __new__(cls, *, multiplier: int = 2, expirations: Literal["per_date", "from_date"] = "per_date") -> Self: ...
    def set_cash(self, cash: int) -> None: ...
    def set_position(self, symbol: str, qty: int, price: int, rates: MarginRates) -> None:
        """Shares or coins held, at a price; a quantity of 0 removes them."""

    def set_price(self, symbol: str, price: int) -> None:
        """A new price of shares or coins; nothing where none are held."""

    def set_option(self, symbol: str, qty: int, price: int) -> None:
        """Contracts held of an OCC symbol, worth so much a share; 0 removes them."""

    def reserve(self, order: str, amount: int) -> None:
        """An order holds so much own money until it is released; again with another amount replaces it."""

    def release(self, order: str) -> None: ...
    @property
    def reserved(self) -> int: ...
    def held(self, symbol: str) -> int:
        """Contracts held of an OCC symbol."""

    def shares(self, root: str) -> int:
        """Whole long shares held of an underlying."""

    def options_cost(self, legs: list[tuple[str, int]], net: int, qty: int, *, shares: int = 0) -> OptionCost:
        """What an order takes, given what is held. `legs`: (OCC symbol, signed contracts in all) of one root; `net` paid
        (positive) or got a share of a unit, for `qty` units; `shares` change beside them. Raises UncoveredError.
        """

    def covers(self, root: str, shares: int) -> bool:
        """Whether all short calls of a root stay covered once the shares held change by so many."""

    def figures(self) -> MarginFigures:
        """Raises UncoveredError where short calls stand uncovered."""
