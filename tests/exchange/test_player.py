"""Data played into the market: venue time, quotes before streams, bars out of trades."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.exchange.history import History, Timeframe, parse_timeframe
from runner.exchange.market import Market
from runner.exchange.player import FOREVER_NS, Player
from runner.exchange.tape import Tape
from runner.exchange.wire import Message, loads, parse_ns

type Write = Callable[..., Path]
type Make = Callable[..., str]


class Played:
    """A file played to its end."""

    def __init__(self, *paths: Path) -> None:
        self.market, self.history, self.sent = Market(), History(), list[Message]()
        self.player = Player(Tape(paths), self.market, self.history, self.sent.append)

    def to_end(self) -> Played:
        self.player.advance(FOREVER_NS)
        return self

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [loads(message.raw) for message in self.sent if message.kind == kind]


def at(clock: str) -> int:
    return parse_ns(f"2013-10-07T{clock}")


def rows(history: History, symbol: str, timeframe: str) -> list[dict[str, Any]]:
    parsed = parse_timeframe(timeframe)
    assert parsed is not None
    window = history.bars(symbol, parsed, 0, FOREVER_NS)
    return [loads(window.text(n)) for n in range(window.low, window.high)]


def test_a_bar_is_what_its_trades_add_up_to(write: Write, trade: Make) -> None:
    path = write(
        "day.jsonl",
        trade("IBM", "13:30:00Z", "180.0850", 100),
        trade("IBM", "13:30:10Z", "181.00", 300),
        trade("IBM", "13:30:59.999999999Z", "179.5", 100),
        trade("IBM", "13:31:00Z", "180", 50),
    )
    first, second = Played(path).to_end().of("b")
    assert first == {
        "T": "b",
        "S": "IBM",
        "o": Decimal("180.0850"),
        "h": Decimal("181.00"),
        "l": Decimal("179.5"),
        "c": Decimal("179.5"),
        "v": 500,
        "n": 3,
        "vw": Decimal("180.517"),
        "t": "2013-10-07T13:30:00Z",
    }
    assert (second["t"], second["v"]) == ("2013-10-07T13:31:00Z", 50)


def test_a_bar_comes_right_after_its_minute_and_before_anything_later(write: Write, trade: Make, quote: Make) -> None:
    path = write("day.jsonl", trade("IBM", "13:30:30Z"), quote("IBM", "13:31:00Z"), quote("IBM", "13:35:00Z"))
    played = Played(path).to_end()
    kinds = [(message.kind, message.ts_ns) for message in played.sent]
    assert kinds == [
        ("t", at("13:30:30Z")),
        ("l", at("13:30:30Z")),
        ("b", at("13:31:00Z")),
        ("d", at("13:31:00Z")),
        ("q", at("13:31:00Z")),
        ("q", at("13:35:00Z")),
    ]


def test_odd_lots_move_the_volume_and_not_the_price(write: Write, trade: Make) -> None:
    path = write(
        "day.jsonl",
        trade("IBM", "13:30:01Z", "10", 100, "@"),
        trade("IBM", "13:30:02Z", "99", 5, "@", "I"),
        trade("IBM", "13:30:03Z", "10", 1000, "@", "M"),
    )
    (bar,) = Played(path).to_end().of("b")
    assert (bar["h"], bar["v"], bar["n"]) == (10, 105, 2)


def test_a_minute_without_priced_trades_has_no_bar(write: Write, trade: Make) -> None:
    path = write("day.jsonl", trade("IBM", "13:30:01Z", "10", 5, "I"), trade("IBM", "13:32:01Z", "10", 5))
    assert [bar["t"] for bar in Played(path).to_end().of("b")] == ["2013-10-07T13:32:00Z"]


def test_the_day_s_prices_are_the_core_session_s_and_its_volume_is_all(write: Write, trade: Make) -> None:
    path = write(
        "day.jsonl",
        trade("IBM", "12:00:00Z", "5", 10),
        trade("IBM", "13:30:00Z", "10", 20),
        trade("IBM", "14:00:00Z", "12", 30),
        trade("IBM", "20:00:00Z", "50", 40),
    )
    played = Played(path).to_end()
    days = played.of("d")
    assert [day["v"] for day in days] == [30, 60, 100]
    last = days[-1]
    assert (last["o"], last["h"], last["l"], last["c"]) == (10, 12, 10, 12)
    assert last["t"] == "2013-10-07T04:00:00Z"
    assert [row["v"] for row in rows(played.history, "IBM", "1Day")] == [100]


def test_longer_timeframes_are_merged_from_minutes(write: Write, trade: Make) -> None:
    minutes = [trade("IBM", f"13:{minute}:00Z", minute, 100) for minute in range(30, 42)]
    history = Played(write("day.jsonl", *minutes)).to_end().history
    five = rows(history, "IBM", "5Min")
    assert [(row["t"][11:16], row["o"], row["c"], row["n"]) for row in five] == [
        ("13:30", 30, 34, 5),
        ("13:35", 35, 39, 5),
        ("13:40", 40, 41, 2),
    ]
    assert [row["t"] for row in rows(history, "IBM", "1Hour")] == ["2013-10-07T13:00:00Z"]
    assert [row["t"] for row in rows(history, "IBM", "1Week")] == ["2013-10-07T04:00:00Z"]
    assert [row["t"] for row in rows(history, "IBM", "3Month")] == ["2013-10-01T04:00:00Z"]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("1Min", Timeframe(1, "T")),
        ("59T", Timeframe(59, "T")),
        ("60Min", None),
        ("23H", Timeframe(23, "H")),
        ("24Hour", None),
        ("1D", Timeframe(1, "D")),
        ("2Day", None),
        ("12M", Timeframe(12, "M")),
        ("5Month", None),
        ("Min", None),
    ],
)
def test_timeframes_are_those_that_alpaca_has(text: str, parsed: Timeframe | None) -> None:
    assert parse_timeframe(text) == parsed


def test_bars_of_the_file_pass_and_no_others_are_made(write: Write, trade: Make) -> None:
    stamp = "2013-10-07T13:30:00Z"
    bar = f'{{"T":"b","S":"GOOG","o":750.30,"h":751,"l":749.5,"c":750.0,"v":270,"n":4,"vw":750.25,"t":"{stamp}"}}'
    path = write("day.jsonl", bar, trade("GOOG", "13:30:10Z"), trade("GOOG", "13:31:10Z"))
    played = Played(path).to_end()
    assert [message.raw.decode() for message in played.sent if message.kind == "b"] == [bar]
    (row,) = rows(played.history, "GOOG", "1Min")
    assert (row["o"], row["v"], row["vw"]) == (Decimal("750.30"), 270, Decimal("750.25"))
    assert [day["v"] for day in played.of("d")] == [270]


def test_callbacks_hear_the_clock_then_the_quote_before_the_stream_does(write: Write, quote: Make) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("IBM", "13:30:01Z", "10.5", "10.6"))
    seen: list[str] = []
    market = Market()
    player = Player(Tape([path]), market, History(), lambda message: seen.append(f"stream {message.kind}"))
    market.on_clock(lambda now_ns: seen.append(f"clock {now_ns == market.now_ns}"))
    market.on_quote(lambda new: seen.append(f"quote {new.bid}"))
    player.advance(FOREVER_NS)
    assert seen == ["quote 10.0", "stream q", "clock True", "quote 10.5", "stream q"]
    found = market.quote("IBM")
    assert found is not None
    assert (found.bid, found.bid_size, found.ask, found.ts_ns) == (
        Decimal("10.5"),
        300,
        Decimal("10.6"),
        at("13:30:01Z"),
    )


def test_venue_time_passes_between_messages_and_never_goes_back(write: Write, quote: Make) -> None:
    path = write("day.jsonl", quote("IBM", "13:29:00Z"), quote("IBM", "13:32:00Z"))
    played = Played(path)
    sessions: list[str] = []
    played.market.on_clock(lambda _: sessions.append(played.market.session()))
    assert played.player.advance(at("13:30:30Z")) == 1
    assert played.market.now_ns == at("13:30:30Z")
    assert played.market.session() == "core"
    assert sessions[0] == "core"  # the minute of the opening was not skipped
    played.market.set_clock(at("13:00:00Z"))
    assert played.market.now_ns == at("13:30:30Z")


def test_a_limit_stops_between_messages(write: Write, quote: Make) -> None:
    path = write("day.jsonl", *(quote("IBM", f"13:30:0{n}Z") for n in range(5)))
    played = Played(path)
    assert played.player.advance(FOREVER_NS, 2) == 2
    assert played.market.now_ns == at("13:30:01Z")
    assert played.player.next_ns == at("13:30:02Z")
    assert played.player.advance(FOREVER_NS) == 3
    assert played.player.next_ns is None


def test_a_real_half_day_of_given_bars_is_served(shared: Path | None, write: Write, quote: Make) -> None:
    if shared is None:
        bar = '{"T":"b","S":"GOOG","o":1,"h":1,"l":1,"c":1,"v":5,"n":1,"vw":1,"t":"2013-10-07T13:30:00Z"}'
        path = write("day.jsonl", bar, quote("GOOG", "13:31:00Z"))
    else:
        path = shared / "market-data" / "stocks-GOOG-2015-12-24.jsonl.gz"
    played = Played(path).to_end()
    given = [message for message in Tape([path]).messages() if message.kind == "b"]
    assert len(rows(played.history, "GOOG", "1Min")) == len(given) > 0
    assert played.market.session() in ("core", "post", "closed")
