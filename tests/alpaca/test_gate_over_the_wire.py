"""Over the wire: nothing that the gate let through is refused by the exchange for money, level or cover.

The node's own gate, adapter and execution engine on the simulated exchange; shares, single contracts and spreads, or
shares and pairs, drawn at random, one after another, until money, shares and cover run short. Quotes stand still.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, new_generic_spread_id
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.derived import spread
from runner.node.build import direct
from runner.node.gate import illegal_list
from runner.node.trial import make_instrument
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook, Rate
from runner.risk.state import State
from tests.alpaca.scripted import pair
from tests.risk.test_agreement_options import CONTRACTS, SPOTS, Case, draw, legs_to_send

ON_ITS_WAY = {OrderStatus.INITIALIZED, OrderStatus.SUBMITTED}
SIZE = Quantity.from_int(1_000_000)


ALL = Limits(headroom=Decimal(0), self_match=True)


def take_the_seat(rig: Any, limits: Limits = ALL) -> RiskGate:
    kernel = rig.node.kernel
    gate = RiskGate(
        msgbus=kernel.msgbus,
        cache=kernel.cache,
        clock=kernel.clock,
        limits=LimitsBook(top=limits),
        venue_now_ns=rig.client.venue_clock.now_ns,
        list_legality=lambda orders, instrument_of, params: illegal_list(
            orders, instrument_of, params, rig.client.venue_clock.now_ns()
        ),
    )
    gate.install(kernel.exec_engine, direct(kernel.exec_engine, ExecutionEngine))
    rig.client.set_gate_check(gate.approved)
    rig.client.set_opening_check(partial(gate.may_not_open, rig.client.account_id))
    gate.begin()
    return gate


def show(rig: Any, quotes: dict[str, tuple[Decimal, Decimal]]) -> None:
    """Both sides see the same market."""
    cache = rig.node.kernel.cache
    for symbol, (bid, ask) in quotes.items():
        rig.quote(symbol, str(bid), str(ask))
        instrument = cache.instrument(InstrumentId.from_str(f"{symbol}.ALPACA"))
        prices = instrument.make_price(bid), instrument.make_price(ask)
        now_ns = rig.exchange.market.now_ns
        cache.add_quote_tick(QuoteTick(instrument.id, *prices, SIZE, SIZE, now_ns, now_ns))


def a_random_order(rig: Any, rng: random.Random, case: Case) -> Any:
    """At the market, or at a limit that rests or fills."""
    cache = rig.node.kernel.cache
    case.positions = {symbol: position.qty for symbol, position in rig.account.positions.items()}
    dice, root = rng.random(), rng.choice(list(SPOTS))
    qty = rng.choice((1, 2, 5, 20))
    if dice < 0.35:
        legs = legs_to_send(rng, case, root)
        ids = [InstrumentId.from_str(f"{leg['symbol']}.ALPACA") for leg in legs]
        signed = [leg["ratio"] if leg["side"] == "buy" else -leg["ratio"] for leg in legs]
        instrument = spread(
            new_generic_spread_id(list(zip(ids, signed, strict=True))),
            [(cache.instrument(each), ratio) for each, ratio in zip(ids, signed, strict=True)],
        )
        cache.add_instrument(instrument)
        side = OrderSide.BUY
        far = sum(
            case.quotes[leg["symbol"]][1 if sign > 0 else 0] * sign for leg, sign in zip(legs, signed, strict=True)
        )
    else:
        symbol = root if dice < 0.6 else rng.choice(list(CONTRACTS))
        if rng.random() < 0.4 and case.positions:
            symbol = rng.choice(list(case.positions))
        instrument = cache.instrument(InstrumentId.from_str(f"{symbol}.ALPACA"))
        held = case.positions.get(symbol, Decimal(0))
        side = OrderSide.BUY if held < 0 or rng.random() < 0.5 else OrderSide.SELL
        qty *= 1 if symbol in CONTRACTS else 100
        if held and (held > 0) == (side == OrderSide.SELL):
            # The adapter would wait with what closes more than others leave, and send the rest later.
            qty = min(qty, int(abs(held) - rig.account.held(symbol)))
        elif not held and symbol in SPOTS:
            side = OrderSide.BUY
        far = case.quotes[symbol][1 if side == OrderSide.BUY else 0]
    if qty <= 0:
        return a_random_order(rig, rng, case)
    factory, size = rig.strategy.order_factory, Quantity.from_int(qty)
    if rng.random() < 0.4:
        return factory.market(instrument.id, side, size, time_in_force=TimeInForce.DAY)
    limit = far + Decimal(rng.choice((0, 0, 5, -50))) / 100 * (1 if side == OrderSide.BUY else -1)
    price = instrument.make_price(max(limit, Decimal("0.05")) if dice >= 0.35 else limit)
    return factory.limit(instrument.id, side, size, price, time_in_force=TimeInForce.DAY)


def symbols(orders: list[Any], status: Any, code: str = "") -> list[str]:
    return [
        order.instrument_id.symbol.value
        for order in orders
        if order.status == status and (not code or order.last_event.reason.startswith(code))
    ]


def is_about_money(reason: str) -> bool:
    """The venue's words for a lack of money, level or cover."""
    return "insufficient" in reason or "eligible" in reason


