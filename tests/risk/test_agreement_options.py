"""The gate against the simulated exchange over whole accounts with options: two readings of one snapshot.

Random accounts hold shares, options of several expirations and two underlyings, at every options level, and send
orders one after another: single contracts that open and close, covered calls, cash-secured puts, spreads of two to
four legs, shares. The exchange's desk and the gate (through a file's test of its limits) judge each order with what
they have let through before still working. They must say the same of each. The cash is set so that one of the orders
just fits, or is a cent short of that, as two readings differ there first.

So are lists of independent orders: without `order_class: mleg` each order of a list is sent by itself, so the exchange
is sent them one after the other, and the list passes where it takes them all.

Tables worked by hand are in test_margin_options.py, so that both can't be wrong alike.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runner.config.trials import Trial, TrialOrder
from runner.exchange.broker.accounts import Account, Position
from runner.exchange.broker.desk import Desk, DeskSettings
from runner.exchange.broker.margin import covered_calls, uncovered, without_covered_calls
from runner.exchange.errors import AlpacaError
from runner.exchange.faults import Faults
from runner.exchange.market import Market, Quote
from runner.node.trial import Bench, Outcome
from tests.risk.test_agreement import CONFIG, Listing

D = Decimal
ZERO, CENT, NICKEL, PLENTY = D(0), D("0.01"), D("0.05"), D(10_000_000)
MONDAY_NS = int(datetime(2026, 1, 5, 10, 0, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9
SPOTS = {"IBM": 100, "BAC": 40}
DAYS = ("260220", "260320", "260619")
STRIKES = {root: [spot - 10, spot - 5, spot, spot + 5, spot + 10] for root, spot in SPOTS.items()}


def occ(root: str, day: str, right: str, strike: int) -> str:
    return f"{root}{day}{right}{strike * 1000:08d}"


CONTRACTS = {
    occ(root, day, right, strike): (root, day, right, strike)
    for root in SPOTS
    for day in DAYS
    for right in "CP"
    for strike in STRIKES[root]
}


@dataclass
class Case:
    """An account, the market, and the orders that it sends; none of them but the last can be filled at once."""

    level: int = 3
    cash: D = PLENTY
    positions: dict[str, D] = field(default_factory=dict)
    quotes: dict[str, tuple[D, D]] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)


class Floor:
    """The simulated exchange with a case's account."""

    def __init__(self, case: Case) -> None:
        self.market = Market([*SPOTS, *CONTRACTS], now_ns=MONDAY_NS)
        settings = DeskSettings(opening_cash=case.cash, options_level=case.level)
        self.desk = Desk(self.market, settings, Faults(), lambda _key, _update: None)
        self.me: Account = self.desk.account("K")
        for symbol, (bid, ask) in case.quotes.items():
            self.market.set_quote(Quote(symbol, bid, 1, ask, 1, MONDAY_NS))
        for symbol, qty in case.positions.items():
            size = 100 if symbol in CONTRACTS else 1
            self.me.positions[symbol] = Position(symbol, qty, qty * self.desk.mark(symbol) * size, multiplier=size)

    def send(self, order: dict[str, Any]) -> AlpacaError | None:
        """What it refuses the order with, None where it takes it."""
        try:
            self.desk.submit(self.me, body(order))
        except AlpacaError as error:
            return error
        return None

    def excess(self) -> D:
        """What options may still be bought with, below 0 too."""
        figures = self.desk.figures(self.me)
        options = sum(
            (position.qty * self.desk.mark(symbol) * 100 for symbol, position in self.me.positions.items()
             if symbol in CONTRACTS), ZERO,
        )  # fmt: skip
        # What calls on shares are worth is owed.
        for root, legs in self.me.options(self.desk.floor.prices).items():
            for leg in covered_calls(legs, self.me.qty(root)):
                options -= leg.qty * self.desk.mark(leg.contract.symbol) * 100
        return figures.equity - options - figures.initial - self.me.reserved()[1]

    def naked(self) -> bool:
        for root, legs in self.me.options(self.desk.floor.prices).items():
            rest, _ = without_covered_calls(legs, self.me.qty(root))
            if uncovered(rest, "call"):
                return True
        return False


def body(order: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"qty": str(order["qty"]), "time_in_force": "day", "type": "market"}
    if "limit" in order:
        sent |= {"type": "limit", "limit_price": str(order["limit"])}
    if "legs" in order:
        legs = [{"symbol": x["symbol"], "side": x["side"], "ratio_qty": str(x["ratio"])} for x in order["legs"]]
        return sent | {"order_class": "mleg", "legs": legs}
    return sent | {"symbol": order["symbol"], "side": order["side"]}


