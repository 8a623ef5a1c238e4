"""Random schedules of orders and faults, each from a seed. Whatever happens, no order is lost or doubled.

RUNNER_CHAOS_SCHEDULES sets how many are played (200), RUNNER_CHAOS_SEED the first one's seed (0): a failure names its
own, and that variable with it and a count of 1 plays it again.
"""

from __future__ import annotations

import asyncio
import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from runner.exchange.broker.orders import NIL_ID
from runner.exchange.broker.orders import Order as VenueOrder
from tests.alpaca.retaining import let_go, let_go_soon
from tests.alpaca.scripted import contract, pair, spread
from tests.alpaca.test_resume import keep

IBM = InstrumentId.from_str("IBM.ALPACA")
CALL, CALL2 = contract("IBM260320C00180000", "180"), contract("IBM260320C00190000", "190")
VERTICAL, BTC = spread((CALL, 1), (CALL2, -1)), pair()
OTHERS = (CALL.id.symbol.value, CALL2.id.symbol.value, "BTC/USD")
BAC = InstrumentId.from_str("BAC.ALPACA")
START = {IBM: Decimal("180.00"), BAC: Decimal("14.00")}
COUNT = int(os.environ.get("RUNNER_CHAOS_SCHEDULES", "200"))
FIRST = int(os.environ.get("RUNNER_CHAOS_SEED", "0"))
STEPS = 40
CENT = Decimal("0.01")
NEVER_SENT = (OrderStatus.DENIED, OrderStatus.REJECTED)
TIMES = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
METHODS = (("POST", "/v2/orders"), ("PATCH", "/v2/orders"), ("DELETE", "/v2/orders"), ("GET", "/v2"))


