"""A strategy's portfolio is its account's."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.identifiers import AccountId, InstrumentId, Venue
from nautilus_trader.portfolio.base import PortfolioFacade

from runner.node.portfolio import _QUERIES, AccountPortfolio

MINE, OTHER = AccountId("ALPACA-PAPER"), AccountId("ALPACA_TWO-PAPER")
IBM = InstrumentId.from_str("IBM.ALPACA")


class Whole:
    """Notes what it is asked."""

    initialized = True
    analyzer = "an analyzer"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **others: self.asked.append((name, args, others))


def test_every_query_that_takes_an_account_is_limited() -> None:
    queries = {name for name in vars(PortfolioFacade) if not name.startswith("_")}
    assert queries - {"initialized", "analyzer", "missing_price_instruments"} == set(_QUERIES)


@pytest.mark.parametrize("name", _QUERIES)
def test_the_account_is_filled_in_at_its_place_and_another_one_is_refused(name: str) -> None:
    whole = Whole()
    view = AccountPortfolio(whole, MINE)
    first: list[Any] = [IBM] if not name.endswith("s") and _QUERIES[name] else [Venue("ALPACA")]
    first = first[: _QUERIES[name]]
    getattr(view, name)(*first)
    assert whole.asked.pop() == (name, tuple(first), {"account_id": MINE})
    getattr(view, name)(*first, account_id=MINE)
    padded = [*first, *[None] * (_QUERIES[name] - len(first))]
    getattr(view, name)(*padded, None)
    assert whole.asked.pop() == (name, (*padded, MINE), {})
    for call in (lambda: getattr(view, name)(*padded, OTHER), lambda: getattr(view, name)(*first, account_id=OTHER)):
        with pytest.raises(ValueError, match="is not its account"):
            call()


def test_what_is_of_no_account_is_passed_on() -> None:
    view = AccountPortfolio(Whole(), MINE)
    assert view.initialized is True
    assert view.analyzer == "an analyzer"
