"""Closed trades are kept in a list, and the statistics stay as they were."""

from __future__ import annotations

import random

from nautilus_trader.analysis import PortfolioAnalyzer
from nautilus_trader.model.currencies import EUR, USD
from nautilus_trader.model.identifiers import PositionId
from nautilus_trader.model.objects import Money

from runner.report.trades import Trades


def fill(analyzer: PortfolioAnalyzer) -> None:
    """Trades recorded on the way, some of them added at the end as well, looked at in between."""
    chance = random.Random(3)
    for number in range(60):
        position = PositionId(f"P-{number % 7}")
        money = Money(chance.randint(-500, 500) / 100, EUR if number % 5 == 0 else USD)
        analyzer.record_trade(position, money, None if number % 11 == 0 else number)
        if number % 3 == 0:
            analyzer.add_trade(position, money, number)
        if number % 4 == 0:
            analyzer.add_trade(PositionId(f"Q-{number}"), money, number)
        if number == 30:
            analyzer.realized_pnls(USD)


def test_every_record_is_where_nautilus_would_have_put_it() -> None:
    plain, ours = PortfolioAnalyzer(), PortfolioAnalyzer()
    Trades(ours)
    for analyzer in (plain, ours):
        fill(analyzer)
    for currency in (USD, EUR):
        expected = plain.realized_pnls(currency)
        assert len(expected) > 10
        assert list(ours.realized_pnls(currency).items()) == list(expected.items())
    assert ours.realized_pnls() is None
    assert plain.realized_pnls() is None


def test_nothing_is_copied_while_trades_come_in() -> None:
    analyzer = PortfolioAnalyzer()
    Trades(analyzer)
    analyzer.record_trade(PositionId("P-1"), Money(1, USD), 1)
    assert not analyzer._recorded_realized_pnls
    assert list(analyzer.realized_pnls(USD)) == [1.0]


def test_a_node_that_runs_for_weeks_keeps_the_newest_records() -> None:
    analyzer = PortfolioAnalyzer()
    Trades(analyzer, most=3)
    for number in range(50):
        analyzer.record_trade(PositionId(f"P-{number}"), Money(number, USD), number)
    assert list(analyzer.realized_pnls(USD)) == [47.0, 48.0, 49.0]
