"""The limits of a file, by level: the top, an account, a strategy. Over all that apply, the tightest wins.

A limit is measured on what it stands on: an account's limit on a position by the account's own net position (the
broker nets over strategies), a strategy's by the strategy's own. Limits at the top hold for each account by itself,
save the order rate, which there counts the orders of the whole node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from runner.risk.state import NODE, Scope

Amount = Literal["max_order_qty", "max_order_notional", "max_position_notional"]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` orders within any `per_ns` nanoseconds of venue time."""

    count: int
    per_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """One level's limits; None is no limit. Notionals are in the instrument's quote currency (USD)."""

    max_order_qty: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_position_notional: Decimal | None = None
    max_orders: Rate | None = None
    state: str = "active"

    @classmethod
    def of(cls, section: Any) -> Limits:
        """From a section of the file (anything with the same field names); None is no limits at all."""
        if section is None:
            return cls()
        rate = section.max_orders
        return cls(
            max_order_qty=section.max_order_qty,
            max_order_notional=section.max_order_notional,
            max_position_notional=section.max_position_notional,
            max_orders=None if rate is None else Rate(rate.count, rate.per // timedelta(microseconds=1) * 1000),
            state=str(section.state),
        )


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit's value and where it stands in the file, so that a denial can say which one it was."""

    value: Decimal
    where: str


@dataclass(frozen=True, slots=True)
class LimitsBook:
    """All levels of one node. Accounts and strategies are known by their names in the file."""

    top: Limits = field(default_factory=Limits)
    accounts: Mapping[str, Limits] = field(default_factory=dict)
    strategies: Mapping[str, Limits] = field(default_factory=dict)
    # A book never changes, and is asked the same for every order.
    _found: dict[tuple[str, ...], Bound | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _rates: dict[tuple[str, str], tuple[tuple[Scope, Rate], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def levels(self, account: str, strategy: str) -> Iterator[tuple[Scope, Limits]]:
        """The levels that an order of this account and strategy stands under, widest first."""
        yield NODE, self.top
        if (limits := self.accounts.get(account)) is not None:
            yield Scope("account", account), limits
        if (limits := self.strategies.get(strategy)) is not None:
            yield Scope("strategy", strategy), limits

    def tightest(self, name: Amount, account: str, strategy: str) -> Bound | None:
        """The smallest value of one limit over all levels, or None where no level sets it."""
        key = (name, account, strategy)
        if key not in self._found:
            self._found[key] = _smallest(name, self.levels(account, strategy))
        return self._found[key]

    def of_account(self, name: Amount, account: str) -> Bound | None:
        """The smallest value over the top and the account, the levels that are measured on the account."""
        key = (name, account)
        if key not in self._found:
            levels = (level for level in self.levels(account, "") if level[0].kind != "strategy")
            self._found[key] = _smallest(name, levels)
        return self._found[key]

    def of_strategy(self, name: Amount, strategy: str) -> Bound | None:
        """The strategy's own value."""
        key = (name, "", strategy, "own")
        if key not in self._found:
            limits = self.strategies.get(strategy)
            self._found[key] = None if limits is None else _smallest(name, [(Scope("strategy", strategy), limits)])
        return self._found[key]

    def rates(self, account: str, strategy: str) -> tuple[tuple[Scope, Rate], ...]:
        """Every order rate that applies: a count per minute and one per hour can't be compared, so all are kept."""
        key = (account, strategy)
        found = self._rates.get(key)
        if found is None:
            levels = self.levels(account, strategy)
            found = tuple((scope, limits.max_orders) for scope, limits in levels if limits.max_orders is not None)
            self._rates[key] = found
        return found


def _smallest(name: Amount, levels: Any) -> Bound | None:
    best: Bound | None = None
    for scope, limits in levels:
        value = getattr(limits, name)
        if value is not None and (best is None or value < best.value):
            best = Bound(value, f"{scope.section}.{name}")
    return best
