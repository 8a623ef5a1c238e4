"""A checked file becomes a backtest: Nautilus's engine, one venue, the strategies with their guards, the gate.

The gate, the limits, the guard and the wind-down are those of a live node; what a broker does is Nautilus's simulated
venue, with Alpaca's fees. Buying power is always checked, by the gate: Nautilus's venue refuses nothing for it.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from nautilus_trader.accounting.error import AccountError
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import FeeModel, FillModel, LatencyModel
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, LiquiditySide, OmsType
from nautilus_trader.model.identifiers import AccountId, ClientId, ComponentId, StrategyId, Venue
from nautilus_trader.model.instruments import CurrencyPair, OptionSpread
from nautilus_trader.model.objects import Money

from runner.alpaca.exercise import asked_of
from runner.alpaca.fees import BASIS_POINT, TIERS
from runner.backtest.feed import Feed
from runner.backtest.guard import BacktestGuard
from runner.backtest.schedule import ScheduleActor
from runner.backtest.session import CoreSession, trading_calendar
from runner.config.classes import ACTOR, EXEC_ALGORITHM, STRATEGY, Kind
from runner.node.build import NodePlan, Parts, refuse_from_down
from runner.node.closer import TRIES, Closer, cancel_held, cancel_of_algorithm, cancel_orders
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.gate import QuoteWatch, illegal, illegal_list, limits_book, quoted, tell
from runner.node.guard import Fault, Guard
from runner.node.portfolio import give_portfolio
from runner.node.router import Router
from runner.node.schedule.schedules import Schedules
from runner.node.takeback import TakeBack
from runner.node.tally import Tally
from runner.report.lives import Lives
from runner.report.trades import Trades
from runner.risk.gate import RiskGate
from runner.risk.limits import LimitsBook
from runner.risk.state import Scope
from runner.risk.trading_day import TradingDay

log = logging.getLogger("runner.node")
VENUE = Venue("ALPACA")
ACCOUNT = AccountId("ALPACA-001")
#: What a fresh paper account has (USD), and the simulated exchange's accounts.
CASH = Decimal(100_000)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
# Nautilus's own margin would stop the run where the broker, and the gate, allow more.
_LEVERAGE = Decimal(1_000)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the venue grants. `cash` is USD; `slippage` the chance that a fill is a tick worse, drawn by `seed`."""

    cash: Decimal = CASH
    seed: int = 0
    fee_per_share: Decimal = Decimal(0)
    slippage: Decimal = Decimal(0)
    latency: timedelta = timedelta()
    """How long a command takes to reach the venue."""


class AlpacaFeeModel(FeeModel):
    """Alpaca's fees in USD: none for stocks and options but what `fee_per_share` says, tier 1's for pairs.

    Alpaca takes a purchase's fee in coins; here it is taken in dollars, of the same worth.
    """

    def __init__(self, fee_per_share: Decimal) -> None:
        super().__init__()
        self._per_share = fee_per_share

    def get_commission(self, order: Any, fill_qty: Any, fill_px: Any, instrument: Any) -> Any:
        qty: Decimal = fill_qty.as_decimal()
        if isinstance(instrument, CurrencyPair):
            rate = TIERS[0][int(order.liquidity_side != LiquiditySide.MAKER)] * BASIS_POINT
            return Money(qty * fill_px.as_decimal() * rate, USD)
        return Money(qty * self._per_share, USD)


class _Opening(Actor):
    """Starts before the strategies, when the account is known: from here on the gate counts losses."""

    def __init__(self, gate: RiskGate, every: timedelta) -> None:
        super().__init__(ActorConfig(component_id=ComponentId("runner-GateOpening")))
        self._gate = gate
        self._every = every

    def on_start(self) -> None:
        self._gate.begin(self._every, datetime.fromtimestamp(self.clock.timestamp_ns() / 1e9, UTC))


