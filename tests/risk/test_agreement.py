"""The gate's arithmetic against the simulated exchange's own: two readings of one snapshot of an account.

For random accounts both say of every order whether it can be paid for. The exchange's figures and checks are asked as
functions of the snapshot, the gate through a file's test of its limits. Snapshots leave out where the gate is meant to
be stricter: headroom, and stock so cheap that its maintenance is more than half. Tables worked by hand are in
test_margin.py, so that both can't be wrong alike.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest

from runner.config.models import RunnerConfig
from runner.config.trials import Trial
from runner.exchange.assets import Asset, make_asset
from runner.exchange.broker.accounts import Account, Position
from runner.exchange.broker.checks import Reference, check_funds, check_short, unit_cost
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import OrderRequest
from runner.exchange.errors import AlpacaError
from runner.node.trial import judge

D = Decimal
STOCKS, PAIRS = ("AAPL", "BAC", "IBM", "MSFT"), ("BTC/USD", "ETH/USD")
CENT = D("0.01")
CONFIG = RunnerConfig.model_validate(
    {
        "name": "n",
        "environment": "paper",
        "feeds": {"stocks": {"market": "stocks"}},
        "accounts": {"main": {"broker": "alpaca", "key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}}},
        "strategies": {"s": {"class": "m:C", "account": "main", "feed": "stocks"}},
        "risk": {"margin": {"headroom": "0%"}},
    }
)


@dataclass
class Snapshot:
    """An account, its working orders that open, the market, and one order more. Orders never cross zero."""

    cash: D
    positions: dict[str, D] = field(default_factory=dict)
    quotes: dict[str, tuple[D, D]] = field(default_factory=dict)
    working: list[dict[str, Any]] = field(default_factory=list)
    order: dict[str, Any] = field(default_factory=dict)

    def middle(self, symbol: str) -> D:
        bid, ask = self.quotes[symbol]
        return (bid + ask) / 2

    mark = middle

    def contract(self, symbol: str) -> None:
        """No options here: their own tables are in test_margin_options.py."""

    def asset(self, symbol: str) -> Asset:
        return make_asset(symbol)


def draw(rng: random.Random) -> Snapshot:
    def price(low: int, high: int) -> D:
        return D(rng.randint(low * 100, high * 100)) / 100

    it = Snapshot(cash=D(rng.choice((1_500, 2_500, 50_000, 100_000, 250_000))) + price(0, 500))
    direction: dict[str, bool] = {}
    for symbol in (*STOCKS, *PAIRS):
        bid = price(20, 200)
        it.quotes[symbol] = (bid, bid + D(rng.randint(0, 30)) / 100)
        direction[symbol] = symbol in PAIRS or rng.random() < 0.6
    for symbol in rng.sample((*STOCKS, *PAIRS), rng.randint(0, 4)):
        qty = D(rng.randint(1, max(int(it.cash / 4 / it.middle(symbol)), 1)))
        it.positions[symbol] = qty if direction[symbol] else -qty
        # Bought with money that is there, or borrowed.
        it.cash -= it.positions[symbol] * it.middle(symbol)
    for _ in range(rng.randint(0, 5)):
        symbol = rng.choice((*STOCKS, *PAIRS))
        it.working.append(an_order(rng, it, symbol, buys=direction[symbol], limit=True))
    symbol = rng.choice((*STOCKS, *PAIRS))
    buys = direction[symbol]
    if symbol in it.positions and rng.random() < 0.2:
        size = abs(it.positions[symbol])
        it.order = {"symbol": symbol, "side": "sell" if buys else "buy", "qty": size, **times(symbol)}
    else:
        it.order = an_order(rng, it, symbol, buys=buys, limit=rng.random() < 0.6)
        near_the_bound(rng, it)
    return it


def times(symbol: str) -> dict[str, str]:
    return {"time_in_force": "gtc" if symbol in PAIRS else "day"}


def an_order(rng: random.Random, it: Snapshot, symbol: str, *, buys: bool, limit: bool) -> dict[str, Any]:
    reach = max(int(abs(it.cash) / 3 / it.middle(symbol)), 1)
    order: dict[str, Any] = {"symbol": symbol, "side": "buy" if buys else "sell", **times(symbol)}
    order["qty"] = D(rng.randint(1, reach))
    if limit:
        away = D(rng.randint(0, 50)) / 100
        order["limit"] = it.quotes[symbol][0] - away if buys else it.quotes[symbol][1] + away
    return order


def near_the_bound(rng: random.Random, it: Snapshot) -> None:
    """Most orders as large as what is left, or one unit more: where two readings differ first."""
    if rng.random() < 0.2:
        return
    account = of_exchange(it)
    figures = account.figures(it)
    marginable = it.asset(it.order["symbol"]).marginable
    power = figures.buying_power if marginable else figures.non_marginable_buying_power
    unit = cost(it, it.order, held=it.positions.get(it.order["symbol"], D(0)))
    if power > 0 and unit > 0:
        fits = (power / unit).to_integral_value(ROUND_DOWN)
        it.order["qty"] = max(fits + rng.choice((0, 0, 1, 1, 2)), D(1))


def request_of(order: dict[str, Any]) -> OrderRequest:
    kind = "limit" if "limit" in order else "market"
    return OrderRequest(
        order["symbol"], order["side"], kind, order["time_in_force"], qty=order["qty"], limit_price=order.get("limit")
    )


def intent(order: dict[str, Any], held: D) -> str:
    closes = held < 0 if order["side"] == "buy" else held > 0
    return f"{order['side']}_to_{'close' if closes else 'open'}"


def cost(it: Snapshot, order: dict[str, Any], held: D) -> D:
    bid, ask = it.quotes[order["symbol"]]
    return unit_cost(request_of(order), intent(order, held), Reference(ask, bid, ask), order.get("limit"))


def of_exchange(it: Snapshot) -> Account:
    account = Account(key="k", id="a", number="1", created_ns=0, cash=it.cash, multiplier=2)
    for symbol, qty in it.positions.items():
        account.positions[symbol] = Position(symbol, qty, qty * it.middle(symbol))
    for n, each in enumerate(it.working):
        held = it.positions.get(each["symbol"], D(0))
        account.add_order(
            Order(
                id=str(n), client_order_id=str(n), account_key="k", asset_id="", symbol=each["symbol"],
                side=each["side"], type="limit", time_in_force="day", qty=each["qty"], notional=None,
                limit_price=each["limit"], stop_price=None, trail_price=None, trail_percent=None,
                extended_hours=False, position_intent=intent(each, held), created_ns=0, expires_ns=0, status="new",
                unit_reserve=cost(it, each, held),
                reserve_rate=D("0.5") if it.asset(each["symbol"]).marginable else D(1),
            )
        )  # fmt: skip
    return account


def exchange_says(it: Snapshot) -> bool:
    account = of_exchange(it)
    held = it.positions.get(it.order["symbol"], D(0))
    what = intent(it.order, held)
    figures, asset = account.figures(it), it.asset(it.order["symbol"])
    try:
        if what == "sell_to_open":
            check_short(account, request_of(it.order), asset, figures)
        check_funds(figures, asset, cost(it, it.order, held) * it.order["qty"])
    except AlpacaError:
        return False
    return True


def gate_says(it: Snapshot) -> str:
    trial = Trial.model_validate(
        {
            "account": {
                "cash": it.cash,
                "positions": {symbol: {"qty": qty} for symbol, qty in it.positions.items()},
                "working": [dict(each) for each in it.working],
            },
            "quotes": {symbol: {"bid": bid, "ask": ask} for symbol, (bid, ask) in it.quotes.items()},
            "order": it.order,
            "expect": "allowed",
        }
    )
    return judge(CONFIG, trial).code


@pytest.mark.parametrize("seed", range(20))
def test_both_say_the_same_of_every_order(seed):
    rng = random.Random(seed)
    said: Counter[str] = Counter()
    for _ in range(150):
        it = draw(rng)
        gate = gate_says(it)
        assert (gate == "allowed") == exchange_says(it), (gate, it)
        assert gate in {"allowed", "MARGIN_INSUFFICIENT"}
        said[gate] += 1
    # Neither can be right by saying always the same.
    assert min(said["allowed"], said["MARGIN_INSUFFICIENT"]) > 20


def test_a_backtest_in_the_same_process_changes_nothing(bench):
    rng = random.Random(3)
    drawn = [draw(rng) for _ in range(40)]
    before = [gate_says(it) for it in drawn]
    bench.run(lambda s: None)  # from now on Nautilus works out accounts of the venue by itself
    assert [gate_says(it) for it in drawn] == before
