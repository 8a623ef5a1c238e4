"""Execution algorithms in a node: Nautilus's TWAP and worse ones, with a gate behind them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from nautilus_trader.examples.algorithms.twap import TWAPExecAlgorithm, TWAPExecAlgorithmConfig
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.execution.config import ExecAlgorithmConfig
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, ExecAlgorithmId
from nautilus_trader.model.objects import Price, Quantity

from runner.config.models import RiskLimits
from runner.node.build import NodePlan
from runner.node.gate import install_gate
from runner.node.orders import cancel, flatten, halt
from runner.risk.state import NODE, Scope
from tests.node.fake_venue import IBM, Behaviour, FakePlan, Quiet, Run, make_plan, quote

TWAP = ExecAlgorithmId("TWAP")


class Slicer(ExecAlgorithm):
    """Sends parts when a test says so; keeps what it was given and what it heard."""

    def __init__(self, config: ExecAlgorithmConfig) -> None:
        super().__init__(config)
        self.orders: list[Any] = []
        self.heard: list[str] = []

    def on_order(self, order: Any) -> None:
        self.orders.append(order)

    def on_order_event(self, event: Any) -> None:
        self.heard.append(type(event).__name__)

    def part(self, qty: int, *, price: str | None = None, reduce_primary: bool = True) -> Any:
        primary, size = self.orders[-1], Quantity.from_int(qty)
        if price is None:
            order = self.spawn_market(primary, size, reduce_primary=reduce_primary)
        else:
            order = self.spawn_limit(primary, size, Price.from_str(price), reduce_primary=reduce_primary)
        self.submit_order(order)
        return order


class User(Quiet):
    """Has its orders carried out by an algorithm."""

    def through(self, qty: int = 30, algorithm: str = "slicer", side: Any = OrderSide.BUY, **params: Any) -> Any:
        order = self.order_factory.market(
            IBM,
            side,
            Quantity.from_int(qty),
            exec_algorithm_id=ExecAlgorithmId(algorithm),
            exec_algorithm_params=params or None,
        )
        self.submit_order(order)
        return order


def with_algorithms(plan: NodePlan, **algorithms: Any) -> NodePlan:
    made = {
        name: FakePlan(name, cls, None, ExecAlgorithmConfig(exec_algorithm_id=ExecAlgorithmId(name)))
        for name, cls in algorithms.items()
    }
    if "TWAP" in made:
        made["TWAP"] = dataclasses.replace(made["TWAP"], config=TWAPExecAlgorithmConfig())
    return dataclasses.replace(plan, exec_algorithms=made)


def running(behaviour: Behaviour, strategies: dict[str, Any] | None = None, **how: Any) -> Run:
    algorithms = how.pop("algorithms", {"slicer": Slicer})
    plan = with_algorithms(make_plan(strategies or {"s": User}, **how), **algorithms)
    return Run(plan, behaviour, install_gate=install_gate)


def algorithm(run: Run, name: str = "slicer") -> Any:
    return run.node.parts.algorithms.guards[name].component


async def test_parts_pass_the_gate_in_the_strategys_name_and_the_whole_is_counted_once(behaviour: Behaviour) -> None:
    behaviour.fill_markets = False
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        assert run.node.gate.passed == 0
        assert len(run.node.gate.reservations) == 0, "what an algorithm holds takes no room"
        parts = [algorithm(run).part(10), algorithm(run).part(10, price="99.00")]
        algorithm(run).submit_order(primary)
        await run.until(lambda: len(run.exec.sent) == 3)
        assert run.exec.sent == [*(f"{primary.client_order_id}-E{n}" for n in (1, 2)), primary.client_order_id.value]
        assert run.node.gate.passed == 3
        assert {order.strategy_id for order in parts} == {primary.strategy_id}
        legs = list(run.node.gate.working.legs(IBM, run.exec.account_id))
        assert sorted(int(leg.qty) for leg in legs) == [10, 10, 10]
        for order in (*parts, primary):
            await run.until(lambda order=order: order.is_open)
            run.exec.fill(order)
            await run.until(lambda order=order: order.is_closed)
        cache = run.node.parts.kernel.cache
        assert [int(each.signed_decimal_qty()) for each in cache.positions_open()] == [30]
        await run.end()
    assert run.node.books["main"].agree is True


async def test_nautiluss_twap_carries_an_order_out(behaviour: Behaviour) -> None:
    async with running(behaviour, algorithms={"TWAP": TWAPExecAlgorithm}) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30, "TWAP", horizon_secs=0.03, interval_secs=0.01)
        await run.until(lambda: primary.is_closed, turns=400_000)
        cache = run.node.parts.kernel.cache
        assert run.exec.sent == [f"{primary.client_order_id}-E{n}" for n in (1, 2)] + [primary.client_order_id.value]
        assert [int(each.signed_decimal_qty()) for each in cache.positions_open()] == [30]
        await run.end()
    assert run.node.books["main"].agree is True


async def test_an_order_of_on_start_waits_for_the_algorithm(behaviour: Behaviour) -> None:
    class Early(User):
        def on_start(self) -> None:
            super().on_start()
            self.first = self.through()
            self.second = self.through()
            self.cancel_order(self.second)

    async with running(behaviour, {"s": Early}) as run:
        assert algorithm(run).orders == [run.strategy("s").first]
        assert run.strategy("s").second.status == OrderStatus.CANCELED


async def test_after_a_halt_the_gate_denies_what_an_algorithm_still_sends(behaviour: Behaviour) -> None:
    async with running(behaviour, algorithms={"TWAP": TWAPExecAlgorithm}) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30, "TWAP", horizon_secs=0.03, interval_secs=0.01)
        run.node.gate.set_state("halted", scope=Scope("strategy", "s"), why="a test")
        await run.until(lambda: primary.is_closed, turns=400_000)
        assert primary.status == OrderStatus.DENIED
        cache = run.node.parts.kernel.cache
        first, second = (cache.order(ClientOrderId(f"{primary.client_order_id}-E{n}")) for n in (1, 2))
        assert (first.status, second.status) == (OrderStatus.FILLED, OrderStatus.DENIED), "one had left before the halt"
        assert second.last_event.reason.startswith("STATE_HALTED")
        assert run.exec.sent == [first.client_order_id.value]


@pytest.mark.parametrize("verb", ["cancel", "halt", "flatten"])
async def test_a_command_ends_what_an_algorithm_holds_and_nothing_more_comes_of_it(
    behaviour: Behaviour, verb: str
) -> None:
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        resting = algorithm(run).part(10, price="90.00")
        await run.until(lambda: resting.is_open)
        node, scope = run.node, Scope("strategy", "s")
        if verb == "cancel":
            left = await cancel(node.plan, node.parts, NODE, timeout_s=5)
        elif verb == "halt":
            left = await halt(node.plan, node.parts, node.gate, scope, why="t", cancel=True, timeout_s=5)
        else:
            left = await flatten(node.plan, node.parts, node.gate, scope, why="t", timeout_s=5)
        assert not left
        assert (primary.status, resting.status) == (OrderStatus.CANCELED, OrderStatus.CANCELED)
        late = algorithm(run).part(10, reduce_primary=False)
        await run.until(lambda: late.is_closed)
        assert late.status == OrderStatus.DENIED
        assert "which it is a part of, is canceled" in late.last_event.reason
        assert run.exec.sent == [resting.client_order_id.value]


async def test_what_has_been_sent_is_ended_by_the_venue_alone(behaviour: Behaviour) -> None:
    """A cancel that comes before the order is known as submitted must not end it here only."""
    behaviour.fill_markets = False
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        algorithm(run).submit_order(primary)
        assert primary.status == OrderStatus.INITIALIZED
        run.strategy("s").cancel_order(primary)
        assert primary.status == OrderStatus.INITIALIZED
        await run.until(lambda: primary.is_closed)
        assert behaviour.cancels == [primary.client_order_id.value]
        # And nothing is spawned of what is at the venue: its quantity there stays as it is.
        other = run.strategy("s").through(20)
        algorithm(run).submit_order(other)
        await run.until(lambda: other.is_open)
        part = algorithm(run).part(5)
        await run.until(lambda: part.is_closed)
        assert part.status == OrderStatus.DENIED


async def test_a_part_that_fails_late_does_not_change_what_was_sent(behaviour: Behaviour) -> None:
    """Nautilus would give its quantity back to the primary, which works at the venue with less, or is filled."""
    behaviour.fill_markets = False
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        part = algorithm(run).part(10)
        algorithm(run).submit_order(primary)
        await run.until(lambda: primary.is_open and part.is_open)
        run.exec.fill(primary)
        await run.until(lambda: primary.is_closed)
        now = run.node.parts.kernel.clock.timestamp_ns()
        run.exec.generate_order_rejected(**run.exec._ids(part), reason="late", ts_event=now)
        await run.until(lambda: "OrderRejected" in algorithm(run).heard)
        assert int(primary.quantity) == 20
        assert not run.node.parts.algorithms.guards["slicer"].down
        assert not run.node.ending


@pytest.mark.parametrize("where", ["on_order", "on_order_event", "on_order_accepted"])
async def test_a_fault_of_an_algorithm_stays_in_it_and_ends_what_it_had_under_way(
    behaviour: Behaviour, where: str
) -> None:
    class Bad(Slicer):
        armed = False

    def boom(self: Any, *args: Any) -> None:
        if self.armed:
            raise ValueError("boom")
        getattr(Slicer, where)(self, *args)

    setattr(Bad, where, boom)
    async with running(behaviour, {"s": User, "t": User}, algorithms={"slicer": Bad, "other": Slicer}) as run:
        run.adapter.data.send(quote())
        held = run.strategy("s").through()
        resting = algorithm(run).part(10, price="90.00")
        elsewhere = run.strategy("t").through(10, "other")
        await run.until(lambda: resting.is_open)
        algorithm(run).armed = True
        last = run.strategy("s").through(5)
        if where != "on_order":
            algorithm(run).part(4, price="91.00")
        await run.until(lambda: run.node.parts.algorithms.guards["slicer"].down)
        await run.until(lambda: held.is_closed and last.is_closed and resting.is_closed)
        assert run.node.parts.algorithms.working("slicer") == []
        assert not elsewhere.is_closed
        assert not any(guard.down for guard in run.node.parts.guards.values())
        after = run.strategy("s").through(5)
        await run.until(lambda: after.is_closed)
        assert after.last_event.reason == "ORDER_ILLEGAL: execution algorithm slicer ended with ValueError: boom"
        order = run.strategy("t").market()
        await run.until(lambda: order.status == OrderStatus.FILLED)
        assert await run.end() == 0
    assert run.node.books["main"].agree is True


@pytest.mark.parametrize("on_stop", ["keep", "cancel", "flatten"])
async def test_at_the_end_nothing_is_left_at_an_algorithm(behaviour: Behaviour, on_stop: str) -> None:
    async with running(behaviour, on_stop=on_stop) as run:
        run.adapter.data.send(quote())
        held = run.strategy("s").through()
        resting = algorithm(run).part(10, price="90.00")
        await run.until(lambda: resting.is_open)
        await run.end()
    assert held.status == OrderStatus.CANCELED
    assert resting.is_open == (on_stop == "keep")


async def test_a_strategy_that_fails_takes_what_an_algorithm_holds_for_it_along(behaviour: Behaviour) -> None:
    class Failing(User):
        def on_quote_tick(self, tick: Any) -> None:
            if self.ticks:
                raise ValueError("boom")
            self.ticks += 1

    async with running(behaviour, {"bad": Failing, "s": User}) as run:
        run.adapter.data.send(quote())
        await run.until(lambda: run.strategy("bad").ticks == 1)
        bad, good = run.strategy("bad").through(), run.strategy("s").through()
        run.adapter.data.send(quote(n=2))
        await run.until(lambda: bad.is_closed)
        assert bad.status == OrderStatus.CANCELED
        assert not good.is_closed


async def test_one_algorithm_serves_strategies_of_two_accounts_each_on_its_own(behaviour: Behaviour) -> None:
    async with running(behaviour, {"a": User, "b": User}, accounts=("main", "spare")) as run:
        run.adapter.data.send(quote())
        for name in ("a", "b"):
            primary = run.strategy(name).through(20)
            algorithm(run).part(10)
            algorithm(run).submit_order(primary)
            await run.until(lambda primary=primary: primary.is_closed)
        sent = {name: client.sent for name, client in run.adapter.exec.items()}
        assert {name: len(ids) for name, ids in sent.items()} == {"ALPACA": 2, "ALPACA_SPARE": 2}
        for name, client in run.adapter.exec.items():
            own = run.node.parts.kernel.cache.positions_open(account_id=client.account_id)
            assert [int(each.signed_decimal_qty()) for each in own] == [20], name
        await run.end()
    assert all(run.node.books[name].agree for name in ("main", "spare"))


async def test_every_part_counts_against_the_rate_of_orders(behaviour: Behaviour) -> None:
    plan = with_algorithms(make_plan({"s": User}), slicer=Slicer)
    limits = RiskLimits.model_validate({"max_orders": {"count": "2", "per": "1m"}})
    plan = dataclasses.replace(plan, config=plan.config.model_copy(update={"risk": limits}))
    async with Run(plan, behaviour, install_gate=install_gate) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        parts = [algorithm(run).part(5) for _ in range(3)]
        await run.until(lambda: all(each.is_closed for each in parts))
        assert [each.status_string() for each in parts] == ["FILLED", "FILLED", "DENIED"]
        assert parts[2].last_event.reason.startswith("MAX_ORDERS")
        await run.until(lambda: int(primary.quantity) == 20)


async def test_what_an_algorithm_holds_is_not_modified_past_it(behaviour: Behaviour) -> None:
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through(30)
        run.strategy("s").modify_order(primary, quantity=Quantity.from_int(20))
        await run.until(lambda: "OrderModifyRejected" in run.strategy("s").heard)
        assert int(primary.quantity) == 30
        assert len(run.node.gate.reservations) == 0
        assert not primary.is_closed


async def test_parts_have_the_params_that_came_with_the_whole(behaviour: Behaviour) -> None:
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        strategy, params = run.strategy("s"), {"extended_hours": True}
        size, price = Quantity.from_int(20), Price.from_str("99.00")
        slicer = ExecAlgorithmId("slicer")
        primary = strategy.order_factory.limit(IBM, OrderSide.BUY, size, price, exec_algorithm_id=slicer)
        strategy.submit_order(primary, params=params)
        seen: list[Any] = []
        submit = run.exec._submit_order

        async def noted(command: Any) -> None:
            seen.append(command.params)
            await submit(command)

        run.exec._submit_order = noted
        algorithm(run).part(10, price="99.00")
        algorithm(run).submit_order(primary)
        strategy.through(5)
        algorithm(run).part(3)
        await run.until(lambda: len(seen) == 3)
        assert seen[:2] == [params, params]
        assert not seen[2]


async def test_a_list_for_an_algorithm_that_takes_none_is_denied(behaviour: Behaviour) -> None:
    async with running(behaviour) as run:
        factory = run.strategy("s").order_factory
        order = factory.market(IBM, OrderSide.BUY, Quantity.from_int(5), exec_algorithm_id=ExecAlgorithmId("slicer"))
        run.strategy("s").submit_order_list(factory.create_list([order]))
        await run.until(lambda: order.is_closed)
        assert order.last_event.reason == "ORDER_ILLEGAL: execution algorithm slicer takes no lists of orders"


async def test_an_algorithm_that_stops_leaves_nothing_lying_and_is_given_nothing_more(behaviour: Behaviour) -> None:
    async with running(behaviour) as run:
        held = run.strategy("s").through()
        algorithm(run).stop()
        assert held.status == OrderStatus.CANCELED
        order = run.strategy("s").through()
        await run.until(lambda: order.is_closed)
        assert order.last_event.reason == "ORDER_ILLEGAL: execution algorithm slicer does not run any more"


async def test_an_algorithm_cancels_what_it_holds_and_what_it_has_sent(behaviour: Behaviour) -> None:
    async with running(behaviour) as run:
        run.adapter.data.send(quote())
        primary = run.strategy("s").through()
        part = algorithm(run).part(10, price="90.00")
        await run.until(lambda: part.is_open)
        algorithm(run).cancel_order(primary)
        assert primary.status == OrderStatus.CANCELED
        algorithm(run).cancel_order(part)
        await run.until(lambda: part.is_closed)
        assert behaviour.cancels == [part.client_order_id.value]
        assert algorithm(run).heard.count("OrderCanceled") == 2
