"""The gate's arithmetic against the simulated exchange's own: two readings of one snapshot of an account.

For random accounts both say of every order whether it can be paid for. The exchange's figures and checks are asked as
functions of the snapshot, the gate through a file's test of its limits. Snapshots leave out where the gate is meant to
be stricter: headroom, and stock so cheap that its maintenance is more than half. Tables worked by hand are in
test_margin.py, so that both can't be wrong alike.

Lists of independent orders are read alike: their members are placed one after the other, those of a symbol in the
list's order and the symbols in any (they are sent at once), on one snapshot of what is held. What closes is what the
orders before it, working ones and members alike, leave of the position; what is bought frees nothing that is sold, and
the reverse. Every member that opens is paid for beside those before it. All of them pass or none. The exchange has no
orders through zero, so such a one is placed here as the part of it that opens.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from itertools import permutations
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrderList

from runner.config.models import RunnerConfig
from runner.config.trials import Trial, TrialOrder
from runner.exchange.assets import Asset, make_asset
from runner.exchange.broker.accounts import Account, Position
from runner.exchange.broker.checks import Reference, check_funds, check_short, unit_cost
from runner.exchange.broker.orders import Order
from runner.exchange.broker.request import OrderRequest
from runner.exchange.errors import AlpacaError
from runner.node.trial import TRADER, VENUE, Bench, Outcome, judge

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
    it, direction = an_account(rng)
    symbol = rng.choice((*STOCKS, *PAIRS))
    buys = direction[symbol]
    if symbol in it.positions and rng.random() < 0.2:
        size = abs(it.positions[symbol])
        it.order = {"symbol": symbol, "side": "sell" if buys else "buy", "qty": size, **times(symbol)}
    else:
        it.order = an_order(rng, it, symbol, buys=buys, limit=rng.random() < 0.6)
        near_the_bound(rng, it)
    return it


def an_account(rng: random.Random) -> tuple[Snapshot, dict[str, bool]]:
    """Without an order; with the side on which each symbol is opened by what is held and what works."""

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
    return it, direction


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
    return judge(CONFIG, trial_of(it, it.order)).code


def trial_of(it: Snapshot, order: dict[str, Any]) -> Trial:
    return Trial.model_validate(
        {
            "account": {
                "cash": it.cash,
                "positions": {symbol: {"qty": qty} for symbol, qty in it.positions.items()},
                "working": [dict(each) for each in it.working],
            },
            "quotes": {symbol: {"bid": bid, "ask": ask} for symbol, (bid, ask) in it.quotes.items()},
            "order": order,
            "expect": "allowed",
        }
    )


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


# -- lists of independent orders ---------------------------------------------------------------------------------------

BUYS, SELLS = "buy", "sell"


class Listing(Bench):
    """Sends orders of one command, as a list where they are several."""

    def send(self, wanted: list[dict[str, Any]]) -> Outcome:
        trials = [TrialOrder.model_validate(each) for each in wanted]
        if len(trials) == 1:
            return self.submit(trials[0], ("order",))
        orders = [self._order(each, ("orders", n)) for n, each in enumerate(trials)]
        made = self._factory.create_list(orders)
        self._cache.add_order_list(made)
        for order in orders:
            self._cache.add_order(order, None, None)
        before = len(self._passed)
        self._bus.send("ExecEngine.execute", SubmitOrderList(TRADER, self._strategy_id, made, UUID4(), self._now_ns))
        assert all(order.is_closed == orders[0].is_closed for order in orders)
        if len(self._passed) > before:
            return Outcome("allowed")
        reasons = [order.last_event.reason for order in orders]
        (code,) = {reason.partition(":")[0] for reason in reasons}
        return Outcome(code, next((reason for reason in reasons if "denied with its list" not in reason), reasons[0]))

    def reserved(self) -> D:
        return self.gate.margin.reserved(self._cache.account_for_venue(VENUE).id)


class Placing:
    """What the exchange's arithmetic says of orders placed one after the other on a snapshot."""

    def __init__(self, it: Snapshot) -> None:
        self._it = it
        self._account = of_exchange(it)
        self._placed: Counter[tuple[str, str]] = Counter()  # units by symbol and side
        for each in it.working:
            self._placed[each["symbol"], each["side"]] += each["qty"]

    def place(self, orders: list[dict[str, Any]]) -> bool:
        """All of them or none; in every order in which they can reach the venue."""
        for way in (*sent(orders), orders):
            before, known = self._placed.copy(), self._account.open_orders()
            try:
                for order in way:
                    self._one(order)
            except AlpacaError:
                self.restore(before, known)
                return False
            if way is not orders:
                self.restore(before, known)
        return True

    def restore(self, placed: Counter[tuple[str, str]], known: list[Order]) -> None:
        self._placed = placed
        for each in self._account.open_orders():
            if each not in known:
                self._account.order_ended(each)

    def fits(self, before: list[dict[str, Any]], order: dict[str, Any]) -> D | None:
        """How many units of it the account takes at most, once those before it are placed; None where they are not."""
        placed, known = self._placed.copy(), self._account.open_orders()
        try:
            for each in before:
                self._one(each)
            figures, asset = self._account.figures(self._it), self._it.asset(order["symbol"])
            power = figures.buying_power if asset.marginable else figures.non_marginable_buying_power
            return self.closes(order) + (power / cost(self._it, order, held=D(0))).to_integral_value(ROUND_DOWN)
        except AlpacaError:
            return None
        finally:
            self.restore(placed, known)

    def closes(self, order: dict[str, Any]) -> D:
        """How much of the position is left to be closed on its side."""
        held = self._it.positions.get(order["symbol"], D(0))
        if held == 0 or (held > 0) == (order["side"] == BUYS):
            return D(0)
        return max(abs(held) - self._placed[order["symbol"], order["side"]], D(0))

    def reserved(self) -> D:
        return self._account.reserved()[0]

    def _one(self, order: dict[str, Any]) -> None:
        symbol, side = order["symbol"], order["side"]
        opens = order["qty"] - self.closes(order)
        self._placed[symbol, side] += order["qty"]
        if opens <= 0:
            return
        it, asset, figures = self._it, self._it.asset(symbol), self._account.figures(self._it)
        unit = cost(it, order, held=D(0))
        if side == SELLS:
            check_short(self._account, request_of(order), asset, figures)
        check_funds(figures, asset, unit * opens)
        name = str(len(self._account.orders))
        self._account.add_order(
            Order(
                id=name, client_order_id=name, account_key="k", asset_id="", symbol=symbol, side=side, type="limit",
                time_in_force="day", qty=opens, notional=None, limit_price=None, stop_price=None, trail_price=None,
                trail_percent=None, extended_hours=False, position_intent=f"{side}_to_open", created_ns=0,
                expires_ns=0, status="new", unit_reserve=unit, reserve_rate=D("0.5") if asset.marginable else D(1),
            )
        )  # fmt: skip


