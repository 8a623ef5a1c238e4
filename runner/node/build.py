"""A checked file becomes the parts of a node: Nautilus's kernel, the clients, and the strategies with their guards.

Nothing here connects. Nautilus's own in-flight and open-order checks are off: they would reject an order whose outcome
is merely unknown, and lose its late fill; the adapter alone settles orders. Its own runner is not used either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from nautilus_trader.config import (
    DatabaseConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
    LoggingConfig,
    MessageBusConfig,
    TradingNodeConfig,
)
from nautilus_trader.core.fsm import InvalidStateTrigger
from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.model.data import Bar, OrderBookDeltas, QuoteTick, TradeTick
from nautilus_trader.model.identifiers import ClientId, StrategyId, Venue
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.system.kernel import NautilusKernel

from runner.alpaca.calendar import TradingCalendar
from runner.alpaca.custom import CUSTOM_TYPES
from runner.config.classes import ACTOR, EXEC_ALGORITHM
from runner.config.models import FeedConfig, RunnerConfig
from runner.node.algorithms import Algorithms, deny, orders_of
from runner.node.children import calls_others
from runner.node.guard import Fault, Guard
from runner.node.logs import nautilus_level
from runner.node.portfolio import give_portfolio
from runner.node.router import Router
from runner.risk.reducing import ClosingOrders


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account or a feed lives and what opens it. URLs of None are the broker's own. Keys stay out of repr."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    paper: bool = True
    trading_url: str | None = None
    data_url: str | None = None
    stream_url: str | None = None


class ComponentPlan(Protocol):
    """See `runner.config.strategies.ComponentPlan`."""

    @property
    def id(self) -> str: ...
    @property
    def cls(self) -> Any: ...
    @property
    def config(self) -> Any: ...
    @property
    def instruments(self) -> tuple[str, ...]: ...
    @property
    def spec(self) -> Any: ...


@dataclass(frozen=True)
class NodePlan:
    """Everything that is decided before the node exists.

    `serial` asks the adapter for a fixed order of commands; `real_time` is False where the venue's clock runs faster
    than the node's.
    """

    config: RunnerConfig
    strategies: Mapping[str, ComponentPlan]
    accounts: Mapping[str, Endpoint]
    feeds: Mapping[str, Endpoint]
    serial: bool = False
    real_time: bool = True
    streams: bool = False
    """Whether Nautilus's messages are published to the file's Redis."""
    journal: Any = None
    """A `runner.journal.Journal`, open and not started; None where nothing outlives the process."""
    actors: Mapping[str, ComponentPlan] = field(default_factory=dict)
    exec_algorithms: Mapping[str, ComponentPlan] = field(default_factory=dict)

    @property
    def trader_id(self) -> str:
        """With the number of this life, which is in every client order id: they are unique over restarts."""
        return f"{self.config.name}-{self.journal.run if self.journal is not None else 1:03d}"

    def instruments(self) -> tuple[str, ...]:
        """All instruments that a strategy, an actor or an algorithm names, each once."""
        every = (*self.strategies.values(), *self.exec_algorithms.values(), *self.actors.values())
        return tuple(dict.fromkeys(i for plan in every for i in plan.instruments))


class Adapter(Protocol):
    """Makes the clients of one broker, built by hand because Nautilus can't have two accounts of one venue."""

    def data_client(
        self, name: str, feed: FeedConfig, endpoint: Endpoint, instruments: Sequence[str], plan: NodePlan, kernel: Any
    ) -> Any: ...

    def exec_client(
        self, name: str, endpoint: Endpoint, instruments: Sequence[str], plan: NodePlan, kernel: Any
    ) -> Any: ...


