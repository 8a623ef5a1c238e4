"""An account's books: cash, positions, margin. Plain Reg T arithmetic in Decimal, nothing cached.

Sources: docs.alpaca.markets "Margin and Short Selling" (the maintenance table), [OAS-T] `Account.buying_power`
(multiplier 2: twice the excess of equity over initial margin; multiplier 1: cash).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from runner.exchange.assets import Asset
from runner.exchange.broker.activities import Activities
from runner.exchange.broker.crypto import Volume
from runner.exchange.broker.margin import Held, covered_calls, requirement
from runner.exchange.broker.orders import Order, Side
from runner.exchange.contracts import OptionContract

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
FINEST: Final = Decimal("1e-15")
INITIAL_RATE: Final = Decimal("0.5")
MARGIN_MINIMUM_EQUITY: Final = Decimal(2000)

# Of a long position's market value: all of it below 2.50, half of it from there up to 6.00, 30 % above.
CHEAP, MIDDLING, LOW_RATE = Decimal("2.50"), Decimal("6.00"), Decimal("0.3")
# (price below, dollars per share, rate of market value): the greater of the two.
SHORT_MAINTENANCE: Final = (
    (Decimal("5.00"), Decimal("2.50"), Decimal(1)),
    (None, Decimal("5.00"), Decimal("0.3")),
)


class Valuation(Protocol):
    """What the books ask the market. `later`: see `option_margin`."""

    later: bool

    def mark(self, symbol: str) -> Decimal:
        """What one share is worth now."""

    def asset(self, symbol: str) -> Asset | None:
        """What it is."""

    def contract(self, symbol: str) -> OptionContract | None:
        """Its terms, where it is an option."""


def maintenance_margin(qty: Decimal, price: Decimal, *, marginable: bool = True) -> Decimal:
    """Dollars that a position of `qty` shares (negative: short) at `price` must keep as equity."""
    value = abs(qty) * price
    if qty >= 0:
        if not marginable:
            return value
        return value * (ONE if price < CHEAP else INITIAL_RATE if price <= MIDDLING else LOW_RATE)
    for below, per_share, rate in SHORT_MAINTENANCE:
        if below is None or price < below:
            return max(per_share * abs(qty), rate * value)
    raise AssertionError("the table's last row takes every price")


def initial_margin(qty: Decimal, price: Decimal, *, marginable: bool = True) -> Decimal:
    """Reg T: half of the market value, all of it where the asset is not marginable."""
    return abs(qty) * price * (INITIAL_RATE if marginable else ONE)


@dataclass(slots=True)
class Position:
    """`qty` is negative for a short. `cost` is what the open shares were bought (or sold) for, with the sign of
    `qty`.
    """

    symbol: str
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    # Shares that one contract stands for; prices are dollars a share.
    multiplier: int = 1
    # The same for the trading day alone: shares held over the close enter it at the close's price.
    day_cost: Decimal = ZERO

    @property
    def average(self) -> Decimal:
        return self.cost / self.qty / self.multiplier if self.qty else ZERO

    def apply(self, side: Side, qty: Decimal, price: Decimal) -> Decimal:
        """Book one execution and return the profit or loss it realized.

        Average cost: what closes leaves the average of the rest as it was. The broker refuses an order through
        zero, but an execution that does cross is booked right all the same.
        """
        price *= self.multiplier
        signed = qty if side == "buy" else -qty
        closing = min(abs(signed), abs(self.qty)) if self.qty * signed < 0 else ZERO
        realized = ZERO
        if closing:
            share = closing / abs(self.qty)
            direction = ONE if self.qty > 0 else -ONE
            closed_cost = self.cost if share == 1 else self.cost * share
            realized = direction * closing * price - closed_cost
            self.cost -= closed_cost
            self.day_cost -= self.day_cost * share
            self.qty -= direction * closing
            signed += direction * closing
        if signed:
            self.qty += signed
            self.cost += signed * price
            self.day_cost += signed * price
        self.realized += realized
        return realized

    def pay(self, qty: Decimal) -> Decimal:
        """Give `qty` of it away, as a fee: the average of the rest stays, and the loss is returned as a negative."""
        share = qty / self.qty
        lost = self.cost * share
        self.cost -= lost
        self.day_cost -= self.day_cost * share
        self.qty -= qty
        self.realized -= lost
        return -lost


@dataclass(frozen=True, slots=True)
class Figures:
    """An account at one moment, in dollars. Short values are negative; buying powers have working orders taken
    off.
    """

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    equity: Decimal
    initial: Decimal
    maintenance: Decimal
    reserved: Decimal
    multiplier: int
    regt_buying_power: Decimal
    options_buying_power: Decimal
    non_marginable_buying_power: Decimal

    @property
    def buying_power(self) -> Decimal:
        return self.regt_buying_power if self.multiplier > 1 else self.non_marginable_buying_power


@dataclass(slots=True)
class Configuration:
    """What GET/PATCH /v2/account/configurations holds."""

    fractional_trading: bool = True
    max_margin_multiplier: str = "4"
    max_options_trading_level: int = 3
    no_shorting: bool = False
    ptp_no_exception_entry: bool = False
    suspend_trade: bool = False
    trade_confirm_email: str = "all"
    disable_overnight_trading: bool = False


@dataclass(slots=True, eq=False)
class Account:
    """The books of one key id."""

    key: str
    id: str
    number: str
    created_ns: int
    cash: Decimal
    multiplier: int
    activities: Activities = field(default_factory=Activities)
    configuration: Configuration = field(default_factory=Configuration)
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    by_client_id: dict[str, Order] = field(default_factory=dict)
    _open: dict[str, Order] = field(default_factory=dict)
    opening_cash: Decimal = ZERO
    last_equity: Decimal = ZERO
    last_close_ns: int = 0
    """When the `last_…` figures were taken; 0: when the account was opened."""
    last_maintenance: Decimal = ZERO
    fees: Decimal = ZERO
    # (venue time in ns, equity), one a minute: what the portfolio history is made of.
    equity_samples: list[tuple[int, Decimal]] = field(default_factory=list)
    realized: Decimal = ZERO
    options_approved_level: int = 3
    # Options that are not to be exercised at their expiry.
    do_not_exercise: set[str] = field(default_factory=set)
    crypto_volume: Volume = field(default_factory=Volume)

    def __post_init__(self) -> None:
        self.opening_cash = self.cash
        self.last_equity = self.cash

    @property
    def options_level(self) -> int:
        """0 nothing, 1 covered calls and cash-secured puts, 2 long options, 3 spreads."""
        return min(self.options_approved_level, self.configuration.max_options_trading_level)

    def position(self, symbol: str) -> Position | None:
        """The open position, if there is one."""
        found = self.positions.get(symbol)
        return found if found is not None and found.qty else None

    def qty(self, symbol: str) -> Decimal:
        """Signed shares held."""
        found = self.positions.get(symbol)
        return found.qty if found is not None else ZERO

    def open_orders(self, symbol: str | None = None, *, without: Order | None = None) -> list[Order]:
        """Open orders in the order of submission; `without` leaves out the family of the one that is about to be
        replaced.
        """
        if without is None and symbol is None:
            return list(self._open.values())
        left_out = () if without is None else without.family
        return [o for o in self._open.values() if symbol in {None, o.symbol} and o not in left_out]

    def holding_orders(self, symbol: str, *, without: Order | None = None) -> list[Order]:
        """Open orders that close the position and so hold its shares."""
        return [o for o in self.open_orders(symbol, without=without) if o.holds]

    def add_order(self, order: Order) -> None:
        """An order that was accepted: from now on its client order id is burnt."""
        self.orders[order.id] = self.by_client_id[order.client_order_id] = self._open[order.id] = order

    def order_ended(self, order: Order) -> None:
        """It holds neither shares nor buying power any more."""
        self._open.pop(order.id, None)

    def held(self, symbol: str) -> Decimal:
        """Shares that working orders already close."""
        return sum((o.leaves for o in self.holding_orders(symbol)), ZERO)

    def reserved(self) -> tuple[Decimal, Decimal]:
        """Buying power that open orders hold (sell-to-close and buy-to-cover hold none), and how much of it is free of
        margin's share.
        """
        whole = free = ZERO
        for order in self._open.values():
            if order.unit_reserve:
                # A third of a dollar a contract, three times, is a dollar again.
                held = (order.unit_reserve * order.leaves).quantize(FINEST)
                whole += held
                free += held * order.reserve_rate
        return whole, free

    def book_fill(self, order: Order, qty: Decimal, price: Decimal) -> Decimal:
        """Cash and position after one execution; returns the signed position."""
        return self.book(order.symbol, order.side, qty, price, order.multiplier)

    def book(self, symbol: str, side: Side, qty: Decimal, price: Decimal, multiplier: int = 1) -> Decimal:
        """Cash and position after `qty` came (or went) at `price`; returns the signed position."""
        position = self.positions.setdefault(symbol, Position(symbol, multiplier=multiplier))
        self.realized += position.apply(side, qty, price)
        self.cash += (-qty if side == "buy" else qty) * price * multiplier
        left = position.qty
        if not left:
            del self.positions[symbol]
        return left

    def book_fee(self, amount: Decimal) -> None:
        """A fee leaves the cash at once."""
        self.cash -= amount
        self.fees += amount

    def book_coin_fee(self, symbol: str, qty: Decimal) -> None:
        """A fee that is taken from the coins just bought."""
        position = self.positions[symbol]
        self.realized += position.pay(qty)
        if not position.qty:
            del self.positions[symbol]

    def options(self, prices: Valuation, *, change: dict[str, Decimal] | None = None) -> dict[str, list[Held]]:
        """Option positions by underlying, with `change` (symbol → signed contracts) added."""
        found: dict[str, list[Held]] = {}
        for symbol in (*self.positions, *(name for name in change or () if name not in self.positions)):
            contract = prices.contract(symbol)
            if contract is None:
                continue
            qty = self.qty(symbol) + (change or {}).get(symbol, ZERO)
            if qty:
                found.setdefault(contract.underlying_symbol, []).append(Held(contract, qty))
        return found

    def _owed(self, legs: list[Held], prices: Valuation, underlying: str) -> Decimal:
        """What the calls on shares are worth: nothing is required for them, but the shares bring no more than the
        strike. Those that are not held yet are worth nothing.
        """
        calls = covered_calls(legs, self.qty(underlying))
        held = (leg for leg in calls if leg.contract.symbol in self.positions)
        return -sum((leg.qty * prices.mark(leg.contract.symbol) * leg.contract.multiplier for leg in held), ZERO)

    def needed(
        self, prices: Valuation, underlying: str, *, change: dict[str, Decimal] | None = None, later: bool = False
    ) -> Decimal:
        """What an underlying's options take: their requirement, and, where money is lent, what calls on shares are
        worth; else all is paid in cash, of which such calls hold none.
        """
        legs = self.options(prices, change=change).get(underlying, [])
        margin = requirement(legs, self.qty(underlying), prices.mark(underlying), later=later)
        return margin + (self._owed(legs, prices, underlying) if self.figures(prices).multiplier > 1 else ZERO)

    def figures(self, prices: Valuation, *, less_reserved: bool = True) -> Figures:
        """Equity, margins and buying powers at the marks given."""
        long_value = short_value = initial = maintenance = option_value = ZERO
        for symbol, position in self.positions.items():
            price = prices.mark(symbol)
            found = prices.asset(symbol)
            marginable = found is None or found.marginable
            value = position.qty * price * position.multiplier
            long_value += max(value, ZERO)
            short_value += min(value, ZERO)
            if found is not None and found.asset_class == "us_option":
                option_value += value
                continue
            initial += initial_margin(position.qty, price, marginable=marginable)
            maintenance += maintenance_margin(position.qty, price, marginable=marginable)
        option_margin = ZERO
        for underlying, legs in self.options(prices).items():
            margin = requirement(legs, self.qty(underlying), prices.mark(underlying), later=prices.later)
            option_value += self._owed(legs, prices, underlying)
            option_margin += margin
            initial, maintenance = initial + margin, maintenance + margin
        equity = self.cash + long_value + short_value
        reserved, reserved_free = self.reserved() if less_reserved else (ZERO, ZERO)
        # Options lend nothing: their value is no buying power, and premiums don't lower the requirement.
        excess = max(equity - option_value - initial, ZERO)
        allowed = min(self.multiplier, int(Decimal(self.configuration.max_margin_multiplier)))
        multiplier = allowed if equity >= MARGIN_MINIMUM_EQUITY else 1
        # Where nothing is lent all is paid in cash, options too, and what secures them is cash.
        secured = ZERO if multiplier > 1 else option_margin
        paid = max(min(self.cash - secured, excess) - reserved, ZERO)
        return Figures(
            cash=self.cash,
            long_value=long_value,
            short_value=short_value,
            equity=equity,
            initial=initial,
            maintenance=maintenance,
            reserved=reserved,
            multiplier=multiplier,
            regt_buying_power=max((excess - reserved_free) * 2, ZERO),
            options_buying_power=max(excess - reserved_free, ZERO) if multiplier > 1 else paid,
            non_marginable_buying_power=paid,
        )

    def roll_day(self, prices: Valuation, now_ns: int) -> None:
        """The close of a trading day: today's figures become `last_…`, positions enter the next day at the close."""
        self.last_close_ns = now_ns
        now = self.figures(prices, less_reserved=False)
        self.last_equity, self.last_maintenance = now.equity, now.maintenance
        for symbol, position in self.positions.items():
            position.day_cost = position.qty * prices.mark(symbol) * position.multiplier