async def send_many(
    rig: Any, gate: RiskGate, rng: random.Random, draw_one: Callable[[], Any], enough: Callable[[list[Any]], Any]
) -> None:
    """Eighty orders, and more until that is enough; each as soon as the one before has an answer, while what is filled
    is told whenever it is. Now and then one that rests is cancelled, or made larger if it opens.
    """
    orders: list[Any] = []
    while len(orders) < 80 or not enough(orders):
        assert len(orders) < 800
        order = draw_one()
        rig.strategy.submit_order(order)
        orders.append(order)
        await rig.until(lambda order=order: order.status not in ON_ITS_WAY, "an answer")
        if order.status == OrderStatus.REJECTED and is_about_money(reason := order.last_event.reason):
            held = {symbol: str(position.qty) for symbol, position in rig.account.positions.items()}
            working = [(each.symbol, each.side, str(each.leaves)) for each in rig.account.open_orders()]
            raise AssertionError(f"{order.info()}: {reason}\nthe venue has {held}, {working}")
        if rng.random() < 0.15 and (resting := [each for each in orders if each.status == OrderStatus.ACCEPTED]):
            rig.strategy.cancel_order(rng.choice(resting))  # what rests for long keeps all else from being sent
        growing = [each for each in orders if grows(rig, each)]
        if growing and rng.random() < 0.2:
            await enlarge(rig, rng.choice(growing))
    modified = [event.reason for event in rig.strategy.events if type(event).__name__ == "OrderModifyRejected"]
    assert [reason for reason in modified if is_about_money(reason)] == []
    assert gate.errors == 0


def grows(rig: Any, order: Any) -> bool:
    """Whether it rests, and opens."""
    buys = order.side == OrderSide.BUY
    return order.status == OrderStatus.ACCEPTED and buys and rig.position(order.instrument_id.symbol.value) >= 0


async def enlarge(rig: Any, order: Any) -> None:
    def answers() -> int:
        return sum(name in {"Updated", "ModifyRejected"} for name in rig.strategy.names(order))

    before = answers()
    rig.strategy.modify_order(order, Quantity(order.quantity.as_decimal() * 2, order.quantity.precision))
    await rig.until(lambda: answers() > before or order.is_closed, "an answer to the modification")


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_that_passed_is_refused(play: Any, running: Any, seed: int) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rng = random.Random(seed)
            case = draw(rng)
            for symbol in (*SPOTS, *CONTRACTS):
                instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
                if rig.node.kernel.cache.instrument(instrument_id) is None:
                    rig.node.kernel.cache.add_instrument(make_instrument(instrument_id))
            rig.exchange.market.add_symbols(list(CONTRACTS))
            show(rig, case.quotes)
            gate = take_the_seat(rig)

            def enough(orders: list[Any]) -> bool:
                denied = {"MARGIN_INSUFFICIENT", "MARGIN_UNCOVERED"} & set(gate.denied)
                return len(symbols(orders, OrderStatus.FILLED)) >= 10 and bool(denied)

            await send_many(rig, gate, rng, lambda: a_random_order(rig, rng, case), enough)

    play(scenario())


