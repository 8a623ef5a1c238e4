"""Every worked example of Alpaca's pages, and every row that follows from their text: worked by hand, held against both
the engine's arithmetic and the simulated exchange's own.

The rows stand in the notes on Alpaca's margin (`shared/alpaca/facts.md`, part 7) under the words that they are listed
by here; where the notes are at hand, no row of theirs may be missing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner._engine import MarginAccount, MarginRates
from runner.exchange.broker.accounts import initial_margin, maintenance_margin
from runner.exchange.broker.margin import option_margin
from runner.exchange.errors import AlpacaError
from runner.margin import UncoveredError
from tests.exchange.broker.conftest import Venue
from tests.exchange.broker.test_margin import legs as held_at_the_exchange
from tests.margin.test_options import CALCULATOR, legs, portfolio

D = Decimal
NANO = 10**9
#: Positions of one underlying, `@2` expiring later, and what they must keep; None where a short call is uncovered.
REQUIREMENTS: dict[str, list[tuple[str, int | None]]] = {
    "+C100 −C110 +C200 −C190": [("+C100 -C110 +C200 -C190", 0), ("+C100 -C110", 0), ("+C200 -C190", 1000)],
    "+C200 −C190": [("+C200 -C190", 1000)],
    "+C190 −C210 (bull call) ; +P210 −P190 (bear put)": [("+C190 -C210", 0), ("+P210 -P190", 0)],
    "+P190 −P195 −C205 +C210 (iron condor)": [("+P190 -P195 -C205 +C210", 500)],
    "+P180 −P190 −C210 +C215 (unequal)": [("+P180 -P190 -C210 +C215", 1000)],
    "iron butterfly 95/100/100/105": [("+P95 -P100 -C100 +C105", 500)],
    "bear call 100/110 ; bull put 95/90": [("-C100 +C110", 1000), ("-P95 +P90", 500)],
    "IC 90/95/105/110 ; IC 180/190/210/220 ; latter ×5": [
        ("+P90 -P95 -C105 +C110", 500),
        ("+P180 -P190 -C210 +C220", 1000),
        ("+5P180 -5P190 -5C210 +5C220", 5000),
    ],
    "long fly 95/100/105 ; short fly ; broken-wing +C95 −2C100 +C110": [
        ("+C95 -2C100 +C105", 0),
        ("-C95 +2C100 -C105", 500),
        ("+C95 -2C100 +C110", 500),
    ],
    "back spread −C100 +2C110": [("-C100 +2C110", 1000)],
    "ratio +C100 −2C110 ; short straddle": [("+C100 -2C110", None), ("-C100 -P100", None)],
    "box +C100 −C110 +P110 −P100 ; reversed box": [
        ("+C100 -C110 +P110 -P100", 0),
        ("-C100 +C110 -P110 +P100", 1000),
    ],
    "long straddle/strangle": [("+C100 +P100", 0), ("+C110 +P90", 0)],
    "short put K=100": [("-P100", 10_000)],
    "roll 200/205→210/215 same expiry: +C200 −C205 −C210 +C215": [("+C200 -C205 -C210 +C215", 0)],
    "roll expiry: [+C200 −C205]@250117, [−C200 +C205]@250124": [
        ("+C200 -C205", 0),
        ("-C200@2 +C205@2", 500),
        ("+C200 -C205 -C200@2 +C205@2", 500),
    ],
    "bear call 100/110 @T1 and bull put 50/45 @T2": [("-C100 +C110 -P50@2 +P45@2", 1000)],
    "two bull puts 50/45, one @T1 one @T2": [("-P50 +P45 -P50@2 +P45@2", 500)],
    # Told in the text beside the table.
    "1 long P100 / 2 short P90": [("+P100 -2P90", 8_000)],
    "−near C100, +far C100": [("-C100 +C100@2", 0)],
    "+near −far": [("+C100 -C100@2", None)],
}
#: An order's legs, its net price a share, how many units, and what it takes.
COSTS: dict[str, list[tuple[str, str, int, int]]] = {
    "buy C200 @10, sell C190 @15": [("+C200 -C190", "-5", 1, 500)],
    "+C190 −C210 @ 1.00": [("+C190 -C210", "1.00", 1, 100)],
    "+P210 −P190 @ 1.25": [("+P210 -P190", "1.25", 1, 125)],
    'iron condor above, credit 1.80 (limit_price:"-1.80")': [
        ("+P190 -P195 -C205 +C210", "-1.80", 1, 320),
        ("+P190 -P195 -C205 +C210", "1.80", 1, 680),
    ],
    "+P200 +C250 @ 0.60": [("+P200 +C250", "0.60", 1, 60)],
    "roll strikes @ 2.05": [("+C200 -C205 -C210 +C215", "2.05", 1, 205)],
    "buy call @ 3.80 ×100 contracts": [("+C100", "3.80", 100, 38_000)],
    "CSP, required 20310 (e.g. K=205, premium 1.90: 20500 − 190)": [("-P205", "-1.90", 1, 20_310)],
}
#: Shares, their price, initial margin (None: not told) and maintenance.
EQUITIES: dict[str, tuple[int, str, int | None, int]] = {
    "long 100 @ $50 → initial 2500, maint 1500": (100, "50", 2500, 1500),
    "Long 100 @ $4 → maint 200": (100, "4", None, 200),
    "Short 100 @ $4 → max(250,400)=400": (-100, "4", None, 400),
    "Short 100 @ $2 → max(250,200)=250": (-100, "2", None, 250),
    "Short 100 @ $12 → max(500,360)=500": (-100, "12", None, 500),
    "Short 100 @ $40 → 1200": (-100, "40", None, 1200),
    # The ends of the table's ranges.
    "LONG < $2.50 100 %": (100, "2.49", None, 249),
    "$2.50–6.00 50 %": (100, "2.50", None, 125),
    "> $6.00 30 %": (100, "6.10", None, 183),
    "SHORT < $5.00 max($2.50/share, 100 %)": (-100, "4.99", None, 499),
    "≥ $5.00 max($5.00/share, 30 %)": (-100, "5.00", None, 500),
}


def each(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(*row, id=f"{name} [{row[0]}]") for name, rows in table.items() for row in rows]


def plain(text: str) -> str:
    return re.sub(r"[`*]", "", text).strip()


def test_no_row_of_the_notes_is_missing(shared: Path | None) -> None:
    assert (len(REQUIREMENTS), len(COSTS), len(EQUITIES)) == (21, 8, 11)
    if shared is None or not (notes := shared / "alpaca" / "facts.md").exists():
        return
    text = notes.read_text(encoding="utf-8")
    part = text[text.index("### 7.2 ") : text.index("### 7.6 ")]
    rules, costs = part[: part.index("### 7.3 ")], part[part.index("### 7.3 ") : part.index("### 7.4 ")]
    for section, table in ((rules, REQUIREMENTS), (costs, COSTS)):
        rows = [plain(line.split("|")[1]) for line in section.splitlines() if line.startswith("| ")]
        assert set(rows) - {"Legs (one unit)", "Order"} <= set(table)
    words = plain(part)
    assert [name for name in (*REQUIREMENTS, *COSTS, *EQUITIES) if name not in words] == []
    worked = words[words.index("Worked (derived):") : words.index("Concentration:")]
    assert worked.count("→") == sum(name in worked for name in EQUITIES)


@pytest.mark.parametrize(("text", "amount"), each(REQUIREMENTS))
def test_a_requirement(text: str, amount: int | None) -> None:
    assert option_margin(held_at_the_exchange(text)) == amount
    rows = portfolio(text.replace("@2", "@250124"))
    if amount is None:
        with pytest.raises(UncoveredError, match="covered by nothing"):
            CALCULATOR.calculate_maintenance_margin(rows)
    else:
        assert CALCULATOR.calculate_maintenance_margin(rows).amount == amount


@pytest.mark.parametrize(("text", "net", "qty", "amount"), each(COSTS))
def test_a_cost_basis(text: str, net: str, qty: int, amount: int) -> None:
    assert CALCULATOR.calculate_order_cost_basis(legs(text), net_price=D(net), qty=qty).amount == amount
    # The exchange takes it with so much buying power, and not with a cent less.
    for cash, taken in ((D(amount), True), (D(amount) - D("0.01"), False)):
        venue = Venue(opening_cash=cash)
        symbols = [leg.symbol.replace("AAPL250117", "IBM131018") for leg in legs(text)]
        venue.market.add_symbols(symbols)
        for symbol in symbols:
            venue.quote(symbol, "300", "300.05")
        order: dict[str, Any] = {"qty": str(qty), "type": "limit", "limit_price": net, "time_in_force": "day"}
        if len(symbols) == 1:
            side = "buy" if text[0] == "+" else "sell"
            order |= {"symbol": symbols[0], "side": side, "limit_price": net.lstrip("-")}
        else:
            rows = zip(legs(text), symbols, strict=True)
            order |= {
                "order_class": "mleg",
                "legs": [{"symbol": s, "side": leg.intent[:4].rstrip("_"), "ratio_qty": "1"} for leg, s in rows],
            }
        if taken:
            venue.desk.submit(venue.me, order)
        else:
            with pytest.raises(AlpacaError, match="insufficient options buying power"):
                venue.desk.submit(venue.me, order)


@pytest.mark.parametrize(("qty", "price", "initial", "maintenance"), EQUITIES.values(), ids=list(EQUITIES))
def test_shares(qty: int, price: str, initial: int | None, maintenance: int) -> None:
    rates, nanos = MarginRates(), int(D(price) * NANO)
    assert rates.maintenance(qty * NANO, nanos) == maintenance * NANO
    assert maintenance_margin(D(qty), D(price)) == maintenance
    if initial is not None:
        assert rates.initial(qty * NANO, nanos) == initial * NANO
        assert initial_margin(D(qty), D(price)) == initial


@pytest.mark.parametrize("price", ["2.49", "2.50", "4.99", "5.00", "6.00", "6.01"])
def test_both_read_the_ends_of_the_ranges_alike(price: str) -> None:
    for qty in (100, -100):
        ours = MarginRates().maintenance(qty * NANO, int(D(price) * NANO))
        assert D(ours) / NANO == maintenance_margin(D(qty), D(price))


@pytest.mark.parametrize(
    ("equity", "initial", "options", "regt"),
    [
        ("123346.11", "629.805", "122716.305", "245432.610"),  # the account of the specification
        ("103820.56", "63480.38", "40340.18", "80680.36"),  # that of an older page
    ],
)
def test_buying_power_of_alpacas_accounts(equity: str, initial: str, options: str, regt: str) -> None:
    worth = D(initial) * 2
    account = MarginAccount()
    account.set_cash(int((D(equity) - worth) * NANO))
    account.set_position("AAPL", NANO, int(worth * NANO), MarginRates())
    figures = account.figures()
    assert [D(each) / NANO for each in (figures.equity, figures.excess, figures.buying_power)] == [
        D(equity), D(options), D(regt),
    ]  # fmt: skip


def test_what_works_is_taken_off_the_buying_power() -> None:
    """Alpaca's example: of 10,000, an order of 3,000 leaves 7,000, and one of 8,000 is refused."""
    venue = Venue(opening_cash=D(5_000))
    venue.quote("IBM", "99.99", "100.01")
    venue.send("IBM", "buy", "30", type="limit", limit_price="100")
    assert venue.figure("buying_power") == 7_000
    assert venue.refused("IBM", "buy", "80", type="limit", limit_price="100").message == "insufficient buying power"
    venue.send("IBM", "buy", "70", type="limit", limit_price="100")
    account = MarginAccount()
    account.set_cash(5_000 * NANO)
    account.reserve("first", 3_000 * NANO // 2)
    assert account.figures().buying_power == 7_000 * NANO
