"""What an account's positions take of its equity, by the engine's margin arithmetic: Reg T and the spread rule.

One `MarginAccount` an account, told of a position only after something happened to it. Units there are nano-dollars and
nano-shares; here they are USD and base units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from nautilus_trader.model.enums import AssetClass, InstrumentClass
from nautilus_trader.model.identifiers import (
    generic_spread_id_to_list,
    is_generic_spread_id,
)

from runner._engine import MarginAccount, MarginRates, OptionCost, UncoveredError
from runner.risk.exposure import NANO, ZERO, decimal, nano
from runner.risk.ledger import Ledger
from runner.risk.positions import Positions

Legs = list[tuple[str, int]]
"""OCC symbol and signed contracts."""
_HALF = Decimal("0.5")
_OWNED = MarginRates(marginable=False, long_percent=100)
OCC = 15  # characters of an OCC symbol after its root
OPTION, SPREAD = InstrumentClass.OPTION, InstrumentClass.OPTION_SPREAD


class Uncovered(Exception):
    """Short calls that nothing covers: no requirement is enough."""


class Collateral:
    """Of every account that was ever asked about. `lends`: whether the broker lends to it."""

    def __init__(self, cache: Any, ledger: Ledger, positions: Positions, lends: Callable[[Any], bool]) -> None:
        self._cache = cache
        self._ledger = ledger
        self._positions = positions
        self._lends = lends
        self._accounts: dict[Any, MarginAccount] = {}
        self._dirty: dict[Any, set[Any]] = {}
        self._burdens: dict[Any, int] = {}
        self._secured: dict[Any, int] = {}  # as of the last burden

    def touch(self, account_id: Any, instrument_id: Any) -> None:
        """A position changed."""
        if (dirty := self._dirty.get(account_id)) is not None:
            dirty.add(instrument_id)
            self._burdens.pop(account_id, None)

    def mark(self) -> None:
        """Prices have moved. What has no price now is told of when it is asked for."""
        for account_id, dirty in self._dirty.items():
            dirty.update(self._positions.instruments(account_id))
            self._burdens.pop(account_id, None)
            with contextlib.suppress(LookupError):
                self.account(account_id)

    def known(self) -> list[Any]:
        return list(self._accounts)

    def burden(self, account_id: Any) -> int:
        """What of the equity is spoken for, in atto-dollars: initial margin, and long options, which nothing is lent
        on.

        Raises Uncovered, or LookupError where a price is unknown.
        """
        burden = self._burdens.get(account_id)
        if burden is None:
            try:
                figures = self.account(account_id).figures()
            except UncoveredError as error:
                raise Uncovered(str(error)) from error
            burden = self._burdens[account_id] = (figures.equity - figures.excess) * NANO
            self._secured[account_id] = figures.options_margin * NANO
        return burden

    def secured(self, account_id: Any) -> int:
        """What of the last burden the options ask for, in atto-dollars: where nothing is lent that is cash."""
        return self._secured.get(account_id, 0)

    def options_cost(self, account_id: Any | None, legs: Legs, debit: Decimal) -> Decimal:
        """What an options order of one root takes, in USD: `debit` is what is paid a share over all its contracts.

        By what it changes of the account's requirement; by its own legs alone where the account is None. Raises
        Uncovered.
        """
        account = MarginAccount() if account_id is None else self.account(account_id)
        try:
            cost = account.options_cost(legs, nano(debit), 1)
        except UncoveredError as error:
            raise Uncovered(str(error)) from error
        if account_id is None or self._lends(account_id):
            return decimal(cost.amount)
        # All is paid in cash, of which calls on shares hold none.
        return decimal(max(cost.after.amount - cost.before.amount + cost.net, 0))

    def freed(self, account_id: Any, before: Mapping[str, int], bought: Mapping[str, int]) -> Decimal:
        """What buying back contracts frees of the requirement of their root, and, where the broker lends, of what calls
        on shares are worth, in USD, once `before` is bought back too.

        Raises Uncovered.
        """
        account = self.account(account_id)
        both = [(symbol, before.get(symbol, 0) + bought.get(symbol, 0)) for symbol in {**before, **bought}]
        try:
            cost = account.options_cost(both, 0, 1)
            others = account.options_cost(list(before.items()), 0, 1) if before else None
        except UncoveredError as error:
            raise Uncovered(str(error)) from error
        first, owed = (cost.before, 0) if others is None else (others.after, others.owed)
        gone = owed - cost.owed if self._lends(account_id) else 0
        return decimal(first.amount - cost.after.amount + gone)

    def hedges(self, account_id: Any, symbol: str, contracts: int, *, working: int = 0) -> bool:
        """Whether buying so many contracts lowers what the account's short options of the root ask for.

        `working`: contracts of the root and the right that other orders buy already. Together they are no more than are
        held short and have no long one beside them: ever higher strikes would each lower it, and soon be a bet.
        """
        try:
            account = self.account(account_id)
        except LookupError:
            return False
        held = (instrument_id.symbol.value for instrument_id in self._positions.instruments(account_id))
        if contracts + working > -sum(account.held(each) for each in held if is_alike(each, symbol)):
            return False
        try:
            cost: OptionCost = account.options_cost([(symbol, contracts)], 0, 1)
        except (UncoveredError, ValueError):
            return False
        return cost.after.amount < cost.before.amount

    def account(self, account_id: Any) -> MarginAccount:
        """The engine's account, with everything that happened until now."""
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = MarginAccount()
            self._dirty[account_id] = set(self._positions.instruments(account_id))
        dirty = self._dirty[account_id]
        while dirty:
            instrument_id = dirty.pop()
            try:
                self._tell(account, account_id, instrument_id)
            except Exception:
                dirty.add(instrument_id)
                raise
        return account

    def _tell(self, account: MarginAccount, account_id: Any, instrument_id: Any) -> None:
        qty = self._positions.qty(instrument_id, account_id)
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            if not qty:
                return
            raise LookupError(f"{instrument_id} is not in the cache")
        if instrument.instrument_class == SPREAD:
            return
        symbol = instrument_id.symbol.value
        worth = self._ledger.mark_of(instrument_id) if qty else ZERO
        if instrument.instrument_class == OPTION and not is_option(instrument_id):
            # Its terms can't be read off its symbol: held, nothing is lent on it; sold short, nobody can tell.
            if qty < 0:
                raise Uncovered(f"the margin of a short {symbol} can't be told: it is no OCC symbol")
            account.set_position(symbol, nano(qty), nano(worth), _OWNED)
        elif instrument.instrument_class == OPTION:
            price = worth / instrument.multiplier.as_decimal() if qty else ZERO
            account.set_option(symbol, int(qty), nano(price))
        else:
            account.set_position(symbol, nano(qty), nano(worth), rates(instrument))


