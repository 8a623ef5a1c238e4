"""The gate in front of the venue: every order of the node passes here, or is denied with a reason.

It sits at the message bus's endpoint `ExecEngine.execute`, the one place that submits, lists and modifications all
come through, orders released by Nautilus's emulator included, live and in a backtest. Nautilus's own risk engine
stays in front of it, for precision and rates; on margin accounts that engine checks no notional at all.

The gate runs inside the call that sends the order and reserves the order's room before that call returns, so that two
orders of one turn of the loop can't use the same room. It never raises: what it can't judge, it denies.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, SubmitOrderList

from runner._engine import RateWindows
from runner.risk.answers import Answers
from runner.risk.book import Book
from runner.risk.candidate import Candidate, Subject, other_price, working_leg
from runner.risk.codes import Code, Denial
from runner.risk.collateral import Collateral
from runner.risk.exposure import nanos
from runner.risk.follow import Follower
from runner.risk.hold import Hold
from runner.risk.instruments import Instruments
from runner.risk.judge import Judge, Schedule
from runner.risk.latches import LatchStore, MemoryLatches
from runner.risk.ledger import Ledger
from runner.risk.limits import LimitsBook
from runner.risk.losses import Losses
from runner.risk.margin import Margin
from runner.risk.owners import Owners
from runner.risk.positions import Positions
from runner.risk.prices import Prices
from runner.risk.reservations import Reservations, Wishes
from runner.risk.runaway import CANCELS, Runaway, cancelled_by
from runner.risk.seat import Seat
from runner.risk.state import NODE, By, Scope, Standing, State, States
from runner.risk.trading_day import TradingDay
from runner.risk.universe import Legality, ListLegality
from runner.risk.usage import Used, used
from runner.risk.working import Working

_log = logging.getLogger(__name__)
ORDERS = (SubmitOrder, SubmitOrderList, ModifyOrder)


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
    schedule : Schedule, optional
        What the file's schedules let a strategy do now; by default everything at any time.
    legality : callable, optional
        Why the venue takes no such order of its instrument, in words; None where it does. (order, instrument,
        the command's params)
    list_legality : callable, optional
        The same of a list as a whole, with the order that it is about. (orders, instrument by its id, the params)
    session : callable, optional
        The exchange's session (pre, core, post, overnight, closed) at a venue time in UNIX nanoseconds; by default
        told by the time of day in New York, which knows no holidays.
    closing : container, optional
        Client order ids of the orders by which the node itself closes positions; by default there are none.
    extended : callable, optional
        Whether an order that works may be filled outside of the core session, too; by default none may. (order)
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
        schedule: Schedule | None = None,
        legality: Legality | None = None,
        list_legality: ListLegality | None = None,
        session: Callable[[int], str] | None = None,
        closing: Container[Any] = (),
        extended: Callable[[Any], bool] | None = None,
        day: Callable[[int], str] | None = None,
        account_of: Callable[[Any], Any] | None = None,
        account_name: Callable[[Any], str] | None = None,
        strategy_name: Callable[[Any], str] | None = None,
        on_denied: Callable[[str, str, str], None] | None = None,
        on_state: Callable[[Standing], None] | None = None,
        latches: LatchStore | None = None,
        approvals: int = 10_000,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._route = route
        self._now_ns = now_ns = venue_now_ns or clock.timestamp_ns
        self._told_ns = 0  # venue time when it was told last: what passes after a failure is counted by it
        self.errors = 0
        """Exceptions inside the gate; each of them is logged."""
        store = latches if latches is not None else MemoryLatches()
        self._owners = Owners(cache, account_of=account_of, account_name=account_name, strategy_name=strategy_name)
        self._answers = Answers(
            msgbus=msgbus, cache=cache, clock=clock, failed=self._failed, on_denied=on_denied, keep=approvals
        )
        self.states = States(now_ns, on_state, store=store, on_error=self._failed)
        self._runaway = Runaway(self.states, now_ns)
        self.reservations = Reservations()
        prices, instruments = Prices(cache), Instruments(cache)
        self.positions = Positions(cache)
        self.ledger = Ledger(cache, prices)
        self.book = Book(cache, prices, self.ledger)
        self.working = Working(self.reservations, cache, self.book, lambda order: working_leg(order, prices))
        self.collateral = Collateral(cache, self.ledger, self.positions, self.book.lends)
        self.margin = Margin(
            cache=cache,
            book=self.book,
            instruments=instruments,
            ledger=self.ledger,
            collateral=self.collateral,
            positions=self.positions,
            working=self.working,
            reservations=self.reservations,
            prices=prices,
            clock=clock,
        )
        self.losses = Losses(
            cache=cache,
            ledger=self.ledger,
            states=self.states,
            store=store,
            now_ns=now_ns,
            day=day or TradingDay().day,
            account_name=self._owners.account_name,
            strategy_name=self._owners.strategy_name,
            on_error=self._failed,
        )
        self._follower = Follower(
            cache=cache,
            now_ns=now_ns,
            states=self.states,
            reservations=self.reservations,
            positions=self.positions,
            working=self.working,
            ledger=self.ledger,
            book=self.book,
            collateral=self.collateral,
            margin=self.margin,
            losses=self.losses,
            on_fill=self._count_fill,
            failed=self._failed,
        )
        self.judge = Judge(
            cache=cache,
            instruments=instruments,
            limits=limits,
            prices=prices,
            positions=self.positions,
            working=self.working,
            states=self.states,
            book=self.book,
            margin=self.margin,
            collateral=self.collateral,
            outage=outage or (lambda _account, _strategy: None),
            schedule=schedule,
            legality=legality,
            list_legality=list_legality,
            session=session,
            closing=closing,
            extended=extended,
        )
        self._hold = Hold(self._execute, lambda command: isinstance(command, ORDERS), self._failed)
        self._seat = Seat(
            msgbus,
            self.execute,
            {
                "events.order.*": self._follower.on_order,
                "events.position.*": self._follower.on_position,
                "events.account.*": self._follower.on_account,
            },
        )
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
        self._seat.take(exec_engine, execute)
        self._follower.take_up()

    def uninstall(self) -> None:
        """Give the seat back. Does nothing where it was never taken."""
        self._seat.leave()

    def begin(self, every: timedelta | None = None, start: datetime | None = None) -> None:
        """Count losses from here on: once the accounts are known and reconciled, and before any strategy starts.

        `every` sets a timer on Nautilus's clock that calls `tick`: for backtests, where nothing else can. It runs from
        `start` on, when the data begins; the clock itself does not know that before the run. Where nobody calls this,
        the first order does.
        """
        self._follower.begin()
        if every is not None:
            self._clock.set_timer("risk-gate", every, start, callback=lambda _event: self.tick())
        self.tick()

    def take_up(self) -> None:
        """Take up the orders that the cache holds already."""
        self._follower.take_up()

    def tick(self) -> None:
        """Look at all prices anew: losses and exposures are then as of now. Once a second is enough; never raises."""
        self._follower.tick()

    # -- an order's way through ------------------------------------------------------------------------------------

    def execute(self, command: Any) -> None:
        """The endpoint: pass the command on, or deny what it holds. Raises only what the engine behind it raises."""
        inner = self._seat.inner
        if self._hold.waiting is None or not self._hold.keeps(command, inner):
            self._execute(command, inner)

    def held(self) -> AbstractContextManager[None]:
        """While positions are changed step by step: what comes is judged, and passed on, once all of them are done."""
        return self._hold.held()

    def _execute(self, command: Any, inner: Callable[[Any], None] | None, failure: Exception | None = None) -> None:
        """`inner` is where it goes if it passes: the seat may know it no more. `failure`: why none can be judged."""
        if inner is None:
            return
        if self._route is not None:
            try:
                command = self._route(command)
            except Exception as error:
                self._failed("routing a command", error)
                failure = failure or error
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
            inner(command)

    def _submit(self, command: Any, orders: Sequence[Any], failure: Exception | None) -> bool:
        subject: Subject | None = None
        candidates: list[Candidate] = []
        denied: tuple[Denial, Any] | None = None
        now_ns = self._told_ns
        try:
            if failure is not None:
                raise failure
            subject = self._owners.subject(command, self.judge.limits)
            candidates = [self.judge.candidate(order) for order in orders]
            now_ns = self._told_ns = self._now_ns()
            self._follower.fresh(now_ns)
            denied = self.judge.submit(candidates, subject, now_ns, command.params)
        except Exception as error:
            if failure is None:
                self._failed("judging an order", error)
            if subject is None:
                subject = self._owners.nobody(command)
            if not self._surely_reduces(candidates, subject, command):
                denied = Denial(Code.GATE_ERROR, f"the gate could not judge it ({_short(error)})"), orders[0]
        if denied is None:
            try:
                self._follower.take(candidates, subject, now_ns)
            except Exception as error:
                self._failed("reserving room", error)
                for order in orders:
                    self._give_back(order)
                denied = Denial(Code.GATE_ERROR, f"the gate could not reserve its room ({_short(error)})"), orders[0]
        if denied is None:
            self._answers.approve(command, len(orders))
            return True
        self._answers.deny(command, orders, denied, subject)
        return False

    def _give_back(self, order: Any) -> None:
        """The room of an order that is denied after all; what can't be given back here is with the denial's event."""
        try:
            self.reservations.release(order.client_order_id)
        except Exception as error:
            self._failed("giving room back", error)

    def _modify(self, command: Any, failure: Exception | None) -> bool:
        order: Any = None
        candidate: Candidate | None = None
        subject = self._owners.nobody(command)
        denial: Denial | None = None
        now_ns = self._told_ns
        try:
            order = self._cache.order(command.client_order_id)
            if failure is not None:
                raise failure
            if order is None:
                raise LookupError(f"{command.client_order_id} is not in the cache")
            subject = self._owners.subject(command, self.judge.limits)
            candidate = self.judge.modified(order, self.reservations.dearest(order, command))
            if command.price is None and (limit := self.reservations.limit(order.client_order_id)) is not None:
                candidate.limit = limit
            now_ns = self._told_ns = self._now_ns()
            self._follower.fresh(now_ns)
            denial = self.judge.modify(candidate, command, subject, now_ns)
        except Exception as error:
            if failure is None:
                self._failed("judging a modification", error)
            if candidate is None or not self._surely_takes_away(candidate, command, subject):
                denial = Denial(Code.GATE_ERROR, f"the gate could not judge it ({_short(error)})")
        if denial is not None:
            self.reservations.deny(command.client_order_id)
        elif candidate is not None:
            try:
                self._expect(candidate, command, subject)
                self.book.modified(candidate, subject, now_ns)
            except Exception as error:
                self._failed("reserving room", error)
                denial = Denial(Code.GATE_ERROR, f"the gate could not reserve its room ({_short(error)})")
        if denial is None:
            self._answers.approve(command, 1)
            return True
        self._answers.reject_modification(command, order, denial, subject)
        return False

    def _expect(self, candidate: Candidate, command: Any, subject: Subject) -> None:
        before, order = candidate.before, candidate.order
        assert before is not None
        units = candidate.units if candidate.units is not None else nanos(order.quantity)
        wishes = Wishes(command.quantity, command.price, command.trigger_price)
        self.margin.expect(candidate, subject.account_id)
        self.reservations.expect(order, subject.account_id, wishes, units, candidate.leg.worth, before.leg.worth)

    def _surely_takes_away(self, candidate: Candidate, command: Any, subject: Subject) -> bool:
        """After a failure: whether a modification only takes quantity away, or its order surely reduces as modified."""
        try:
            shrinks = not candidate.grows and not other_price(candidate.order, command)
        except Exception:
            return False
        return shrinks or self._surely_reduces([candidate], subject, command)

    def _surely_reduces(self, candidates: list[Candidate], subject: Subject, command: Any) -> bool:
        """After a failure: whether it only shrinks positions and uncovers nothing; False where that can't be told."""
        if not candidates:
            return False
        try:
            return self.judge.surely_reduces(candidates, subject, command.params)
        except Exception:
            return False

    def _count_cancels(self, command: Any) -> None:
        """Cancels pass whatever happens here."""
        try:
            if not isinstance(command, CANCELS):
                return
            rates = self._owners.subject(command, self.limits).rules.cancels
            if rates:
                self._runaway.cancels(rates, cancelled_by(command, self._cache))
        except Exception as error:
            self._failed("counting a cancel", error)

    def _count_fill(self, event: Any) -> None:
        self._runaway.fills(self._owners.rules(event.account_id, event.strategy_id, self.limits).fills, 1)

    def _failed(self, doing: str, error: Exception) -> None:
        self.errors += 1
        _log.error("risk gate: %s failed", doing, exc_info=error)

    # -- what it is told and tells ----------------------------------------------------------------------------------

    def approved(self, command: Any) -> bool:
        """Whether this command has passed the gate. True once: the second question is answered with False."""
        return self._answers.approved(command)

    def opens(self, order: Any, account_id: Any) -> bool:
        """Whether a working order could still open or enlarge a position; True where that can't be told."""
        return self._open([order], account_id)

    def _open(self, orders: Sequence[Any], account_id: Any) -> bool:
        try:
            subject = self._subject(account_id, orders[0].strategy_id)
            return not self.judge.reduces([self.judge.candidate(order) for order in orders], subject)
        except Exception as error:
            self._failed("judging a working order", error)
            return True

    def may_not_open(self, account_id: Any, orders: Sequence[Any]) -> str | None:
        """What keeps orders, which are one to the venue, passed and had to wait, from leaving now, as `CODE: why`;
        nothing does where they only shrink positions.

        Never raises: what can't be told is a reason.
        """
        try:
            denial = self.judge.may_not_open(self._subject(account_id, orders[0].strategy_id))
        except Exception as error:
            self._failed("judging an order that waited", error)
            denial = Denial(Code.GATE_ERROR, f"the gate could not judge it ({_short(error)})")
        return None if denial is None or not self._open(orders, account_id) else denial.reason

    def _subject(self, account_id: Any, strategy_id: Any) -> Subject:
        account, strategy = self.account_name(account_id), self._owners.strategy_name(strategy_id)
        return Subject(account_id, strategy_id, account, strategy, self.limits.rules(account, strategy))

    @property
    def denied(self) -> Counter[Code]:
        """Orders and modifications denied, by code."""
        return self._answers.denied

    @property
    def passed(self) -> int:
        """Orders and modifications let through."""
        return self._answers.passed

    @property
    def rates(self) -> dict[Code, RateWindows]:
        """The windows that count cancels and fills."""
        return self._runaway.rates

    @property
    def strategy_ids(self) -> dict[str, Any]:
        """Of every strategy that has ever ordered anything, by the file's name for it."""
        return self._owners.strategy_ids

    @property
    def limits(self) -> LimitsBook:
        return self.judge.limits

    def account_ids(self) -> list[Any]:
        return [account.id for account in self._cache.accounts()]

    def account_name(self, account_id: Any) -> str:
        """The file's name for an account."""
        return self._owners.account_name(account_id)

    def used(self) -> list[Used]:
        """How much of each limit is used. For a scrape or a status; never raises, and leaves out what it can't tell."""
        try:
            return used(self, self._now_ns(), self._failed)
        except Exception as error:
            self._failed("telling how much of the limits is used", error)
            return []

    def set_limits(self, limits: LimitsBook) -> None:
        """Put other limits in force, for orders from now on. Reservations, counts, the day's figures and latches stay.

        A `state` that is the same as before changes nothing (it may have been resumed); another one takes its place.
        """
        before = {scope: each.state for scope, each in self.judge.limits.scopes()}
        after = {scope: each.state for scope, each in limits.scopes()}
        self.judge.limits = limits
        self._put_in_force(limits, states=False)
        for scope in dict.fromkeys([*before, *after]):
            state = after.get(scope, "active")
            if state != before.get(scope, "active"):
                self.states.of_file(State(state), scope=scope, why=f"{scope.section}.state")

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

    def _put_in_force(self, limits: LimitsBook, *, states: bool = True) -> None:
        self.losses.watch(limits)
        margin = any(each.headroom is not None for _, each in limits.scopes())
        if margin and not self.margin.enabled:
            self.margin.enable()
            self._follower.take_up()
        for scope, each in limits.scopes() if states else ():
            self.states.set(State(each.state), scope=scope, why=f"{scope.section}.state", by="file")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