class Schedule:
    """One seed's life: what it does is written to `script`, so that a failure can be read."""

    def __init__(self, rig: Any, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)  # reproducible, not secret
        self.script: list[str] = []
        self.orders: list[Any] = []
        for instrument in (CALL, CALL2, VERTICAL, BTC):
            rig.node.kernel.cache.add_instrument(instrument)
        rig.exchange.market.add_symbols([CALL.id.symbol.value, CALL2.id.symbol.value, "BTC/USD"])
        self.show_options(Decimal("5.00"))
        rig.quote("BTC/USD", "30000", "30010")
        self.groups: dict[Any, str] = {}
        self.middle = dict(START)
        self.lets_go = False

    def note(self, text: str) -> None:
        self.script.append(text)

    # -- what can happen ----------------------------------------------------------------------------------------------

    def submit(self) -> None:
        rng = self.random
        instrument_id = rng.choice((IBM, BAC))
        kind = rng.choice(("market", "market", "limit", "limit", "limit", "stop_market", "stop_limit"))
        side, qty, tif = rng.choice(("buy", "sell")), rng.randint(1, 60), rng.choice(TIMES)
        kw: dict[str, Any] = {"time_in_force": tif}
        if kind.startswith("stop"):
            kw["time_in_force"] = rng.choice((TimeInForce.DAY, TimeInForce.GTC))
            kw["trigger_price"] = self.price(instrument_id, 1 if side == "buy" else -1)
        if kind in ("limit", "stop_limit"):
            kw["price"] = self.price(instrument_id, rng.choice((1, -1)))
        order = self.rig.send(kind, side, qty, instrument_id, **kw)
        self.orders.append(order)
        self.note(f"{order.client_order_id.value}: {order.info()}")

    def reverse(self) -> None:
        """What Nautilus's EMA cross does: close all and open the other way in one handler."""
        instrument_id, side = self.random.choice((IBM, BAC)), self.random.choice(("buy", "sell"))
        known = {order.client_order_id for order in self.rig.node.kernel.cache.orders()}
        self.rig.strategy.close_all_positions(instrument_id)
        self.orders += [row for row in self.rig.node.kernel.cache.orders() if row.client_order_id not in known]
        order = self.rig.market(side, self.random.randint(1, 60), instrument_id)
        self.orders.append(order)
        self.note(f"close and reverse: {order.info()}")

    def bracket(self) -> None:
        """An entry with a stop loss and a take profit, as one order."""
        rng, instrument_id = self.random, self.random.choice((IBM, BAC))
        up = rng.choice((1, -1))
        instrument = self.rig.node.kernel.cache.instrument(instrument_id)
        kw: dict[str, Any] = {}
        if rng.random() < 0.5:
            kw = {"entry_order_type": OrderType.LIMIT, "entry_price": self.price(instrument_id, rng.choice((1, -1)))}
        made = self.rig.strategy.order_factory.bracket(
            instrument_id,
            OrderSide.BUY if up == 1 else OrderSide.SELL,
            instrument.make_qty(rng.randint(1, 60)),
            tp_price=Price.from_str(str(self.middle[instrument_id] + up * rng.randint(65, 90) * CENT)),
            sl_trigger_price=Price.from_str(str(self.middle[instrument_id] - up * rng.randint(65, 90) * CENT)),
            **kw,
        )
        self.rig.strategy.submit_order_list(made)
        self.orders += made.orders
        self.groups |= {child.client_order_id: made.orders[0].client_order_id.value for child in made.orders[1:]}
        self.note("bracket: " + ", ".join(f"{order.client_order_id.value}: {order.info()}" for order in made.orders))

    def spread(self) -> None:
        """Two contracts as one order, bought or sold around their net price."""
        rng = self.random
        side, size = rng.choice((OrderSide.BUY, OrderSide.SELL)), Quantity.from_int(rng.randint(1, 3))
        factory = self.rig.strategy.order_factory
        if rng.random() < 0.3:
            order = factory.market(VERTICAL.id, side, size, time_in_force=TimeInForce.DAY)
        else:
            order = factory.limit(VERTICAL.id, side, size, self.net_price(), time_in_force=TimeInForce.DAY)
        self.sent(order)

    def sent(self, order: Any) -> None:
        self.rig.strategy.submit_order(order)
        self.orders.append(order)
        self.note(f"{order.client_order_id.value}: {order.info()}")

    def net_price(self) -> Price:
        return Price.from_str(str(Decimal("3.00") + self.random.randint(-40, 40) * CENT))

    def quote_options(self) -> None:
        bid = Decimal("5.00") + self.random.randint(-30, 30) * CENT
        self.show_options(bid)
        self.note(f"quote options {bid}")

    def show_options(self, bid: Decimal) -> None:
        for symbol, price in ((CALL.id.symbol.value, bid), (CALL2.id.symbol.value, Decimal("2.00"))):
            self.rig.quote(symbol, str(price), str(price + 10 * CENT))

    def coins(self) -> None:
        """A pair: bought in any way, sold at once."""
        rng, factory = self.random, self.rig.strategy.order_factory
        held = self.rig.client.crossings.position("BTC/USD")
        sells = held > 0 and rng.random() < 0.5
        qty = held if sells and rng.random() < 0.5 else Decimal(rng.randint(10, 500)).scaleb(-4)
        side, size = OrderSide.SELL if sells else OrderSide.BUY, Quantity.from_str(f"{qty:.9f}")
        kind = rng.choice(("market", "ioc") if sells else ("market", "ioc", "gtc"))
        if kind == "market":
            order = factory.market(BTC.id, side, size, time_in_force=TimeInForce.GTC)
        else:
            price = Price.from_str(f"{30_000 + rng.choice((-30, 30))}.00")
            tif = TimeInForce.IOC if kind == "ioc" else TimeInForce.GTC
            order = factory.limit(BTC.id, side, size, price, time_in_force=tif)
        self.sent(order)

    def quote_coins(self) -> None:
        market, bid = self.rig.exchange.market, 30_000 + self.random.randint(-40, 40)
        market.set_clock(market.now_ns + 2_000_000_000)
        self.rig.quote("BTC/USD", str(bid), str(bid + 10))
        self.note(f"quote BTC/USD {bid}")

    def modify(self) -> None:
        if (order := self.pick(lambda row: row.is_open and hasattr(row, "price"))) is None:
            return
        if order.instrument_id == BTC.id:
            return
        qty = Quantity.from_str(f"{self.random.randint(1, 80)}.000000000") if self.random.random() < 0.5 else None
        if order.instrument_id == VERTICAL.id:
            qty, price = None, self.net_price()
        else:
            price = self.price(order.instrument_id, self.random.choice((1, -1)))
        self.note(f"modify {order.client_order_id.value} to {qty} at {price}")
        self.rig.strategy.modify_order(order, quantity=qty, price=price)

    def cancel(self) -> None:
        if (order := self.pick(lambda row: not row.is_closed)) is not None:
            self.note(f"cancel {order.client_order_id.value}, {order.status.name}")
            self.rig.strategy.cancel_order(order)

    def cancel_all(self) -> None:
        instrument_id = self.random.choice((IBM, BAC))
        self.note(f"cancel all {instrument_id}")
        self.rig.strategy.cancel_all_orders(instrument_id)

    def quote(self) -> None:
        instrument_id = self.random.choice((IBM, BAC))
        self.middle[instrument_id] += self.random.randint(-60, 60) * CENT
        self.show(instrument_id)
        self.note(f"quote {instrument_id} {self.middle[instrument_id]}")

    def show(self, instrument_id: InstrumentId) -> None:
        bid = self.middle[instrument_id]
        self.rig.quote(instrument_id.symbol.value, str(bid), str(bid + 2 * CENT))

    def cut(self) -> None:
        refusals = self.random.randint(0, 2)
        self.arm({"refuse": {"trading": refusals}, "cut": "trading"})

    def mute(self) -> None:
        self.arm({"mute": "trading" if not self.rig.faults.is_muted("trading") else None})

    def fail_requests(self) -> None:
        rng = self.random
        method, path = rng.choice(METHODS)
        rule: dict[str, Any] = {"method": method, "path": path, "count": rng.randint(1, 2)}
        if rng.random() < 0.8:
            rule |= {"status": rng.choice((500, 429, 504, 0)), "after": rng.random() < 0.5}
        if rng.random() < 0.5:
            rule["delay_s"] = rng.choice((0.01, 0.05))
        self.arm({"next": [rule]})

    def race(self) -> None:
        self.arm({"races": {self.random.choice(("cancel", "replace")): 1}})

    def updates(self) -> None:
        fault = self.random.choice(("duplicate", "drop", "swap"))
        self.arm({"updates": {fault: self.random.randint(1, 2)}})

    def let_go(self) -> None:
        """Orders that have ended are let go of, however soon: whatever comes of them later takes them back."""
        if self.lets_go and (names := let_go(self.rig)):
            self.note(f"let go of {', '.join(names)}")

    def somebody_else(self) -> None:
        """Another program trades the same account, or cancels our order."""
        desk, account = self.rig.exchange.broker.desk, self.rig.account
        working = [row for row in account.orders.values() if row.status in ("new", "partially_filled")]
        try:
            if working and self.random.random() < 0.4:
                row = self.random.choice(working)
                self.note(f"somebody else cancels {row.client_order_id}")
                desk.cancel(account, row)
            else:
                side, qty = self.random.choice(("buy", "sell")), self.random.randint(1, 20)
                body = {"symbol": "IBM", "side": side, "type": "market", "time_in_force": "day", "qty": str(qty)}
                self.note(f"somebody else: {side} {qty} IBM")
                desk.submit(account, body)
        except Exception as error:  # the venue refuses them as it refuses us
            self.note(f"... refused: {error}")

    def arm(self, document: dict[str, Any]) -> None:
        self.note(f"fault {document}")
        self.rig.faults.arm(document)

    async def breathe(self) -> None:
        for _ in range(self.random.choice((0, 1, 5, 50))):
            await asyncio.sleep(0)

    async def rest(self) -> None:
        """Wait for what is under way, unless it takes a stream that is down."""
        if self.rig.client.ready and not self.rig.faults.is_muted("trading"):
            self.note("rest")
            undecided = self.rig.exchange.broker.desk.book._undecided  # Till the next quote, which must come.
            await self.rig.until(
                lambda: self.rig.client.in_flight == 0 or undecided or not self.rig.client.ready, "commands under way"
            )

    # -- helpers ------------------------------------------------------------------------------------------------------

    def price(self, instrument_id: InstrumentId, sign: int) -> Price:
        return Price.from_str(str(self.middle[instrument_id] + sign * self.random.randint(3, 60) * CENT))

    def pick(self, wanted: Any) -> Any:
        rows = [order for order in map(self.now, self.orders) if wanted(order)]
        return self.random.choice(rows) if rows else None

    def now(self, order: Any) -> Any:
        """The order as Nautilus has it now: one that was let go of and taken back is another object."""
        return self.rig.node.kernel.cache.order(order.client_order_id) or order

    async def play(self) -> None:
        actions = (
            *((self.spread, 2), (self.quote_options, 2), (self.coins, 2), (self.quote_coins, 1)),
            *(
                (self.submit, 6),
                (self.bracket, 2),
                (self.reverse, 1),
                (self.modify, 5),
                (self.cancel, 4),
                (self.cancel_all, 1),
            ),
            *((self.quote, 8), (self.cut, 1), (self.mute, 1), (self.fail_requests, 5), (self.race, 2)),
            *((self.updates, 3), (self.somebody_else, 1), *([(self.let_go, 4)] if self.lets_go else [])),
        )
        choices, weights = zip(*actions, strict=True)
        for _ in range(STEPS):
            self.random.choices(choices, weights)[0]()
            await (self.rest() if self.random.random() < 0.25 else self.breathe())

    # -- the end ------------------------------------------------------------------------------------------------------

    async def calm(self) -> None:
        """The venue behaves again, and everything unknown is settled."""
        rig = self.rig
        self.note("calm")
        rig.faults.arm({"reset": True})
        rig.exchange.broker.desk.book._portions.rate = 0.0
        await rig.until(lambda: rig.client.ready, "the stream's return")
        for instrument_id in START:
            self.show(instrument_id)  # Decides what a race left open.
        self.show_options(Decimal("5.00"))
        rig.quote("BTC/USD", "30000", "30010")
        await rig.until(lambda: rig.client.in_flight == 0, "commands under way")
        await rig.client.settle()
        await rig.until(lambda: rig.client.in_flight == 0, "commands that the settling sent")
        await rig.client.settle()
        await rig.until(lambda: rig.node.kernel.exec_engine.evt_qsize() == 0)

    def rows(self, order: Any) -> list[Any]:
        """The venue's orders of one of ours: itself, its second half, all replacements."""
        head = self.groups.get(order.client_order_id)
        if head is not None:
            role = "take_profit" if order.order_type == OrderType.LIMIT else "stop_loss"
            return [
                row
                for row in self.rig.account.orders.values()
                if row.role == role and row.parent is not None and is_of(row.parent.client_order_id, head)
            ]
        name = order.client_order_id.value
        return [row for row in self.rig.account.orders.values() if is_of(row.client_order_id, name)]

    def check_orders(self) -> None:
        """Each order of ours and what the venue has of it say the same."""
        client = self.rig.client
        for sent in self.orders:
            order = self.now(sent)
            name, rows = order.client_order_id.value, self.rows(order)
            tracked = client.tracker.get(name)
            first = [row for row in rows if row.replaces is None]
            working = [row for row in rows if row.open]
            said = f"{name} is {order.status.name}, filled {order.filled_qty}; the venue: " + ", ".join(
                f"{row.client_order_id} {row.status} {row.filled_qty}/{row.qty}" for row in rows
            )
            ids = {row.id for row in rows}
            filled = sum((Decimal(row["qty"]) for row in self.fills() if row["order_id"] in ids), Decimal(0))
            if order.instrument_id == VERTICAL.id:
                carried = self.rig.exchange.broker.desk._settings.replace_carries_fills
                filled = (max if carried else sum)([Decimal(0), *(row.filled_qty for row in rows)])
            sign = -1 if order.instrument_id == VERTICAL.id and order.side == OrderSide.SELL else 1
            assert order.filled_qty.as_decimal() == filled, f"fills: {said}"
            assert order.status not in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_UPDATE), f"hangs: {said}"
            assert not (order.is_closed and working), f"still works: {said}"
            assert len(working) <= 1, f"works twice: {said}"
            # One now, one in the place of orders that are being canceled, one once the position is closed.
            assert len(first) <= 3, f"sent twice: {said}"
            assert sum((row.qty for row in first), Decimal(0)) <= max(
                order.init_event.quantity.as_decimal(), tracked.qty if tracked else Decimal(0)
            ), f"sent too much: {said}"
            if order.status in NEVER_SENT:
                assert not rows or all(row.status == "rejected" for row in first), f"lost: {said}"
            elif not order.is_closed:
                head = client.tracker.get(self.groups.get(order.client_order_id, name))
                held = any(one is not None and one.held > 0 for one in (tracked, head))
                assert working or held, f"works here alone: {said}"
                for row in working:
                    assert order.venue_order_id.value == row.id or len(first) >= 2 or held, f"other id: {said}"
                    if getattr(order, "price", None) is not None:
                        assert order.price.as_decimal() == sign * row.limit_price, f"other price: {said}"
                    if not held and len(first) == 1:
                        assert order.leaves_qty.as_decimal() == row.leaves, f"other quantity: {said}"

    def check_books(self) -> None:
        """Fills, positions and cash."""
        rig = self.rig
        stats = rig.client.stream_stats()
        assert stats["lost_fills"] == 0
        assert stats["inferred_fills"] == 0
        assert stats["position_differences"] == 0
        assert stats["handler_errors"] == 0
        at_venue = sorted((row["order_id"], Decimal(row["qty"]), Decimal(row["price"])) for row in self.fills())
        assert sorted((fill.order_id, fill.qty, fill.price) for fill in rig.client.fills if fill.qty) == at_venue
        ours = {order.client_order_id.value for order in self.orders}
        for fill in rig.client.fills:
            if not fill.qty:
                continue  # A fee that was another than it was taken for.
            row = self.rig.account.orders[fill.order_id]
            row = row if row.parent is None else row.parent
            assert fill.external != any(is_of(row.client_order_id, name) for name in ours), fill

    def fills(self) -> list[dict[str, Any]]:
        """The executions that the venue has on record."""
        return [activity.row for activity in self.rig.account.activities.rows if activity.type == "FILL"]

    async def finish(self) -> None:
        await self.calm()
        self.check_orders()
        self.check_books()
        await self.rig.agree(*OTHERS)
        for order in map(self.now, self.orders):
            if not order.is_closed:
                self.rig.strategy.cancel_order(order)
        await self.rig.until(lambda: all(self.now(order).is_closed for order in self.orders), "the end of all orders")
        await self.calm()
        assert not self.rig.client.unsettled()
        assert not list(self.rig.client.tracker)
        self.check_orders()
        await self.rig.agree(*OTHERS)
        others = [row for row in self.rig.account.orders.values() if row.open]
        assert not others, others


