"""What an order would do to an account: margin before and after, what it takes, and where the worst lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from runner._engine import MarginAccount, MarginFigures, MarginRates, UncoveredError, nano_product, order_unit_value
from runner.margin.options import (
    MULTIPLIER,
    NANO,
    OCC,
    AlpacaOptionsMarginCalculator,
    ExpiryLoss,
    Intent,
    OptionLeg,
    OptionPosition,
    cost_basis,
    to_dollars,
    to_nano,
)

_LEG = re.compile(r"([+-])(?:(\d+)\*)?([A-Z][A-Z0-9./]*)")
FIGURES = (
    "equity",
    "initial_margin",
    "maintenance_margin",
    "options_margin",
    "buying_power",
    "options_buying_power",
    "non_marginable_buying_power",
)


class OrderTextError(ValueError):
    """An order that can't be read; the text says what is wanted."""


@dataclass(frozen=True, slots=True)
class Held:
    """A position: `qty` is negative where short; `price` dollars a share, None where it is not known."""

    symbol: str
    qty: Decimal
    price: Decimal | None = None
    percent: int = 0


@dataclass(frozen=True, slots=True)
class OrderText:
    """An order as it was written: signed ratios by symbol, the net price of a unit, and units."""

    legs: tuple[tuple[str, int], ...]
    price: Decimal
    qty: int

    @property
    def options(self) -> bool:
        return all(OCC.fullmatch(symbol) for symbol, _ in self.legs)

    @property
    def net(self) -> Decimal:
        """Dollars a share paid (positive) or got. The price of one sold leg is what is got for it."""
        sold = len(self.legs) == 1 and self.legs[0][1] < 0
        return -self.price if sold else self.price


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer. `refusal` is a stable code, None where the order would be taken. Amounts are dollars."""

    before: dict[str, Decimal]
    after: dict[str, Decimal] | None
    cost_basis: Decimal | None
    net: Decimal | None
    available: Decimal | None
    worst: ExpiryLoss | None
    refusal: str | None
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: amounts as text."""

        def texts(figures: dict[str, Decimal] | None) -> dict[str, str] | None:
            return None if figures is None else {name: f"{value:f}" for name, value in figures.items()}

        def shown(value: Decimal | None) -> str | None:
            return None if value is None else f"{value:f}"

        worst = self.worst
        return {
            "before": texts(self.before),
            "after": texts(self.after),
            "cost_basis": shown(self.cost_basis),
            "net": shown(self.net),
            "available": shown(self.available),
            "worst": None
            if worst is None
            else {
                "root": worst.root,
                "loss": f"{worst.amount:f}",
                "price": f"{worst.price:f}",
                "expiry": None if worst.expiry is None else worst.expiry.isoformat(),
            },
            "allowed": self.refusal is None,
            "refusal": self.refusal,
            "reason": self.reason,
        }


def parse_order(text: str) -> OrderText:
    """`+AAPL250117P00190000 -2*AAPL250117P00195000 @ -1.80 x 5`: legs, the net price a share, units.

    A sign buys or sells, `2*` is a ratio. Of several legs the price is paid where positive and got where negative; of
    one it is the leg's price. Raises OrderTextError.
    """
    words = text.replace("@", " @ ").split()
    legs: list[tuple[str, int]] = []
    price: Decimal | None = None
    qty = 1
    at = 0
    while at < len(words):
        word = words[at]
        if word in {"@", "x"}:
            value = words[at + 1] if at + 1 < len(words) else ""
            try:
                number = Decimal(value)
            except InvalidOperation:
                raise OrderTextError(f"`{value}` after {word} is not a number") from None
            if word == "@":
                price = number
            elif number <= 0 or number != number.to_integral_value():
                raise OrderTextError(f"x {value}: units are a whole number above 0")
            else:
                qty = int(number)
            at += 2
            continue
        found = _LEG.fullmatch(word)
        if found is None:
            raise OrderTextError(
                f"`{word}` is no leg, write one as +SYMBOL, -SYMBOL or +2*SYMBOL, then @ PRICE and x UNITS"
            )
        sign, ratio, symbol = found.groups()
        legs.append((symbol, (1 if sign == "+" else -1) * int(ratio or 1)))
        at += 1
    if not legs or price is None:
        raise OrderTextError("an order has at least one leg and a price, such as +AAPL250117C00190000 @ 3.80")
    order = OrderText(tuple(legs), price, qty)
    if len(legs) > 1 and not order.options:
        raise OrderTextError("several legs must all be option contracts")
    return order


def what_if(
    held: Sequence[Held],
    order: OrderText | None,
    *,
    cash: Decimal,
    multiplier: int = 2,
    level: int = 3,
    calculator: AlpacaOptionsMarginCalculator | None = None,
) -> WhatIf:
    """Work it out. Raises ValueError for symbols and numbers that make no sense."""
    calculator = calculator or AlpacaOptionsMarginCalculator()
    account = MarginAccount(multiplier=multiplier, expirations=calculator.expirations)
    account.set_cash(to_nano(cash))
    for row in held:
        _hold(account, row)
    try:
        before = figures(account.figures())
    except UncoveredError as error:
        return WhatIf({}, None, None, None, None, None, "OPTIONS_UNCOVERED", f"before the order {error.args[0]}")
    options = [OptionPosition(row.symbol, int(row.qty)) for row in held if OCC.fullmatch(row.symbol)]
    shares = {row.symbol: int(row.qty) for row in held if not OCC.fullmatch(row.symbol) and row.qty > 0}
    if order is None:
        return WhatIf(before, None, None, None, None, _worst(calculator, options, shares), None, None)
    if order.options:
        return _options(account, order, before, options, level, calculator)
    return _shares(account, order, held, before)


