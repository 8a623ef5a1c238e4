"""The Universal Spread Rule and order cost basis, for a script, a notebook or `runner margin`.

Amounts are dollars as `Decimal`, exact; contracts are whole and negative where short; symbols are OCC's, unpadded.
Source: docs.alpaca.markets "Options Level 3 Trading" and "Options Trading Overview".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from runner._engine import MarginAccount, MarginRates, UncoveredError, option_order_refusal, option_requirement

__all__ = [
    "AlpacaOptionsMarginCalculator",
    "CostBasis",
    "ExpiryLoss",
    "OptionLeg",
    "OptionPosition",
    "OptionsMargin",
    "UncoveredError",
]

Expirations = Literal["per_date", "from_date"]
Intent = Literal["buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"]
NANO = 10**9
MULTIPLIER = 100
OCC = re.compile(r"([A-Z][A-Z0-9]{0,5}?)(\d{6})([CP])(\d{8})")
_ZERO = Decimal(0)
_RATES = MarginRates()


@dataclass(frozen=True, slots=True)
class OptionPosition:
    """`qty` contracts of one series, negative where short. Raises ValueError for what is no OCC symbol."""

    symbol: str
    qty: int

    def __post_init__(self) -> None:
        parse_symbol(self.symbol)

    @property
    def root(self) -> str:
        return parse_symbol(self.symbol)[0]

    @property
    def expiry(self) -> date:
        return parse_symbol(self.symbol)[1]

    @property
    def is_call(self) -> bool:
        return parse_symbol(self.symbol)[2]

    @property
    def strike(self) -> Decimal:
        """Dollars a share."""
        return parse_symbol(self.symbol)[3]


@dataclass(frozen=True, slots=True)
class OptionLeg:
    """One leg of an order: `ratio` contracts in each unit of it, with what it does to the position."""

    symbol: str
    ratio: int
    intent: Intent

    @property
    def signed(self) -> int:
        return self.ratio if self.intent.startswith("buy") else -self.ratio


@dataclass(frozen=True, slots=True)
class ExpiryLoss:
    """Where the options of one root lose most: `amount` dollars, with the underlying at `price` on `expiry`."""

    root: str
    amount: Decimal
    price: Decimal
    expiry: date | None


@dataclass(frozen=True, slots=True)
class OptionsMargin:
    """The maintenance requirement of a portfolio: the sum over roots, and each root's own."""

    amount: Decimal
    roots: tuple[ExpiryLoss, ...]


@dataclass(frozen=True, slots=True)
class CostBasis:
    """What an order takes of options buying power: `amount` = `after` - `before` + `owed` + `net`, at least 0. Dollars.

    `net` is what is paid (positive) or got for the whole order; `before` and `after` are the requirements of its root;
    `owed` is by how much what calls on shares are worth rises, 0 where no prices are known.
    """

    amount: Decimal
    net: Decimal
    before: ExpiryLoss
    after: ExpiryLoss
    owed: Decimal = _ZERO