@dataclass
class Parts:
    """The parts of a node that has been built."""

    kernel: Any
    data_clients: dict[str, Any]
    exec_clients: dict[str, Any]
    strategies: dict[str, Any]
    guards: dict[str, Guard]
    router: Router
    executor: ThreadPoolExecutor
    config: RunnerConfig
    """The file in force: a reload puts another in its place."""
    quotes: Any = None
    """The actor that keeps quotes coming for the gate (`runner.node.gate.QuoteWatch`); None without a gate."""
    gate: Any = None
    """The `runner.risk.gate.RiskGate` that orders pass; None without one."""
    schedules: Any = None
    """When its strategies may trade (`runner.node.schedule.schedules.Schedules`); None without a gate."""
    taking_back: Any = None
    """Cancels what strategies that are down have left (`runner.node.takeback.TakeBack`); None until the node runs."""
    calendar: TradingCalendar = field(default_factory=TradingCalendar)
    """The exchange's trading days, once the venue has told them."""
    names: dict[str, str] = field(default_factory=dict)
    """Strategy id to the name in the file."""
    left: dict[str, str] = field(default_factory=dict)
    """The same of strategies that a reload has removed: whoever takes their name takes their id."""
    actors: dict[str, Guard] = field(default_factory=dict)
    """By name; each knows its actor (`component`)."""
    closing: ClosingOrders = field(default_factory=ClosingOrders)
    """What the node itself sends to close positions."""
    apart: list[frozenset[Any]] = field(default_factory=list)
    """Pairs of positions, by id, whose setting off against each other Nautilus did not take in this life."""
    algorithms: Algorithms = field(init=False)

    def __post_init__(self) -> None:
        self.algorithms = Algorithms(self.kernel)

    def others(self) -> list[Guard]:
        """Of all that a file names by class and that is no strategy."""
        return [*self.algorithms.guards.values(), *self.actors.values()]

    def add_algorithm(self, name: str, algorithm: Any, on_fault: Callable[[Fault], None]) -> None:
        """Guard an execution algorithm and hand it to the trader, which must not run yet."""
        loop = asyncio.get_running_loop()
        guard = Guard(algorithm, name, EXEC_ALGORITHM, loop=loop, on_fault=on_fault)
        guard.install()
        self.algorithms.add(guard)
        algorithm.register_executor(loop, self.executor)

    def add_actor(self, name: str, actor: Any, on_fault: Callable[[Fault], None]) -> None:
        """Guard an actor and hand it to the trader."""
        loop = asyncio.get_running_loop()
        self.actors[name] = guard = Guard(actor, name, ACTOR, loop=loop, on_fault=on_fault)
        guard.install()
        self.kernel.trader.add_actor(actor)
        actor.register_executor(loop, self.executor)

    def remove_actor(self, name: str) -> None:
        """Stop an actor and let go of it."""
        guard = self.actors.pop(name)
        actor = guard.component
        if actor.is_running:
            actor.stop()
        if not actor.is_disposed:
            with contextlib.suppress(InvalidStateTrigger):
                actor.dispose()
        guard.retire(self.kernel.msgbus)
        if actor.id in self.kernel.trader.actor_ids():
            self.kernel.trader.remove_actor(actor.id)

    def add_strategy(self, plan: NodePlan, name: str, strategy: Any, on_fault: Callable[[Fault], None]) -> None:
        """Guard a strategy that has been made of a plan, route it to its account, and hand it to the trader."""
        client = self.exec_clients[plan.strategies[name].spec.account]
        loop = asyncio.get_running_loop()
        strategy_id = self.strategy_id(plan, name)
        strategy.change_id(strategy_id)
        strategy.change_order_id_tag(name)
        guard = Guard(strategy, name, loop=loop, on_fault=on_fault)
        guard.install()
        self.strategies[name], self.guards[name] = strategy, guard
        give_portfolio(strategy, client.account_id)
        self.router.assign(strategy_id.value, ClientId(client.id.value))
        self.names[strategy_id.value] = name
        self.kernel.trader.add_strategy(strategy)
        strategy.register_executor(loop, self.executor)

    def remove_strategy(self, name: str) -> None:
        """Let go of a strategy that is stopped. Its orders and positions stay where they are, under its id."""
        strategy, guard = self.strategies.pop(name), self.guards.pop(name)
        if not strategy.is_running and not strategy.is_disposed:
            with contextlib.suppress(InvalidStateTrigger):
                strategy.dispose()  # its `on_dispose` may have something to close
        guard.retire(self.kernel.msgbus)
        self.left[strategy.id.value] = self.names.pop(strategy.id.value)
        if strategy.id in self.kernel.trader.strategy_ids():
            self.kernel.trader.remove_strategy(strategy.id)
        # Nautilus keeps the claims of whoever leaves, and then refuses the next one who makes them.
        claims = self.kernel.exec_engine._external_order_claims
        for instrument_id in [each for each, owner in claims.items() if owner == strategy.id]:
            del claims[instrument_id]

    def strategy_id(self, plan: NodePlan, name: str) -> Any:
        """The id that orders and positions of this name stand under: it outlives a change of the class."""
        known = next((each for each, owner in {**self.left, **self.names}.items() if owner == name), None)
        if known is None and plan.journal is not None:
            known = plan.journal.strategy_id(name, f"{plan.strategies[name].cls.__name__}-{name}")
        return StrategyId(known or f"{plan.strategies[name].cls.__name__}-{name}")

    def account_of(self, strategy: str, plan: NodePlan) -> str:
        return str(plan.strategies[strategy].spec.account)


