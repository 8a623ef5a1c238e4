"""Puts the risk gate in its seat, with the limits of the file and the router in front."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.enums import ContingencyType
from nautilus_trader.model.identifiers import ComponentId, InstrumentId

from runner.alpaca.groups import exit_fault, net_price, shape_of
from runner.alpaca.orders import denial
from runner.config.models import RunnerConfig
from runner.node.build import NodePlan, Parts, direct
from runner.node.garbage import Collector
from runner.node.node import BaseHook, Node
from runner.node.schedule.schedules import Schedules
from runner.risk.collateral import legs_of
from runner.risk.gate import RiskGate
from runner.risk.latches import LatchStore
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import Standing, State
from runner.risk.trading_day import TradingDay

log = logging.getLogger("runner.node")
TICK_S = 1.0


class GateHook(BaseHook):
    """Lets the gate count losses once the accounts are reconciled, and shows it the prices once a second.

    In a replay faster than real time a second of this machine is many of the venue's, and not always as many: there
    the gate looks by itself, at each order and fill, by venue time.
    """

    def __init__(self, every_s: float = TICK_S) -> None:
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None
        self._collector = Collector()

    async def connected(self, node: Node) -> None:
        if node.gate is None:
            return
        node.gate.begin()
        self._collector.calm()
        if node.plan.real_time:
            self._task = asyncio.create_task(self._run(node.gate), name="risk-gate")

    async def stopped(self, node: Node) -> None:
        self._collector.restore()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, gate: RiskGate) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            gate.tick()


def install_gate(plan: NodePlan, parts: Parts, *, latches: LatchStore | None = None) -> RiskGate:
    """Every command goes router → gate → Nautilus's execution engine; the clients refuse what went around it.

    `latches` keeps what must outlive the process.
    """
    config, kernel = plan.config, parts.kernel
    # An account id's issuer is its client's name; limits go by the names of the file.
    names = {client.id.value: name for name, client in parts.exec_clients.items()}
    first = next(iter(parts.exec_clients.values()))

    def account_name(account_id: Any) -> str:
        issuer = str(account_id.get_issuer())
        return names.get(issuer, issuer)

    by_the_clock = TradingDay()
    parts.schedules = schedules = Schedules(config, parts.calendar, first.venue_clock.now_ns)
    gate = RiskGate(
        msgbus=kernel.msgbus,
        cache=kernel.cache,
        clock=kernel.clock,
        limits=limits_book(config),
        outage=lambda account, strategy: outage(
            parts.config, parts.exec_clients, parts.data_clients, account, strategy
        ),
        schedule=schedules,
        venue_now_ns=first.venue_clock.now_ns,
        route=parts.router.route,
        legality=lambda order, instrument, params: illegal(order, instrument, params, first.venue_clock.now_ns()),
        list_legality=lambda orders, instrument_of, params: illegal_list(
            orders, instrument_of, params, first.venue_clock.now_ns()
        ),
        session=lambda now_ns: parts.calendar.session(now_ns) or by_the_clock.session(now_ns),
        day=lambda now_ns: parts.calendar.day(now_ns) or by_the_clock.day(now_ns),
        closing=parts.closing,
        extended=lambda order: any(each.is_extended(order.client_order_id) for each in parts.exec_clients.values()),
        on_state=tell,
        latches=latches,
        account_name=account_name,
        strategy_name=lambda strategy_id: parts.names.get(strategy_id.value, strategy_id.value),
    )
    parts.gate = gate
    parts.quotes = QuoteWatch(quoted(plan, gate.limits))
    kernel.trader.add_actor(parts.quotes)
    gate.install(kernel.exec_engine, direct(kernel.exec_engine, ExecutionEngine))
    for name, client in parts.exec_clients.items():
        client.set_gate_check(gate.approved, legal=True)
        client.set_opening_check(partial(gate.may_not_open, client.account_id))
        if latches is not None:
            client.transfers.keep_in(latches, name)
    return gate


class QuoteWatch(Actor):
    """Keeps the quotes coming of what limits are held against, whether or not a strategy asks for them."""

    def __init__(self, instruments: Sequence[str]) -> None:
        super().__init__(ActorConfig(component_id=ComponentId("runner-QuoteWatch")))
        self._watched = dict.fromkeys(InstrumentId.from_str(each) for each in instruments)

    def on_start(self) -> None:
        for instrument_id in self._watched:
            self.subscribe_quote_ticks(instrument_id)

    def watch(self, instruments: Sequence[str]) -> None:
        """Keep the quotes of these coming from now on, and no others'."""
        wanted = dict.fromkeys(InstrumentId.from_str(each) for each in instruments)
        before, self._watched = self._watched, wanted
        for instrument_id in wanted:
            if instrument_id not in before:
                self.subscribe_quote_ticks(instrument_id)
        for instrument_id in before:
            if instrument_id not in wanted:
                self.unsubscribe_quote_ticks(instrument_id)


