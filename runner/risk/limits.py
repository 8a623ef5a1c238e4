"""The limits of a file, by level: the top, an account, a strategy. Over all that apply, the tightest wins.

A limit is measured on what it stands on: an account's limit on a position by the account's own net position (the
broker nets over strategies), a strategy's by the strategy's own. At the top, a limit on a position holds for each
account by itself; what is counted or added up (orders, cancels, fills, open orders, gross exposure, losses) is that of
the whole node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, overload

from runner._engine import RateLimits, RiskRules
from runner.config.risk import Portion
from runner.risk.codes import Denial
from runner.risk.exposure import NANO, ZERO, atto
from runner.risk.state import NODE, Scope

Amount = Literal[
    "max_order_qty",
    "max_order_notional",
    "max_position_notional",
    "collar_percent",
    "collar_absolute",
    "max_quote_age_ns",
    "duplicate_window_ns",
    "headroom",
]
Counted = Literal["max_orders", "max_cancels", "max_fills"]
Loss = Literal["max_daily_loss", "max_drawdown"]
_ALL = Decimal(1)
# The largest that the engine takes: a file may say more, and means that there is as good as no limit.
I64, I128 = 2**63 - 1, 2**127 - 1
# A limit whose name here is not the file's.
_KEYS = {
    "collar_percent": "price_collar",
    "collar_absolute": "price_collar",
    "max_quote_age_ns": "max_quote_age",
    "duplicate_window_ns": "duplicate_window",
    "headroom": "margin.headroom",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` within any `per_ns` nanoseconds of venue time."""

    count: int
    per_ns: int

    @property
    def window_ns(self) -> int:
        """`per_ns` as the engine takes it."""
        return min(self.per_ns, I64)


