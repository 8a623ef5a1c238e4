"""Files of stream messages, read in order."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.exchange.tape import Tape, TapeError

type Write = Callable[..., Path]
type Make = Callable[..., str]


def test_files_are_merged_by_time(write: Write, quote: Make, trade: Make) -> None:
    one = write("one.jsonl", quote("IBM", "13:30:00.1Z"), quote("IBM", "13:30:02Z"))
    two = write("two.jsonl", trade("BAC", "13:30:00Z"), trade("BAC", "13:30:01.5Z"), trade("BAC", "13:30:02Z"))
    order = [(message.symbol, message.kind) for message in Tape([one, two]).messages()]
    assert order == [("BAC", "t"), ("IBM", "q"), ("BAC", "t"), ("IBM", "q"), ("BAC", "t")]
    info = Tape([one, two]).scan()
    assert (info.total, info.symbols) == (5, ("BAC", "IBM"))
    assert info.end_ns - info.start_ns == 2_000_000_000


def test_the_text_of_a_message_is_untouched(tmp_path: Path, trade: Make) -> None:
    path = tmp_path / "day.jsonl.gz"
    line = trade("IBM", "13:30:00Z", "180.0850")
    path.write_bytes(gzip.compress(line.encode() + b"\n"))
    (message,) = Tape([path]).messages()
    assert message.raw == line.encode()


def test_messages_with_other_key_orders_are_put_into_form(write: Write) -> None:
    path = write("day.jsonl", '{"t":"2013-10-07T13:30:00Z","p":1.50,"S":"IBM","T":"t","s":5,"c":["@"]}', "")
    (message,) = Tape([path]).messages()
    assert message.raw == b'{"T":"t","S":"IBM","t":"2013-10-07T13:30:00Z","p":1.50,"s":5,"c":["@"]}'


def test_a_bar_of_the_file_is_sent_when_its_minute_is_over(write: Write, quote: Make) -> None:
    bar = '{"T":"b","S":"IBM","o":1,"h":1,"l":1,"c":1,"v":5,"n":1,"vw":1,"t":"2013-10-07T13:30:00Z"}'
    quotes = [quote("IBM", stamp) for stamp in ("13:30:00Z", "13:30:59.9Z", "13:31:00Z")]
    path = write("day.jsonl", quotes[0], bar, *quotes[1:])
    tape = Tape([path])
    assert [message.kind for message in tape.messages()] == ["q", "q", "b", "q"]
    assert tape.scan().with_bars == {"IBM"}


def test_only_the_wanted_symbols_are_read(write: Write, quote: Make) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), quote("BAC", "13:30:01Z"))
    assert Tape([path], ["BAC"]).scan().symbols == ("BAC",)
    assert [message.symbol for message in Tape([path], ["BAC"]).messages()] == ["BAC"]
    with pytest.raises(TapeError, match="no market-data messages of XYZ"):
        Tape([path], ["XYZ"]).scan()


def test_a_message_out_of_order_is_sent_where_it_stands(write: Write, quote: Make) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:01Z"), quote("BAC", "13:30:00Z"), quote("IBM", "13:30:02Z"))
    times = [message.ts_ns for message in Tape([path]).messages()]
    assert times == sorted(times)
    assert len(times) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"day.jsonl:2: not JSON"),
        ("[]", r"day.jsonl:2: not an Alpaca stream message"),
        ('{"T":"q","bp":1}', r"day.jsonl:2: a message of type 'q' without a symbol"),
    ],
)
def test_a_bad_line_is_named(write: Write, quote: Make, line: str, says: str) -> None:
    path = write("day.jsonl", quote("IBM", "13:30:00Z"), line)
    with pytest.raises(TapeError, match=says):
        Tape([path]).scan()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"nowhere\.jsonl: no such file"):
        Tape([tmp_path / "nowhere.jsonl"])


def test_a_real_day_plays_in_order_and_whole(shared: Path | None, write: Write, quote: Make) -> None:
    if shared is None:
        paths = [write("day.jsonl", *(quote("IBM", f"13:{minute:02d}:00Z") for minute in range(60)))]
    else:
        paths = [shared / "market-data" / "stocks-IBM-BAC-2013-10-07.jsonl.gz"]
    tape = Tape(paths)
    info, count, last = tape.scan(), 0, 0
    for message in tape.messages():
        assert message.ts_ns >= last
        last = message.ts_ns
        count += 1
    assert count == info.total
    assert last == info.end_ns


def test_an_article_is_sent_when_it_was_updated(write: Write, quote: Make) -> None:
    article = (
        '{"T":"n","id":1,"created_at":"2013-10-07T13:00:00Z","updated_at":"2013-10-07T14:00:30Z","symbols":["IBM"]}'
    )
    path = write("news.jsonl", quote("IBM", "14:00:00Z"), article, quote("IBM", "14:01:00Z"))
    sent = list(Tape([path]).messages())
    assert [message.kind for message in sent] == ["q", "n", "q"]
    assert sent[1].ts_ns - sent[0].ts_ns == 30 * 10**9
