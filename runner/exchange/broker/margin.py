"""What option positions must keep as equity: the universal spread rule, in plain Decimal arithmetic.

Source: docs.alpaca.markets "Options Level 3 Trading": each option is a line over the underlying's price, bent at its
strike; the requirement is the worst sum, without premiums; of several expirations the largest counts. A long that
expires no sooner covers a short (the exchanges' rule), which is why a calendar spread can be opened at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from runner.exchange.contracts import OptionContract, OptionType

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Held:
    """Contracts of one series; `qty` is negative for a short."""

    contract: OptionContract
    qty: Decimal


def worst_loss(legs: Iterable[Held]) -> Decimal | None:
    """Dollars lost at the worst price of the underlying at expiry; None where a rising price has no worst.

    A sum of bent lines is worst at 0, at a strike, or (where calls are short on balance) nowhere.
    """
    known = [leg for leg in legs if leg.qty]
    if sum((leg.qty * leg.contract.multiplier for leg in known if leg.contract.type == "call"), ZERO) < 0:
        return None
    prices = {ZERO, *(leg.contract.strike for leg in known)}
    worth = (
        sum((leg.qty * leg.contract.multiplier * leg.contract.intrinsic(price) for leg in known), ZERO)
        for price in prices
    )
    return max(ZERO, -min(worth))


def option_margin(legs: Sequence[Held], *, later: bool = False) -> Decimal | None:
    """The requirement of the options of one underlying; None where a short call is uncovered.

    Of each expiration its own options count, and longs that expire later and are not needed there; with `later` all
    that expires later counts as well. Alpaca's examples don't tell the two apart.
    """
    most = ZERO
    pool: list[Held] = []
    for day in sorted({leg.contract.expiration_date for leg in legs}, reverse=True):
        own = [leg for leg in legs if leg.contract.expiration_date == day]
        alive = [leg for leg in legs if leg.contract.expiration_date >= day]
        loss = worst_loss(alive if later else [*own, *pool])
        if loss is None:
            return None
        most = max(most, loss)
        pool = [*_left_over(own, pool, "call"), *_left_over(own, pool, "put")]
    return most


def _left_over(own: Sequence[Held], pool: Sequence[Held], kind: OptionType) -> list[Held]:
    """Longs for earlier expirations: what the shorts of this one leave, which take what covers best (the lowest calls,
    the highest puts).
    """
    mine = [leg for leg in (*own, *pool) if leg.contract.type == kind]
    needed = -sum((leg.qty for leg in mine if leg.qty < 0), ZERO)
    longs = sorted((leg for leg in mine if leg.qty > 0), key=lambda leg: leg.contract.strike, reverse=kind == "put")
    rest = []
    for leg in longs:
        taken = min(needed, leg.qty)
        needed -= taken
        rest.append(replace(leg, qty=leg.qty - taken))
    return rest


def uncovered(legs: Sequence[Held], kind: OptionType) -> Decimal:
    """Contracts that are short without a long that expires as late: strikes do not matter."""
    mine = [leg for leg in legs if leg.contract.type == kind]
    days: set[date] = {leg.contract.expiration_date for leg in mine}
    from_day = (sum((leg.qty for leg in mine if leg.contract.expiration_date >= day), ZERO) for day in days)
    return max(ZERO, -min(from_day, default=ZERO))


def without_covered_calls(legs: Sequence[Held], shares: Decimal) -> tuple[list[Held], Decimal]:
    """The legs less the short calls that shares cover, and how many shares those take: the last to expire, the highest
    strikes first.
    """
    left = uncovered(legs, "call")
    taken = ZERO
    rest: list[Held] = []
    for leg in sorted(legs, key=lambda leg: (leg.contract.expiration_date, leg.contract.strike), reverse=True):
        size = leg.contract.size
        covered = ZERO
        if leg.contract.type == "call" and leg.qty < 0:
            covered = min(left, -leg.qty, max(shares - taken, ZERO) // size)
            left -= covered
            taken += covered * size
        rest.append(replace(leg, qty=leg.qty + covered))
    return rest, taken


def covered_calls(legs: Sequence[Held], shares: Decimal) -> list[Held]:
    """The short calls that shares cover."""
    rest, _ = without_covered_calls(legs, shares)
    before: dict[str, Decimal] = {leg.contract.symbol: leg.qty for leg in legs}
    changed = ((leg, before[leg.contract.symbol] - leg.qty) for leg in rest)
    return [replace(leg, qty=qty) for leg, qty in changed if qty]


def requirement(legs: Sequence[Held], shares: Decimal, price: Decimal, *, later: bool = False) -> Decimal:
    """The requirement of an underlying's options beside `shares` of it.

    A call that is short and covered by nothing (an assignment can leave one) needs what the shares would cost now:
    nobody may open such a position, so no rule of Alpaca's is known.
    """
    rest, _ = without_covered_calls(legs, shares)
    margin = option_margin(rest, later=later)
    if margin is not None:
        return margin
    naked = uncovered(rest, "call")
    cost = ZERO
    bounded: list[Held] = []
    for leg in sorted(rest, key=lambda leg: leg.contract.expiration_date, reverse=True):
        taken = min(naked, -leg.qty) if leg.contract.type == "call" and leg.qty < 0 else ZERO
        naked -= taken
        cost += taken * leg.contract.multiplier * max(price, leg.contract.strike)
        bounded.append(replace(leg, qty=leg.qty + taken))
    return cost + (option_margin(bounded, later=later) or ZERO)
