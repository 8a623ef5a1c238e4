"""Options by the engine's margin; properties against an independent brute force. Examples: test_worked_examples.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner._engine import MarginAccount, MarginRates, option_margin
from runner.alpaca import AlpacaOptionsMarginCalculator as Public
from runner.margin import AlpacaOptionsMarginCalculator, OptionLeg, OptionPosition, UncoveredError

NEAR, FAR = "250117", "250124"
CALCULATOR = AlpacaOptionsMarginCalculator()


def series(text: str) -> str:
    """`C190` or `P95@250124` as an OCC symbol."""
    name, _, day = text.partition("@")
    return f"AAPL{day or NEAR}{name[0]}{int(Decimal(name[1:]) * 1000):08d}"


def portfolio(text: str) -> list[OptionPosition]:
    """`+C100 -2C110` as positions."""
    rows = []
    for word in text.split():
        sign = -1 if word[0] == "-" else 1
        count, _, rest = word[1:].partition("C" if "C" in word else "P")
        rows.append(OptionPosition(series(("C" if "C" in word else "P") + rest), sign * int(count or 1)))
    return rows


def test_the_other_reading_of_dates() -> None:
    rows = portfolio(f"-P50 +P45 -P50@{FAR} +P45@{FAR}")
    assert AlpacaOptionsMarginCalculator(expirations="from_date").calculate_maintenance_margin(rows).amount == 1000


def test_each_root_by_itself_and_its_worst_price() -> None:
    rows = [*portfolio("-C100 +2C110"), OptionPosition("MSFT250117P00050000", -1)]
    found = CALCULATOR.calculate_maintenance_margin(rows)
    assert found.amount == 6000
    assert [(root.root, root.amount, root.price) for root in found.roots] == [("AAPL", 1000, 110), ("MSFT", 5000, 0)]


def test_shares_cover_calls() -> None:
    assert CALCULATOR.calculate_maintenance_margin(portfolio("-2C100"), shares={"AAPL": 200}).amount == 0
    with pytest.raises(UncoveredError):
        CALCULATOR.calculate_maintenance_margin(portfolio("-2C100"), shares={"AAPL": 199})


def legs(text: str, opens: bool = True) -> list[OptionLeg]:
    end = "open" if opens else "close"
    return [
        OptionLeg(row.symbol, abs(row.qty), "buy_to_" + end if row.qty > 0 else "sell_to_" + end)  # type: ignore[arg-type]
        for row in portfolio(text)
    ]


def test_what_is_held_counts_in_the_cost() -> None:
    held = portfolio("-C190 +C200")
    closing = CALCULATOR.calculate_order_cost_basis(
        legs("+C190 -C200", opens=False), net_price=Decimal(6), positions=held
    )
    assert (closing.before.amount, closing.after.amount, closing.net, closing.amount) == (1000, 0, 600, 0)


@pytest.mark.parametrize(
    ("text", "level", "code"),
    [
        ("+C190 -C210", 3, None),
        ("+C190 -C210", 2, "OPTIONS_LEVEL"),
        ("+C190", 1, "OPTIONS_LEVEL"),
        ("+C190", 2, None),
        ("-P190", 0, "OPTIONS_LEVEL"),
        ("-P190", 1, None),
        ("+C190 -2C210", 3, "MLEG_UNCOVERED_SHORT"),
        ("+4C190 -2C210", 3, "MLEG_RATIO"),
        ("+C190 -C190", 3, "MLEG_DUPLICATE_LEG"),
    ],
)
def test_which_orders_are_taken(text: str, level: int, code: str | None) -> None:
    assert CALCULATOR.validate_order(legs(text), level=level) == code


def test_an_order_that_closes_more_than_is_held() -> None:
    assert CALCULATOR.validate_order(legs("-C190", opens=False)) == "POSITION_INTENT"
    assert CALCULATOR.validate_order(legs("-C190", opens=False), positions=portfolio("+C190")) is None


@pytest.mark.parametrize(
    ("held", "shares", "code"),
    [
        ("", 0, "OPTIONS_UNCOVERED"),
        ("", 99, "OPTIONS_UNCOVERED"),
        ("", 100, None),
        ("+C110", 0, "OPTIONS_UNCOVERED"),  # the gate says so too
        ("-C120", 100, "OPTIONS_UNCOVERED"),
        ("-C120", 200, None),
        ("-C120 +C130", 100, None),
    ],
)
def test_a_call_that_is_sold_by_itself_needs_shares(held: str, shares: int, code: str | None) -> None:
    given: Any = {"positions": portfolio(held), "shares": {"AAPL": shares}}
    assert CALCULATOR.validate_order(legs("-C100"), **given) == code


def test_what_is_no_order_has_no_cost() -> None:
    for wrong, qty in (
        ([], 1),
        (legs("+C190"), 0),
        (legs("+C190"), -1),
        ([OptionLeg(series("C190"), -1, "buy_to_open")], 1),
    ):
        with pytest.raises(ValueError, match=r"order has at least|whole numbers above 0"):
            CALCULATOR.calculate_order_cost_basis(wrong, net_price=Decimal(1), qty=qty)


def test_numbers_that_would_not_fit_are_refused() -> None:
    rates = MarginRates(marginable=False, short_percent=1000)
    assert rates.initial(10**22, 10**22) == 10**35
    assert rates.maintenance(-(10**22), 10**22) == 10**36
    with pytest.raises(ValueError, match="out of range"):
        rates.initial(10**23, 10**22)


@pytest.mark.parametrize("symbol", ["AAPL", "AAPL251399C00190000", "aapl250117C00190000", ""])
def test_what_is_no_symbol(symbol: str) -> None:
    with pytest.raises(ValueError, match=r"OCC|expiry"):
        OptionPosition(symbol, 1)


def test_the_public_name_is_the_same_class() -> None:
    assert Public is AlpacaOptionsMarginCalculator


# -- properties --------------------------------------------------------------------------------------------------------

ROW = st.tuples(st.booleans(), st.integers(1, 40), st.just(250117), st.integers(-5, 5))


def brute(rows: list[tuple[bool, int, int, int]]) -> int:
    """Dollars, by trying every whole price."""
    worst = 0
    for price in range(42):
        value = sum(qty * max(price - k if call else k - price, 0) for call, k, _, qty in rows)
        worst = max(worst, -value)
    return worst * 100


def engine(rows: list[tuple[bool, int, int, int]]) -> int | None:
    try:
        return option_margin([(call, k * 1000, day, qty) for call, k, day, qty in rows])
    except UncoveredError:
        return None


@given(st.lists(ROW, max_size=10))
@settings(max_examples=300, deadline=None)
def test_equals_the_brute_force_or_is_uncovered(rows: list[tuple[bool, int, int, int]]) -> None:
    calls = sum(qty for call, _, _, qty in rows if call)
    found = engine(rows)
    if calls < 0:
        assert found is None
    else:
        assert found == brute(rows) * 10**9


@given(st.lists(ROW, max_size=10), st.randoms(use_true_random=False), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_order_is_nothing_and_size_is_linear(rows: list[Any], random: Any, times: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    found = engine(rows)
    assert engine(shuffled) == found
    many = engine([(call, k, day, qty * times) for call, k, day, qty in rows])
    assert many == (None if found is None else found * times)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 10**6)), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_an_account_that_is_kept_up_equals_one_made_anew(steps: list[tuple[int, int]]) -> None:
    rates, kept, anew = MarginRates(), MarginAccount(), MarginAccount()
    for account in (kept, anew):
        account.set_cash(10**15)
    for number, (qty, price) in enumerate(steps):
        kept.set_position(f"S{number % 3}", qty * 10**9, price * 10**7, rates)
        kept.reserve(f"O{number % 2}", price)
    last = {f"S{number % 3}": step for number, step in enumerate(steps)}
    for symbol, (qty, price) in last.items():
        anew.set_position(symbol, qty * 10**9, price * 10**7, rates)
    for order, price in {f"O{number % 2}": step[1] for number, step in enumerate(steps)}.items():
        anew.reserve(order, price)
    names = ("equity", "initial_margin", "maintenance_margin", "excess", "buying_power")
    a, b = kept.figures(), anew.figures()
    assert [getattr(a, name) for name in names] == [getattr(b, name) for name in names]
