"""Opposite positions of one account are set off against each other, and stay so over a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import time
from decimal import Decimal
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.objects import Price, Quantity

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.journal import store as store_module
from runner.journal.store import JournalError
from runner.node import closer, netting
from runner.node.netting import net, set_off
from runner.node.orders import flatten
from runner.risk.halves import HALF
from runner.risk.limits import Limits, LimitsBook, Rate
from runner.risk.state import NODE, State
from tests.node import inside
from tests.node.inside import IBM, running, until, write

KEY = "PKNETTING00000000001"
OTHER = """
  other:
    class: "tests.node.inside:Idle"
    account: main
    feed: stocks
    on_stop: keep
    params: {instrument_id: IBM.ALPACA}
"""
D = Decimal
Life = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Life]:
    """Lives of one node with two strategies, one after another, over one venue; the books of each must agree."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings = Settings(wait=True, symbols=("IBM",), start=time(10, 0), activity=0.001)
    async with ExchangeServer(settings) as exchange:
        path = tmp_path / "netting.yaml"
        write(path, exchange, tmp_path / "state", on_stop="keep")
        text = path.read_text().replace("params: {inst", "shared: true\n    params: {inst")
        other = OTHER.replace("params:", "shared: true\n    params:").lstrip("\n")
        path.write_text(text.replace("state: {dir", other + "state: {dir"))

        @asynccontextmanager
        async def lived() -> AsyncIterator[Any]:
            async with running(path, KEY) as assembled:
                yield assembled.node
            assert assembled.node.books["main"].agree, assembled.node.books

        yield lived


def held(node: Any) -> dict[str, Decimal]:
    positions = node.parts.kernel.cache.positions_open()
    return {each.strategy_id.value.removeprefix("Idle-"): each.signed_decimal_qty() for each in positions}


async def hold(node: Any, name: str, qty: int) -> None:
    strategy, side = node.parts.strategies[name], OrderSide.BUY if qty > 0 else OrderSide.SELL
    order = strategy.order_factory.market(IBM, side, Quantity.from_int(abs(qty)), time_in_force=TimeInForce.DAY)
    strategy.submit_order(order)
    await until(lambda: held(node).get(name) == qty)