def rates(instrument: Any) -> MarginRates:
    """Reg T's, all of what is not marginable, and more where the asset's own margin says so."""
    return lent_rates(instrument) if marginable(instrument) else _OWNED


def lent_rates(instrument: Any) -> MarginRates:
    """The same, should it be marginable."""
    own = max(instrument.margin_init, instrument.margin_maint)
    if own <= _HALF:
        return MarginRates()
    percent = min(int((own * 100).to_integral_value(ROUND_CEILING)), 100)
    return MarginRates(long_percent=percent, short_percent=percent)


def marginable(instrument: Any) -> bool:
    if instrument.asset_class == AssetClass.CRYPTOCURRENCY:
        return False
    return (instrument.info or {}).get("marginable") is not False


def root_of(symbol: str) -> str:
    """The underlying of an OCC symbol; another symbol is its own."""
    return symbol[:-OCC] if len(symbol) > OCC else symbol


def is_alike(symbol: str, other: str) -> bool:
    """Whether two are options of one root and one right."""
    return min(len(symbol), len(other)) > OCC and root_of(symbol) == root_of(other) and symbol[-9] == other[-9]


def lots_needed(calls: Mapping[str, int]) -> int:
    """Of signed contracts by OCC symbol: the short ones without a long one that expires no sooner."""
    by_day: dict[str, int] = {}
    for symbol, contracts in calls.items():
        by_day[symbol[-OCC:-9]] = by_day.get(symbol[-OCC:-9], 0) + contracts
    worst = net = 0
    for day in sorted(by_day, reverse=True):
        net += by_day[day]
        worst = min(worst, net)
    return -worst


def is_option(instrument_id: Any) -> bool:
    """Whether it is a contract, or several at once."""
    return len(instrument_id.symbol.value) > OCC


def legs_of(instrument_id: Any) -> Sequence[tuple[Any, int]]:
    """The contracts of one unit: a spread's legs with their signed ratios, else the instrument itself."""
    if not is_generic_spread_id(instrument_id):
        return [(instrument_id, 1)]
    return generic_spread_id_to_list(instrument_id)  # type: ignore[no-any-return]
