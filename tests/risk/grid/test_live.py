"""The grid live: a node's strategy, adapter and execution engine on the simulated exchange, which fills and refuses.

One node runs all of it. After each cell what works is cancelled, what is held is closed and the account's cash is as
before; after one that failed there is another node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from runner.node.build import direct
from tests.alpaca.conftest import TEN_O_CLOCK, VENUE, Rig, _running
from tests.risk.conftest import IBM
from tests.risk.grid.hand import CALLS, LEVELS, OPTION_QUOTES, RATIO, START_NS, VERTICAL, Cell, Hand, Seen
from tests.risk.grid.table import CELLS
from tests.risk.test_margin_options import C100

CASH = Decimal(1_000_000)
SIZE = Quantity.from_int(1_000)
ENDED = {OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.FILLED}
assert START_NS == TEN_O_CLOCK


class Live:
    """A node that is started when it is needed, on a loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._context: Any = None
        self._rig: Rig | None = None

    def run(self, cell: Cell, level: str) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run(cell, level))
        except BaseException:
            self.stop()
            raise
        finally:
            asyncio.set_event_loop(None)

    async def _run(self, cell: Cell, level: str) -> None:
        if self._rig is None:
            settings = VENUE | {"activity": 0.001, "opening_cash": CASH, "speed": 1_000.0}  # requests are counted by it
            self._context = _running(data=True, settings=settings, before=stand_still)
            self._rig = await self._context.__aenter__()
            # To make one takes longer than to ask.
            self._rig.control = httpx.AsyncClient(base_url=self._rig.exchange.url, verify=False)  # type: ignore[attr-defined]
            await prepare(self._rig)
        await play(self._rig, cell, level)
        await tidy(self._rig)

    def stop(self) -> None:
        context, rig, self._context, self._rig = self._context, self._rig, None, None
        if context is not None:
            asyncio.set_event_loop(self.loop)
            if rig is not None:
                self.loop.run_until_complete(rig.control.aclose())  # type: ignore[attr-defined]
            self.loop.run_until_complete(context.__aexit__(None, None, None))
            asyncio.set_event_loop(None)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.stop()
    live.loop.run_until_complete(live.loop.shutdown_asyncgens())
    live.loop.close()


def stand_still(exchange: Any, _key: str) -> None:
    exchange.pause()
    exchange.market.set_clock(TEN_O_CLOCK)


async def prepare(rig: Rig) -> None:
    rig.exchange.market.add_symbols(list(OPTION_QUOTES))
    for instrument in (*CALLS, VERTICAL, RATIO):
        rig.node.kernel.cache.add_instrument(instrument)
    rig.strategy.subscribe_quote_ticks(IBM)
    sockets = rig.exchange.parts.hub.sockets
    await rig.until(lambda: any(socket.wants("quotes", "IBM") for socket in sockets), "the subscription")


def show_option(rig: Rig, symbol: str, bid: str, ask: str) -> None:
    """The node has no stream of options: it is told here."""
    rig.quote(symbol, bid, ask)
    now_ns, instrument_id = rig.exchange.market.now_ns, InstrumentId.from_str(f"{symbol}.ALPACA")
    prices = Price.from_str(bid), Price.from_str(ask)
    rig.node.kernel.cache.add_quote_tick(QuoteTick(instrument_id, *prices, SIZE, SIZE, now_ns, now_ns))


async def show(rig: Rig, bid: str, ask: str) -> None:
    """A quote goes from the exchange over its stream to the node."""
    market = rig.exchange.market
    market.set_clock(market.now_ns + 1_000_000)
    quote = {"T": "q", "S": "IBM", "bp": float(bid), "ap": float(ask), "bs": 100_000, "as": 100_000}
    (await rig.control.post("/control/market", json=quote)).raise_for_status()  # type: ignore[attr-defined]
    await rig.until(
        lambda: (tick := rig.node.kernel.cache.quote_tick(IBM)) and tick.ts_event == market.now_ns, "a quote"
    )