def kernel_config(plan: NodePlan) -> TradingNodeConfig:
    """Nautilus's configuration of this node."""
    config = plan.config
    graceful = {"graceful_shutdown_on_exception": True}
    # Nautilus counts by the node's clock. In a faster replay that would deny by chance; the gate counts in venue time.
    rate = "100/00:00:01" if plan.real_time else "1000000/00:00:01"
    return TradingNodeConfig(
        trader_id=plan.trader_id,
        message_bus=_streams(config) if plan.streams else None,
        logging=LoggingConfig(
            log_level=nautilus_level(config.log.level),
            # It says of each order that it lets go of it.
            log_component_levels={"Cache": "WARNING"},
            log_colors=False,
            print_config=False,
            use_pyo3=False,
        ),
        data_engine=LiveDataEngineConfig(**graceful),
        risk_engine=LiveRiskEngineConfig(max_order_submit_rate=rate, max_order_modify_rate=rate, **graceful),
        exec_engine=LiveExecEngineConfig(
            reconciliation=True,
            inflight_check_interval_ms=0,
            open_check_interval_secs=None,
            position_check_interval_secs=None,
            **graceful,
        ),
        timeout_connection=config.node.connect_timeout.total_seconds(),
        timeout_reconciliation=config.node.reconcile_timeout.total_seconds(),
        timeout_disconnection=config.node.stop_timeout.total_seconds(),
        timeout_post_stop=0.0,
        load_state=False,
        save_state=False,
    )


def _streams(config: RunnerConfig) -> MessageBusConfig:
    """Orders, positions, accounts and states of components to Redis streams; market data stays here."""
    redis = config.state.redis
    assert redis is not None
    password = redis.password.value.get_secret_value() if redis.password is not None else None
    return MessageBusConfig(
        database=DatabaseConfig(
            host=redis.host, port=redis.port, username=redis.username, password=password, ssl=redis.tls
        ),
        buffer_interval_ms=100,
        autotrim_mins=24 * 60,
        # The trader id changes with every life of the node; whoever reads a stream wants it to stay.
        use_trader_prefix=False,
        use_trader_id=False,
        streams_prefix=config.name,
        types_filter=[QuoteTick, TradeTick, Bar, OrderBookDeltas, *CUSTOM_TYPES],
    )