def _options(
    account: MarginAccount,
    order: OrderText,
    before: dict[str, Decimal],
    options: list[OptionPosition],
    level: int,
    calculator: AlpacaOptionsMarginCalculator,
) -> WhatIf:
    positions = {row.symbol: row.qty for row in options}
    legs = [OptionLeg(symbol, abs(ratio), _intent(ratio, positions.get(symbol, 0))) for symbol, ratio in order.legs]
    refusal = calculator.validate_order(legs, qty=order.qty, level=level, positions=options)
    if refusal is not None:
        return WhatIf(before, None, None, None, None, None, refusal, REASONS[refusal])
    available = before["options_buying_power"]
    try:
        cost = cost_basis(account, order.legs, net_price=order.net, qty=order.qty)
    except UncoveredError as error:
        return WhatIf(before, None, None, None, available, None, "OPTIONS_UNCOVERED", error.args[0])
    after = dict(before)
    margin = cost.after.amount - cost.before.amount
    for name in ("initial_margin", "maintenance_margin", "options_margin"):
        after[name] += margin
    after["options_buying_power"] = max(available - margin - cost.net, Decimal(0))
    after["buying_power"] = max(before["buying_power"] - (margin + cost.net) * _times(before), Decimal(0))
    refused = cost.amount > available
    reason = f"it takes {cost.amount:,f} USD of options buying power, {available:,f} USD are left" if refused else None
    return WhatIf(
        before, after, cost.amount, cost.net, available, cost.after, "OPTIONS_BUYING_POWER" if refused else None, reason
    )


def _shares(account: MarginAccount, order: OrderText, held: Sequence[Held], before: dict[str, Decimal]) -> WhatIf:
    (symbol, ratio), price = order.legs[0], to_nano(order.price)
    qty = ratio * order.qty
    old = next((row for row in held if row.symbol == symbol), Held(symbol, Decimal(0)))
    opens = old.qty == 0 or (old.qty > 0) == (qty > 0)
    if not opens and abs(qty) > abs(old.qty):
        reason = f"{abs(qty)} is more than the {abs(old.qty):f} held: one order can't turn a position over"
        return WhatIf(before, None, None, None, None, None, "QUANTITY", reason)
    unit = order_unit_value(qty > 0, price, price) or price
    cost = to_dollars(nano_product(abs(qty) * NANO, unit)) if opens else Decimal(0)
    net = order.price * qty
    power = "buying_power" if "/" not in symbol else "non_marginable_buying_power"
    available = before[power]
    account.set_cash(to_nano(before["equity"] - _values(held) - net))
    _hold(account, Held(symbol, old.qty + qty, order.price, old.percent))
    try:
        after = figures(account.figures())
    except UncoveredError as error:
        return WhatIf(before, None, cost, net, available, None, "OPTIONS_UNCOVERED", error.args[0])
    refused = cost > available
    why = f"it takes {cost:,f} USD of buying power, {available:,f} USD are left" if refused else None
    return WhatIf(before, after, cost, net, available, None, "BUYING_POWER" if refused else None, why)


REASONS = {
    "OPTIONS_LEVEL": "the account's options level is too low: 1 closes, writes covered calls and cash-secured puts, "
    "2 buys, 3 takes several legs",
    "MLEG_LEG_COUNT": "a multi-leg order has two to four legs",
    "MLEG_UNDERLYING_MISMATCH": "all legs must be of one underlying",
    "MLEG_DUPLICATE_LEG": "a contract stands in two legs",
    "MLEG_RATIO": "the legs' ratios have a common divisor, write 2:1 instead of 4:2",
    "MLEG_UNCOVERED_SHORT": "every sold leg must be covered by a bought one of the order that expires no earlier",
    "OPTIONS_UNCOVERED": "a short call would be covered by nothing",
    "POSITION_INTENT": "it closes more than is held",
    "OPTIONS_QUANTITY": "units and ratios are whole numbers above 0",
}


def figures(found: MarginFigures) -> dict[str, Decimal]:
    """The figures that are shown, in dollars."""
    return {name: to_dollars(getattr(found, name)) for name in FIGURES}


def _hold(account: MarginAccount, row: Held) -> None:
    price = to_nano(row.price or Decimal(0))
    if OCC.fullmatch(row.symbol):
        if row.qty != row.qty.to_integral_value():
            raise ValueError(f"{row.symbol}: contracts are whole, not {row.qty:f}")
        account.set_option(row.symbol, int(row.qty), price)
    else:
        rates = MarginRates(marginable="/" not in row.symbol, long_percent=row.percent)
        account.set_position(row.symbol, to_nano(row.qty), price, rates)


def _values(held: Sequence[Held]) -> Decimal:
    per = {True: MULTIPLIER, False: 1}
    return sum((row.qty * (row.price or Decimal(0)) * per[bool(OCC.fullmatch(row.symbol))] for row in held), Decimal(0))


def _worst(
    calculator: AlpacaOptionsMarginCalculator, options: list[OptionPosition], shares: dict[str, int]
) -> ExpiryLoss | None:
    roots = calculator.calculate_maintenance_margin(options, shares=shares).roots
    return max(roots, key=lambda root: root.amount, default=None)


def _times(before: dict[str, Decimal]) -> Decimal:
    power = before["options_buying_power"]
    return before["buying_power"] / power if power else Decimal(1)


def _intent(ratio: int, held: int) -> Intent:
    if ratio > 0:
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"