@dataclass(frozen=True, slots=True)
class UniverseLimits:
    """See `runner.config.risk.Universe`. Symbols may be patterns."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    sessions: tuple[str, ...] | None = None
    shorting: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """One level's limits; None is no limit. Notionals are in the instrument's quote currency (USD)."""

    max_order_qty: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_position_notional: Decimal | None = None
    max_orders: Rate | None = None
    state: str = "active"
    collar_percent: Decimal | None = None
    """A fraction of the quote's middle."""
    collar_absolute: Decimal | None = None
    max_quote_age_ns: int | None = None
    max_gross_exposure: Portion | None = None
    max_open_orders: int | None = None
    max_daily_loss: Portion | None = None
    max_drawdown: Portion | None = None
    daily_loss_rearms: str = "manual"
    max_cancels: Rate | None = None
    max_fills: Rate | None = None
    duplicate_window_ns: int | None = None
    self_match: bool = False
    """Whether an order that could trade with one of our own is denied."""
    universe: UniverseLimits | None = None
    headroom: Decimal | None = None
    """The fraction of the buying power that is never used; None where margin is not checked."""

    @classmethod
    def of(cls, section: Any) -> Limits:
        """From a section of the file (`runner.config.risk.RiskLimits`); None is no limits at all."""
        if section is None:
            return cls()
        collar, universe = section.price_collar, section.universe
        return cls(
            max_order_qty=section.max_order_qty,
            max_order_notional=section.max_order_notional,
            max_position_notional=section.max_position_notional,
            max_orders=_rate(section.max_orders),
            state=str(section.state),
            collar_percent=None if collar is None else collar.percent,
            collar_absolute=None if collar is None else collar.absolute,
            max_quote_age_ns=_ns(section.max_quote_age),
            max_gross_exposure=section.max_gross_exposure,
            max_open_orders=section.max_open_orders,
            max_daily_loss=section.max_daily_loss,
            max_drawdown=section.max_drawdown,
            daily_loss_rearms=section.daily_loss_rearms,
            max_cancels=_rate(section.max_cancels),
            max_fills=_rate(section.max_fills),
            duplicate_window_ns=_ns(section.duplicate_window),
            self_match=section.self_match == "deny",
            universe=None
            if universe is None
            else UniverseLimits(
                None if universe.allow is None else tuple(universe.allow),
                tuple(universe.deny),
                None if universe.sessions is None else tuple(universe.sessions),
                universe.shorting,
            ),
            headroom=None if section.margin is None else section.margin.headroom,
        )


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit's value and where it stands in the file, so that a denial can say which one it was."""

    value: Decimal
    where: str
    nanos: int = field(init=False, compare=False, repr=False)
    """The value in billionths."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nanos", int(self.value * NANO))


@dataclass(slots=True)
class Rules:
    """Everything that binds the orders of one account and strategy, worked out once."""

    order_qty: Bound | None
    order_notional: Bound | None
    position_of_account: Bound | None
    position_of_strategy: Bound | None
    collar_percent: Bound | None
    collar_absolute: Bound | None
    quote_age: Bound | None
    """In nanoseconds."""
    duplicates: Bound | None
    """In nanoseconds."""
    orders: tuple[tuple[Scope, Rate], ...]
    cancels: tuple[tuple[Scope, Rate], ...]
    fills: tuple[tuple[Scope, Rate], ...]
    open_orders: tuple[tuple[Scope, int], ...]
    gross: tuple[tuple[Scope, Portion], ...]
    self_match: str | None
    """Where it stands in the file; None where it is allowed."""
    headroom: Bound | None
    """None where margin is not checked."""
    universe: tuple[tuple[str, UniverseLimits], ...]
    """Each with where it stands in the file."""
    engine: RiskRules = field(init=False)
    """What of this is held against numbers, as the engine has it."""
    of_equity: bool = field(init=False)
    """Whether a limit on the gross exposure is a fraction of the equity, so that the engine is told of it each time."""
    open_sessions: frozenset[str] | None = field(init=False)
    """Those that all of `universe` allow; None where nothing is said."""
    sessions: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False)
    """What `universe` says of sessions."""
    symbols: dict[str, Denial | None] = field(init=False, default_factory=dict)
    """What `universe` says of each symbol that was asked for."""

    @property
    def quoted(self) -> bool:
        """Whether an order that opens needs a sound quote."""
        return not (self.collar_percent is None and self.collar_absolute is None and self.quote_age is None)

    def __post_init__(self) -> None:
        self.sessions = tuple((where, each.sessions) for where, each in self.universe if each.sessions is not None)
        sessions = [frozenset(each) for _, each in self.sessions]
        self.open_sessions = frozenset.intersection(*sessions) if sessions else None
        self.of_equity = any(limit.fraction is not None for _, limit in self.gross)
        self.engine = RiskRules(
            qty=None if self.order_qty is None else (_nanos(self.order_qty), self.order_qty.where),
            notional=None if self.order_notional is None else (_atto(self.order_notional), self.order_notional.where),
            position_of_account=_atto(self.position_of_account),
            position_of_strategy=_atto(self.position_of_strategy),
            gross=None
            if self.of_equity
            else [(scope.kind, min(atto(limit.amount or ZERO), I128)) for scope, limit in self.gross],
            open_orders=[(scope.kind, min(most, I64)) for scope, most in self.open_orders],
            collar_percent=_nanos(self.collar_percent),
            collar_absolute=_nanos(self.collar_absolute),
            quote_age_ns=_whole(self.quote_age),
            twins_ns=_whole(self.duplicates),
            self_match=self.self_match is not None,
            rates=[(scope.section, min(rate.count, I64), rate.window_ns) for scope, rate in self.orders],
            headroom=_nanos(self.headroom),
        )


@dataclass(frozen=True, slots=True)
class LimitsBook:
    """All levels of one node. Accounts and strategies are known by their names in the file."""

    top: Limits = field(default_factory=Limits)
    accounts: Mapping[str, Limits] = field(default_factory=dict)
    strategies: Mapping[str, Limits] = field(default_factory=dict)
    # A book never changes, and is asked the same for every order.
    _rules: dict[tuple[str, str], Rules] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rules(self, account: str, strategy: str) -> Rules:
        """What binds the orders of this account and strategy."""
        key = (account, strategy)
        found = self._rules.get(key)
        if found is None:
            found = self._rules[key] = self._make(account, strategy)
        return found

    def levels(self, account: str, strategy: str) -> Iterator[tuple[Scope, Limits]]:
        """The levels that an order of this account and strategy stands under, widest first."""
        yield NODE, self.top
        if (limits := self.accounts.get(account)) is not None:
            yield Scope("account", account), limits
        if (limits := self.strategies.get(strategy)) is not None:
            yield Scope("strategy", strategy), limits

    def scopes(self) -> Iterator[tuple[Scope, Limits]]:
        """Every level of the file."""
        yield NODE, self.top
        for name, limits in self.accounts.items():
            yield Scope("account", name), limits
        for name, limits in self.strategies.items():
            yield Scope("strategy", name), limits

    def tightest(self, name: Amount, account: str, strategy: str) -> Bound | None:
        """The smallest value of one limit over all levels, or None where no level sets it."""
        return _smallest(name, self.levels(account, strategy))

    def of_account(self, name: Amount, account: str) -> Bound | None:
        """The smallest value over the top and the account, the levels that are measured on the account."""
        return _smallest(name, (level for level in self.levels(account, "") if level[0].kind != "strategy"))

    def of_strategy(self, name: Amount, strategy: str) -> Bound | None:
        """The strategy's own value."""
        limits = self.strategies.get(strategy)
        return None if limits is None else _smallest(name, [(Scope("strategy", strategy), limits)])

    def rates(self, name: Counted, account: str, strategy: str) -> tuple[tuple[Scope, Rate], ...]:
        """Every rate that applies: a count per minute and one per hour can't be compared, so all are kept."""
        levels = self.levels(account, strategy)
        return tuple((scope, rate) for scope, limits in levels if (rate := getattr(limits, name)) is not None)

    def _make(self, account: str, strategy: str) -> Rules:
        levels = list(self.levels(account, strategy))
        return Rules(
            order_qty=self.tightest("max_order_qty", account, strategy),
            order_notional=self.tightest("max_order_notional", account, strategy),
            position_of_account=self.of_account("max_position_notional", account),
            position_of_strategy=self.of_strategy("max_position_notional", strategy),
            collar_percent=self.tightest("collar_percent", account, strategy),
            collar_absolute=self.tightest("collar_absolute", account, strategy),
            quote_age=self.tightest("max_quote_age_ns", account, strategy),
            # The longest window denies the most.
            duplicates=_smallest("duplicate_window_ns", levels, largest=True),
            orders=self.rates("max_orders", account, strategy),
            cancels=self.rates("max_cancels", account, strategy),
            fills=self.rates("max_fills", account, strategy),
            open_orders=tuple(
                (scope, limits.max_open_orders) for scope, limits in levels if limits.max_open_orders is not None
            ),
            gross=tuple(
                (scope, each.max_gross_exposure) for scope, each in levels if each.max_gross_exposure is not None
            ),
            self_match=next((f"{scope.section}.self_match" for scope, limits in levels if limits.self_match), None),
            headroom=_smallest("headroom", levels, largest=True),
            universe=tuple(
                (f"{scope.section}.universe", limits.universe)
                for scope, limits in levels
                if limits.universe is not None
            ),
        )


