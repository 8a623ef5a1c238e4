"""Synthetic crypto pairs, option chains and news: the same every time, and like their models."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from statistics import mean, pstdev
from typing import Any

import pytest

from runner.exchange.assets import make_asset
from runner.exchange.books import OrderBook
from runner.exchange.calendar import Calendar, new_york
from runner.exchange.generator import SyntheticDay
from runner.exchange.market import Market
from runner.exchange.wire import fields_of

DAY = date(2026, 1, 12)
SUNDAY = date(2026, 1, 11)


def made(*symbols: str, day: date = DAY, **more: Any) -> list[bytes]:
    return [m.raw for m in SyntheticDay(symbols, day, **{"activity": 0.1, **more}).messages() if m.symbol]


@pytest.fixture(scope="module")
def pair() -> list[dict[str, Any]]:
    """A Sunday of a pair, exact numbers."""
    return [{**fields_of(m.raw), "ns": m.ts_ns} for m in SyntheticDay(["BTC/USD"], SUNDAY).messages() if m.symbol]


@pytest.fixture(scope="module")
def chain() -> SyntheticDay:
    return SyntheticDay([], DAY, options=["GOOG"], extended_hours=False, activity=0.2)


def test_the_same_seed_gives_the_same_bytes() -> None:
    whole = made("ETH/USD", "IBM", options=["GOOG"])
    assert whole == made("ETH/USD", "IBM", options=["GOOG"])
    assert whole != made("ETH/USD", "IBM", options=["GOOG"], seed=1)


def test_a_symbol_s_day_does_not_depend_on_its_company() -> None:
    alone = made("GOOG")
    together = made("GOOG", "ETH/USD", options=["GOOG"])
    assert [raw for raw in together if b'"S":"GOOG",' in raw] == alone


def test_a_pair_trades_round_the_clock_on_any_day(pair: list[dict[str, Any]]) -> None:
    hours = Counter(new_york(m["ns"]).hour for m in pair)
    assert set(hours) == set(range(24))
    assert hours[10] > 1.5 * hours[22]
    assert [m["ns"] for m in pair] == sorted(m["ns"] for m in pair)


def test_a_pair_s_best_prices_are_those_of_its_book(pair: list[dict[str, Any]]) -> None:
    book, asset = OrderBook(), make_asset("BTC/USD")
    assert pair[0]["r"] is True
    assert sum("r" in m for m in pair) == 1
    assert asset.price_increment is not None
    for message in pair:
        if message["T"] == "o":
            book.apply(message, message["ns"])
            assert max(book.bids) < min(book.asks)
            assert all(price % asset.price_increment == 0 for price in (*book.bids, *book.asks))
        elif message["T"] == "q":
            assert (message["bp"], message["ap"]) == (max(book.bids), min(book.asks))
            assert message["bs"] == book.bids[Decimal(message["bp"])]
        else:
            side = book.asks if message["tks"] == "B" else book.bids
            assert 0 < message["s"] <= side[Decimal(message["p"])]


def test_a_pair_moves_by_percents_with_a_spread_of_some_basis_points(pair: list[dict[str, Any]]) -> None:
    quotes = [m for m in pair if m["T"] == "q"]
    middles = [float(m["bp"] + m["ap"]) / 2 for m in quotes]
    assert 0.002 < max(middles) / min(middles) - 1 < 0.2
    assert 0.5 < mean(float(m["ap"] - m["bp"]) / float(m["bp"]) * 1e4 for m in quotes) < 10


def test_a_cheap_pair_and_one_in_bitcoin_keep_to_their_increments() -> None:
    for symbol in ("DOGE/USD", "ETH/BTC", "NEWCOIN/USDT"):
        step = make_asset(symbol).price_increment
        assert step is not None
        quotes = [fields_of(raw) for raw in made(symbol) if b'"T":"q"' in raw]
        assert pstdev(float(m["bp"]) for m in quotes) > 0
        assert all(Decimal(m["bp"]) % step == 0 for m in quotes)


def test_a_chain_has_strikes_on_both_sides_and_fridays(chain: SyntheticDay) -> None:
    days = {contract.expiration_date for contract in chain.contracts}
    assert len(chain.contracts) == len(days) * 11 * 2
    assert all(day.weekday() == 4 and Calendar().is_trading_day(day) for day in days)
    assert {contract.type for contract in chain.contracts} == {"call", "put"}
    assert all(c.open_interest and c.close_price and c.penny_program for c in chain.contracts)
    market = Market(now_ns=chain.scan().start_ns)
    market.add_contracts(chain.contracts)
    assert all(contract.status == "active" for contract in market.contracts())


def test_a_chain_is_quoted_in_the_core_session_around_what_it_is_worth(chain: SyntheticDay) -> None:
    contracts = {contract.symbol: contract for contract in chain.contracts}
    seen, spot = set(), 0.0
    for message in chain.messages():
        fields = json.loads(message.raw)
        if message.symbol == "GOOG" and message.kind == "q":
            spot = (fields["bp"] + fields["ap"]) / 2
        if message.symbol not in contracts:
            continue
        assert Calendar().session(message.ts_ns) == "core"
        contract = contracts[message.symbol]
        if message.kind == "q":
            seen.add(message.symbol)
            assert 0 <= fields["bp"] < fields["ap"]
            intrinsic = float(contract.intrinsic(Decimal(spot)))
            assert fields["ap"] > intrinsic - 1.5
        else:
            assert fields["c"] == "I"
    assert seen == set(contracts)


def test_a_holiday_friday_expires_the_day_before() -> None:
    day = date(2026, 3, 30)  # Good Friday is the 3rd of April
    contracts = SyntheticDay([], day, options=["IBM"], extended_hours=False, activity=0.01).contracts
    assert min(contract.expiration_date for contract in contracts) == day + timedelta(days=3)


def test_news_says_that_it_is_made_up_and_is_about_the_day_s_symbols() -> None:
    articles = [
        json.loads(m.raw) for m in SyntheticDay(["IBM", "BTC/USD"], DAY, activity=0.01).messages() if not m.symbol
    ]
    assert len(articles) == 6
    assert all(set(article["symbols"]) <= {"IBM", "BTCUSD"} and article["symbols"] for article in articles)
    assert all("synthetic" in article["summary"] for article in articles)
    assert len({article["id"] for article in articles}) == 6


def test_what_can_not_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="no trading day"):
        SyntheticDay(["IBM", "BTC/USD"], SUNDAY)
    with pytest.raises(ValueError, match="options are on stocks"):
        SyntheticDay(["IBM"], DAY, options=["BTC/USD"])