async def test_a_flatten_closes_what_the_account_holds_and_nothing_is_left_after_a_restart(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        client = node.parts.exec_clients["main"]
        assert client.crossings.positions["IBM"] == 3
        left = await flatten(node.plan, node.parts, node.gate, NODE, why="a test", timeout_s=20)
        assert not left, left
        assert held(node) == {}
        assert client.crossings.positions["IBM"] == 0
        assert [(fill.side, fill.qty) for fill in client.fills][2:] == [("sell", D(3))]
        node.gate.resume(why="a test")
    async with life() as node:
        assert held(node) == {}


async def test_what_is_set_off_is_set_off_after_a_restart_too_and_the_account_holds_what_it_held(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", -5)
        await hold(node, "other", 2)
        cache = node.parts.kernel.cache
        worth = node.gate.ledger.value()
        assert set_off(node.parts, cache.positions_open())
        assert held(node) == {"quiet": D(-3)}
        assert not set_off(node.parts, cache.positions_open())
        assert net(node.parts, cache.positions_open()[0]) == -3
        assert node.gate.ledger.value() == worth, "at the price that the ledger values them at"
    async with life() as node:
        assert held(node) == {"quiet": D(-3)}


async def test_a_strategy_with_an_order_under_way_is_left_alone(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        order = node.parts.strategies["other"].send("1.00")
        assert not set_off(node.parts, node.parts.kernel.cache.positions_open()), "before it has left"
        await until(lambda: order.is_open)
        assert not set_off(node.parts, node.parts.kernel.cache.positions_open())
        node.parts.strategies["other"].cancel_order(order)
        await until(lambda: order.is_closed)
        assert set_off(node.parts, node.parts.kernel.cache.positions_open())
        assert held(node) == {"quiet": D(3)}


async def test_it_is_no_loss_and_no_fill_for_the_limits_not_even_between_its_halves(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        gate = node.gate
        gate.set_limits(LimitsBook(top=Limits(max_fills=Rate(1, 3_600_000_000_000))))
        checks: list[dict[str, Decimal]] = []
        inner = gate.losses.check
        gate.losses.check = lambda: (checks.append(held(node)), inner())
        assert set_off(node.parts, node.parts.kernel.cache.positions_open())
        assert checks == [{"quiet": D(3)}]
        assert gate.states.get(NODE).state is State.ACTIVE


async def test_who_fails_at_hearing_of_the_first_half_does_not_keep_the_other_from_being_booked(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        parts, failed = node.parts, []

        def fail(event: Any) -> None:
            failed.append(event)
            raise ValueError("a test")

        parts.kernel.msgbus.subscribe("events.order.*", fail, priority=1000)
        with closer.Closer(parts) as closing:
            closing.step(["quiet", "other"], shorts_first=True)
        parts.kernel.msgbus.unsubscribe("events.order.*", fail)
        assert failed
        assert held(node) == {"quiet": D(3)}


class Answer:
    """`quiet` sends one order when it hears of a change of its position, once `armed`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hook: str, side: OrderSide, qty: int) -> None:
        self.armed = False
        self.order: Any = None
        self.then: Any = None
        """The order's status right after it was sent."""
        answer = self

        def changed(self: Any, _event: Any) -> None:
            if answer.armed and self.id.value == "Idle-quiet":
                answer.armed = False
                answer.order = self.order_factory.market(
                    IBM, side, Quantity.from_int(qty), time_in_force=TimeInForce.DAY
                )
                self.submit_order(answer.order)
                answer.then = answer.order.status

        monkeypatch.setattr(inside.Idle, hook, changed, raising=False)

    async def to_set_off(self, node: Any) -> None:
        """Set off what there is, and wait for what becomes of the order."""
        self.armed = True
        positions = node.parts.kernel.cache.positions_open()
        assert set_off(node.parts, positions)
        assert self.then is OrderStatus.INITIALIZED, "it waited"
        assert not set_off(node.parts, positions)
        await until(lambda: self.order.is_closed)


async def test_an_entry_that_answers_a_set_off_is_denied_in_a_halt(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 and -5: after the first fill alone the account holds -5, which a purchase of 5 would close."""
    answer = Answer(monkeypatch, "on_position_closed", OrderSide.BUY, 5)
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -5)
        node.gate.set_state("halted", why="a test")
        await answer.to_set_off(node)
        assert answer.order.status is OrderStatus.DENIED
        assert answer.order.last_event.reason.startswith("STATE_HALTED")
        assert held(node) == {}
        assert node.gate.errors == 0
        node.gate.resume(why="a test")


async def test_an_exit_that_answers_a_set_off_passes_in_a_halt(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 and -2, set off by 2: the rest of 3 is what the account holds, not 1 as after the first fill alone."""
    answer = Answer(monkeypatch, "on_position_changed", OrderSide.SELL, 3)
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        node.gate.set_state("halted", why="a test")
        await answer.to_set_off(node)
        assert answer.order.status is OrderStatus.FILLED
        await until(lambda: held(node) == {})
        assert not node.gate.denied
        node.gate.resume(why="a test")


@pytest.mark.parametrize(
    ("side", "price", "then"),
    [(OrderSide.BUY, "1.00", OrderStatus.DENIED), (OrderSide.SELL, "90000.00", OrderStatus.CANCELED)],
)
async def test_nothing_works_on_of_a_strategy_that_failed_while_its_order_waited(
    life: Life, monkeypatch: pytest.MonkeyPatch, side: OrderSide, price: str, then: OrderStatus
) -> None:
    """An entry is denied by then, and an exit that rests is cancelled."""
    sent: list[Any] = []

    def changed(self: Any, _event: Any) -> None:
        if self.id.value == "Idle-quiet" and not sent:
            terms = (IBM, side, Quantity.from_int(1), Price.from_str(price))
            sent.append(self.order_factory.limit(*terms, time_in_force=TimeInForce.DAY))
            self.submit_order(sent[0])
            raise ValueError("a test")

    monkeypatch.setattr(inside.Idle, "on_position_changed", changed, raising=False)
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        assert set_off(node.parts, node.parts.kernel.cache.positions_open())
        assert node.parts.guards["quiet"].down
        await until(lambda: sent[0].is_closed)
        assert sent[0].status is then


async def test_it_is_no_fill_for_the_counts(life: Life) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        assert set_off(node.parts, node.parts.kernel.cache.positions_open())
        assert held(node) == {"quiet": D(3)}
        assert node.tally.fills == 2
        assert [node.tally.strategies[name]["fills"] for name in ("quiet", "other")] == [1, 1]


async def test_a_restart_finds_each_strategys_own_also_where_somebody_failed_at_hearing_of_the_first(
    life: Life,
) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        failed: list[Any] = []

        def fail(event: Any) -> None:
            if not failed:
                failed.append(event)
                raise ValueError("a test")

        node.parts.kernel.msgbus.subscribe("events.order.*", fail, priority=1000)
        with closer.Closer(node.parts) as closing:
            closing.step(["quiet", "other"], shorts_first=True)
        node.parts.kernel.msgbus.unsubscribe("events.order.*", fail)
        assert failed
    async with life() as node:
        assert held(node) == {"quiet": D(3)}


@pytest.mark.parametrize("half", [1, 2])
async def test_a_restart_after_a_kill_between_the_halves_finds_each_strategys_own(
    life: Life, tmp_path: Path, half: int
) -> None:
    """What is on the disk when somebody hears of a half, before anybody else does."""
    state, then = tmp_path / "state", tmp_path / "then"
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)

        def copy(event: Any) -> None:
            if (event.info or {}).get(HALF) == half:
                node.plan.journal.store.write_now([])  # with all that was given to the journal by now
                copytree(state, then)

        node.parts.kernel.msgbus.subscribe("events.order.*", copy, priority=1000)
        assert set_off(node.parts, node.parts.kernel.cache.positions_open())
        node.parts.kernel.msgbus.unsubscribe("events.order.*", copy)
    rmtree(state)
    then.rename(state)
    async with life() as node:
        assert held(node) == {"quiet": D(3)}
        assert node.parts.exec_clients["main"].crossings.positions["IBM"] == 3


async def test_what_can_not_be_kept_is_not_set_off_and_left_over_in_words(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_S", 0.05)
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -5)
        store = node.plan.journal.store
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked by another program"):
            store.write_now([])
        assert not set_off(node.parts, node.parts.kernel.cache.positions_open())
        left = await flatten(node.plan, node.parts, node.gate, NODE, why="a test", timeout_s=0.5)
        assert held(node) == {"quiet": D(5), "other": D(-5)}
        assert len(left.positions) == 2
        assert all("is locked by another program" in each.why for each in left.positions)
        other.close()
        await until(lambda: store.problem is None)
        assert not await flatten(node.plan, node.parts, node.gate, NODE, why="a test", timeout_s=20)
        assert held(node) == {}
        node.gate.resume(why="a test")
    async with life() as node:
        assert held(node) == {}


class Deaf:
    """Nautilus's engine, where it takes the second half alone, or neither; it raises, or says nothing."""

    def __init__(self, *, takes: int | None = None, raises: bool = False) -> None:
        self.takes = takes
        self.raises = raises
        self.asked = 0

    def process(self, engine: Any, fill: Any) -> None:
        self.asked += 1
        if (fill.info or {})[HALF] == self.takes:
            ExecutionEngine.process(engine, fill)
        elif self.raises:
            raise RuntimeError("a test")


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_what_nautilus_does_not_take_is_not_in_the_journal_and_not_tried_again(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises: bool, synchronous: str
) -> None:
    path = tmp_path / "netting.yaml"
    path.write_text(path.read_text().replace("state: {dir", f"state: {{synchronous: {synchronous}, dir"))
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -5)
        deaf = Deaf(raises=raises)
        monkeypatch.setattr(netting, "ExecutionEngine", deaf)
        left = await flatten(node.plan, node.parts, node.gate, NODE, why="a test", timeout_s=0.5)
        assert deaf.asked == 2, "one pair, once"
        assert held(node) == {"quiet": D(5), "other": D(-5)}
        assert len(left.positions) == 2
        assert all("Nautilus did not take the fills" in each.why for each in left.positions)
        monkeypatch.undo()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        node.gate.resume(why="a test")
    async with life() as node:
        assert held(node) == {"quiet": D(5), "other": D(-5)}
        assert set_off(node.parts, node.parts.kernel.cache.positions_open()), "in another life"


async def test_where_nautilus_takes_one_half_alone_a_restart_finds_both(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -2)
        with monkeypatch.context() as patched:
            patched.setattr(netting, "ExecutionEngine", Deaf(takes=2))
            assert not set_off(node.parts, node.parts.kernel.cache.positions_open())
        assert held(node) == {"quiet": D(5)}
    async with life() as node:
        assert held(node) == {"quiet": D(3)}


async def test_that_nothing_can_be_kept_is_said_once_in_a_flatten(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with life() as node:
        await hold(node, "quiet", 5)
        await hold(node, "other", -5)
        with monkeypatch.context() as patched, closer.Closer(node.parts) as closing:
            patched.setattr(node.plan.journal.store, "_problem", "a test")
            for _ in range(3):
                closing.step(["quiet", "other"], shorts_first=True)
        assert [each.getMessage() for each in caplog.records if "not set off" in each.getMessage()] == [
            "opposite positions in IBM.ALPACA are not set off against each other: a test"
        ]