def gate_says(case: Case) -> list[Outcome]:
    bench = Bench(CONFIG, trial_of(case), "s")
    said = [bench.submit(TrialOrder.model_validate(order), ("order",)) for order in case.orders]
    assert bench.gate.errors == 0, said
    return said


def trial_of(case: Case) -> Trial:
    return Trial.model_validate(
        {
            "account": {
                "cash": case.cash,
                "options_level": case.level,
                "positions": {symbol: {"qty": qty} for symbol, qty in case.positions.items()},
            },
            "quotes": {symbol: {"bid": bid, "ask": ask} for symbol, (bid, ask) in case.quotes.items()},
            "orders": case.orders,
            "expect": "allowed",
        }
    )


def exchange_says(case: Case) -> list[str]:
    floor = Floor(case)
    return [str(error) if (error := floor.send(order)) is not None else "allowed" for order in case.orders]


# -- random accounts and orders ---------------------------------------------------------------------------------------


def draw(rng: random.Random) -> Case:
    case = Case(level=rng.choice((0, 1, 2, 3, 3, 3, 3)))
    for root, middle in SPOTS.items():
        bid = D(middle) + D(rng.randint(-300, 300)) / 100
        case.quotes[root] = (bid, bid + D(rng.randint(0, 5)) / 100)
    for symbol, (root, day, right, strike) in CONTRACTS.items():
        spot = case.quotes[root][0]
        inside = max(spot - strike if right == "C" else strike - spot, ZERO)
        premium = inside + D(3 + DAYS.index(day)) * 25 / (10 + abs(spot - strike)) * D(rng.randint(80, 120)) / 100
        bid = (premium / NICKEL).to_integral_value() * NICKEL
        case.quotes[symbol] = (bid, bid + NICKEL * rng.randint(1, 3))
    hold(rng, case)
    working: dict[str, str] = {}
    for n in range(count := rng.randint(1, 6)):
        order = an_order(rng, case, last=n == count - 1)
        if order is not None and not meets(order, working) and not closes_twice(case, order):
            case.orders.append(order)
    return case


def hold(rng: random.Random, case: Case) -> None:
    """Positions as an account can come by them: short calls are covered."""
    while True:
        case.positions.clear()
        for _ in range(rng.randint(0, 5)):
            root, n = rng.choice(list(SPOTS)), D(rng.randint(1, 4))
            kind = rng.random()
            if kind < 0.25:
                add(case, root, D(rng.choice((-150, 100, 200, 250, 400))))
            elif kind < 0.5:
                add(case, a_contract(rng, root), n)
            elif kind < 0.65:
                add(case, a_contract(rng, root), -n)
            else:
                for leg in legs(rng, root):
                    add(case, leg["symbol"], n * leg["ratio"] * (1 if leg["side"] == "buy" else -1))
        case.positions = {symbol: qty for symbol, qty in case.positions.items() if qty}
        if not Floor(case).naked():
            return


def add(case: Case, symbol: str, qty: D) -> None:
    case.positions[symbol] = case.positions.get(symbol, ZERO) + qty


def a_contract(rng: random.Random, root: str, right: str = "") -> str:
    return occ(root, rng.choice(DAYS), right or rng.choice("CP"), rng.choice(STRIKES[root]))


def legs(rng: random.Random, root: str) -> list[dict[str, Any]]:
    """Two to four different contracts; most such orders are covered by themselves."""
    kind, day = rng.random(), rng.choice(DAYS)
    low, high = sorted(rng.sample(STRIKES[root], 2))
    if kind < 0.3:  # a vertical
        right = rng.choice("CP")
        rows = [(occ(root, day, right, low), 1, 1), (occ(root, day, right, high), -1, 1)]
    elif kind < 0.45:  # a calendar
        near, far = sorted(rng.sample(DAYS, 2))
        right = rng.choice("CP")
        rows = [(occ(root, far, right, low), 1, 1), (occ(root, near, right, high), -1, 1)]
    elif kind < 0.6:  # a condor
        a, b, c, d = sorted(rng.sample(STRIKES[root], 4))
        rows = [(occ(root, day, "P", a), 1, 1), (occ(root, day, "P", b), -1, 1)]
        rows += [(occ(root, day, "C", c), -1, 1), (occ(root, day, "C", d), 1, 1)]
    elif kind < 0.7:  # a straddle or strangle
        rows = [(occ(root, day, "P", low), 1, 1), (occ(root, day, "C", high), 1, 1)]
    elif kind < 0.8:  # a ratio, or a back spread
        rows = [(occ(root, day, "C", low), 1, rng.randint(1, 2)), (occ(root, day, "C", high), -1, rng.randint(1, 2))]
    else:  # anything
        symbols = rng.sample([symbol for symbol, terms in CONTRACTS.items() if terms[0] == root], rng.randint(2, 4))
        rows = [(symbol, rng.choice((1, 1, -1)), rng.randint(1, 2)) for symbol in symbols]
    turn = rng.choice((1, 1, -1))
    return [{"symbol": s, "side": "buy" if sign * turn > 0 else "sell", "ratio": r} for s, sign, r in rows]


