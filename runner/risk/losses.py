"""Limits on losses: of the trading day, and from the best point so far. A breach makes the level reducing, latched.

A level is measured on what it stands on: the top on all accounts together, an account on itself, a strategy on its
own fills. An account's loss of the day is also held to what the broker reports (yesterday's closing equity less
today's), which includes positions that the node has no prices of; the larger of the two counts. Money that was paid in
or out is neither won nor lost; what came and the broker does not explain yet is taken for paid in, so that it hides no
loss, and what went counts as lost.

What resets it: a new trading day begins the day's loss anew, never the drawdown. The broker's figures turn later than
the day or, where it closes, earlier, and each account's by itself: until they are of the close of the day before, what
they said at midnight is taken off them. A breach stays until somebody resumes it, or, for the day's loss under
`daily_loss_rearms: next_day`, until the next trading day. Resuming accepts what was lost: both limits count anew from
there.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from runner.config.risk import Portion
from runner.risk.codes import Code, percent, text
from runner.risk.exposure import ZERO
from runner.risk.latches import LatchStore
from runner.risk.ledger import Ledger
from runner.risk.limits import Limits, LimitsBook, share
from runner.risk.state import Scope, State, States

_PREFIX = "loss/"
# A record is written anew when the value has moved, but no more often than this; a breach at once.
_SAVE_EVERY_NS = 5_000_000_000
_DAY_NS = 86_400 * 1_000_000_000
# No clock is put right, and no two calendars differ, by as much: a day that is so far back is of another time.
_APART = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Report:
    """What an account had at its last close and has now by the broker's own figures, without what was paid in or out
    since. `doubted` (0 or below) is what went without an explanation so far. `closed_on` is the close's day, if told.
    """

    before: Decimal
    now: Decimal
    closed_on: str = ""
    doubted: Decimal = ZERO

    @property
    def closing(self) -> str:
        """Tells one close from another. Its day does: the figure may be put right afterwards."""
        return self.closed_on or f"{self.before.normalize():f}"


@dataclass(frozen=True, slots=True)
class Start:
    """Where an account's loss of the day begins while its figures are told from this close. `since`: what it had when
    its loss was accepted, or when the day began; None for all since the close. `doubted` as it was then.
    """

    closing: str
    since: Decimal | None = None
    doubted: Decimal = ZERO

    def lost(self, report: Report) -> Decimal:
        """Since then. What of it was doubted, and is explained by now, is no loss that is to be taken off any more."""
        explained = max(self.doubted, report.doubted) - self.doubted
        return (report.before if self.since is None else self.since) + explained - report.now


@dataclass(slots=True)
class Day:
    """One level's figures: where the day began, by our own value and by each account's figures, and the best so far."""

    day: str
    base: Decimal
    peak: Decimal
    starts: dict[str, Start] = field(default_factory=dict)
    lost: Decimal = ZERO
    below: Decimal = ZERO
    saved_ns: int = 0
    saved: str = ""


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

        Raises what the store raises, and what a broken record raises once all others are taken up.
        """
        self._days.clear()
        today = self._day(self._now_ns())
        broken: Exception | None = None
        for key, written in self._store.load().items():
            if not key.startswith(_PREFIX):
                continue
            kind, _, name = key.removeprefix(_PREFIX).partition("/")
            try:
                self._take_up(Scope(kind, name), json.loads(written), today)  # type: ignore[arg-type]
            except Exception as error:
                broken = error
        if broken is not None:
            raise broken

    def _take_up(self, scope: Scope, record: dict[str, Any], today: str) -> None:
        value = self._value(scope)
        if record.get("resumed"):
            # Somebody accepted, while no node ran, what it lost; how much that is by the broker is known only now.
            self._days[scope] = Day(today, value, value)
            self.rearm(scope)
            return
        day = Day(record["day"], value, value + Decimal(record["below"]))
        day.starts = _starts(record) if "starts" in record else self._starts_before(scope, record)
        if not _is_new(today, day.day):
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
            is_new = _is_new(today, day.day)
            if is_new:
                self._ledger.new_day()
                day.day, day.base = today, value
                if limits.daily_loss_rearms == "next_day":
                    why = f"a new trading day, {today}"
                    self._states.lift(str(Code.MAX_DAILY_LOSS), scope=scope, why=why)
            if value > day.peak:
                day.peak = value
            day.lost = max(day.base - value, self._lost(scope, day, now_ns, is_new=is_new))
            day.below = day.peak - value
            breached = self._breaches(scope, limits, day)
            self._save(scope, day, now_ns, at_once=breached)

    def rearm(self, scope: Scope) -> None:
        """Somebody resumed this level: what was lost is accepted."""
        value = self._value(scope)
        today = self._day(self._now_ns())
        day = self._days.get(scope)
        if day is not None:
            day.day = today if _is_new(today, day.day) else day.day
            day.base = day.peak = value
            day.lost = day.below = ZERO
            day.starts = {
                account: Start(report.closing, report.now, report.doubted)
                for account, report in self._reported(scope).items()
                if report is not None
            }
            self._save(scope, day, self._now_ns(), at_once=True)

    def _lost(self, scope: Scope, day: Day, now_ns: int, *, is_new: bool) -> Decimal:
        """What the broker says was lost; less than any loss where it does not say it of every account."""
        reports = self._reported(scope)
        lost = ZERO
        for account, report in reports.items():
            if report is None:
                continue
            start = day.starts.get(account)
            has_turned = start is not None and start.closing != report.closing
            if (is_new or has_turned) and report.closed_on and report.closed_on < self._day_before(now_ns):
                start = Start(report.closing, report.now, report.doubted)  # all until now was lost before today
            elif start is None or has_turned:
                start = Start(report.closing)
            day.starts[account] = start
            lost += start.lost(report)
        return -_INFINITY if not reports or None in reports.values() else lost

    def _day_before(self, now_ns: int) -> str:
        """The trading day before this one."""
        today = self._day(now_ns)
        return next(day for n in range(1, 15) if (day := self._day(now_ns - n * _DAY_NS)) != today)

    def used(self) -> Iterator[tuple[Scope, str, Decimal]]:
        """Each level's limits with how much of them is used, as fractions; those that can be told."""
        for scope, limits in self._watched:
            day = self._days.get(scope)
            for name, limit, lost in (
                ("max_daily_loss", limits.max_daily_loss, ZERO if day is None else day.lost),
                ("max_drawdown", limits.max_drawdown, ZERO if day is None else day.below),
            ):
                try:
                    most = None if limit is None else self._most(scope, limit, lost)
                except Exception as error:
                    self._on_error(f"telling how much of {scope.section}.{name} is used", error)
                    continue
                if most is not None:
                    yield scope, name, share(lost, most)

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

    def _reported(self, scope: Scope) -> dict[str, Report | None]:
        """By account; None for one without such figures. Nothing of a strategy, which the broker knows nothing of."""
        return {
            str(account_id): self._report(account_id)
            for account_id in ([] if scope.kind == "strategy" else self._accounts(scope))
        }

    def _report(self, account_id: Any) -> Report | None:
        info = self._cache.account(account_id).last_event.info or {}
        before, now = info.get("last_equity"), info.get("equity")
        if before is None or now is None:
            return None
        unexplained = Decimal(info.get("unexplained", 0))
        kept = Decimal(str(now)) - Decimal(info.get("transferred", 0)) - max(unexplained, ZERO)
        closed_on = str(info.get("balance_asof", ""))[:10]
        return Report(Decimal(str(before)), kept, closed_on, min(unexplained, ZERO))

    def _starts_before(self, scope: Scope, record: dict[str, Any]) -> dict[str, Start]:
        """Of a record that has what was accepted as one amount off all accounts together, and their closes as a text:
        with several, whose part it was is not told, so that all counts.

        Raises ValueError, TypeError or SyntaxError where it is broken.
        """
        told, accounts = ast.literal_eval(record.get("closing") or "[]"), self._reported(scope)
        if len(told) != 1 or len(accounts) != 1:
            return {}
        ((closed_on, before),) = told
        report = Report(Decimal(before), Decimal(before) - Decimal(record["forgiven"]), closed_on[:10])
        return {name: Start(report.closing, report.now, Decimal(record.get("doubted", 0))) for name in accounts}

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
        if not at_once and 0 <= now_ns - day.saved_ns < _SAVE_EVERY_NS:  # a clock that was ahead holds nothing up
            return
        # The own measure is kept; what the broker reports it will report again.
        lost = day.base - self._value(scope)
        record = {
            "day": day.day,
            "lost": str(lost),
            "below": str(day.below),
            "starts": {
                account: [start.closing, None if start.since is None else str(start.since), str(start.doubted)]
                for account, start in day.starts.items()
            },
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


def _is_new(today: str, day: str) -> bool:
    """Whether a trading day has begun after `day`. A clock that is put back, or a calendar that arrives late and knows
    of a holiday, begins none.
    """
    return today > day or (today < day and date.fromisoformat(day) - date.fromisoformat(today) > _APART)


def _starts(record: dict[str, Any]) -> dict[str, Start]:
    return {
        account: Start(closing, None if since is None else Decimal(since), Decimal(doubted))
        for account, (closing, since, doubted) in record["starts"].items()
    }


_INFINITY = Decimal("Infinity")