PAIRS = {"BTC/USD": ("30000.00", "30010.00"), "ETH/USD": ("2000.00", "2000.50")}
STOCKS = {"IBM": ("180.00", "180.02"), "BAC": ("14.00", "14.01")}


def a_random_order_of_pairs_and_shares(rig: Any, rng: random.Random) -> Any:
    """Pairs are paid in cash, shares with twice the excess, and both of one account; half of the orders close."""
    symbol = rng.choice([*PAIRS, *STOCKS])
    is_pair = symbol in PAIRS
    bid, ask = (Decimal(price) for price in (PAIRS | STOCKS)[symbol])
    instrument = rig.node.kernel.cache.instrument(InstrumentId.from_str(f"{symbol}.ALPACA"))
    factory, tif = rig.strategy.order_factory, TimeInForce.GTC if is_pair else TimeInForce.DAY
    held = rig.position(symbol)
    if held and rng.random() < 0.5:
        left = abs(held) - rig.account.held(symbol)
        side = OrderSide.SELL if held > 0 else OrderSide.BUY
        if left * bid > 10:
            return factory.market(instrument.id, side, instrument.make_qty(left), time_in_force=tif)
    short = held < 0 or (not held and not is_pair and rng.random() < 0.3)
    side, far, away = (OrderSide.SELL, bid, 1) if short else (OrderSide.BUY, ask, -1)
    dollars = Decimal(rng.choice((500, 2_000, 10_000, 30_000, 60_000)))
    if is_pair and rng.random() < 0.2:
        money = Quantity.from_str(f"{dollars:.2f}")
        return factory.market(instrument.id, side, money, time_in_force=tif, quote_quantity=True)
    size = instrument.make_qty(dollars / far if is_pair else dollars // far)
    if rng.random() < 0.4:
        return factory.market(instrument.id, side, size, time_in_force=tif)
    price = instrument.make_price(far * (1 + away * Decimal(rng.choice((0, 0, 0, 0, 1))) / 100))
    return factory.limit(instrument.id, side, size, price, time_in_force=tif)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_that_passed_is_refused_of_pairs_beside_shares(play: Any, running: Any, seed: int) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rng = random.Random(seed)
            rig.exchange.market.add_symbols(list(PAIRS))
            for symbol in PAIRS:
                rig.node.kernel.cache.add_instrument(pair(symbol))
            show(rig, {symbol: (Decimal(bid), Decimal(ask)) for symbol, (bid, ask) in (PAIRS | STOCKS).items()})
            gate = take_the_seat(rig)

            def enough(orders: list[Any]) -> bool:
                filled = set(symbols(orders, OrderStatus.FILLED))
                denied = set(symbols(orders, OrderStatus.DENIED, "MARGIN_INSUFFICIENT"))
                return all(of.keys() & found for of in (PAIRS, STOCKS) for found in (filled, denied))

            await send_many(rig, gate, rng, lambda: a_random_order_of_pairs_and_shares(rig, rng), enough)

    play(scenario())


HOUR_NS = 3_600_000_000_000


def test_live_the_last_cancel_of_the_rate_changes_nothing_and_one_more_makes_the_node_reducing(
    play: Any, running: Any
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.quote("IBM", "99.99", "100.01")
            gate = take_the_seat(rig, Limits(max_cancels=Rate(2, HOUR_NS)))
            for n in range(3):
                assert gate.states.severest("", "").state is State.ACTIVE
                order = rig.limit("buy", 1 + n, "90.00")
                await rig.status(order, OrderStatus.ACCEPTED)
                rig.strategy.cancel_order(order)
                await rig.status(order, OrderStatus.CANCELED)  # the one that is too many is cancelled as well
            assert gate.states.severest("", "").state is State.REDUCING
            await rig.status(rig.limit("buy", 1, "90.00"), OrderStatus.DENIED)
            assert (gate.denied, gate.errors) == ({"STATE_REDUCING": 1}, 0)

    play(scenario())


def test_live_the_last_fill_of_the_rate_changes_nothing_and_one_more_makes_the_node_reducing(
    play: Any, running: Any
) -> None:
    async def scenario() -> None:
        async with running() as rig:
            rig.quote("IBM", "99.99", "100.01")
            gate = take_the_seat(rig, Limits(max_fills=Rate(2, HOUR_NS)))
            for n in range(3):
                assert gate.states.severest("", "").state is State.ACTIVE
                await rig.status(rig.market("buy", 1 + n), OrderStatus.FILLED)
            assert gate.states.severest("", "").state is State.REDUCING
            await rig.status(rig.market("buy", 1), OrderStatus.DENIED)
            await rig.status(rig.market("sell", 6), OrderStatus.FILLED)
            assert (gate.denied, gate.errors) == ({"STATE_REDUCING": 1}, 0)

    play(scenario())


def twice(rig: Any, order: Any, *wishes: dict[str, Any]) -> Any:
    """Two modifications in one turn. The adapter refuses the second at once, while the first is on its way."""
    for wish in wishes:
        rig.strategy.modify_order(order, **wish)
    return rig.until(
        lambda: sorted(rig.strategy.names(order)[-2:]) == ["ModifyRejected", "Updated"], "both modifications' answers"
    )


def test_the_modification_that_is_refused_while_another_is_on_its_way_is_not_taken_for_that(
    play: Any, running: Any
) -> None:
    """17,900 of 18,000 are taken: the order stands at 100 of 179.00."""

    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, Limits(max_position_notional=Decimal(18_000)))
            show(rig, {"IBM": (Decimal("180.00"), Decimal("180.02"))})
            order = rig.limit("buy", 100, "10.00", time_in_force=TimeInForce.DAY)
            await rig.status(order, OrderStatus.ACCEPTED)
            await twice(rig, order, {"price": Price.from_str("179.00")}, {"price": Price.from_str("11.00")})
            assert order.price == Price.from_str("179.00")
            (account_id,) = gate.account_ids()
            assert gate.book.total(account_id) == 17_900
            second = rig.limit("buy", 1, "179.00", time_in_force=TimeInForce.DAY)
            await rig.until(lambda: second.is_closed, "the denial")
            assert second.last_event.reason.startswith("MAX_POSITION_NOTIONAL")

    play(scenario())


def test_of_a_larger_quantity_that_was_refused_nothing_is_kept(play: Any, running: Any) -> None:
    """100 are held and 60 of them sold: an exit of the other 40 passes in halted."""

    async def scenario() -> None:
        async with running() as rig:
            gate = take_the_seat(rig, Limits())
            show(rig, {"IBM": (Decimal("180.00"), Decimal("180.02"))})
            bought = rig.market("buy", 100, time_in_force=TimeInForce.DAY)
            await rig.status(bought, OrderStatus.FILLED)
            order = rig.limit("sell", 50, "190.00", time_in_force=TimeInForce.DAY)
            await rig.status(order, OrderStatus.ACCEPTED)
            await twice(rig, order, {"quantity": Quantity.from_int(60)}, {"quantity": Quantity.from_int(100)})
            assert order.quantity == 60
            gate.set_state("halted", why="a test")
            rest = rig.market("sell", 40, time_in_force=TimeInForce.DAY)
            await rig.status(rest, OrderStatus.FILLED)

    play(scenario())