def share(held: Decimal, most: Decimal) -> Decimal:
    """How much of a limit is used; all of one that allows nothing, as a fraction of an equity that is lost does."""
    return max(held, ZERO) / most if most > 0 else _ALL


def rate_limits(rates: Iterable[tuple[Scope, Rate]]) -> RateLimits:
    """For the engine's windows, whose keys are the scopes' sections in the file."""
    return RateLimits([(scope.section, min(rate.count, I64), rate.window_ns) for scope, rate in rates])


@overload
def _nanos(bound: Bound) -> int: ...
@overload
def _nanos(bound: Bound | None) -> int | None: ...
def _nanos(bound: Bound | None) -> int | None:
    return None if bound is None else min(bound.nanos, I128)


@overload
def _atto(bound: Bound) -> int: ...
@overload
def _atto(bound: Bound | None) -> int | None: ...
def _atto(bound: Bound | None) -> int | None:
    return None if bound is None else min(atto(bound.value), I128)


def _whole(bound: Bound | None) -> int | None:
    return None if bound is None else min(int(bound.value), I64)


def _smallest(name: Amount, levels: Any, *, largest: bool = False) -> Bound | None:
    best: Bound | None = None
    for scope, limits in levels:
        value = getattr(limits, name)
        if value is not None and (best is None or (value > best.value if largest else value < best.value)):
            best = Bound(Decimal(value), f"{scope.section}.{_KEYS.get(name, name)}")
    return best


def _rate(section: Any) -> Rate | None:
    return None if section is None else Rate(section.count, section.per // timedelta(microseconds=1) * 1000)


def _ns(length: timedelta | None) -> int | None:
    return None if length is None else length // timedelta(microseconds=1) * 1000