def an_order(rng: random.Random, case: Case, *, last: bool) -> dict[str, Any] | None:
    kind, root = rng.random(), rng.choice(list(SPOTS))
    if kind < 0.4:
        return priced(rng, case, {"legs": legs_to_send(rng, case, root), "qty": rng.randint(1, 5)}, last=last)
    if kind < 0.5:
        symbol = root
    elif kind < 0.75 and case.positions:
        symbol = rng.choice(list(case.positions))
    else:
        symbol = a_contract(rng, root)
    held = case.positions.get(symbol, ZERO)
    side = rng.choice(("buy", "sell")) if not held or rng.random() < 0.3 else ("sell" if held > 0 else "buy")
    qty = rng.randint(1, 5) * (1 if symbol in CONTRACTS else 50)
    if held and (held > 0) == (side == "sell"):
        qty = min(qty, int(abs(held)))  # the adapter sends no order through zero: it makes two of it
    if not held and symbol in SPOTS:
        side = "buy"
    return priced(rng, case, {"symbol": symbol, "side": side, "qty": qty}, last=last)


def legs_to_send(rng: random.Random, case: Case, root: str) -> list[dict[str, Any]]:
    """Some close what is held, whole or in part."""
    held = [symbol for symbol in case.positions if symbol in CONTRACTS and CONTRACTS[symbol][0] == root]
    if len(held) < 2 or rng.random() < 0.5:
        return legs(rng, root)
    chosen = rng.sample(held, rng.randint(2, min(4, len(held))))
    return [{"symbol": s, "side": "sell" if case.positions[s] > 0 else "buy", "ratio": 1} for s in chosen]


def priced(rng: random.Random, case: Case, order: dict[str, Any], *, last: bool) -> dict[str, Any] | None:
    """With a limit that nothing meets; the last one at any price, or at the market."""
    if "legs" in order:
        far = sum(
            (leg["ratio"] * (case.quotes[leg["symbol"]][1] if leg["side"] == "buy" else -case.quotes[leg["symbol"]][0])
             for leg in order["legs"]), ZERO,
        )  # fmt: skip
        away = D(rng.randint(-20, 40)) / 20 if last else D(rng.randint(2, 40)) / 20
        return order if last and rng.random() < 0.3 else order | {"limit": far - away}
    bid, ask = case.quotes[order["symbol"]]
    if last and rng.random() < 0.3:
        return order
    away = D(rng.randint(-10, 10)) / 20 if last else D(rng.randint(1, 10)) / 20
    limit = bid - away if order["side"] == "buy" else ask + away
    return order | {"limit": limit} if limit > 0 else None


def meets(order: dict[str, Any], working: dict[str, str]) -> bool:
    """Whether it is on the other side of one before: what the adapter makes of that is its own to decide."""
    rows = order.get("legs") or [order]
    if any(working.get(row["symbol"], row["side"]) != row["side"] for row in rows):
        return True
    working.update({row["symbol"]: row["side"] for row in rows})
    return False


def closes_twice(case: Case, order: dict[str, Any]) -> bool:
    """Whether others close already what this single order would: the adapter waits with such a one."""
    held = case.positions.get(order.get("symbol", ""), ZERO)
    if not held or (held > 0) == (order["side"] == "buy"):
        return False
    total = order["qty"]
    for other in case.orders:
        for row in other.get("legs") or [other]:
            if row["symbol"] == order["symbol"]:
                total += other["qty"] * row.get("ratio", 1)
    return total > abs(held)


def at_the_bound(rng: random.Random, case: Case) -> None:
    """Set the cash so that one of the orders just fits, or is a cent short; sometimes leave plenty or little."""
    if not case.orders or rng.random() < 0.15:
        case.cash = D(rng.choice((1_000, 10_000, 50_000, 1_000_000)))
        return
    floor, at = Floor(case), rng.randrange(len(case.orders))
    for order in case.orders[:at]:
        floor.send(order)
    excess, known = floor.excess(), set(floor.me.orders)
    floor.send(case.orders[at])
    made = [order for key, order in floor.me.orders.items() if key not in known and not order.role]
    cost = sum((order.unit_reserve * D(order.qty or 0) * order.reserve_rate for order in made), ZERO)
    if made or rng.random() < 0.3:
        case.cash = PLENTY - excess + cost - rng.choice((ZERO, ZERO, CENT, CENT, D(500)))
    case.cash = case.cash.quantize(CENT)