def sent(orders: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Every order of a list that keeps the order within each symbol."""
    for way in permutations(range(len(orders))):
        symbols = [orders[n]["symbol"] for n in way]
        by_symbol = {symbol: [n for n in way if orders[n]["symbol"] == symbol] for symbol in symbols}
        if all(each == sorted(each) for each in by_symbol.values()):
            yield [orders[n] for n in way]


def draw_lists(rng: random.Random, *, mixed: bool) -> tuple[Snapshot, list[list[dict[str, Any]]]]:
    """An account and what it sends: orders, and lists of two to four, of any side and of one or two symbols.

    `mixed`: one list may be of stocks and of coins, which are paid for otherwise.
    """
    it, _ = an_account(rng)
    placing, commands = Placing(it), []
    for _ in range(rng.randint(1, 3)):
        first = rng.choice(list(it.positions) if it.positions and rng.random() < 0.8 else (*STOCKS, *PAIRS))
        second = rng.choice((*STOCKS, *PAIRS) if mixed else PAIRS if first in PAIRS else STOCKS)
        orders = [a_member(rng, it, rng.choice((first, first, second))) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
        at = rng.randrange(len(orders))
        most = placing.fits(orders[:at], orders[at]) if rng.random() < 0.7 else None
        if most is not None:
            orders[at]["qty"] = max(most + rng.choice((0, 0, 1, 1, 2)), D(1))
        commands.append(orders)
        placing.place(orders)
    return it, commands


def a_member(rng: random.Random, it: Snapshot, symbol: str) -> dict[str, Any]:
    """Most of what is held are sales of all of it, of half, or of one more than all of it."""
    held = it.positions.get(symbol, D(0))
    closes = bool(held) and rng.random() < 0.7
    buys = (held < 0) if closes else symbol in PAIRS or rng.random() < 0.6
    order = an_order(rng, it, symbol, buys=buys, limit=rng.random() < 0.5)
    if closes:
        size = abs(held)
        order["qty"] = rng.choice((size, size, size // 2 + 1, max(size // 3, D(1)), size + 1, order["qty"]))
    return order


def compare(it: Snapshot, commands: list[list[dict[str, Any]]]) -> list[str]:
    """What the gate says of each command, which is what the exchange's arithmetic says of it."""
    bench, placing, said = Listing(CONFIG, trial_of(it, commands[0][0]), "s"), Placing(it), []
    for orders in commands:
        gate, exchange = bench.send(orders), placing.place(orders)
        assert (gate.code == "allowed") == exchange, (gate, orders, it, commands)
        assert gate.code in {"allowed", "MARGIN_INSUFFICIENT", "NOT_SHORTABLE"}, gate
        assert bench.reserved() == placing.reserved(), (orders, it, commands)
        said.append(gate.code)
    assert bench.gate.errors == 0
    return said


@pytest.mark.parametrize("seed", range(5))
def test_both_say_the_same_of_every_list_that_is_paid_from_one_purse(seed):
    said = agree(random.Random(seed), 100, mixed=False)
    assert min(said[True, code] for code in ("allowed", "MARGIN_INSUFFICIENT", "NOT_SHORTABLE")) > 5, said


@pytest.mark.parametrize("seed", range(3))
def test_both_say_the_same_of_every_list_that_is_paid_from_two(seed):
    """What buys stock on margin is not there for coins any more, nor the reverse."""
    said = agree(random.Random(seed), 100, mixed=True)
    assert min(said[True, code] for code in ("allowed", "MARGIN_INSUFFICIENT", "NOT_SHORTABLE")) > 5, said


def agree(rng: random.Random, streams: int, *, mixed: bool) -> Counter[tuple[bool, str]]:
    """How often the gate said what, of lists and of single orders."""
    said: Counter[tuple[bool, str]] = Counter()
    for _ in range(streams):
        it, commands = draw_lists(rng, mixed=mixed)
        for orders, code in zip(commands, compare(it, commands), strict=True):
            said[len(orders) > 1, code] += 1
    return said
