"""Whatever is sent, in any order: the books add up, and nothing is ever uncovered."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from runner.exchange.broker.margin import uncovered, without_covered_calls
from runner.exchange.broker.settling import IN_THE_MONEY
from runner.exchange.errors import AlpacaError

STRIKES = (95, 100, 105, 110)
OPTIONS = [f"IBM131018{kind}{strike:05d}000" for kind in "CP" for strike in STRIKES]
OPENING = Decimal(100_000)


class Trader:
    """Sends what a seed tells it to, mostly refused, and moves prices."""

    def __init__(self, venue: Any, seed: int) -> None:
        self.venue = venue
        self.random = random.Random(seed)  # reproducible, not secret
        venue.market.add_symbols(OPTIONS)
        self.move()

    def move(self) -> None:
        spot = Decimal(self.random.randint(90, 115))
        self.venue.quote("IBM", str(spot), str(spot + Decimal("0.02")))
        self.venue.trade("IBM", str(spot))
        self.venue.quote("BTC/USD", str(spot * 500), str(spot * 500 + 10))
        for symbol in OPTIONS:
            contract = self.venue.market.contract(symbol)
            middle = contract.intrinsic(spot) + self.random.randint(1, 4)
            self.venue.quote(symbol, str(middle), str(middle + Decimal("0.10")))

    def step(self) -> None:
        choose = self.random.choice
        actions: list[Callable[[], object]] = [self.stock, self.coins, self.option, self.spread, self.move, self.change]
        with contextlib.suppress(AlpacaError):
            choose(actions)()

    def stock(self) -> None:
        self.venue.send("IBM", self.side(), str(self.random.randint(1, 300)), **self.price(80, 120))

    def coins(self) -> None:
        qty = str(Decimal(self.random.randint(1, 900)) / 1000)
        self.venue.send("BTC/USD", self.side(), qty, time_in_force="gtc", **self.price(40_000, 60_000))

    def option(self) -> None:
        qty = str(self.random.randint(1, 4))
        self.venue.send(self.random.choice(OPTIONS), self.side(), qty, **self.price(1, 12))

    def spread(self) -> None:
        legs = [
            {"symbol": symbol, "ratio_qty": str(self.random.randint(1, 2)), "side": self.side()}
            for symbol in self.random.sample(OPTIONS, self.random.randint(2, 4))
        ]
        order = {"order_class": "mleg", "qty": str(self.random.randint(1, 3)), "time_in_force": "day", "legs": legs}
        self.venue.desk.submit(self.venue.me, {**order, "type": "market", **self.price(-8, 8)})

    def change(self) -> None:
        orders = self.venue.me.open_orders()
        if not orders:
            return
        order = self.random.choice(orders)
        if self.random.random() < 0.5:
            self.venue.desk.cancel(self.venue.me, order)
        else:
            self.venue.desk.replace(self.venue.me, order, {"qty": Decimal(self.random.randint(1, 5))})

    def side(self) -> str:
        return self.random.choice(["buy", "sell"])

    def price(self, low: int, high: int) -> dict[str, str]:
        if self.random.random() < 0.5:
            return {}
        return {"type": "limit", "limit_price": str(self.random.randint(low, high))}


def check(venue: Any) -> None:
    me = venue.me
    cost = sum((position.cost for position in me.positions.values()), Decimal(0))
    assert abs(me.cash + cost - (OPENING + me.realized - me.fees)) < Decimal("1e-12")
    for symbol, legs in me.options(venue.desk.floor.prices).items():
        rest, taken = without_covered_calls(legs, me.qty(symbol))
        assert uncovered(rest, "call") == 0
        assert taken <= max(me.qty(symbol), 0)
    assert all(position.qty >= 0 for symbol, position in me.positions.items() if "/" in symbol)
    assert all(order.open for order in me.open_orders())
    for order in me.open_orders():
        assert order.leaves > 0
        if order.several:
            assert [leg.leaves for leg in order.legs] == [order.leaves * leg.ratio for leg in order.legs]


def filled(venue: Any) -> Iterator[tuple[str, Decimal]]:
    for row in venue.me.activities.page(types=frozenset({"FILL"}), page_size=10_000):
        yield row["symbol"], Decimal(row["qty"]) * (1 if row["side"] == "buy" else -1)
    for row in venue.me.activities.page(types=frozenset({"CFEE"}), page_size=10_000):
        yield row["symbol"], Decimal(row["qty"])
    for row in venue.me.activities.page(category="non_trade_activity", page_size=10_000):
        if row["activity_type"].startswith("OP"):
            yield row["symbol"], Decimal(row["qty"])


@pytest.mark.parametrize("seed", range(25))
def test_the_books_add_up(make_venue: Callable[..., Any], seed: int) -> None:
    venue = make_venue(partial_fill_rate=0.3, seed=seed)
    trader = Trader(venue, seed)
    for _ in range(150):
        trader.step()
        check(venue)
    for order in venue.me.open_orders():
        if order.open and order.role != "leg":
            venue.desk.cancel(venue.me, order)
    assert venue.me.reserved() == (0, 0)

    venue.at("15:59", "2013-10-18")
    trader.move()
    spot = venue.desk.mark("IBM")
    exercised = [s for s in OPTIONS if venue.market.contract(s).intrinsic(spot) >= IN_THE_MONEY]
    assert exercised
    venue.at("16:00", "2013-10-18")
    assert not set(venue.me.positions) & set(OPTIONS)

    totals: dict[str, Decimal] = {}
    for symbol, qty in filled(venue):
        totals[symbol] = totals.get(symbol, Decimal(0)) + qty
    held = {symbol.replace("/", ""): position.qty for symbol, position in venue.me.positions.items()}
    assert {symbol: qty for symbol, qty in totals.items() if qty} == held