def build(plan: NodePlan, adapter: Adapter, on_fault: Callable[[Fault], None]) -> Parts:
    """Build the node's parts on the running loop. Raises whatever a strategy's constructor raises."""
    kernel = NautilusKernel("runner", kernel_config(plan))
    instruments = plan.instruments()
    data_clients = {}
    for name, feed in plan.config.feeds.items():
        data_clients[name] = adapter.data_client("ALPACA", feed, plan.feeds[name], instruments, plan, kernel)
    # Nautilus takes one data client a venue: the first is that, and hands on what is for another market.
    first, *others = data_clients.values()
    kernel.data_engine.register_client(first)
    if others:
        first.join(others)
    exec_clients: dict[str, Any] = {}
    for number, name in enumerate(plan.config.accounts):
        # Two clients of one venue are refused: the first takes it, the others are reached by name only.
        client_name = "ALPACA" if number == 0 else f"ALPACA_{name.upper()}"
        client = adapter.exec_client(client_name, plan.accounts[name], instruments, plan, kernel)
        if number == 0:
            kernel.exec_engine.register_client(client)
        else:
            kernel.exec_engine.register_venue_routing(client, Venue(client_name))
        if plan.journal is not None:
            client.set_journal(plan.journal.account(name))
        exec_clients[name] = client
    executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="strategy")
    # Nautilus lets a running trader be given strategies only where it has a controller; here a reload is that.
    kernel.trader._has_controller = True
    parts = Parts(kernel, data_clients, exec_clients, {}, {}, Router({}), executor, plan.config)
    for name, strategy_plan in plan.strategies.items():
        parts.add_strategy(plan, name, make(strategy_plan), on_fault)
    for name, algorithm_plan in plan.exec_algorithms.items():
        parts.add_algorithm(name, make(algorithm_plan), on_fault)
    for name, actor_plan in plan.actors.items():
        parts.add_actor(name, make(actor_plan), on_fault)
    refuse_from_down(parts)
    return parts


def make(planned: Any) -> Any:
    """A strategy, an actor or an algorithm of a plan."""
    return planned.cls(config=planned.config)


calls_others(make)


def refuse_from_down(parts: Parts) -> None:
    """Deny what a strategy still submits after its fault, in the same turn: its handler runs on behind the guard.

    So is what an algorithm sends in the name of such a strategy, or of an order that is not the algorithm's any more.
    """
    kernel, bus = parts.kernel, parts.kernel.msgbus
    inner = kernel.risk_engine.execute
    bus.deregister("RiskEngine.execute", inner)
    execute_now = direct(kernel.risk_engine, RiskEngine)

    def execute(command: Any) -> None:
        if isinstance(command, SubmitOrder | SubmitOrderList):
            guard = parts.guards.get(parts.names.get(command.strategy_id.value, ""))
            orders = orders_of(command)
            # What the node itself closes passes although its strategy is down.
            if guard is not None and guard.fault is not None and orders[0].client_order_id not in parts.closing:
                for order in orders:
                    deny(kernel, order, f"STRATEGY_DOWN: {guard.name} ended with {guard.fault.error}")
                return
            if any(order.exec_algorithm_id is not None for order in orders):
                command = parts.algorithms.passes(command, orders)
                if command is None:
                    return
        elif isinstance(command, ModifyOrder) and parts.algorithms.modified(command):
            return
        execute_now(command)

    bus.register("RiskEngine.execute", execute)


def direct(engine: Any, base: type) -> Callable[[Any], None]:
    """The engine's `execute` without the queue that its live version puts commands into.

    A queue costs each order a turn of the loop. Without it a command is carried out where it is given, as in a
    backtest; what the engine answers still comes through its queue of events.
    """

    def execute(command: Any) -> None:
        try:
            base.execute(engine, command)  # type: ignore[attr-defined]
        except Exception as error:
            # A fault of the engine's is none of the strategy that happened to call: end as its queue would.
            engine._handle_queue_exception(error, "command")

    return execute
