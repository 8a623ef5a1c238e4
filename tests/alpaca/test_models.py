"""Alpaca's replies: exact numbers, tolerant of what is new or gone."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.alpaca.models import Account, Order, TradeUpdate, WireError, decode, decode_update, timestamp_ns

ORDER = (
    b'{"id":"7b08df51","client_order_id":"O-1","symbol":"AAPL","asset_class":"us_equity","side":"buy","type":"limit",'
    b'"time_in_force":"gtc","status":"accepted","qty":"2","notional":null,"filled_qty":"0","filled_avg_price":null,'
    b'"limit_price":"150","stop_price":null,"created_at":"2026-10-12T14:31:24.668464435Z","legs":null,"something_new":{}}'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-10-12T14:31:25.695569506Z", 1_791_815_485_695_569_506),
        ("2026-10-12T10:31:25.57-04:00", 1_791_815_485_570_000_000),
        ("2026-10-12T14:31:25.5", 1_791_815_485_500_000_000),
        (None, 0),
        ("", 0),
    ],
)
def test_a_stamp_is_exact_to_the_nanosecond(text: str | None, expected: int) -> None:
    assert timestamp_ns(text) == expected


def test_a_stamp_that_is_none_says_so() -> None:
    with pytest.raises(WireError, match="no RFC 3339 time"):
        timestamp_ns("yesterday")


@given(st.text(max_size=40))
def test_any_text_is_a_stamp_or_a_wire_error(text: str) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(timestamp_ns(text), int)


def test_numbers_become_decimals_and_unknown_fields_are_ignored() -> None:
    order = decode(Order, ORDER, "an order")
    assert (order.qty, order.limit_price, order.filled_qty) == (Decimal(2), Decimal(150), Decimal(0))
    assert order.submitted_ns == 1_791_815_484_668_464_435


def test_a_status_that_is_new_survives_and_is_not_terminal() -> None:
    order = decode(Order, ORDER.replace(b'"accepted"', b'"pondering"'), "an order")
    assert order.status == "pondering"
    assert not order.is_terminal


def test_an_account_without_the_fields_that_went_away_is_read() -> None:
    account = decode(Account, b'{"id":"1","cash":"100000.005","equity":"100000","status":"NEW_ONE"}', "the account")
    assert account.cash == Decimal("100000.005")
    assert account.buying_power is None


@pytest.mark.parametrize("wrap", [False, True])
def test_a_trade_update_is_read_bare_and_in_its_envelope(wrap: bool) -> None:
    data = b'{"event":"fill","timestamp":"2026-10-12T14:31:25Z","price":"174.7850","qty":"2","order":' + ORDER + b"}"
    update = decode_update(b'{"stream":"trade_updates","data":' + data + b"}" if wrap else data)
    assert update is not None
    assert (update.event, str(update.price), update.order.client_order_id) == ("fill", "174.7850", "O-1")


def test_an_update_without_data_is_nothing() -> None:
    assert decode_update(b'{"stream":"trade_updates","data":null}') is None


def test_what_can_not_be_read_is_named_and_shown() -> None:
    with pytest.raises(WireError, match=r"can't read a trade update.*begins with '<html>"):
        decode(TradeUpdate, b"<html>bad gateway</html>", "a trade update")
