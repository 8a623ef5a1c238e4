"""Time stamps and numbers, exact both ways."""

from __future__ import annotations

from decimal import Decimal

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.exchange.wire import canonical, dumps, head, loads, parse_ns, row, stamp, to_msgpack


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000_000))
def test_a_stamp_reads_back_to_the_same_nanosecond(ns: int) -> None:
    assert parse_ns(stamp(ns)) == ns


@pytest.mark.parametrize(
    "text",
    [
        "2013-10-07T13:30:00.25Z",
        "2013-10-07T13:30:00.250000000Z",
        "2013-10-07T09:30:00.25-04:00",
        "2013-10-07t13:30:00.25z",
        "2013-10-07 15:30:00.250+0200",
    ],
)
def test_every_form_of_a_time_is_the_same_time(text: str) -> None:
    assert parse_ns(text) == 1_381_152_600_250_000_000


@pytest.mark.parametrize("text", ["", "now", "2013-10-07", "2013-10-07T13:30:00", "2013-13-07T13:30:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ns(text)


def test_a_price_keeps_its_digits() -> None:
    raw = b'{"S":"IBM","T":"t","p":180.0850,"s":1}'
    fields = loads(raw)
    assert fields["p"] == Decimal("180.0850")
    assert canonical("t", "IBM", fields) == b'{"T":"t","S":"IBM","p":180.0850,"s":1}'
    assert dumps([Decimal("1E+2"), None, "é"]) == '[100,null,"\\u00e9"]'


def test_a_row_is_its_message_without_type_and_symbol() -> None:
    raw = b'{"T":"q","S":"BRK.B","bp":1.10}'
    assert head(raw) == ("q", "BRK.B")
    assert row(raw, "BRK.B") == b'{"bp":1.10}'


def test_msgpack_has_the_time_as_an_extension_to_the_nanosecond() -> None:
    packed = to_msgpack(b'{"T":"t","S":"IBM","p":180.085,"t":"2013-10-07T13:30:00.123456789Z"}')
    fields = msgpack.unpackb(packed)
    assert fields["t"] == msgpack.Timestamp(1_381_152_600, 123_456_789)
    assert fields["p"] == 180.085
