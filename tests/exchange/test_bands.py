"""Price bands out of trades: the rules of the LULD plan for a stock of tier 1."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.exchange.bands import PriceBands
from runner.exchange.calendar import Calendar
from runner.exchange.history import History
from runner.exchange.market import Market
from runner.exchange.player import Player
from runner.exchange.tape import Tape
from runner.exchange.wire import fields_of, parse_ns

type Write = Callable[..., Path]


class Stock:
    """Trades of a stock on 7 October 2013 (UTC times), and the bands that they make."""

    def __init__(self, symbol: str = "IBM", given: frozenset[str] = frozenset()) -> None:
        self.symbol = symbol
        self.bands = PriceBands(Calendar(), given)

    def trade(self, clock: str, price: str, *conditions: str, day: str = "2013-10-07") -> list[tuple[str, str]]:
        made = self.bands.trade(self.symbol, Decimal(price), parse_ns(f"{day}T{clock}Z"), conditions or (" ",))
        rows = [fields_of(message.raw) for message in made]
        return [(str(row["u"]), str(row["d"])) for row in rows]


def test_the_opening_price_is_the_first_reference_and_small_moves_change_nothing() -> None:
    stock = Stock()
    assert stock.trade("13:29:59", "90") == []
    assert stock.trade("13:30:01", "100") == [("105.00", "95.00")]
    assert stock.trade("13:31:00", "100.50") == []
    assert stock.trade("13:32:00", "101.00") == []


def test_the_mean_of_five_minutes_becomes_the_reference_when_it_has_moved_a_per_cent() -> None:
    stock = Stock()
    stock.trade("13:30:00", "100")
    assert stock.trade("13:30:10", "104") == [], "not within half a minute"
    assert stock.trade("13:30:40", "105") == [("108.15", "97.85")]
    # After five minutes what was before is forgotten.
    assert stock.trade("13:40:00", "106") == [("111.30", "100.70")]


def test_bands_are_twice_as_wide_in_the_last_25_minutes_and_end_with_the_session() -> None:
    stock = Stock()
    stock.trade("19:34:00", "100")
    assert stock.trade("19:35:00", "100") == [("110.00", "90.00")]
    assert stock.trade("20:00:00", "150") == []
    assert stock.trade("13:30:00", "100", day="2013-10-08") == [("105.00", "95.00")]
    assert stock.trade("13:31:00", "100", day="2013-10-12") == [], "a Saturday"


@pytest.mark.parametrize(
    ("price", "band"),
    [("3.01", ("3.16", "2.86")), ("3.00", ("3.60", "2.40")), ("0.75", ("0.90", "0.60")), ("0.50", ("0.65", "0.35")),
     ("0.10", ("0.18", "0.03"))],
)  # fmt: skip
def test_the_width_depends_on_the_price(price: str, band: tuple[str, str]) -> None:
    assert Stock().trade("13:30:00", price) == [band]


def test_odd_lots_options_pairs_and_stocks_with_bands_of_their_own_make_none() -> None:
    assert Stock().trade("13:30:00", "100", " ", "I") == []
    assert Stock("BTC/USD").trade("13:30:00", "100") == []
    assert Stock("IBM131019C00180000").trade("13:30:00", "100") == []
    assert Stock(given=frozenset({"IBM"})).trade("13:30:00", "100") == []


def test_bands_of_the_file_are_played_and_none_computed(write: Write, trade: Any) -> None:
    band = '{"T":"l","S":"IBM","u":1.5,"d":1.25,"i":"B","t":"2013-10-07T13:30:02Z","z":"A"}'
    path = write("day.jsonl", trade("IBM", "13:30:01Z"), band, trade("BAC", "13:30:03Z"))
    sent: list[Any] = []
    Player(Tape([path]), Market(), History(), sent.append).advance(1 << 62)
    assert [(m.symbol, fields_of(m.raw)["u"]) for m in sent if m.kind == "l"] == [
        ("IBM", Decimal("1.5")),
        ("BAC", Decimal("10.51")),
    ]
