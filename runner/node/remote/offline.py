"""`runner resume` where no node runs: what its journal has latched is lifted there, for the next start."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import Any

from runner.config.models import RunnerConfig
from runner.journal.store import JournalError, Store
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.lock import AccountLock
from runner.node.paths import journal_path
from runner.risk.latches import MemoryLatches
from runner.risk.losses import resume_record
from runner.risk.state import NODE, Scope, State, States

audit = logging.getLogger("runner.audit")
_RECORD = "INSERT OR REPLACE INTO records VALUES (?, ?)"


def resume_journal(config: RunnerConfig, *, account: str | None, strategy: str | None, why: str) -> dict[str, Any]:
    """Make a scope active, durably. The answer is that of a running node.

    The journal and its accounts are locked meanwhile, so that no node begins with half of it. Raises NodeError where
    that can't be had, there is no such scope, or the journal can't be read or written.
    """
    scope = NODE if account is None and strategy is None else _named(account, strategy)
    who = f"uid {os.getuid()}, process {os.getpid()}, while no node runs"
    path = journal_path(config)
    if not path.is_file():
        known = _known(config, scope)
        if known:
            raise NodeError(ExitCode.FAILED, f"there is no {scope}", f"the file has {known}")
        return {"outcome": f"{scope} is active: it has never run, there is no journal {path}", "left": {}, "states": []}
    try:
        with contextlib.ExitStack() as held:
            store = Store(path).open()
            held.callback(store.close)
            for name, broker_id in store.read("SELECT name, broker_id FROM accounts"):
                held.enter_context(AccountLock(name, f"account {broker_id}"))
            outcome, states = _lift(config, store, scope, why=f"{why} ({who})")
    except NodeError as error:
        audit.warning("%s: resume %s (%s): refused: %s", who, scope, why, error)
        raise
    except JournalError as error:
        audit.warning("%s: resume %s (%s): refused: %s", who, scope, why, error)
        raise NodeError(ExitCode.FAILED, str(error)) from error
    audit.warning("%s: resume %s (%s): %s", who, scope, why, outcome)
    return {"outcome": outcome, "left": {}, "states": states}


def _lift(config: RunnerConfig, store: Store, scope: Scope, *, why: str) -> tuple[str, list[dict[str, Any]]]:
    kept: dict[str, str] = dict(store.read("SELECT key, value FROM records"))
    latches = MemoryLatches(kept)
    states = States(time.time_ns, store=latches)
    try:
        states.restore()
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"the states in {store.path} can't be read: {error}") from error
    known = _known(config, scope)
    if known and states.get(scope).state is State.ACTIVE:
        raise NodeError(ExitCode.FAILED, f"there is no {scope}", f"the file has {known}")
    before = states.get(scope)
    if states.resume(scope=scope, why=why):
        resume_record(latches, scope)
        changed = [(_RECORD, row) for row in latches.records.items() if kept.get(row[0]) != row[1]]
        store.write_now(changed)
        outcome = f"{scope} was {before.state} ({before.why}), and is active at the next start"
    else:
        outcome = f"{scope} was active"
    said = _said(config, scope)
    if said is not State.ACTIVE:
        outcome += f"; but the file says `state: {said}`, change it there"
    rest = [
        {"kind": each.scope.kind, "name": each.scope.name, "state": str(each.state), "why": each.why}
        for each in states.all()
        if each.state is not State.ACTIVE
    ]
    return outcome, rest


def _named(account: str | None, strategy: str | None) -> Scope:
    return Scope("account", account) if account is not None else Scope("strategy", strategy or "")


def _known(config: RunnerConfig, scope: Scope) -> str:
    """What the file has instead of an unknown scope; nothing where it has it."""
    if scope.kind == "node":
        return ""
    names = config.accounts if scope.kind == "account" else config.strategies
    return "" if scope.name in names else ", ".join(names)


def _said(config: RunnerConfig, scope: Scope) -> State:
    """What the file itself sets at each start."""
    sections: dict[str, Any] = {"account": config.accounts, "strategy": config.strategies}
    owner = sections.get(scope.kind, {}).get(scope.name)
    limits = config.risk if scope.kind == "node" else getattr(owner, "limits", None)
    return State(limits.state) if limits is not None and limits.state is not None else State.ACTIVE