def without_exits(order: VenueOrder) -> dict[str, Any]:
    """An order in an update, as it may be at Alpaca: without the legs of a bracket."""
    body = order.json()
    return body | ({"asset_id": NIL_ID, "side": "buy"} if order.several else {"legs": None})


def is_of(client_order_id: str, name: str) -> bool:
    """Whether the venue's order is ours of this name: itself, its second half, a replacement."""
    return client_order_id == name or client_order_id.startswith(f"{name}-")


def arrange(rig: Any, seed: int) -> Schedule:
    """A schedule, and the venue's character, from the seed."""
    schedule = Schedule(rig, seed)
    rng, desk = schedule.random, rig.exchange.broker.desk
    object.__setattr__(desk._settings, "replace_carries_fills", rng.random() < 0.3)
    desk.book._portions.rate = rng.choice((0.0, 0.3, 0.8))
    document: dict[str, Any] = {"events_first": rng.random() < 0.3}
    if rng.random() < 0.5:
        document["updates"] = {f"{name}_rate": rng.choice((0, 0, 0.1, 0.3)) for name in ("duplicate", "drop", "swap")}
    schedule.arm(document)
    return schedule


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_no_order_is_lost_or_doubled_whatever_the_venue_does(
    play: Any, running: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    if seed % 3 == 0:
        monkeypatch.setattr(VenueOrder, "streamed", without_exits)

    async def scenario() -> None:
        config = {"unknown_timeout_s": 0.3, "check_interval_s": 0.05 * (seed % 2), "serial": seed % 5 == 0}
        async with running(exec_config=config) as rig:
            schedule = arrange(rig, seed)
            journal = keep(rig, tmp_path / "journal.sqlite") if seed % 4 == 2 else None
            if journal is not None:
                let_go_soon(rig, journal)
                schedule.lets_go = True
            try:
                await schedule.play()
                await schedule.finish()
                if journal is not None:
                    journal.close()
            except (AssertionError, TimeoutError) as error:
                tasks = [task.get_name() for task in rig.client._tasks if not task.done()]
                script = "\n  ".join([*schedule.script, f"under way: {tasks}"])
                raise AssertionError(f"RUNNER_CHAOS_SEED={seed}: {error}\n  {script}") from error

    play(scenario())
