"""The gate in front of the venue: every order of the node passes here, or is denied with a reason.

It sits at the message bus's endpoint `ExecEngine.execute`, the one place that submits, lists and modifications all
come through, orders released by Nautilus's emulator included, live and in a backtest. Nautilus's own risk engine
stays in front of it, for precision and rates; on margin accounts that engine checks no notional at all.

The gate runs inside the call that sends the order and reserves the order's room before that call returns, so that two
orders of one turn of the loop can't use the same room. It never raises: what it can't judge, it denies.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import (
    BatchCancelOrders,
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    SubmitOrder,
    SubmitOrderList,
)
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderDenied, OrderFilled, OrderModifyRejected

from runner.risk.candidate import Candidate, Subject, working_leg
from runner.risk.codes import Code, Denial, seconds
from runner.risk.collateral import Collateral
from runner.risk.gross import GrossExposure
from runner.risk.judge import Judge
from runner.risk.latches import LatchStore, MemoryLatches
from runner.risk.ledger import Ledger
from runner.risk.limits import LimitsBook, Rate
from runner.risk.losses import Losses
from runner.risk.margin import Margin
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.rate import Rates
from runner.risk.reservations import Reservations
from runner.risk.state import NODE, By, Scope, Standing, State, States
from runner.risk.trading_day import TradingDay
from runner.risk.universe import Legality
from runner.risk.usage import Used, used
from runner.risk.working import Working

EXECUTE = "ExecEngine.execute"
PROCESS = "ExecEngine.process"
# Before any strategy hears of an order's event, the gate has heard of it.
PRIORITY = 100
_FRESH_NS = 1_000_000_000

_log = logging.getLogger(__name__)
_CANCELS = (CancelOrder, BatchCancelOrders, CancelAllOrders)
_NO_RULES = LimitsBook().rules("", "")


class RiskGate:
    """Judges every order against the file's limits.

    Parameters
    ----------
    msgbus, cache, clock
        The kernel's.
    limits : LimitsBook
        By the names of the file.
    venue_now_ns : callable, optional
        Venue time in UNIX nanoseconds, which order rates are measured in; by default the clock's, which in a backtest
        is the data's.
    route : callable, optional
        Applied to every command first: it puts the strategy's client into the command.
    outage : callable, optional
        What keeps an account and a strategy, given by the file's names, from opening anything now: a stream that is
        down, in words. None where all is well.
    legality : callable, optional
        Why the venue takes no such order of its instrument, in words; None where it does. (order, instrument,
        the command's params)
    session : callable, optional
        The exchange's session (pre, core, post, overnight, closed) at a venue time in UNIX nanoseconds; by default
        told by the time of day in New York, which knows no holidays.
    account_of : callable, optional
        The account of a command; by default told by the order, the command's client, or the venue.
    account_name, strategy_name : callable, optional
        The file's name for an id; by default an account's issuer, and a strategy id's tag.
    on_denied : callable, optional
        Called with (code, strategy, account) for each order that is denied.
    on_state : callable, optional
        Called with each new `Standing`.
    latches : LatchStore, optional
        Where latched states and the figures of the day are kept over a restart; by default in memory only.
    approvals : int
        How many approvals are kept for the adapter to ask for; the oldest give way.

    """

    def __init__(
        self,
        *,
        msgbus: Any,
        cache: Any,
        clock: Any,
        limits: LimitsBook,
        venue_now_ns: Callable[[], int] | None = None,
        route: Callable[[Any], Any] | None = None,
        outage: Callable[[str, str], str | None] | None = None,
        legality: Legality | None = None,
        session: Callable[[int], str] | None = None,
        account_of: Callable[[Any], Any] | None = None,
        account_name: Callable[[Any], str] | None = None,
        strategy_name: Callable[[Any], str] | None = None,
        on_denied: Callable[[str, str, str], None] | None = None,
        on_state: Callable[[Standing], None] | None = None,
        latches: LatchStore | None = None,
        approvals: int = 10_000,
    ) -> None:
        self._bus = msgbus
        self._cache = cache
        self._clock = clock
        self._route = route
        self._account_of = account_of or self._find_account
        self._account_name = account_name or (lambda account_id: str(account_id.get_issuer()))
        self._strategy_name = strategy_name or (lambda strategy_id: str(strategy_id.get_tag()))
        self._on_denied = on_denied
        self._keep = approvals
        self._approved: OrderedDict[Any, None] = OrderedDict()
        self._own_rejections: set[Any] = set()
        self._by_client: dict[str, Any] = {}  # an account id never changes its issuer
        self._inner: Callable[[Any], None] | None = None
        self._displaced: Callable[[Any], None] | None = None

        self._now_ns = now_ns = venue_now_ns or clock.timestamp_ns
        store = latches if latches is not None else MemoryLatches()
        self.states = States(now_ns, on_state, store=store, on_error=self._failed)
        self.reservations = Reservations()
        prices = Prices(cache)
        self.positions = Positions(cache)
        self.working = Working(self.reservations, cache, lambda order: working_leg(order, prices))
        self.ledger = Ledger(cache, prices)
        self.gross = GrossExposure(cache, self.positions, self.working, prices)
        self.working.on_change = self.gross.touch
        self.collateral = Collateral(cache, self.ledger, self.positions)
        self.margin = Margin(
            cache=cache,
            ledger=self.ledger,
            collateral=self.collateral,
            positions=self.positions,
            working=self.working,
            reservations=self.reservations,
            prices=prices,
            clock=clock,
        )
        self.reservations.on_change = self._noted
        self.losses = Losses(
            cache=cache,
            ledger=self.ledger,
            states=self.states,
            store=store,
            now_ns=now_ns,
            day=TradingDay().day,
            account_name=self._account_name,
            strategy_name=self._strategy_name,
            on_error=self._failed,
        )
        self._begun = False
        self._marked_ns: int | None = None  # venue time
        self.judge = Judge(
            cache=cache,
            limits=limits,
            prices=prices,
            positions=self.positions,
            working=self.working,
            states=self.states,
            venue_now_ns=now_ns,
            gross=self.gross,
            ledger=self.ledger,
            margin=self.margin,
            collateral=self.collateral,
            outage=outage or (lambda _account, _strategy: None),
            legality=legality,
            session=session,
        )
        self.rates = {Code.MAX_CANCELS: Rates(), Code.MAX_FILLS: Rates()}
        self.strategy_ids: dict[str, Any] = {}
        """Of every strategy that has ever ordered anything, by the file's name for it."""
        self.denied: Counter[Code] = Counter()
        """Orders and modifications denied, by code."""
        self.passed = 0
        """Orders and modifications let through."""
        self.errors = 0
        """Exceptions inside the gate; each of them is logged."""
        try:
            self.states.restore()
        except Exception as error:
            # What was latched can't be told: it may have been a halt.
            self._failed("reading the latches", error)
            self.states.set(State.REDUCING, scope=NODE, why="the latches could not be read", by="fault")
        self._put_in_force(limits)

    # -- its seat --------------------------------------------------------------------------------------------------

    def install(self, exec_engine: Any, execute: Callable[[Any], None] | None = None) -> None:
        """Take the seat. What passes goes to `execute`, by default the engine's own.

        Raises RuntimeError where the seat is taken already.
        """
        if self._inner is not None:
            raise RuntimeError("this gate is installed already: uninstall it first")
        inner = exec_engine.execute
        self._bus.deregister(EXECUTE, inner)
        self._bus.register(EXECUTE, self.execute)
        self._bus.subscribe("events.order.*", self._on_order_event, priority=PRIORITY)
        self._bus.subscribe("events.position.*", self._on_position_event, priority=PRIORITY)
        self._bus.subscribe("events.account.*", self._on_account, priority=PRIORITY)
        self._inner = execute or inner
        self._displaced = inner
        self.take_up()

    def uninstall(self) -> None:
        """Give the seat back. Does nothing where it was never taken."""
        if self._inner is None:
            return
        self._bus.unsubscribe("events.order.*", self._on_order_event)
        self._bus.unsubscribe("events.position.*", self._on_position_event)
        self._bus.unsubscribe("events.account.*", self._on_account)
        self._bus.deregister(EXECUTE, self.execute)
        self._bus.register(EXECUTE, self._displaced)
        self._inner = None

    def begin(self, every: timedelta | None = None, start: datetime | None = None) -> None:
        """Count losses from here on: once the accounts are known and reconciled, and before any strategy starts.

        `every` sets a timer on Nautilus's clock that calls `tick`: for backtests, where nothing else can. It runs from
        `start` on, when the data begins; the clock itself does not know that before the run. Where nobody calls this,
        the first order does.
        """
        self._begun = True
        try:
            # Orders and positions may have been put back into the cache after a restart, with no event to tell of it.
            self.positions.clear()
            self.take_up()
            self.ledger.begin()
            self.losses.begin()
        except Exception as error:
            # What was lost before a restart can't be told.
            self._failed("beginning to count losses", error)
            self.states.set(State.REDUCING, scope=NODE, why="the day's losses could not be read", by="fault")
        if every is not None:
            self._clock.set_timer("risk-gate", every, start, callback=lambda _event: self.tick())
        self.tick()

    def tick(self) -> None:
        """Look at all prices anew: losses and exposures are then as of now. Once a second is enough; never raises."""
        if not self._begun:
            return
        try:
            now_ns = self._now_ns()
            self.ledger.mark()
            self.losses.check()
            self.gross.mark()
            self.collateral.mark()
            self._marked_ns = now_ns
        except Exception as error:
            self._marked_ns = None
            self._failed("valuing positions", error)

    def _fresh(self) -> None:
        """No decision rests on values that are older than a second. Raises RuntimeError where there are none."""
        if not self._begun:
            self.begin()
        elif self._marked_ns is None or self._now_ns() - self._marked_ns >= _FRESH_NS:
            self.tick()
        if self._marked_ns is None:
            raise RuntimeError("positions could not be valued")

    # -- states and the second lock --------------------------------------------------------------------------------

    @property
    def limits(self) -> LimitsBook:
        return self.judge.limits

    def account_ids(self) -> list[Any]:
        return [account.id for account in self._cache.accounts()]

    def account_name(self, account_id: Any) -> str:
        """The file's name for an account."""
        return self._account_name(account_id)

    def used(self) -> list[Used]:
        """How much of each limit is used. For a scrape or a status; never raises, and leaves out what it can't tell."""
        found: list[Used] = []
        try:
            found.extend(used(self, self._now_ns()))
        except LookupError:
            pass  # a price is missing; what was told until then is right
        except Exception as error:
            self._failed("telling how much of the limits is used", error)
        return found

    def set_limits(self, limits: LimitsBook) -> None:
        """Put other limits in force, for orders from now on; a file's state can only make a scope more severe."""
        self.judge.limits = limits
        self._put_in_force(limits)

    def set_state(self, state: State | str, *, scope: Scope = NODE, why: str, by: By = "command") -> bool:
        """Make a scope reducing or halted until it is resumed. False where it already is that or more severe."""
        return self.states.set(State(state), scope=scope, why=why, by=by)

    def resume(self, *, scope: Scope = NODE, why: str) -> bool:
        """Make a scope active again. What it lost until now is accepted: limits on losses count anew from here."""
        try:
            self.losses.rearm(scope)
        except Exception as error:
            self._failed(f"counting the losses of {scope} anew", error)
        return self.states.resume(scope=scope, why=why)

    def approved(self, command: Any) -> bool:
        """Whether this command has passed the gate. True once: the second question is answered with False."""
        try:
            del self._approved[command.id]
        except KeyError:
            return False
        return True

    # -- orders ----------------------------------------------------------------------------------------------------

    def execute(self, command: Any) -> None:
        """The endpoint: pass the command on, or deny what it holds. Raises only what the engine behind it raises."""
        if self._inner is None:
            return
        command, failure = self._routed(command)
        if isinstance(command, SubmitOrder):
            passed = self._submit(command, [command.order], failure)
        elif isinstance(command, SubmitOrderList):
            passed = self._submit(command, command.order_list.orders, failure)
        elif isinstance(command, ModifyOrder):
            passed = self._modify(command, failure)
        else:
            passed = True  # cancels and queries take no risk
            self._count_cancels(command)
        if passed:
            self._inner(command)

    def _routed(self, command: Any) -> tuple[Any, Exception | None]:
        if self._route is None:
            return command, None
        try:
            return self._route(command), None
        except Exception as error:
            self._failed("routing a command", error)
            return command, error

    def _submit(self, command: Any, orders: Sequence[Any], failure: Exception | None) -> bool:
        subject = self._nobody(command)
        candidates: list[Candidate] = []
        denied: tuple[Denial, Any] | None = None
        try:
            if failure is not None:
                raise failure
            subject = self._subject(command)
            candidates = [self.judge.candidate(order) for order in orders]
            self._fresh()
            denied = self.judge.submit(candidates, subject)
        except Exception as error:
            if failure is None:
                self._failed("judging an order", error)
            if not self._surely_reduces(candidates, subject, len(orders)):
                denied = Denial(Code.GATE_ERROR, f"the gate could not judge it ({_short(error)})"), orders[0]
        if denied is None:
            try:
                for candidate in candidates:
                    self.margin.reserve(candidate, subject)
                    self.reservations.reserve(candidate.order, subject.account_id, candidate.price, candidate.leg)
                self.judge.count(orders, subject)
            except Exception as error:
                self._failed("reserving room", error)
                for order in orders:
                    self.reservations.release(order.client_order_id)
                denied = Denial(Code.GATE_ERROR, f"the gate could not reserve its room ({_short(error)})"), orders[0]
        if denied is None:
            self._approve(command, len(orders))
            return True
        self._deny(command, orders, denied, subject)
        return False

    def _modify(self, command: Any, failure: Exception | None) -> bool:
        order: Any = None
        subject = self._nobody(command)
        denial: Denial | None = None
        try:
            order = self._cache.order(command.client_order_id)
            if failure is not None:
                raise failure
            if order is None:
                raise LookupError(f"{command.client_order_id} is not in the cache")
            subject = self._subject(command)
            self._fresh()
            candidate = self.judge.modified(order, command)
            denial = self.judge.modify(candidate, command, subject)
            if denial is None:
                self._expect(candidate, subject)
                self.judge.count((), subject)
        except Exception as error:
            if failure is None:
                self._failed("judging a modification", error)
            denial = Denial(Code.GATE_ERROR, f"the gate could not judge it ({_short(error)})")
        if denial is None:
            self._approve(command, 1)
            return True
        self._count_denied(denial.code, subject, 1)
        self._reject_modification(command, order, denial)
        return False

    def _count_cancels(self, command: Any) -> None:
        """Cancels pass whatever happens here; too many of them make their scope reducing."""
        try:
            if not isinstance(command, _CANCELS):
                return
            subject = self._subject(command)
            if not subject.rules.cancels:
                return
            if isinstance(command, CancelOrder):
                cancels = 1
            elif isinstance(command, BatchCancelOrders):
                cancels = len(command.cancels)
            else:
                side = command.order_side
                cancels = sum(
                    side in (OrderSide.NO_ORDER_SIDE, order.side)
                    for order in self._cache.orders_open(
                        instrument_id=command.instrument_id, strategy_id=command.strategy_id
                    )
                )
            self._runaway(Code.MAX_CANCELS, "cancels", subject.rules.cancels, cancels)
        except Exception as error:
            self._failed("counting a cancel", error)

    def _runaway(self, code: Code, what: str, rates: Sequence[tuple[Scope, Rate]], more: int) -> None:
        """Count, and make every scope whose rate this exceeds reducing."""
        if not rates or not more:
            return
        now_ns = self._now_ns()
        for each in rates:
            exceeded = self.rates[code].exceeded((each,), more, now_ns)
            if exceeded is not None:
                scope, rate, held = exceeded
                why = (
                    f"{code}: {held + more} {what} within {seconds(rate.per_ns)}, "
                    f"more than the {rate.count} of {scope.section}.{code.lower()}"
                )
                self.states.set(State.REDUCING, scope=scope, why=why, by="breach", cause=str(code))
        self.rates[code].count(rates, more, now_ns)

    def _expect(self, candidate: Candidate, subject: Subject) -> None:
        before = candidate.before
        assert before is not None
        qty: Decimal = candidate.qty if candidate.qty is not None else candidate.order.quantity.as_decimal()
        self.reservations.expect(candidate.order, subject.account_id, qty, candidate.price, before.price)

    def _surely_reduces(self, candidates: list[Candidate], subject: Subject, orders: int) -> bool:
        """After a failure: whether it only shrinks positions and uncovers nothing; False where that can't be told."""
        if len(candidates) != orders:
            return False
        try:
            return self.judge.reduces(candidates, subject) and self.judge.cover(candidates, subject) is None
        except Exception:
            return False

    # -- answers ---------------------------------------------------------------------------------------------------

    def _approve(self, command: Any, orders: int) -> None:
        self.passed += orders
        self._approved[command.id] = None
        while len(self._approved) > self._keep:
            self._approved.popitem(last=False)

    def _deny(self, command: Any, orders: Sequence[Any], denied: tuple[Denial, Any], subject: Subject) -> None:
        denial, culprit = denied
        self._count_denied(denial.code, subject, len(orders))
        for order in orders:
            reason = denial.reason
            if order is not culprit and len(orders) > 1:
                reason = f"{denial.code}: denied with its list, where {culprit.client_order_id}: {denial.sentence}"
            try:
                if not self._cache.order_exists(order.client_order_id):
                    self._cache.add_order(order, command.position_id, command.client_id)
                event = OrderDenied(
                    order.trader_id,
                    order.strategy_id,
                    order.instrument_id,
                    order.client_order_id,
                    reason,
                    UUID4(),
                    self._clock.timestamp_ns(),
                )
            except Exception as error:
                self._failed(f"denying {order.client_order_id}", error)
                continue
            self._bus.send(PROCESS, event)

    def _reject_modification(self, command: Any, order: Any, denial: Denial) -> None:
        try:
            now = self._clock.timestamp_ns()
            event = OrderModifyRejected(
                command.trader_id,
                command.strategy_id,
                command.instrument_id,
                command.client_order_id,
                command.venue_order_id if order is None else order.venue_order_id,
                None if order is None else order.account_id,
                denial.reason,
                UUID4(),
                now,
                now,
            )
        except Exception as error:
            self._failed(f"rejecting the modification of {command.client_order_id}", error)
            return
        if order is not None:
            self._own_rejections.add(event.id)
        self._bus.send(PROCESS, event)

    def _count_denied(self, code: Code, subject: Subject, orders: int) -> None:
        self.denied[code] += orders
        if self._on_denied is None:
            return
        try:
            for _ in range(orders):
                self._on_denied(str(code), subject.strategy, subject.account)
        except Exception as error:
            self._failed("telling of a denial", error)

    def _on_order_event(self, event: Any) -> None:
        try:
            denied_here = event.id in self._own_rejections
            self._own_rejections.discard(event.id)
            self.reservations.on_event(event, denied_here=denied_here)
            if isinstance(event, OrderFilled):
                self._filled(event)
        except Exception as error:
            self._failed("following an order's event", error)

    def take_up(self) -> None:
        """Take up the orders that the cache holds already."""
        for order in (*self._cache.orders_open(), *self._cache.orders_inflight()):
            self._noted(order.client_order_id)

    def _noted(self, client_order_id: Any) -> None:
        self.working.note(client_order_id)
        self.margin.note(client_order_id)

    def _on_account(self, event: Any) -> None:
        try:
            if "buying_power" not in (event.info or {}):
                return  # worked out by Nautilus, not told by a broker
            self.margin.on_account(event)
            if not len(self.reservations) and not self.margin.unseen(event.account_id):
                self.ledger.rebase(event.account_id)
        except Exception as error:
            self._failed("following an account", error)

    def _filled(self, event: Any) -> None:
        self.positions.on_event(event)
        self.gross.on_event(event)
        self.collateral.touch(event.account_id, event.instrument_id)
        if self.ledger.on_fill(event) and self._begun:
            self.losses.check()
        if not event.reconciliation:
            rules = self.limits.rules(self._account_name(event.account_id), self._strategy_name(event.strategy_id))
            self._runaway(Code.MAX_FILLS, "fills", rules.fills, 1)

    def _on_position_event(self, event: Any) -> None:
        try:
            self.positions.on_event(event)
            self.gross.on_event(event)
            self.collateral.touch(event.account_id, event.instrument_id)
        except Exception as error:
            self._failed("following a position", error)

    def _failed(self, doing: str, error: Exception) -> None:
        self.errors += 1
        _log.error("risk gate: %s failed", doing, exc_info=error)

    # -- who it is -------------------------------------------------------------------------------------------------

    def _nobody(self, command: Any) -> Subject:
        return Subject(None, command.strategy_id, "", str(command.strategy_id.get_tag()), _NO_RULES)

    def _subject(self, command: Any) -> Subject:
        account_id = self._account_of(command)
        account = "" if account_id is None else self._account_name(account_id)
        strategy = self._strategy_name(command.strategy_id)
        rules = self.limits.rules(account, strategy)
        self.strategy_ids[strategy] = command.strategy_id
        return Subject(account_id, command.strategy_id, account, strategy, rules, command.params)

    def _find_account(self, command: Any) -> Any:
        """The account that Nautilus will send the command to: by client, by the order, else by the venue."""
        if command.client_id is not None:
            client = command.client_id.value
            if (known := self._by_client.get(client)) is not None:
                return known
            for account in self._cache.accounts():
                if account.id.get_issuer() == client:
                    self._by_client[client] = account.id
                    return account.id
        if isinstance(command, SubmitOrder):
            order = command.order
        else:
            order = self._cache.order(command.client_order_id) if isinstance(command, ModifyOrder) else None
        if order is not None and order.account_id is not None:
            return order.account_id
        return self._cache.account_id(command.instrument_id.venue)

    def _put_in_force(self, limits: LimitsBook) -> None:
        self.losses.watch(limits)
        margin = any(each.headroom is not None for _, each in limits.scopes())
        if margin and not self.margin.enabled:
            self.margin.enabled = True
            self.take_up()
        for scope, each in limits.scopes():
            self.states.set(State(each.state), scope=scope, why=f"{scope.section}.state", by="file")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