async def play(rig: Rig, cell: Cell, level: str) -> None:
    kernel, hand = rig.node.kernel, Hand(cell, level)
    await show(rig, "100.00", "100.00")
    for symbol, prices in OPTION_QUOTES.items():
        show_option(rig, symbol, *prices)
    hand.strategy = rig.strategy
    hand.gate = gate = hand.make_gate(kernel)
    gate.install(kernel.exec_engine, direct(kernel.exec_engine, ExecutionEngine))
    rig.client.set_gate_check(gate.approved)
    gate.begin()
    try:
        await told(rig)
        for number, step in enumerate(cell.steps):
            if step.market is not None:
                await show(rig, *step.market)
            if step.call is not None:
                show_option(rig, C100, *step.call)
            seen = Seen(hand)
            step.do(hand)
            await settle(rig, hand)
            wanted = set() if step.code is None else {step.code}
            assert (number, seen.codes()) == (number, wanted)
        assert gate.errors == sum(step.code == "GATE_ERROR" for step in cell.steps)
    finally:
        gate.uninstall()
        rig.client.set_gate_check(lambda _command: True)


async def told(rig: Rig) -> None:
    """The broker's figures have everything in them that happened until now."""
    for _ in range(2):
        await rig.client.book.refresh()


async def settle(rig: Rig, hand: Hand) -> None:
    """Whatever was sent is denied, works, or is filled."""
    cache = rig.node.kernel.cache
    if cache.orders_emulated():
        tick = cache.quote_tick(IBM)  # the emulator looks at the next one
        await show(rig, str(tick.bid_price), str(tick.ask_price))
    await rig.until(lambda: all(quiet(cache, cache.order(order.client_order_id)) for order in hand.orders), "an answer")
    await rig.until(lambda: positions(rig) == at_venue(rig), "the fills")
    await told(rig)


def positions(rig: Rig) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for position in rig.node.kernel.cache.positions_open():
        symbol = position.instrument_id.symbol.value
        found[symbol] = found.get(symbol, Decimal(0)) + position.signed_decimal_qty()
    return {symbol: qty for symbol, qty in found.items() if qty}


def at_venue(rig: Rig) -> dict[str, Decimal]:
    return {symbol: position.qty for symbol, position in rig.account.positions.items() if position.qty}


def quiet(cache: Any, order: Any) -> bool:
    if order.status in ENDED:
        return True
    if order.status != OrderStatus.ACCEPTED:
        return False
    if order.instrument_id != IBM or order.parent_order_id is not None:
        return True
    if not order.has_price:
        return bool(order.has_trigger_price)
    tick = cache.quote_tick(IBM)
    if order.side == OrderSide.BUY:
        return bool(order.price < tick.ask_price or not tick.ask_price)
    return bool(order.price > tick.bid_price or not tick.bid_price)


async def tidy(rig: Rig) -> None:
    """As it was before: nothing works, nothing is held, and the cash is there."""
    kernel, strategy = rig.node.kernel, rig.strategy
    await show(rig, "100.00", "100.00")
    strategy.cancel_all_orders(IBM)
    for leg in (*CALLS, VERTICAL, RATIO):
        strategy.cancel_all_orders(leg.id)
    await rig.until(lambda: not kernel.cache.orders_open() and not kernel.cache.orders_inflight(), "the cancels")
    for symbol, prices in OPTION_QUOTES.items():
        show_option(rig, symbol, *prices)
    await rig.until(lambda: positions(rig) == at_venue(rig), "the fills")
    for short in (True, False):  # a short option goes before what covers it
        for position in kernel.cache.positions_open():
            if position.is_short is short:
                strategy.close_position(position, time_in_force=TimeInForce.DAY)
        await rig.until(
            lambda short=short: not any(p.is_short is short for p in kernel.cache.positions_open()), "closed"
        )
    await rig.until(lambda: not rig.account.positions, "nothing held")
    rig.account.cash = CASH
    account, _ = await rig.client.rest.account()
    await rig.client.transfers.begin(account)  # else it is a deposit
    await told(rig)


#: Each cell at one of the levels, in turn.
PLACED = [pytest.param(cell, list(LEVELS)[n % 3], id=name) for n, (name, cell) in enumerate(CELLS)]


@pytest.mark.parametrize(("cell", "level"), PLACED)
def test_a_cell(live: Live, cell: Cell, level: str) -> None:
    live.run(cell, level)