class AlpacaOptionsMarginCalculator:
    """Margin of options as Alpaca works it out.

    Parameters
    ----------
    expirations
        How dates are told apart where they differ, which Alpaca's page leaves open: "per_date" (default) takes each by
        itself, helped by later longs that no later short needs; "from_date" takes at each all that is still alive.

    """

    def __init__(self, *, expirations: Expirations = "per_date") -> None:
        self.expirations: Expirations = expirations

    def calculate_maintenance_margin(
        self, positions: Iterable[OptionPosition], *, shares: Mapping[str, int] | None = None
    ) -> OptionsMargin:
        """The requirement of all option positions together.

        Parameters
        ----------
        positions
            In any order; several rows of one series add up.
        shares
            Whole long shares by underlying: a hundred cover one short call.

        Raises UncoveredError where a short call is covered by nothing.
        """
        by_root: dict[str, list[OptionPosition]] = {}
        for position in positions:
            by_root.setdefault(position.root, []).append(position)
        roots = tuple(self._loss(root, rows, (shares or {}).get(root, 0)) for root, rows in sorted(by_root.items()))
        return OptionsMargin(sum((root.amount for root in roots), _ZERO), roots)

    def calculate_order_cost_basis(
        self,
        legs: Sequence[OptionLeg],
        *,
        net_price: Decimal,
        qty: int = 1,
        positions: Iterable[OptionPosition] = (),
        shares: Mapping[str, int] | None = None,
    ) -> CostBasis:
        """What an order takes from options buying power, given what is held.

        Parameters
        ----------
        legs
            Of one root.
        net_price
            Dollars a share that one unit costs: positive is paid, negative is got.
        qty
            Units.
        positions, shares
            What is held before; without them, Alpaca's worked rule for the order alone.

        Raises UncoveredError where a short call would be covered by nothing, ValueError for legs of several roots, and
        for ratios and units that are no whole numbers above 0.
        """
        if not legs:
            raise ValueError("an order has at least one leg")
        if qty <= 0 or any(leg.ratio <= 0 for leg in legs):
            raise ValueError("units and ratios are whole numbers above 0")
        root = parse_symbol(legs[0].symbol)[0]
        account = MarginAccount(expirations=self.expirations)
        held: dict[str, int] = {}
        for position in positions:
            held[position.symbol] = held.get(position.symbol, 0) + position.qty
        for symbol, contracts in held.items():
            account.set_option(symbol, contracts, 0)
        account.set_position(root, (shares or {}).get(root, 0) * NANO, NANO, _RATES)
        return cost_basis(account, [(leg.symbol, leg.signed) for leg in legs], net_price=net_price, qty=qty)

    def validate_order(
        self,
        legs: Sequence[OptionLeg],
        *,
        qty: int = 1,
        level: int = 3,
        positions: Iterable[OptionPosition] = (),
        shares: Mapping[str, int] | None = None,
    ) -> str | None:
        """The stable code of why an order is not taken whatever money there is (`OPTIONS_LEVEL`, `MLEG_RATIO`, …), or
        None. `level` is the account's options level, 0 to 3; `shares` are whole long shares by underlying.

        A call that is sold by itself is covered by shares alone that no other short call needs, as in the gate: a long
        call covers it within one order of several legs only.
        """
        positions = list(positions)
        held: dict[str, int] = {}
        for position in positions:
            held[position.symbol] = held.get(position.symbol, 0) + position.qty
        refusal = option_order_refusal(
            [(leg.symbol, leg.ratio, leg.intent, held.get(leg.symbol, 0)) for leg in legs], qty, level
        )
        if refusal is None and len(legs) == 1 and legs[0].intent == "sell_to_open":
            root, _, call, _ = parse_symbol(legs[0].symbol)
            lots = (shares or {}).get(root, 0) // MULTIPLIER - lots_needed(row for row in positions if row.root == root)
            if call and legs[0].ratio * qty > max(lots, 0):
                return "OPTIONS_UNCOVERED"
        return refusal

    def _loss(self, root: str, rows: list[OptionPosition], shares: int) -> ExpiryLoss:
        legs = [engine_leg(row) for row in rows]
        found = option_requirement(legs, shares, self.expirations)
        return ExpiryLoss(root, to_dollars(found.amount), Decimal(found.price) / 1000, _date(found.expiry))


def lots_needed(rows: Iterable[OptionPosition]) -> int:
    """Hundreds of shares without which short calls of one root are covered by nothing."""
    try:
        option_requirement([engine_leg(row) for row in rows], 0, "per_date")
    except UncoveredError as error:
        return int(error.args[2])
    return 0


def cost_basis(
    account: MarginAccount, legs: Sequence[tuple[str, int]], *, net_price: Decimal, qty: int = 1
) -> CostBasis:
    """What an order takes, given what an account holds: symbols with signed ratios of one root, dollars a share."""
    root = parse_symbol(legs[0][0])[0]
    cost = account.options_cost([(symbol, signed * qty) for symbol, signed in legs], to_nano(net_price), qty)
    before, after = (
        ExpiryLoss(root, to_dollars(found.amount), Decimal(found.price) / 1000, _date(found.expiry))
        for found in (cost.before, cost.after)
    )
    return CostBasis(to_dollars(cost.amount), to_dollars(cost.net), before, after, to_dollars(cost.owed))


def parse_symbol(symbol: str) -> tuple[str, date, bool, Decimal]:
    """Root, expiry, whether it is a call, and strike in dollars. Raises ValueError."""
    found = OCC.fullmatch(symbol)
    if found is None:
        raise ValueError(f"`{symbol}` is not an OCC option symbol, such as AAPL250117C00190000")
    root, day, right, mills = found.groups()
    try:
        expiry = datetime.strptime(day, "%y%m%d").date()  # noqa: DTZ007  # a date has no zone
    except ValueError:
        raise ValueError(f"`{symbol}` has no date of expiry: {day}") from None
    return root, expiry, right == "C", Decimal(int(mills)) / 1000


def engine_leg(position: OptionPosition) -> tuple[bool, int, int, int]:
    """As the engine takes it: call, strike in mills, expiry as YYMMDD, contracts."""
    _, expiry, call, strike = parse_symbol(position.symbol)
    return call, int(strike * 1000), int(f"{expiry:%y%m%d}"), position.qty


def to_nano(dollars: Decimal) -> int:
    """Nano-dollars. Raises ValueError for more than nine decimals."""
    scaled = dollars.scaleb(9)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{dollars} has more than nine decimals")
    return int(scaled)


def to_dollars(nano: int) -> Decimal:
    """Dollars, without zeros at the end."""
    value = Decimal(nano).scaleb(-9)
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def _date(yymmdd: int) -> date | None:
    return None if yymmdd == 0 else datetime.strptime(f"{yymmdd:06}", "%y%m%d").date()  # noqa: DTZ007
