"""The journal in a node: opened before it is built, followed while it lives, asked when it starts and stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from runner._engine import EngineError
from runner.config.classes import STRATEGY, Kind
from runner.config.models import RunnerConfig
from runner.config.secrets import redact
from runner.journal import Journal, JournalError, SharedStates
from runner.journal.restore import EXTERNAL
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.lock import AccountLock
from runner.node.node import BaseHook, Node
from runner.node.paths import journal_path

log = logging.getLogger("runner.node")
SHARED_HINT = "start Redis, or take state.redis out of the file: strategies then start from what this machine has kept"


def open_journal(config: RunnerConfig, claim: Callable[[str, str], None]) -> Journal:
    """Raises NodeError where it can't be used: a node without its journal would not know what it has sent.

    `claim` is called with an account's name and the broker's id of it, once that is known, before anything is sent.
    """
    try:
        return Journal(journal_path(config), claim=claim, synchronous=config.state.synchronous)
    except JournalError as error:
        raise NodeError(ExitCode.CONFIG, str(error)) from error


def open_shared(config: RunnerConfig) -> SharedStates | None:
    """The strategies' states in Redis. Raises NodeError where it does not answer."""
    redis = config.state.redis
    if redis is None:
        return None
    password = redis.password.value.get_secret_value() if redis.password is not None else None
    shared = SharedStates(
        f"{config.name}:{config.environment}",
        host=redis.host,
        port=redis.port,
        username=redis.username,
        password=password,
        tls=redis.tls,
    )
    try:
        shared.check()
    except OSError as error:
        raise NodeError(ExitCode.CONNECT, str(error), SHARED_HINT) from error
    return shared


def lock_account(locks: list[AccountLock]) -> Callable[[str, str], None]:
    """A lock for the account itself: two keys may open one."""

    names: dict[str, str] = {}

    def claim(name: str, broker_id: str) -> None:
        other = names.setdefault(broker_id, name)
        if other != name:
            raise NodeError(
                ExitCode.CONFIG,
                f"accounts.{other} and accounts.{name} are one account at the broker, opened by two keys",
                "remove one of them: each would take the other's orders for a stranger's",
            )
        locks.append(AccountLock(name, f"account {broker_id}").acquire())

    return claim


class JournalHook(BaseHook):
    """Keeps order events and strategies' saved state. Stands first among the hooks: others look at what it restored."""

    def __init__(self, journal: Journal, shared: SharedStates | None = None) -> None:
        self._journal = journal
        self._shared = shared

    def built(self, node: Node) -> None:
        assert node.parts is not None
        node.keeper = self
        kernel = node.parts.kernel
        self._journal.start(kernel.cache)
        kernel.msgbus.subscribe("events.order.*", self._journal.on_order_event)

    async def reconciling(self, node: Node) -> None:
        """What the journal left open is settled, and Nautilus has heard of it."""
        assert node.parts is not None
        for client in node.parts.exec_clients.values():
            await client.resume.settled()
            await self._heard(node)
            try:
                await client.resume.explain()
            except (EngineError, ValueError) as error:
                raise NodeError(
                    ExitCode.RECONCILE,
                    f"what became of positions while the node was down can't be read: {redact(str(error))}",
                    "start it again once the venue answers; nothing was traded",
                ) from error
        await self._heard(node)

    @staticmethod
    async def _heard(node: Node) -> None:
        assert node.parts is not None
        while node.parts.kernel.exec_engine.evt_qsize():  # noqa: ASYNC110 (Nautilus's queue tells nobody)
            await asyncio.sleep(0)

    async def connected(self, node: Node) -> None:
        assert node.parts is not None
        if node.gate is not None:
            node.gate.take_up()
        self._tell_orphans(node)
        for name, strategy in node.parts.strategies.items():
            state = await self.kept(name)
            if state is not None:
                strategy.load(state)
        for guard in node.parts.others():
            if (state := await self.kept(guard.kind.state_key(guard.name))) is not None:
                guard.component.load(state)

    async def kept(self, name: str) -> dict[str, bytes] | None:
        """The newest of what is kept here and in Redis. Raises NodeError where either can't be read."""
        try:
            own, own_ns = self._journal.load_state(name), self._journal.saved_ns(name)
        except JournalError as error:
            raise NodeError(ExitCode.CONFIG, f"the saved state of strategy {name} can't be read: {error}") from error
        if self._shared is None:
            return own
        try:
            found = await asyncio.to_thread(self._shared.load, name)
        except OSError as error:
            raise NodeError(ExitCode.CONNECT, str(error), SHARED_HINT) from error
        return own if found is None or found[0] <= own_ns else found[1]

    def _tell_orphans(self, node: Node) -> None:
        """Orders and positions whose strategy is not in the file any more: nobody looks after them."""
        assert node.parts is not None
        cache, known = node.parts.kernel.cache, node.parts.names
        found: dict[str, list[str]] = {}
        tags = {f"-{strategy.id.get_tag()}-": name for name, strategy in node.parts.strategies.items()}
        for order in (*cache.orders_open(), *cache.orders_inflight()):
            if order.strategy_id.value == EXTERNAL:
                self._tell_lost(order.client_order_id.value, tags)
            found.setdefault(order.strategy_id.value, []).append(order.client_order_id.value)
        for position in cache.positions_open():
            what = f"{position.signed_decimal_qty()} {position.instrument_id.symbol}"
            found.setdefault(position.strategy_id.value, []).append(what)
        for strategy, things in found.items():
            if strategy not in known and strategy != EXTERNAL:
                log.warning(
                    "%s is not in the file any more, but has %s: put it back, or `runner flatten --account`",
                    strategy,
                    ", ".join(things),
                )

    @staticmethod
    def _tell_lost(client_order_id: str, tags: Mapping[str, str]) -> None:
        """An order of another's that bears an id of ours: a power cut took it from the journal, or its file is lost."""
        for tag, name in tags.items():
            if client_order_id.startswith("O-") and tag in client_order_id:
                log.warning(
                    "%s was an order of strategy %s, and is not in the journal (was there a power cut?): it works on "
                    "as EXTERNAL's; cancel it at the broker, or with `runner flatten --account`",
                    client_order_id,
                    name,
                )

    async def stopped(self, node: Node) -> None:
        assert node.parts is not None
        if node.traded:
            for name, strategy in node.parts.strategies.items():
                if not node.parts.guards[name].down:
                    await self.save(STRATEGY, name, strategy)
            for guard in node.parts.others():
                if not guard.down:
                    await self.save(guard.kind, guard.name, guard.component)

    async def save(self, kind: Kind, name: str, component: Any) -> None:
        """Keep what a component's `on_save` gives. What fails is logged."""
        try:
            state = component.save()
            if state:
                await self.keep(kind.state_key(name), state)
        except Exception as error:
            log.error("the state of %s %s could not be saved: %s", kind.word, name, error)  # noqa: TRY400

    async def keep(self, name: str, state: dict[str, bytes]) -> None:
        """Keep it here and in Redis. Raises JournalError, OSError."""
        saved_ns = self._journal.save_state(name, state)
        if self._shared is not None:
            # In a thread: a server that does not answer must not stop the loop.
            await asyncio.to_thread(self._shared.save, name, saved_ns, state)
