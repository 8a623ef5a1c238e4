"""Halting and flattening: what is cancelled, what is closed, in which order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import LiquiditySide, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import (
    ClientOrderId,
    InstrumentId,
    StrategyId,
    TradeId,
    VenueOrderId,
    new_generic_spread_id,
)
from nautilus_trader.model.objects import Money, Price, Quantity

from runner.node import closer
from runner.node.gate import install_gate
from runner.node.netting import set_off
from runner.node.orders import cancel, flatten, halt, strategies_of
from runner.risk.codes import Code
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import NODE, Scope, State
from tests.node.fake_venue import Behaviour, Quiet, Run, make_plan, quote
from tests.risk.test_margin_options import contract

PUT, LOWER = "IBM280121P00090000", "IBM280121P00080000"


class Gate:
    """Hears of states."""

    def __init__(self) -> None:
        self.set: list[tuple[Scope, State, str]] = []

    def set_state(self, state: State, *, scope: Scope, why: str) -> bool:
        self.set.append((scope, state, why))
        return True


def trade(run: Run, name: str, symbol: str, side: Any, qty: int = 1) -> None:
    strategy = run.strategy(name)
    instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
    if strategy.cache.instrument(instrument_id) is None:
        strategy.cache.add_instrument(contract(symbol))
    size, day = Quantity.from_int(qty), TimeInForce.DAY
    strategy.submit_order(strategy.order_factory.market(instrument_id, side, size, time_in_force=day))


def sent(run: Run, since: int) -> list[tuple[str, str]]:
    """Side and symbol of what left since then."""
    orders = [run.node.parts.kernel.cache.order(ClientOrderId(each)) for each in run.exec.sent[since:]]
    return [("buy" if order.is_buy else "sell", order.instrument_id.symbol.value) for order in orders]


def held(run: Run, *names: str) -> list[Any]:
    cache = run.node.parts.kernel.cache
    return [each for name in names for each in cache.positions_open(strategy_id=run.strategy(name).id)]


def test_a_scope_holds_its_strategies():
    plan = make_plan({"a": Quiet, "b": Quiet, "c": Quiet}, accounts=("main", "spare"))
    assert strategies_of(plan, NODE) == ["a", "b", "c"]
    assert strategies_of(plan, Scope("account", "main")) == ["a", "c"]
    assert strategies_of(plan, Scope("strategy", "b")) == ["b"]
    for unknown in (Scope("account", "x"), Scope("strategy", "x")):
        with pytest.raises(KeyError):
            strategies_of(plan, unknown)


@pytest.mark.parametrize("cancel", [True, False])
async def test_halting_takes_back_what_works_in_its_scope_where_it_is_asked_to(cancel):
    async with Run(make_plan({"a": Quiet, "b": Quiet}, on_stop="keep"), Behaviour()) as run:
        mine, other = run.strategy("a").limit(), run.strategy("b").limit()
        await run.until(lambda: mine.is_open and other.is_open)
        gate = Gate()
        scope = Scope("strategy", "a")
        left = await halt(run.node.plan, run.node.parts, gate, scope, why="a test", cancel=cancel, timeout_s=2)
        assert not left
        assert gate.set == [(scope, State.HALTED, "a test")]
        assert mine.is_closed == cancel
        assert other.is_open


async def test_flattening_cancels_first_then_closes_everything():
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour(), install_gate=install_gate) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 100)
        trade(run, "b", "IBM", OrderSide.SELL, 60)
        resting = run.strategy("a").limit("110.00", OrderSide.SELL)  # holds the shares
        await run.until(lambda: resting.is_open and len(held(run, "a", "b")) == 2)
        since = len(run.exec.sent)
        left = await flatten(run.node.plan, run.node.parts, run.node.gate, NODE, why="a test", timeout_s=3)
        assert not left
        assert [str(each) for each in left.closed] == ["a: 100 IBM is closed", "b: -60 IBM is closed"]
        assert resting.is_closed
        assert sent(run, since) == [("sell", "IBM")], "of what the account holds, and nothing that would open"
        assert run.exec.held["IBM"] == 0
        assert run.behaviour.cancels == [resting.client_order_id.value]
        assert held(run, "a", "b") == []
        assert not run.node.gate.denied
        assert run.node.gate.errors == 0


async def test_short_options_are_bought_back_before_their_cover_is_sold():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        trade(run, "a", LOWER, OrderSide.BUY)
        trade(run, "a", PUT, OrderSide.SELL)
        run.strategy("a").market()
        await run.until(lambda: len(run.exec.fills) == 3)
        since = len(run.exec.sent)
        assert not await flatten(run.node.plan, run.node.parts, Gate(), NODE, why="a test", timeout_s=3)
        assert sent(run, since)[0] == ("buy", PUT)
        assert sorted(sent(run, since)[1:]) == [("sell", "IBM"), ("sell", LOWER)]


async def test_the_cover_of_a_short_that_can_not_be_bought_back_is_kept():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        trade(run, "a", LOWER, OrderSide.BUY)
        trade(run, "a", PUT, OrderSide.SELL)
        await run.until(lambda: len(run.exec.fills) == 2)
        run.behaviour.fill_markets = False
        since = len(run.exec.sent)
        left = await flatten(run.node.plan, run.node.parts, Gate(), NODE, why="a test", timeout_s=0.6)
        assert sent(run, since) == [("buy", PUT)]
        assert {(each.quantity, each.symbol, each.result) for each in left.positions} == {
            ("-1", PUT, "working"),
            ("1", LOWER, "kept"),
        }


async def test_an_order_that_the_venue_does_not_cancel_is_told():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        order = run.strategy("a").limit()
        await run.until(lambda: order.is_open)

        async def deaf(_command: Any) -> None: ...

        run.exec._cancel_order = deaf
        left = await halt(run.node.plan, run.node.parts, Gate(), NODE, why="x", cancel=True, timeout_s=0.2)
        assert left.orders == (order.client_order_id.value,)
        assert left.positions == ()


async def test_a_closing_order_that_is_refused_is_sent_again():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        run.strategy("a").market()
        await run.until(lambda: len(run.exec.fills) == 1)
        real, refused = run.exec._submit_order, []

        async def refuse_once(command: Any) -> None:
            if refused:
                await real(command)
                return
            refused.append(command.order.client_order_id)
            ids, now = run.exec._ids(command.order), run.exec._clock.timestamp_ns()
            run.exec.generate_order_submitted(**ids, ts_event=now)
            run.exec.generate_order_rejected(**ids, reason="shares are held", ts_event=now)

        run.exec._submit_order = refuse_once
        assert not await flatten(run.node.plan, run.node.parts, Gate(), NODE, why="x", timeout_s=3)
        assert len(refused) == 1
        assert held(run, "a") == []


async def test_what_is_refused_again_and_again_is_told_with_its_reason_and_not_waited_for(monkeypatch):
    async with Run(make_plan({"a": Quiet, "b": Quiet}, on_stop="keep"), Behaviour()) as run:
        run.strategy("a").market()
        run.strategy("b").market()
        await run.until(lambda: len(run.exec.fills) == 2)
        real = run.exec._submit_order
        monkeypatch.setattr(closer, "PAUSE_NS", 0)

        async def refuse(command: Any) -> None:
            if command.strategy_id == run.strategy("b").id:
                await real(command)
                return
            ids, now = run.exec._ids(command.order), run.exec._clock.timestamp_ns()
            run.exec.generate_order_submitted(**ids, ts_event=now)
            run.exec.generate_order_rejected(**ids, reason="the market is closed", ts_event=now)

        run.exec._submit_order = refuse
        left = await flatten(run.node.plan, run.node.parts, Gate(), NODE, why="x", timeout_s=300)
        assert [str(each) for each in left.positions] == ["a: 10 IBM is not closed: the market is closed"]
        assert [str(each) for each in left.closed] == ["b: 10 IBM is closed"]


def stranger(run: Run, side: Any, qty: int) -> StrategyId:
    """Somebody else trades the account: the id that this has."""
    order = run.node.parts.kernel.cache.order(ClientOrderId(run.exec.sent[0]))
    run.exec.generate_order_filled(
        strategy_id=StrategyId("EXTERNAL"), instrument_id=order.instrument_id,
        client_order_id=ClientOrderId("X-LEG-1"), venue_order_id=VenueOrderId("X-LEG-1"), venue_position_id=None,
        trade_id=TradeId("X1"), order_side=side, order_type=order.order_type, last_qty=Quantity.from_int(qty),
        last_px=Price.from_str("100.00"), quote_currency=USD, commission=Money(0, USD),
        liquidity_side=LiquiditySide.TAKER, ts_event=1,
    )  # fmt: skip
    return StrategyId("EXTERNAL")


async def test_an_account_is_also_what_others_hold_there_and_a_strategy_is_not():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        run.strategy("a").market()
        await run.until(lambda: len(run.exec.fills) == 1)
        kernel = run.node.parts.kernel
        external = stranger(run, OrderSide.SELL, 3)
        await run.until(lambda: kernel.cache.positions_open(strategy_id=external))
        plan, parts = run.node.plan, run.node.parts
        left = await flatten(plan, parts, Gate(), Scope("strategy", "a"), why="x", timeout_s=3)
        assert [str(each) for each in left.closed] == ["a: 10 IBM is closed"]
        assert kernel.cache.positions_open(strategy_id=external)
        left = await flatten(plan, parts, Gate(), Scope("account", "main"), why="x", timeout_s=3)
        assert [str(each) for each in left.closed] == ["EXTERNAL: -3 IBM is closed"]
        assert not left
        assert not kernel.cache.positions_open()


async def test_what_others_hold_on_the_account_is_set_off_against_a_strategys_too():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour(), install_gate=install_gate) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 10)
        await run.until(lambda: held(run, "a"))
        kernel = run.node.parts.kernel
        stranger(run, OrderSide.SELL, 3)
        await run.until(lambda: len(kernel.cache.positions_open()) == 2)
        since, plan, parts = len(run.exec.sent), run.node.plan, run.node.parts
        left = await flatten(plan, parts, run.node.gate, Scope("account", "main"), why="x", timeout_s=3)
        assert [str(each) for each in left.closed] == ["a: 10 IBM is closed", "EXTERNAL: -3 IBM is closed"]
        assert not left
        assert not kernel.cache.positions_open()
        assert [kernel.cache.order(ClientOrderId(each)).quantity for each in run.exec.sent[since:]] == [7]


async def test_a_short_option_is_set_off_against_anothers_long_one():
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour()) as run:
        trade(run, "a", PUT, OrderSide.BUY, 3)
        trade(run, "b", PUT, OrderSide.SELL, 5)
        await run.until(lambda: len(held(run, "a", "b")) == 2)
        since = len(run.exec.sent)
        assert not await flatten(run.node.plan, run.node.parts, Gate(), NODE, why="a test", timeout_s=3)
        assert sent(run, since) == [("buy", PUT)]
        assert run.node.parts.kernel.cache.order(ClientOrderId(run.exec.sent[-1])).quantity == 2


async def test_a_spread_under_way_keeps_the_positions_of_its_legs_from_being_set_off():
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour()) as run:
        trade(run, "a", PUT, OrderSide.BUY, 3)
        trade(run, "b", PUT, OrderSide.SELL, 3)
        await run.until(lambda: len(held(run, "a", "b")) == 2)
        legs = [(InstrumentId.from_str(f"{symbol}.ALPACA"), ratio) for symbol, ratio in ((PUT, 1), (LOWER, -1))]
        order = run.strategy("b").order_factory.market(
            new_generic_spread_id(legs), OrderSide.BUY, Quantity.from_int(1), time_in_force=TimeInForce.DAY
        )
        run.node.parts.kernel.cache.add_order(order)
        assert not set_off(run.node.parts, held(run, "a", "b"))
        assert len(held(run, "a", "b")) == 2


async def test_orders_that_were_placed_elsewhere_are_counted_and_those_left_are_named():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        asked: list[Any] = []

        async def cancel_others(kept: Any, timeout_s: float) -> tuple[int, list[str]]:
            asked.append(kept)
            return 3, ["by-hand"]

        run.exec.cancel_others = cancel_others
        left = await cancel(run.node.plan, run.node.parts, NODE, timeout_s=1)
        assert (left.elsewhere, left.orders) == (3, ("by-hand",))
        assert asked == [run.node.parts.names]
        assert not await cancel(run.node.plan, run.node.parts, Scope("strategy", "a"), timeout_s=1)
        assert len(asked) == 1


async def test_a_second_flatten_and_a_cancel_take_back_the_closing_orders_of_the_first():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        run.strategy("a").market()
        await run.until(lambda: len(run.exec.fills) == 1)
        run.behaviour.fill_markets = False  # after hours
        plan, parts = run.node.plan, run.node.parts
        for number in (1, 2):
            left = await flatten(plan, parts, Gate(), NODE, why="x", timeout_s=0.3)
            assert [each.result for each in left.positions] == ["working"]
            assert len(run.exec.sent) == number + 1
            assert len(parts.kernel.cache.orders_open()) == 1
        assert not await cancel(plan, parts, NODE, timeout_s=1)
        assert parts.kernel.cache.orders_open() == []
        run.behaviour.fill_markets = True
        assert not await flatten(plan, parts, Gate(), NODE, why="x", timeout_s=1)
        assert run.exec.held["IBM"] == 0


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(duplicate_window_ns=600_000_000_000), Code.DUPLICATE_ORDER),
        (Limits(max_order_qty=Decimal(50)), Code.MAX_ORDER_QTY),
        (Limits(max_order_notional=Decimal(5_000)), Code.MAX_ORDER_NOTIONAL),
    ],
)
async def test_what_holds_back_a_strategys_order_for_itself_does_not_hold_up_a_closing_order(limits, code):
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour(), install_gate=install_gate) as run:
        for _ in range(3):
            trade(run, "a", "IBM", OrderSide.BUY, 50)
        trade(run, "a", "IBM", OrderSide.SELL, 75)
        await run.until(lambda: [each.quantity for each in held(run, "a")] == [75])
        run.adapter.data.send(quote())
        await run.until(lambda: run.strategy("a").ticks == 1)
        gate = run.node.gate
        gate.set_limits(LimitsBook(top=limits))
        if code is Code.DUPLICATE_ORDER:  # the window knows what has passed since it was set
            trade(run, "a", "IBM", OrderSide.BUY, 75)
            trade(run, "a", "IBM", OrderSide.SELL, 75)
            await run.until(lambda: len(run.exec.fills) == 6 and held(run, "a")[0].quantity == 75)
        trade(run, "a", "IBM", OrderSide.SELL, 75)
        assert gate.denied == {code: 1}, "of the strategy's own"
        assert not await flatten(run.node.plan, run.node.parts, gate, NODE, why="x", timeout_s=3)
        assert run.exec.held["IBM"] == 0
        assert gate.denied == {code: 1}


async def test_a_closing_order_that_would_open_is_held_to_every_limit():
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour(), install_gate=install_gate) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 100)
        trade(run, "b", "IBM", OrderSide.SELL, 100)
        await run.until(lambda: len(held(run, "a", "b")) == 2)
        run.node.gate.set_limits(LimitsBook(top=Limits(max_order_qty=Decimal(99))))
        with closer.Closer(run.node.parts) as closing:
            closing.step(["a"], shorts_first=False)
        assert run.node.gate.denied == {Code.MAX_ORDER_QTY: 1}


async def test_tries_are_not_spent_at_once_but_as_something_changes_or_time_passes():
    plan = make_plan({"a": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour(), install_gate=install_gate) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 10)
        await run.until(lambda: held(run, "a"))
        run.node.gate.set_limits(LimitsBook(top=Limits(self_match=True)))
        resting = run.strategy("a").limit("90.00")  # the market order would meet it
        await run.until(lambda: resting.is_open)
        now = [0]
        with closer.Closer(run.node.parts, now_ns=lambda: now[0]) as closing:

            async def tries() -> int:
                for _ in range(2 * closer.TRIES):
                    assert not closing.step(["a"], shorts_first=False), "it is not given up"
                    await run.until(lambda: not closing.under_way)
                return run.node.gate.denied[Code.SELF_MATCH]

            assert await tries() == 1
            now[0] += closer.PAUSE_NS - 1
            assert await tries() == 1
            now[0] += 1
            assert await tries() == 2
            trade(run, "a", "BAC", OrderSide.BUY, 1)
            await run.until(lambda: len(held(run, "a")) == 2)
            assert await tries() == 2, "of something else"
            run.strategy("a").cancel_order(resting)
            await run.until(lambda: resting.is_closed)
            now[0] += closer.PAUSE_NS
            await run.until(lambda: closing.step(["a"], shorts_first=False))
        assert held(run, "a") == []


async def test_a_strategy_alone_is_closed_as_far_as_its_account_holds_anything_and_the_rest_is_told():
    plan = make_plan({"a": Quiet, "b": Quiet}, on_stop="keep")
    async with Run(plan, Behaviour(), install_gate=install_gate) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 100)
        trade(run, "b", "IBM", OrderSide.SELL, 60)
        await run.until(lambda: len(held(run, "a", "b")) == 2)
        plan, parts, gate = run.node.plan, run.node.parts, run.node.gate
        left = await flatten(plan, parts, gate, Scope("strategy", "a"), why="x", timeout_s=2)
        assert run.exec.held["IBM"] == 0
        (rest,) = left.positions
        assert rest.result == "refused"
        assert rest.why.startswith("STATE_REDUCING: strategy a is reducing (x): only what shrinks a position passes; ")
        assert rest.why.endswith(
            "60 are left, of which the account holds 0 in all, as others on it hold the opposite: flatten the account, "
            "where they are set off against each other"
        )
        assert {str(each.signed_decimal_qty()) for each in held(run, "a", "b")} == {"60", "-60"}
        left = await flatten(plan, parts, gate, Scope("account", "main"), why="x", timeout_s=2)
        assert not left
        assert held(run, "a", "b") == []
        assert run.exec.held["IBM"] == 0


async def test_the_nodes_tag_on_a_strategys_own_entry_does_not_keep_it_from_being_taken_back():
    async with Run(make_plan({"a": Quiet}, on_stop="cancel"), Behaviour()) as run:
        entry = run.strategy("a").limit(tags=[closer.NODE_TAG])
        await run.until(lambda: entry.is_open)
        with closer.Closer(run.node.parts) as closing:
            assert closing.working("a") == [entry.client_order_id.value]
    assert entry.is_closed


async def test_nothing_waits_for_a_strategys_own_order_that_has_the_nodes_tag():
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), Behaviour()) as run:
        trade(run, "a", "IBM", OrderSide.BUY, 10)
        resting = run.strategy("a").limit("110.00", OrderSide.SELL, tags=[closer.NODE_TAG])
        await run.until(lambda: resting.is_open and held(run, "a"))
        since = len(run.exec.sent)
        with closer.Closer(run.node.parts) as closing:
            closing.step(["a"], shorts_first=False)
            assert len(closing.under_way) == 1
            await run.until(lambda: sent(run, since) == [("sell", "IBM")])


@pytest.mark.parametrize("fails", [True, False])
async def test_a_closing_order_is_the_nodes_own_unless_it_could_not_be_sent(monkeypatch, fails):
    behaviour = Behaviour(fill_markets=False)
    async with Run(make_plan({"a": Quiet}, on_stop="keep"), behaviour) as run:
        behaviour.fill_markets = True
        trade(run, "a", "IBM", OrderSide.BUY, 10)
        await run.until(lambda: held(run, "a"))
        behaviour.fill_markets = False
        parts, tried = run.node.parts, []
        inner = run.strategy("a").submit_order

        def submit(order: Any, **more: Any) -> None:
            tried.append(order)
            assert order.client_order_id in parts.closing
            if fails:
                raise RuntimeError("a test")
            inner(order, **more)

        with closer.Closer(parts) as closing, monkeypatch.context() as patched:
            patched.setattr(run.strategy("a"), "submit_order", submit, raising=False)
            closing.step(["a"], shorts_first=False)
            assert [order.client_order_id in parts.closing for order in tried] == [not fails]
            assert [order.tags for order in tried] == [[closer.NODE_TAG]]