@pytest.mark.parametrize("seed", range(10))
def test_both_say_the_same_of_every_order(seed):
    rng = random.Random(seed)
    said: Counter[str] = Counter()
    for _ in range(120):
        case = draw(rng)
        at_the_bound(rng, case)
        gate, exchange = gate_says(case), exchange_says(case)
        for n, (ours, theirs) in enumerate(zip(gate, exchange, strict=True)):
            assert (ours.code == "allowed") == (theirs == "allowed"), (ours, theirs, case.orders[: n + 1], case)
            said[ours.code] += 1
    # Neither can be right by saying always the same.
    assert set(said) == {"allowed", "MARGIN_INSUFFICIENT", "MARGIN_UNCOVERED", "OPTION_REFUSED"}
    assert min(said.values()) > 10, said


def test_a_call_for_sale_takes_shares_whatever_else_could_cover_it():
    """The shares are the written call's alone, though one that is held expires later: another is left uncovered."""
    near, middle, far = DAYS
    case = Case(
        positions={
            "IBM": D(100), occ("IBM", middle, "C", 100): D(1), occ("IBM", far, "C", 105): D(1),
            occ("IBM", far, "C", 110): D(-1),
        },
        orders=[
            {"symbol": occ("IBM", near, "C", 110), "side": "sell", "qty": 1, "limit": D("9.00")},
            {"symbol": occ("IBM", far, "C", 105), "side": "sell", "qty": 1, "limit": D("20.00")},
        ],
    )  # fmt: skip
    case.quotes = {"IBM": (D("99.99"), D(100)), "BAC": (D(40), D(40))} | dict.fromkeys(CONTRACTS, (D(4), D("4.05")))
    assert exchange_says(case) == ["allowed", "account not eligible to trade uncovered option contracts"]
    assert [each.code for each in gate_says(case)] == ["allowed", "MARGIN_UNCOVERED"]


# -- lists of independent orders ---------------------------------------------------------------------------------------

Order = dict[str, Any]


def draw_lists(rng: random.Random, *, of_one_root: bool) -> tuple[Case, list[list[Order]]]:
    """Lists, and single orders, of which nothing is filled at once. Unless `of_one_root`, a list has at most one order
    of contracts of each root.
    """
    case = draw(rng)
    case.orders.clear()
    working: dict[str, str] = {}
    commands = []
    for _ in range(rng.randint(1, 3)):
        orders: list[Order] = []
        roots: set[str] = set()
        for _ in range(rng.choice((1, 2, 2, 3, 4))):
            order = an_order(rng, case, last=False)
            if order is None or meets(order, working) or closes_twice(case, order):
                continue
            root = root_of(order)
            if root is not None and root in roots and not of_one_root:
                continue
            roots |= {root} if root is not None else set()
            orders.append(order)
            case.orders.append(order)
        if orders:
            commands.append(orders)
    return case, commands


def root_of(order: Order) -> str | None:
    """None of shares."""
    terms = CONTRACTS.get(order["symbol"] if "symbol" in order else order["legs"][0]["symbol"])
    return None if terms is None else terms[0]


def exchange_says_of_lists(case: Case, commands: list[list[Order]]) -> list[str]:
    taken: list[Order] = []
    said = []
    for orders in commands:
        floor = Floor(case)
        for order in taken:
            assert floor.send(order) is None
        errors = (floor.send(order) for order in orders)
        error = next((each for each in errors if each is not None), None)
        said.append("allowed" if error is None else str(error))
        taken += [] if error is not None else orders
    return said


def compare_lists(case: Case, commands: list[list[Order]]) -> Counter[tuple[bool, str]]:
    """How often the gate said what, of lists and of single orders."""
    bench, said = Listing(CONFIG, trial_of(case), "s"), Counter[tuple[bool, str]]()
    for n, (orders, theirs) in enumerate(zip(commands, exchange_says_of_lists(case, commands), strict=True)):
        ours = bench.send(orders)
        assert (ours.code == "allowed") == (theirs == "allowed"), (ours, theirs, orders, commands[:n], case)
        said[len(orders) > 1, ours.code] += 1
    assert bench.gate.errors == 0
    return said


@pytest.mark.parametrize("of_one_root", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_both_say_the_same_of_every_list(seed, of_one_root):
    rng = random.Random(seed)
    said: Counter[tuple[bool, str]] = Counter()
    for _ in range(80):
        case, commands = draw_lists(rng, of_one_root=of_one_root)
        at_the_bound(rng, case)
        if commands:
            said += compare_lists(case, commands)
    assert min(said[True, code] for code in ("allowed", "MARGIN_INSUFFICIENT", "OPTION_REFUSED")) > 5, said
