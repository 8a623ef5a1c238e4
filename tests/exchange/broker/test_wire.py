"""Decimals, times and ids on the wire."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.exchange.broker.wire import Ids, parse_decimal, parse_json, parse_time, rfc3339, text
from runner.exchange.errors import AlpacaError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("100", "100"),
        ("1E+2", "100"),
        ("180.0850", "180.085"),
        ("0.000000001", "0.000000001"),
        ("-0.0", "0"),
        ("-5", "-5"),
    ],
)
def test_decimals_have_no_exponent_and_no_trailing_zeros(value: str, written: str) -> None:
    assert text(Decimal(value)) == written


def test_at_most_nine_places() -> None:
    assert text(Decimal(1) / Decimal(3)) == "0.333333333"


@given(st.integers(0, 2**62))
def test_times_survive_a_round_trip_to_the_nanosecond(ns: int) -> None:
    written = rfc3339(ns)
    assert len(written) == len("2013-10-07T13:30:00.000000000Z")
    assert parse_time(written, "t") == ns


@pytest.mark.parametrize(
    "value",
    ["2013-10-07T09:30:00-04:00", "2013-10-07T13:30:00Z", "2013-10-07T13:30:00.000Z", "2013-10-07T17:30:00 04:00"],
)
def test_offsets_and_short_fractions(value: str) -> None:
    assert parse_time(value, "t") == 1_381_152_600_000_000_000


def test_a_date_is_midnight_utc_and_nonsense_is_refused() -> None:
    assert parse_time("2013-10-07", "t") == 1_381_104_000_000_000_000
    with pytest.raises(AlpacaError):
        parse_time("yesterday", "t")


def test_json_numbers_stay_exact() -> None:
    body = parse_json(b'{"qty": 10, "limit_price": 180.0850}')
    assert parse_decimal(body["limit_price"], "limit_price") == Decimal("180.0850")
    assert text(body["qty"]) == "10"


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff"])
def test_a_body_that_is_no_object_is_400(body: bytes) -> None:
    with pytest.raises(AlpacaError) as caught:
        parse_json(body)
    assert (caught.value.status, caught.value.code) == (400, 40010000)


def test_ids_are_seeded_and_sort_in_order_of_creation() -> None:
    one, two = Ids(1), Ids(1)
    assert [one.fresh() for _ in range(3)] == [two.fresh() for _ in range(3)]
    made = [one.activity(1_381_152_600_000_000_000) for _ in range(50)]
    assert made == sorted(made)
    assert made[0].startswith("20131007133000000::")
    events = [one.event(1_381_152_600_000_000_000) for _ in range(50)]
    assert events == sorted(events)
    assert {len(event) for event in events} == {26}
