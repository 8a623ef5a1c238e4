"""What an order would do to an account: margin before and after, what it takes, and where the worst lies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from runner._engine import MarginAccount, MarginFigures, MarginRates, UncoveredError, nano_product, order_unit_value
from runner.margin.options import (
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
from runner.margin.symbols import plain_symbol

_LEG = re.compile(r"([+-])(?:(\d+)\*)?([A-Z][A-Z0-9./]*)", re.ASCII)
#: Of less equity nothing is lent, and nothing sold short.
MARGIN_MINIMUM = Decimal(2_000)
# What is larger than these can't be multiplied in the engine's integers.
_MOST_DOLLARS, _MOST_UNITS, _MOST_PRICE = Decimal(10**13), Decimal(10**12), Decimal(10**7)
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
    qty: Decimal

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
    """The answer. `refusal` is a stable code, None where the order would be taken. Amounts are dollars.

    `held_back` is what the broker leaves of options buying power less than the positions do.
    """

    before: dict[str, Decimal]
    after: dict[str, Decimal] | None
    cost_basis: Decimal | None
    net: Decimal | None
    available: Decimal | None
    worst: ExpiryLoss | None
    refusal: str | None
    reason: str | None
    held_back: Decimal = Decimal(0)

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
            "held_back": shown(self.held_back),
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
    numbers: dict[str, Decimal] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word in {"@", "x"}:
            if word in numbers:
                raise OrderTextError(f"{word} stands twice, an order has one price and one number of units")
            numbers[word] = _number(words[at + 1] if at + 1 < len(words) else "", word)
            at += 2
            continue
        found = _LEG.fullmatch(word)
        if found is None:
            raise OrderTextError(
                f"`{word}` is no leg, write one as +SYMBOL, -SYMBOL or +2*SYMBOL, then @ PRICE and x UNITS"
            )
        sign, ratio, symbol = found.groups()
        try:
            legs.append((plain_symbol(symbol), (1 if sign == "+" else -1) * int(ratio or 1)))
        except ValueError as error:
            raise OrderTextError(str(error)) from None
        at += 1
    if not legs or "@" not in numbers:
        raise OrderTextError("an order has at least one leg and a price, such as +AAPL250117C00190000 @ 3.80")
    return _sound(legs, numbers["@"], numbers.get("x", Decimal(1)))


def _number(text: str, word: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise OrderTextError(f"`{text}` after {word} is not a number") from None
    if not number.is_finite() or abs(number) > (_MOST_PRICE if word == "@" else _MOST_UNITS):
        raise OrderTextError(f"`{text}` after {word} is out of range")
    return number


def _sound(legs: list[tuple[str, int]], price: Decimal, qty: Decimal) -> OrderText:
    if len(legs) == 1:  # of one leg the price is the leg's, so that a ratio is only another way to say how many
        (symbol, ratio) = legs[0]
        legs, qty = [(symbol, 1 if ratio > 0 else -1)], qty * abs(ratio)
        if price <= 0:
            raise OrderTextError(f"@ {price:f}: the price of one leg is above 0; a sign before the leg buys or sells")
    order = OrderText(tuple(legs), price, qty)
    if len(legs) > 1 and not order.options:
        raise OrderTextError("several legs must all be option contracts")
    if qty <= 0:
        raise OrderTextError(f"x {qty:f}: units are a number above 0")
    if qty * max(abs(ratio) for _, ratio in legs) > _MOST_UNITS:
        raise OrderTextError("its units are out of range")
    if order.options and qty != qty.to_integral_value():
        raise OrderTextError(f"x {qty:f}: contracts are whole")
    return order


def what_if(
    held: Sequence[Held],
    order: OrderText | None,
    *,
    cash: Decimal,
    multiplier: int = 2,
    level: int = 3,
    calculator: AlpacaOptionsMarginCalculator | None = None,
    broker: Mapping[str, Decimal] | None = None,
) -> WhatIf:
    """Work it out. `broker`: buying powers that the broker tells, by name; where they are less, the rest is held back.

    Raises ValueError for symbols and numbers that make no sense.
    """
    calculator = calculator or AlpacaOptionsMarginCalculator()
    account = MarginAccount(multiplier=multiplier, expirations=calculator.expirations)
    account.set_cash(to_nano(_bounded("cash", cash, _MOST_DOLLARS)))
    held = _rows(held, order)
    for row in held:
        _hold(account, row)
    try:
        before = figures(account.figures())
        held_back = _less(before, broker, "options_buying_power")
        account.reserve("working orders", to_nano(held_back))
        before = figures(account.figures())
    except UncoveredError as error:
        return WhatIf({}, None, None, None, None, None, "OPTIONS_UNCOVERED", f"before the order {error.args[0]}")
    # Of shares a working order holds half, but none of its price can buy a coin.
    coins = _less(before, broker, "non_marginable_buying_power")
    before["non_marginable_buying_power"] -= coins
    options = [OptionPosition(row.symbol, int(row.qty)) for row in held if OCC.fullmatch(row.symbol)]
    shares = {row.symbol: int(row.qty) for row in held if not OCC.fullmatch(row.symbol) and row.qty > 0}
    if order is None:
        worst = _worst(calculator, options, shares)
        return WhatIf(before, None, None, None, None, worst, None, None, held_back)
    if order.options:
        found = _options(account, order, held, before, cash, multiplier, level, calculator)
    else:
        found = _shares(account, order, held, before, cash, multiplier)
    if found.after is not None:
        left = found.after["non_marginable_buying_power"] - coins
        found.after["non_marginable_buying_power"] = max(left, Decimal(0))
    return replace(found, held_back=held_back)


def _less(own: dict[str, Decimal], broker: Mapping[str, Decimal] | None, name: str) -> Decimal:
    """By how much the broker leaves less than these figures do."""
    told = (broker or {}).get(name)
    return Decimal(0) if told is None else max(own[name] - told, Decimal(0))


def _rows(held: Sequence[Held], order: OrderText | None) -> list[Held]:
    """The positions, that which the order is of at its price where it has none."""
    seen: set[str] = set()
    rows = []
    for row in held:
        if row.symbol in seen:
            raise ValueError(f"{row.symbol} stands in two positions, add them up")
        seen.add(row.symbol)
        ordered = order is not None and len(order.legs) == 1 and row.symbol == order.legs[0][0]
        rows.append(replace(row, price=order.price) if order and ordered and row.price is None else row)
    return rows


def _options(
    account: MarginAccount,
    order: OrderText,
    held: Sequence[Held],
    before: dict[str, Decimal],
    cash: Decimal,
    multiplier: int,
    level: int,
    calculator: AlpacaOptionsMarginCalculator,
) -> WhatIf:
    rows = {row.symbol: row for row in held if OCC.fullmatch(row.symbol)}
    positions = {symbol: int(row.qty) for symbol, row in rows.items()}
    legs = [OptionLeg(symbol, abs(ratio), _intent(ratio, positions.get(symbol, 0))) for symbol, ratio in order.legs]
    options = [OptionPosition(symbol, qty) for symbol, qty in positions.items()]
    shares = {row.symbol: int(row.qty) for row in held if row.symbol not in rows and row.qty > 0}
    refusal = calculator.validate_order(legs, qty=int(order.qty), level=level, positions=options, shares=shares)
    if refusal is not None:
        return WhatIf(before, None, None, None, None, None, refusal, REASONS[refusal])
    available = before["options_buying_power"]
    try:
        cost = cost_basis(account, order.legs, net_price=order.net, qty=int(order.qty))
        if not _lends(before, multiplier):  # all is paid in cash, of which calls on shares hold none
            amount = cost.after.amount - cost.before.amount + cost.net
            cost = replace(cost, amount=max(amount, Decimal(0)), owed=Decimal(0))
        account.set_cash(to_nano(cash - cost.net))
        worths = _worths(order, rows)
        for symbol, ratio in order.legs:
            worth = to_nano(worths.get(symbol, Decimal(0)))
            account.set_option(symbol, positions.get(symbol, 0) + ratio * int(order.qty), worth)
        after = figures(account.figures())
    except UncoveredError as error:
        return WhatIf(before, None, None, None, available, None, "OPTIONS_UNCOVERED", error.args[0])
    # Nobody says what each leg is worth, where more than one of them has no price: what is paid for all of them.
    after["equity"] = before["equity"]
    after["buying_power"] = after["options_buying_power"] * (multiplier if _lends(after, multiplier) else 1)
    refused = cost.amount > available
    reason = f"it takes {cost.amount:,f} USD of options buying power, {available:,f} USD are left" if refused else None
    return WhatIf(
        before, after, cost.amount, cost.net, available, cost.after, "OPTIONS_BUYING_POWER" if refused else None, reason
    )


def _worths(order: OrderText, rows: Mapping[str, Held]) -> dict[str, Decimal]:
    """What one of each leg is worth: as it is held; of the others what the price leaves, which is told of one of them.

    So the order changes no equity, by which money is lent or not, and what a call on shares is worth is owed.
    """
    worths = {symbol: price for symbol, _ in order.legs if symbol in rows and (price := rows[symbol].price) is not None}
    left = order.net - sum((ratio * worths.get(symbol, Decimal(0)) for symbol, ratio in order.legs), Decimal(0))
    for symbol, ratio in order.legs:
        if symbol not in worths and left * ratio > 0:
            worths[symbol] = (left / ratio).quantize(Decimal("1e-9"))
            break
    return worths


def _lends(before: Mapping[str, Decimal], multiplier: int) -> bool:
    return before["equity"] >= MARGIN_MINIMUM and multiplier > 1


def _shares(
    account: MarginAccount,
    order: OrderText,
    held: Sequence[Held],
    before: dict[str, Decimal],
    cash: Decimal,
    multiplier: int,
) -> WhatIf:
    (symbol, ratio), price = order.legs[0], to_nano(order.price)
    qty = ratio * order.qty
    old = next((row for row in held if row.symbol == symbol), Held(symbol, Decimal(0)))
    opens, lends = old.qty == 0 or (old.qty > 0) == (qty > 0), _lends(before, multiplier)
    if not opens and abs(qty) > abs(old.qty):
        reason = f"{abs(qty):f} is more than the {abs(old.qty):f} held: one order can't turn a position over"
        return WhatIf(before, None, None, None, None, None, "QUANTITY", reason)
    if opens and qty < 0 and (why := _not_shortable(symbol, qty, lends=lends)) is not None:
        return WhatIf(before, None, None, None, None, None, "NOT_SHORTABLE", why)
    unit = order_unit_value(qty > 0, price, price) or price
    if "/" not in symbol and lends:
        # Of twice the excess a position takes twice its initial margin, which may be more than its price.
        unit = max(unit, _rates(old).initial(2 * NANO if qty > 0 else -2 * NANO, unit))
    cost = to_dollars(nano_product(to_nano(abs(qty)), unit)) if opens else Decimal(0)
    net = order.price * qty
    power = "buying_power" if "/" not in symbol else "non_marginable_buying_power"
    available = before[power]
    account.set_cash(to_nano(cash - net))
    # What is held is worth what it was: a limit far from the market moves no price.
    _hold(account, Held(symbol, old.qty + qty, order.price if old.price is None else old.price, old.percent))
    try:
        after = figures(account.figures())
    except UncoveredError as error:
        return WhatIf(before, None, cost, net, available, None, "OPTIONS_UNCOVERED", error.args[0])
    if opens and qty > 0:  # it holds its price until it is filled
        after[power] = min(after[power], max(available - cost, Decimal(0)))
    refused = cost > available
    why = f"it takes {cost:,f} USD of buying power, {available:,f} USD are left" if refused else None
    return WhatIf(before, after, cost, net, available, None, "BUYING_POWER" if refused else None, why)


def _not_shortable(symbol: str, qty: Decimal, *, lends: bool) -> str | None:
    if "/" in symbol:
        return "coins can't be sold short"
    if qty != qty.to_integral_value():
        return f"{abs(qty):f}: only whole shares are sold short"
    if not lends:
        return "shares are sold short only on margin, which needs 2,000 USD of equity and a multiplier of 2"
    return None


REASONS = {
    "OPTIONS_LEVEL": "the account's options level is too low: 1 closes, writes covered calls and cash-secured puts, "
    "2 buys, 3 takes several legs",
    "MLEG_LEG_COUNT": "a multi-leg order has two to four legs",
    "MLEG_UNDERLYING_MISMATCH": "all legs must be of one underlying",
    "MLEG_DUPLICATE_LEG": "a contract stands in two legs",
    "MLEG_RATIO": "the legs' ratios have a common divisor, write 2:1 instead of 4:2",
    "MLEG_UNCOVERED_SHORT": "every sold leg must be covered by a bought one of the order that expires no earlier",
    "OPTIONS_UNCOVERED": "a call sold by itself is covered by shares alone that no other short call needs",
    "POSITION_INTENT": "it closes more than is held",
    "OPTIONS_QUANTITY": "units and ratios are whole numbers above 0",
}


def figures(found: MarginFigures) -> dict[str, Decimal]:
    """The figures that are shown, in dollars."""
    return {name: to_dollars(getattr(found, name)) for name in FIGURES}


def _hold(account: MarginAccount, row: Held) -> None:
    qty = _bounded(row.symbol, row.qty, _MOST_UNITS)
    price = to_nano(_bounded(row.symbol, row.price or Decimal(0), _MOST_PRICE))
    if OCC.fullmatch(row.symbol):
        if qty != qty.to_integral_value():
            raise ValueError(f"{row.symbol}: contracts are whole, not {qty:f}")
        account.set_option(row.symbol, int(qty), price)
    elif qty < 0 and row.price is None:
        raise ValueError(f"{row.symbol} is short: give its price, what it asks for goes by that")
    else:
        account.set_position(row.symbol, to_nano(qty), price, _rates(row))


def _rates(row: Held) -> MarginRates:
    return MarginRates(marginable="/" not in row.symbol, long_percent=row.percent, short_percent=row.percent)


def _bounded(name: str, value: Decimal, most: Decimal) -> Decimal:
    if not value.is_finite() or abs(value) > most:
        raise ValueError(f"{name}: {value} is out of range")
    return value


def _worst(
    calculator: AlpacaOptionsMarginCalculator, options: list[OptionPosition], shares: dict[str, int]
) -> ExpiryLoss | None:
    roots = calculator.calculate_maintenance_margin(options, shares=shares).roots
    return max(roots, key=lambda root: root.amount, default=None)


def _intent(ratio: int, held: int) -> Intent:
    if ratio > 0:
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"
