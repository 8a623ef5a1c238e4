"""What a strategy sees as `self.portfolio`: its own account's figures, and no other's.

Nautilus's portfolio adds up all accounts unless it is told one, and strategies written for a single account tell none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nautilus_trader.portfolio.base import PortfolioFacade

#: The queries, and at which place each takes an account id.
_QUERIES = {
    "account": 1,
    "balances_locked": 1,
    "margins_init": 1,
    "margins_maint": 1,
    "realized_pnls": 1,
    "unrealized_pnls": 1,
    "total_pnls": 1,
    "net_exposures": 1,
    "mark_values": 1,
    "equity": 1,
    "realized_pnl": 1,
    "unrealized_pnl": 2,
    "total_pnl": 2,
    "net_exposure": 2,
    "net_position": 1,
    "is_net_long": 1,
    "is_net_short": 1,
    "is_flat": 1,
    "is_completely_flat": 0,
}


class AccountPortfolio(PortfolioFacade):
    """A portfolio whose every query is of one account. Asking for another account raises ValueError."""

    def __init__(self, whole: Any, account_id: Any) -> None:
        self._whole = whole
        self._account_id = account_id

    @property
    def initialized(self) -> bool:
        return bool(self._whole.initialized)

    @property
    def analyzer(self) -> Any:
        return self._whole.analyzer

    def missing_price_instruments(self, venue: Any) -> Any:
        """Instruments without a price: those are of no account."""
        return self._whole.missing_price_instruments(venue)


def _limited(name: str, place: int) -> Callable[..., Any]:
    def query(self: AccountPortfolio, *args: Any, account_id: Any = None, **others: Any) -> Any:
        given = list(args)
        asked = account_id if len(given) <= place else given[place]
        if asked is not None and asked != self._account_id:
            raise ValueError(f"this strategy trades on {self._account_id}, and {asked} is not its account")
        if len(given) <= place:
            return getattr(self._whole, name)(*given, account_id=self._account_id, **others)
        given[place] = self._account_id
        return getattr(self._whole, name)(*given, **others)

    query.__name__ = name
    return query


for _name, _place in _QUERIES.items():
    setattr(AccountPortfolio, _name, _limited(_name, _place))


def give_portfolio(strategy: Any, account_id: Any) -> None:
    """Have a strategy see its own account's portfolio. Call it before the strategy is added to the trader."""
    register = strategy.register

    def registered(*, portfolio: Any, **others: Any) -> None:
        register(portfolio=AccountPortfolio(portfolio, account_id), **others)

    strategy.register = registered
