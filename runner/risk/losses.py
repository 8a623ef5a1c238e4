"""Limits on losses: of the trading day, and from the best point so far. A breach makes the level reducing, latched.

A level is measured on what it stands on: the top on all accounts together, an account on itself, a strategy on its
own fills. An account's loss of the day is also held to what the broker reports (yesterday's closing equity less
today's), which includes positions that the node has no prices of; the larger of the two counts. Money that was paid in
or out is neither won nor lost; what came and the broker does not explain yet is taken for paid in, so that it hides no
loss, and what went counts as lost.

What resets it: a new trading day begins the day's loss anew, never the drawdown. The broker's figures turn later than
the day or, where it closes, earlier: until they are of the close of the day before, what they said at midnight is taken
off them. A breach stays until somebody resumes
it, or, for the day's loss under `daily_loss_rearms: next_day`, until the next trading day. Resuming accepts what was
lost: both limits count anew from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runner.config.risk import Portion
from runner.risk.codes import Code, percent, text
from runner.risk.exposure import ZERO
from runner.risk.latches import LatchStore
from runner.risk.ledger import Ledger
from runner.risk.limits import Limits, LimitsBook
from runner.risk.state import Scope, State, States

_PREFIX = "loss/"
# A record is written anew when the value has moved, but no more often than this; a breach at once.
_SAVE_EVERY_NS = 5_000_000_000
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(slots=True)
class Day:
    """One level's figures: where the day began, the best value so far, and the broker's loss that was accepted."""

    day: str
    base: Decimal
    peak: Decimal
    forgiven: Decimal = ZERO
    """Taken off the broker's loss while that is told from `closing`: what was accepted, or is of the day before."""
    closing: str = ""
    doubted: Decimal = ZERO
    """How much of it (below 0) was lost only as long as no activity explains it."""
    lost: Decimal = ZERO
    below: Decimal = ZERO
    saved_ns: int = 0
    saved: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What was lost by the broker's own figures, and which close they are told from: its day, and what makes it another
    than the one before. `doubted` (0 or below) is what went without an explanation so far.
    """

    lost: Decimal
    closing: str = ""
    closed_on: str = ""
    doubted: Decimal = ZERO


class Losses:
    """Watches every level that has a limit. `accounts` and `strategies` give the ids of a name of the file."""

    def __init__(
        self,
        *,
        cache: Any,
        ledger: Ledger,
        states: States,
        store: LatchStore,
        now_ns: Callable[[], int],
        day: Callable[[int], str],
        account_name: Callable[[Any], str],
        strategy_name: Callable[[Any], str],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._states = states
        self._store = store
        self._now_ns = now_ns
        self._day = day
        self._account_name = account_name
        self._strategy_name = strategy_name
        self._on_error = on_error
        self._days: dict[Scope, Day] = {}
        self._watched: list[tuple[Scope, Limits]] = []

    @property
    def any(self) -> bool:
        return bool(self._watched)

    def watch(self, limits: LimitsBook) -> None:
        """Put these limits in force; levels that were watched before keep their figures."""
        self._watched = [
            (scope, each)
            for scope, each in limits.scopes()
            if each.max_daily_loss is not None or each.max_drawdown is not None
        ]

    def begin(self) -> None:
        """Count from the ledger's values of now on, and from what was kept over a restart.

        Raises what the store raises, ValueError or KeyError for a broken record.
        """
        self._days.clear()
        today = self._day(self._now_ns())
        for key, written in self._store.load().items():
            if not key.startswith(_PREFIX):
                continue
            kind, _, name = key.removeprefix(_PREFIX).partition("/")
            record = json.loads(written)
            scope = Scope(kind, name)  # type: ignore[arg-type]
            value = self._value(scope)
            if record.get("resumed"):
                # Somebody accepted, while no node ran, what it lost; how much that is by the broker is known only now.
                self._days[scope] = Day(today, value, value)
                self.rearm(scope)
                continue
            same = record["day"] == today
            day = Day(record["day"], value, value + Decimal(record["below"]))
            day.forgiven, day.closing = Decimal(record["forgiven"]), record.get("closing", "")
            day.doubted = Decimal(record.get("doubted", 0))
            if same:
                day.base = value + Decimal(record["lost"])
            self._days[scope] = day

    def check(self) -> None:
        """Look at every level; a breach sets its state."""
        now_ns = self._now_ns()
        today = self._day(now_ns)
        for scope, limits in self._watched:
            day = self._days.get(scope)
            value = self._value(scope)
            if day is None:
                day = self._days[scope] = Day(today, value, value)
            report = self._reported(scope)
            if day.day != today:
                self._ledger.new_day()
                day.day, day.base = today, value
                if report.closed_on and report.closed_on < self._day_before(now_ns):
                    self._forgive(day, report)  # all of it was lost before today
                if limits.daily_loss_rearms == "next_day":
                    why = f"a new trading day, {today}"
                    self._states.lift(str(Code.MAX_DAILY_LOSS), scope=scope, why=why)
            if report.closing != day.closing:
                if report.closing and day.closing:
                    day.forgiven = day.doubted = ZERO
                day.closing = report.closing or day.closing
            if value > day.peak:
                day.peak = value
            explained = max(day.doubted, report.doubted) - day.doubted
            day.lost = max(day.base - value, report.lost - (day.forgiven - explained))
            day.below = day.peak - value
            breached = self._breaches(scope, limits, day)
            self._save(scope, day, now_ns, at_once=breached)

    def rearm(self, scope: Scope) -> None:
        """Somebody resumed this level: what was lost is accepted."""
        value = self._value(scope)
        today = self._day(self._now_ns())
        day = self._days.get(scope)
        if day is not None:
            day.day, day.base, day.peak = today, value, value
            day.lost = day.below = ZERO
            self._forgive(day, self._reported(scope))
            self._save(scope, day, self._now_ns(), at_once=True)

    @staticmethod
    def _forgive(day: Day, report: Report) -> None:
        known = bool(report.closing)
        day.forgiven, day.doubted = (report.lost, report.doubted) if known else (ZERO, ZERO)
        day.closing = report.closing

    def _day_before(self, now_ns: int) -> str:
        """The trading day before this one."""
        today = self._day(now_ns)
        return next(day for n in range(1, 15) if (day := self._day(now_ns - n * _DAY_NS)) != today)

    def used(self) -> Iterator[tuple[Scope, str, Decimal]]:
        """Each level's limits with how much of them is used, as fractions."""
        for scope, limits in self._watched:
            day = self._days.get(scope)
            for name, limit, lost in (
                ("max_daily_loss", limits.max_daily_loss, ZERO if day is None else day.lost),
                ("max_drawdown", limits.max_drawdown, ZERO if day is None else day.below),
            ):
                most = None if limit is None else self._most(scope, limit, lost)
                if most:
                    yield scope, name, max(lost, ZERO) / most

    def _breaches(self, scope: Scope, limits: Limits, day: Day) -> bool:
        breached = False
        for code, limit, lost, words in (
            (Code.MAX_DAILY_LOSS, limits.max_daily_loss, day.lost, "lost today"),
            (Code.MAX_DRAWDOWN, limits.max_drawdown, day.below, "below the best point so far"),
        ):
            if limit is None or lost <= ZERO:
                continue
            most = self._most(scope, limit, lost)
            if most is not None and lost <= most:
                continue
            breached = True
            amount = "" if limit.fraction is None else f" ({'unknown' if most is None else text(most)})"
            shown = text(limit.amount or ZERO) if limit.fraction is None else percent(limit.fraction)
            why = f"{code}: {text(lost)} {words}, more than the {shown}{amount} of {scope.section}.{code.lower()}"
            why = "; ".join([why, *self._doubts(scope)])
            self._states.set(State.REDUCING, scope=scope, why=why, by="breach", cause=str(code))
        return breached

    def _most(self, scope: Scope, limit: Portion, lost: Decimal) -> Decimal | None:
        """The limit as money; a fraction is of the equity before this was lost. None where that is unknown."""
        if limit.fraction is None:
            return limit.amount
        equity = self._ledger.equities(self._accounts(scope))
        return None if equity is None else max(equity + lost, ZERO) * limit.fraction

    def _accounts(self, scope: Scope) -> list[Any]:
        ids = [account.id for account in self._cache.accounts()]
        if scope.kind == "account":
            return [each for each in ids if self._account_name(each) == scope.name]
        if scope.kind == "strategy":
            own = {account for strategy_id in self._strategies(scope) for account in self._ledger.accounts(strategy_id)}
            return list(own) or ids
        return ids

    def _strategies(self, scope: Scope) -> list[Any]:
        return [each for each in self._ledger.strategies() if self._strategy_name(each) == scope.name]

    def _value(self, scope: Scope) -> Decimal:
        if scope.kind == "node":
            return self._ledger.value()
        if scope.kind == "account":
            return sum((self._ledger.value(each) for each in self._accounts(scope)), ZERO)
        return sum((self._ledger.value(strategy_id=each) for each in self._strategies(scope)), ZERO)

    def _reported(self, scope: Scope) -> Report:
        """Without such figures, and for a strategy, which the broker knows nothing of, less than any loss."""
        accounts = [] if scope.kind == "strategy" else self._accounts(scope)
        lost = doubted = ZERO
        closings: list[tuple[str, str]] = []
        for account_id in accounts:
            info = self._cache.account(account_id).last_event.info or {}
            before, now = info.get("last_equity"), info.get("equity")
            if before is None or now is None:
                return Report(-_INFINITY)
            closings.append((str(info.get("balance_asof", "")), str(before)))
            lost += Decimal(str(before)) - Decimal(str(now)) + Decimal(info.get("transferred", 0))
            unexplained = Decimal(info.get("unexplained", 0))
            lost += max(unexplained, ZERO)
            doubted += min(unexplained, ZERO)
        if not closings:
            return Report(-_INFINITY)
        return Report(lost, repr(closings), min(closings)[0], doubted)

    def _doubts(self, scope: Scope) -> list[str]:
        """What may look like a loss and be none, for whoever has to decide whether to resume."""
        found = [f"{each} (a split that is not booked yet?)" for each in self._ledger.jumps()]
        for account_id in [] if scope.kind == "strategy" else self._accounts(scope):
            info = self._cache.account(account_id).last_event.info or {}
            if paid := Decimal(info.get("transferred", 0)):
                way = "in" if paid > 0 else "out"
                found.append(f"{text(abs(paid))} paid {way} since the close of {info.get('balance_asof')} don't count")
            if (amount := Decimal(info.get("unexplained", 0))) > 0:
                found.append(f"{text(amount)} came that no activity explains yet, and are taken for a deposit")
            elif amount < 0:
                found.append(f"{text(-amount)} went that no activity explains yet (a withdrawal?), and count as lost")
        return found

    def _save(self, scope: Scope, day: Day, now_ns: int, *, at_once: bool) -> None:
        if not at_once and now_ns - day.saved_ns < _SAVE_EVERY_NS:
            return
        # The own measure is kept; what the broker reports it will report again.
        lost = day.base - self._value(scope)
        record = {
            "day": day.day,
            "lost": str(lost),
            "below": str(day.below),
            "forgiven": str(day.forgiven),
            "closing": day.closing,
            "doubted": str(day.doubted),
        }
        written = json.dumps(record)
        if written == day.saved:
            return
        try:
            self._store.save(f"{_PREFIX}{scope.kind}/{scope.name}", written)
        except Exception as error:
            self._on_error(f"keeping the losses of {scope}", error)
        day.saved, day.saved_ns = written, now_ns


def resume_record(store: LatchStore, scope: Scope) -> None:
    """Have the next `begin` accept what this level lost until then."""
    key = f"{_PREFIX}{scope.kind}/{scope.name}"
    written = store.load().get(key)
    if written is not None:
        store.save(key, json.dumps({**json.loads(written), "resumed": True}))


_INFINITY = Decimal("Infinity")