class Backtest:
    """One backtest of one account. `run` plays it to the end; `close` lets Nautilus go of everything."""

    def __init__(
        self,
        plan: NodePlan,
        account: str,
        instruments: Mapping[str, Any],
        feed: Feed,
        terms: Terms,
        *,
        logging_config: LoggingConfig | None = None,
    ) -> None:
        """Raises whatever a strategy's constructor raises."""
        self.plan = plan
        self.account = account
        self.feed = feed
        self.terms = terms
        self.tally = Tally()
        self.denials: dict[tuple[str, str], int] = {}
        """Orders denied, by (strategy, code)."""
        self.faults: dict[str, Fault] = {}
        """Of strategies, by name."""
        self.other_faults: list[Fault] = []
        """Of actors and execution algorithms."""
        self._now_ns = 0
        self.engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=plan.trader_id,
                logging=logging_config or LoggingConfig(bypass_logging=True),
                risk_engine=RiskEngineConfig(),
            )
        )
        random.seed(terms.seed)
        self._venue(terms)
        for instrument in instruments.values():
            self.engine.add_instrument(instrument)
        self.parts = self._strategies()
        self.gate = self.parts.gate = self._gate()
        kernel = self.engine.kernel
        Trades(kernel.portfolio.analyzer)
        self.lives = Lives(kernel.cache, keep=True)
        self.lives.listen(kernel.msgbus)
        feed.join(kernel.msgbus, kernel.data_engine.process)
        # Everything that is subscribed to comes from the feed. Left to itself the engine would look in the catalog too,
        # which is there for requests, and play what it finds a second time.
        kernel.msgbus.deregister("BacktestEngine.execute", self.engine._handle_data_command)
        kernel.msgbus.register("BacktestEngine.execute", lambda _command: None)
        self.parts.taking_back = TakeBack(self.parts)
        kernel.msgbus.subscribe("events.order.*", self._on_order_event)

    # -- building ----------------------------------------------------------------------------------------------------

    def _venue(self, terms: Terms) -> None:
        self.engine.add_venue(
            venue=VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            starting_balances=[Money(terms.cash, USD)],
            default_leverage=_LEVERAGE,
            fill_model=FillModel(prob_fill_on_limit=1.0, prob_slippage=float(terms.slippage), random_seed=terms.seed),
            fee_model=AlpacaFeeModel(terms.fee_per_share),
            latency_model=LatencyModel(terms.latency // timedelta(microseconds=1) * 1_000) if terms.latency else None,
        )

    def _strategies(self) -> Parts:
        kernel = self.engine.kernel
        strategies, names, accounts = {}, {}, {}
        guards: dict[str, Guard] = {}
        for name, plan in self.plan.strategies.items():
            strategy = plan.cls(config=plan.config)
            strategy_id = StrategyId(f"{plan.cls.__name__}-{name}")
            strategy.change_id(strategy_id)
            strategy.change_order_id_tag(name)
            guard = self._guard(strategy, name, STRATEGY)
            give_portfolio(strategy, ACCOUNT)
            kernel.trader.add_strategy(strategy)
            strategies[name], guards[name] = strategy, guard
            names[strategy_id.value] = name
            accounts[strategy_id.value] = ClientId(VENUE.value)
        executor = ThreadPoolExecutor(max_workers=1)
        parts = Parts(kernel, {}, {}, strategies, guards, Router(accounts), executor, self.plan.config, names=names)
        refuse_from_down(parts)
        for name, plan in self.plan.exec_algorithms.items():
            guard = self._guard(plan.cls(config=plan.config), name, EXEC_ALGORITHM)
            parts.algorithms.add(guard)
        for name, plan in self.plan.actors.items():
            parts.actors[name] = guard = self._guard(plan.cls(config=plan.config), name, ACTOR)
            kernel.trader.add_actor(guard.component)
        return parts

    def _guard(self, component: Any, name: str, kind: Kind) -> Guard:
        guard = BacktestGuard(
            component, name, kind, instance_id=self.engine.kernel.instance_id, on_fault=self._on_fault
        )
        guard.install()
        return guard

    def _gate(self) -> RiskGate:
        kernel, config = self.engine.kernel, self.plan.config
        now_ns = kernel.clock.timestamp_ns
        limits = with_margin(limits_book(config))
        calendar, by_the_clock = trading_calendar(self.feed.start_ns, self.feed.end_ns), TradingDay()
        self.parts.schedules = schedules = Schedules(config, calendar, now_ns)
        gate = RiskGate(
            msgbus=kernel.msgbus,
            cache=kernel.cache,
            clock=kernel.clock,
            limits=limits,
            route=self.parts.router.route,
            schedule=schedules,
            legality=lambda order, instrument, params: (
                not_here(instrument, params) or illegal(order, instrument, params, now_ns())
            ),
            list_legality=lambda orders, instrument_of, params: (
                (why, orders[0])
                if (why := not_here(None, params)) is not None
                else illegal_list(orders, instrument_of, params, now_ns())
            ),
            closing=self.parts.closing,
            extended=lambda order: self.session.is_extended(order.client_order_id),
            on_denied=self._on_denied,
            on_state=tell,
            account_name=lambda _id: self.account,
            session=lambda at_ns: calendar.session(at_ns) or by_the_clock.session(at_ns),
            day=lambda at_ns: calendar.day(at_ns) or by_the_clock.day(at_ns),
            strategy_name=lambda strategy_id: self.parts.names.get(strategy_id.value, strategy_id.value),
        )
        self.session = CoreSession(kernel, partial(ExecutionEngine.execute, kernel.exec_engine))
        kernel.trader.add_actor(self.session)
        gate.install(kernel.exec_engine, self.session.execute)
        # Between two bars no price moves, so that looking at them more often than they come shows nothing new.
        ticks = any(each.moves and each.kind != "bars" for each in self.feed.played)
        kernel.trader.add_actor(_Opening(gate, _SECOND if ticks else _MINUTE))
        self.schedule = ScheduleActor(self.parts, gate, ACCOUNT)
        kernel.trader.add_actor(self.schedule)
        if watched := quoted(self.plan, limits):
            kernel.trader.add_actor(QuoteWatch(watched))
        return gate

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, on_progress: Any = lambda _ns: None) -> None:
        """Play all days, then wind the strategies down as the file says. `on_progress` hears the data's time (ns)."""
        last_ns = 0
        for rows in self.feed.days():
            self.engine.add_data(rows, client_id=ClientId(VENUE.value), sort=False)
            self.engine.sort_data()
            # Strategies start just before the first row, so that it is not history to them as well.
            self._play(None if last_ns else rows[0].ts_init - 1)
            self.engine.clear_data()
            last_ns = rows[-1].ts_init
            on_progress(last_ns)
            if len(self.faults) == len(self.parts.guards):
                break
        if last_ns:
            self._now_ns = last_ns
            self._wind_down()
        self.lives.restore()  # statistics look at each
        self.engine.end()
        self.gate.tick()

    def _play(self, start_ns: int | None, end_ns: int | None = None) -> None:
        try:
            self.engine.run(start=start_ns, end=end_ns, streaming=True)
        except (RuntimeError, ValueError, AccountError) as error:
            # No strategy's fault, those are kept in their guards.
            hint = "log.level: debug says more"
            if "precision" in str(error):
                hint = "a catalog from elsewhere: its prices need the precision of their instrument"
            raise NodeError(ExitCode.FAILED, f"Nautilus ended the backtest: {error}", hint) from error

    def _wind_down(self) -> None:
        self.session.over = True
        self.schedule.keeper.stop()
        cache = self.engine.kernel.cache
        before = {order.client_order_id.value for order in cache.orders()}
        for strategy in self.parts.strategies.values():
            if strategy.is_running:
                strategy.stop()
        self._settle()
        # What on_stop itself sent is there to finish the job, so it isn't cancelled at once.
        last = {order.client_order_id.value for order in cache.orders()} - before
        with Closer(self.parts) as closer:
            for name, plan in self.plan.strategies.items():
                if plan.spec.on_stop == "keep":
                    cancel_held(self.parts, name)
                    continue
                self.session.take_back_all(self.parts.strategies[name].id)
                cancel_orders(self.parts, name, spare=last)
                self._settle()
                cancel_orders(self.parts, name)
                self._settle()
            flat = [name for name, plan in self.plan.strategies.items() if plan.spec.on_stop == "flatten"]
            for _ in range(TRIES if flat else 0):
                done = closer.step(flat, shorts_first=True) and closer.step(flat, shorts_first=False)
                self._settle()
                if done:
                    break

    def _settle(self) -> None:
        """Let the venue carry out what it has been sent, with no time passing but the latency."""
        self._now_ns += self.terms.latency // timedelta(microseconds=1) * 1_000
        self._play(self._now_ns, self._now_ns)

    def close(self) -> None:
        self.parts.executor.shutdown(wait=False)
        with contextlib.suppress(Exception):
            if self.engine.kernel.trader.is_running:  # ended early
                self.engine.end()
            self.engine.dispose()

    # -- events ------------------------------------------------------------------------------------------------------

    def _on_order_event(self, event: Any) -> None:
        self.tally.order_event(event, self.parts.names.get(event.strategy_id.value, event.strategy_id.value))

    def _on_denied(self, code: str, strategy: str, _account: str) -> None:
        self.denials[strategy, code] = self.denials.get((strategy, code), 0) + 1

    def _on_fault(self, fault: Fault) -> None:
        if fault.kind is not STRATEGY:
            self.other_faults.append(fault)
            log.error(
                "%s %s is stopped: %s in %s\n%s", fault.kind.word, fault.name, fault.error, fault.where, fault.trace
            )
            if fault.kind is EXEC_ALGORITHM:
                cancel_of_algorithm(self.parts, fault.name)
            return
        self.faults[fault.name] = fault
        log.error(
            "strategy %s is stopped, its orders are cancelled: %s in %s\n%s",
            fault.name,
            fault.error,
            fault.where,
            fault.trace,
        )
        why = f"{fault.error} in {fault.where}"
        self.gate.set_state("halted", scope=Scope("strategy", fault.name), why=why, by="fault")
        self.session.take_back_all(self.parts.strategies[fault.name].id)
        self.parts.taking_back.begin(fault.name)


def not_here(instrument: Any, params: Mapping[str, Any] | None) -> str | None:
    """Why an order of several legs, or an exercise, is not taken here; None for others."""
    if isinstance(instrument, OptionSpread) or (params or {}).get("order_class") == "mleg":
        return "a backtest fills no orders of several legs; `runner FILE --sim --replay RECORDING` does"
    if asked_of(dict(params or {})) is not None:
        return "a backtest exercises no contracts; `runner FILE --sim --replay RECORDING` does"
    return None


def with_margin(limits: LimitsBook) -> LimitsBook:
    """The limits with buying power checked everywhere: a broker does so whether or not the file asks the gate to."""
    if limits.top.headroom is not None:
        return limits
    return replace(limits, top=replace(limits.top, headroom=Decimal(0)))
