"""What a denial says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from runner.risk.codes import Code, Denial, text


def test_a_reason_begins_with_its_code():
    assert Denial(Code.MAX_ORDER_QTY, "to buy 2 is more than 1").reason == "MAX_ORDER_QTY: to buy 2 is more than 1"


@pytest.mark.parametrize(
    ("number", "written"),
    [("10000", "10,000"), ("1E+4", "10,000"), ("0.500", "0.5"), ("-0.0000001", "0"), ("1234567.891", "1,234,567.891")],
)
def test_numbers_are_written_for_people(number, written):
    assert text(Decimal(number)) == written


def test_codes_are_their_own_names_so_that_they_stay():
    assert all(code.name == code.value for code in Code)