def quoted(plan: NodePlan, limits: LimitsBook) -> list[str]:
    """The instruments that need a sound quote before they may be opened, as a price collar or an age is set for them;
    of a spread its contracts.
    """
    needed = [
        each
        for name, strategy in plan.strategies.items()
        if limits.rules(strategy.spec.account, name).quoted
        for each in strategy.instruments
    ]
    legs = [leg.value for each in needed for leg, _ in legs_of(InstrumentId.from_str(each))]
    return list(dict.fromkeys(legs))


def tell(standing: Standing) -> None:
    """A state is news: say it where a person looks. A fault is told already, with its trace."""
    if standing.by == "fault":
        return
    level = logging.INFO if standing.state is State.ACTIVE else logging.WARNING
    why = f": {standing.why}" if standing.why else ""
    log.log(level, "%s is %s, by %s%s", standing.scope, standing.state, standing.by, why)


def limits_book(config: RunnerConfig) -> LimitsBook:
    """The limits of a file."""
    return LimitsBook(
        top=Limits.of(config.risk),
        accounts={name: Limits.of(account.limits) for name, account in config.accounts.items()},
        strategies={name: Limits.of(strategy.limits) for name, strategy in config.strategies.items()},
    )


def illegal_list(
    orders: Sequence[Any], instrument_of: Callable[[Any], Any], params: Any, now_ns: int | None
) -> tuple[str, Any] | None:
    """Why Alpaca would not take a list, and the order that this is about. `instrument_of`: by an instrument's id."""
    shape = shape_of(list(orders), params)
    if isinstance(shape, str):
        return shape, orders[0]
    kind = "" if shape is None else shape.kind
    for order in orders:
        is_exit = shape is not None and kind != "mleg" and order is not shape.head
        instrument = instrument_of(order.instrument_id)
        reason = denial(order, instrument, params, order_class=kind, is_exit=is_exit, now_ns=now_ns)
        if reason is not None:
            return reason, order
    if shape is None:
        return None
    price = net_price(list(orders), params) if kind == "mleg" else exit_fault(shape, list(orders))
    return (price, orders[0]) if isinstance(price, str) else None


def illegal(order: Any, instrument: Any, params: Any, now_ns: int | None) -> str | None:
    """Why Alpaca would not take an order. One that is linked to others is judged with its list (`illegal_list`)."""
    if order.contingency_type != ContingencyType.NO_CONTINGENCY or order.order_list_id is not None:
        return None
    return denial(order, instrument, params, now_ns=now_ns)


def outage(
    config: RunnerConfig,
    exec_clients: Mapping[str, Any],
    data_clients: Mapping[str, Any],
    account: str,
    strategy: str,
) -> str | None:
    """What keeps a strategy of the file from opening anything on an account now, in words."""
    if config.accounts[account].on_stream_down == "wait":
        return None
    if not exec_clients[account].ready:
        return f"the trade updates of account {account} are not arriving"
    feed = config.strategies[strategy].feed if strategy in config.strategies else None
    if feed is not None and data_clients[feed].gapped:
        return f"feed {feed} has lost trades or bars that are not read again yet"
    return None
