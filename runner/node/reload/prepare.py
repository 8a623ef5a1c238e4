"""The first phase of a reload: everything that can fail. Nothing of the running node is changed by it.

The file is read and checked, changed modules are imported, instruments are looked up, saved state is handed over to an
object that is thrown away, and the objects that are to run are made. Whoever gets a `Prepared` may apply it or drop it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nautilus_trader.common.component import LiveClock, MessageBus

from runner.config.classes import ACTOR, STRATEGY, Kind
from runner.config.diff import Diff, diff
from runner.config.errors import ConfigErrors
from runner.config.fresh import Reimport, Seen, Sources
from runner.config.load import Loaded
from runner.config.models import RunnerConfig
from runner.config.secrets import redact
from runner.config.strategies import Plans
from runner.config.strategies import prepare as load_and_resolve
from runner.node.build import ComponentPlan, NodePlan, Parts, make
from runner.node.gate import limits_book, quoted
from runner.node.guard import Guard
from runner.node.node import Node
from runner.node.portfolio import give_portfolio
from runner.node.reload.origin import Origin
from runner.node.reload.report import ActorSteps, CheckFailed, Held, Steps
from runner.node.stages import StageTimeout, bounded
from runner.risk.limits import LimitsBook

_TRIES = 3


@dataclass(slots=True)
class Code:
    """The modules that were imported for a reload."""

    _sources: Sources
    _reimport: Reimport
    _seen: Seen

    def keep(self) -> None:
        """They are those of the node from now on."""
        self._reimport.keep()
        self._sources.take(self._seen)

    def close(self) -> None:
        """Unless they were kept, it is as if they had not been imported."""
        self._reimport.__exit__(None, None, None)


@dataclass(slots=True)
class Prepared:
    """A reload that has passed every check."""

    origin: Origin
    plan: NodePlan
    steps: Steps
    limits: LimitsBook
    quotes: list[str]
    objects: dict[str, Any]
    """The strategies that are to be added or to replace others, made and not yet of the node."""
    states: dict[str, dict[str, bytes]]
    """What each of them is to load."""
    actors: dict[str, Any]
    """The same of actors."""
    actor_states: dict[str, dict[str, bytes]]
    code: Code


async def prepare(node: Node, origin: Origin, sources: Sources, running: Origin) -> Prepared:
    """Raises CheckFailed. `running` is the origin of what runs."""
    reimport, seen, loaded, plans = await asyncio.to_thread(_load, origin, sources)
    try:
        return await _check(node, origin, running, Code(sources, reimport, seen), loaded, plans)
    except BaseException:
        reimport.__exit__(None, None, None)
        raise


def _load(origin: Origin, sources: Sources) -> tuple[Reimport, Seen, Loaded, Plans]:
    """On a thread: a user's imports may take long. Raises CheckFailed."""
    reimport = Reimport(sources.stale())
    reimport.__enter__()
    try:
        for _ in range(_TRIES):
            before = origin.fingerprint()
            loaded, plans = load_and_resolve(
                origin.files,
                environ=origin.environ,
                need_secrets=origin.need_secrets,
                speed_is_one=origin.speed_is_one,
            )
            if origin.fingerprint() == before:
                return reimport, sources.look(), loaded, plans
        raise CheckFailed("the files change while they are read; save them, and reload then")
    except ConfigErrors as errors:
        reimport.__exit__(None, None, None)
        raise CheckFailed("there are mistakes in the files", [redact(errors.render())]) from errors
    except OSError as error:
        reimport.__exit__(None, None, None)
        raise CheckFailed(f"the files can't be read: {error}") from error
    except BaseException:
        reimport.__exit__(None, None, None)
        raise


async def _check(
    node: Node,
    origin: Origin,
    running: Origin,
    code: Code,
    loaded: Loaded,
    plans: Plans,
) -> Prepared:
    parts, old = node.parts, node.plan
    assert parts is not None
    found = diff(old.config, loaded.config)
    steps = replace(
        _steps(node, found, loaded.config, plans.strategies), actors=_actor_steps(node, found, loaded.config, plans)
    )
    if origin.files != running.files:
        steps = replace(steps, files=tuple(str(path) for path in origin.files))
    if found.restart:
        raise CheckFailed(
            "a restart is needed for what has changed",
            [str(each) for each in found.restart],
            refused=True,
        )
    if recoded := [
        name for name, each in plans.exec_algorithms.items() if each.cls is not old.exec_algorithms[name].cls
    ]:
        raise CheckFailed(
            "a restart is needed for execution algorithms whose code has changed",
            [f"exec_algorithms.{name}" for name in recoded],
            refused=True,
        )
    # A strategy that is not touched keeps its plan: its class and config are those that it runs with.
    kept = {
        name: replace(old.strategies[name], spec=loaded.config.strategies[name])  # type: ignore[type-var]
        for name in steps.unchanged
    }
    plan = replace(
        old,
        config=loaded.config,
        strategies={name: kept.get(name, plans.strategies[name]) for name in loaded.config.strategies},
        actors={
            name: plans.actors[name] if name in steps.actors.new else old.actors[name] for name in loaded.config.actors
        },
    )
    _accounts(parts, old, plan, steps)
    limits, quotes = _limits(plan)
    await _data(node, plan, steps, quotes)
    states = await _states(node, STRATEGY, parts.guards, (*steps.change, *steps.add))
    objects = {name: _made(parts, plan, name, states.get(name)) for name in (*steps.change, *steps.add)}
    actor_states = await _states(node, ACTOR, parts.actors, steps.actors.new)
    actors = {name: _made_actor(parts, plan, name, actor_states.get(name)) for name in steps.actors.new}
    return Prepared(origin, plan, steps, limits, quotes, objects, states, actors, actor_states, code)


def _steps(node: Node, found: Diff, config: RunnerConfig, plans: Mapping[str, ComponentPlan]) -> Steps:
    parts, old = node.parts, node.plan
    assert parts is not None
    named = found.sections["strategies"]
    code = frozenset(
        name for name in (*named.unchanged, *named.change)
        if plans[name].cls is not old.strategies[name].cls
        and config.strategies[name].class_ == old.config.strategies[name].class_
    )  # fmt: skip
    leaving = [*named.change, *named.remove, *(code - named.change.keys())]
    return Steps(
        found,
        code,
        revived=frozenset(name for name in leaving if parts.guards[name].down),
        # A changed one goes as the file says now, a removed one as it said when it was still in it.
        policies={
            name: (config.strategies.get(name) or old.config.strategies[name]).on_stop for name in leaving
        },
        held={name: held(parts, name) for name in leaving},
    )  # fmt: skip


def _actor_steps(node: Node, found: Diff, config: RunnerConfig, plans: Plans) -> ActorSteps:
    parts, old = node.parts, node.plan
    assert parts is not None
    named = found.sections["actors"]
    code = frozenset(
        name for name in (*named.unchanged, *named.change)
        if plans.actors[name].cls is not old.actors[name].cls
        and config.actors[name].class_ == old.config.actors[name].class_
    )  # fmt: skip
    leaving = {*named.change, *named.remove, *code}
    return ActorSteps(named, code, frozenset(name for name in leaving if parts.actors[name].down))


def held(parts: Parts, name: str) -> Held:
    """What a strategy has working and holds."""
    cache, strategy_id = parts.kernel.cache, parts.strategies[name].id
    orders = cache.orders_open_count(strategy_id=strategy_id) + cache.orders_inflight_count(strategy_id=strategy_id)
    orders += len(parts.algorithms.held(strategy_id))
    positions = cache.positions_open(strategy_id=strategy_id)
    return Held(
        orders, tuple(f"{each.signed_decimal_qty().normalize():f} {each.instrument_id.symbol}" for each in positions)
    )


def _accounts(parts: Parts, old: NodePlan, new: NodePlan, steps: Steps) -> None:
    """A position stays on the account that it was opened on."""
    for name in steps.change:
        before, after = old.strategies[name].spec.account, new.strategies[name].spec.account
        if before != after and (has := str(held(parts, name))):
            raise CheckFailed(
                f"strategies.{name}.account: it has {has} on account {before}",
                [f"`runner flatten --strategy {name}` first, or give the strategy on {after} another name"],
            )


def _limits(plan: NodePlan) -> tuple[LimitsBook, list[str]]:
    try:
        book = limits_book(plan.config)
        for name, strategy in plan.strategies.items():
            book.rules(strategy.spec.account, name)
        return book, quoted(plan, book)
    except Exception as error:
        raise CheckFailed(f"the limits can't be put in force: {_words(error)}") from error


async def _data(node: Node, plan: NodePlan, steps: Steps, quotes: list[str]) -> None:
    """Every instrument is known and can be streamed."""
    parts = node.parts
    assert parts is not None
    new = [plan.strategies[name] for name in (*steps.change, *steps.add)]
    new += [plan.actors[name] for name in steps.actors.new]
    instruments = dict.fromkeys([*(each for one in new for each in one.instruments), *quotes])
    bars = tuple(dict.fromkeys(each for one in new for each in getattr(one, "bar_types", ())))
    # The first data client is the venue's, and knows the others.
    client = next(iter(parts.data_clients.values()))
    timeout_s = plan.config.node.connect_timeout.total_seconds()
    try:
        problems = await bounded(client.look_up(tuple(instruments), bars, tuple(quotes)), timeout_s)
    except StageTimeout:
        raise CheckFailed(f"the broker did not answer within {timeout_s:g} s, asked for instruments") from None
    except Exception as error:
        raise CheckFailed(f"the instruments can't be looked up: {_words(error)}") from error
    if problems:
        raise CheckFailed("some market data is not to be had", problems)


async def _states(
    node: Node, kind: Kind, guards: Mapping[str, Guard], names: Iterable[str]
) -> dict[str, dict[str, bytes]]:
    """What each new object is to load: of a running predecessor, or what was kept of an earlier one."""
    states = {}
    for name in names:
        guard = guards.get(name)
        try:
            runs = guard is not None and not guard.down
            state = guard.saved() if guard is not None and runs else await node.kept_state(kind.state_key(name)) or {}
        except Exception as error:
            raise CheckFailed(f"the state of {kind.word} {name} can't be saved or read: {_words(error)}") from error
        if not all(isinstance(key, str) and isinstance(value, bytes) for key, value in state.items()):
            raise CheckFailed(f"the on_save of {kind.word} {name} gives other things than bytes by name")
        if state:
            states[name] = state
    return states


def _made(parts: Parts, plan: NodePlan, name: str, state: dict[str, bytes] | None) -> Any:
    """The strategy that is to run, after another one like it has loaded the state on a message bus of its own."""
    spec, kernel = plan.strategies[name], parts.kernel

    def register(trial: Any, clock: Any, bus: MessageBus) -> None:
        trial.change_id(parts.strategy_id(plan, name))
        trial.change_order_id_tag(name)
        give_portfolio(trial, parts.exec_clients[spec.spec.account].account_id)
        trial.register(
            trader_id=kernel.trader.id, portfolio=kernel.portfolio, msgbus=bus, cache=kernel.cache, clock=clock
        )

    return _tried(f"strategy {name}", spec, parts, state, register)


def _made_actor(parts: Parts, plan: NodePlan, name: str, state: dict[str, bytes] | None) -> Any:
    """The same of an actor."""
    kernel = parts.kernel

    def register(trial: Any, clock: Any, bus: MessageBus) -> None:
        trial.register_base(portfolio=kernel.portfolio, msgbus=bus, cache=kernel.cache, clock=clock)

    return _tried(f"actor {name}", plan.actors[name], parts, state, register)


def _tried(
    words: str,
    spec: Any,
    parts: Parts,
    state: dict[str, bytes] | None,
    register: Callable[[Any, Any, MessageBus], None],
) -> Any:
    """One that is made of the class and config of `spec`, once another one could load the state."""
    what = "made"
    try:
        if state:
            trial, clock = make(spec), LiveClock()
            register(trial, clock, MessageBus(trader_id=parts.kernel.trader.id, clock=clock))
            what = "given the state that its predecessor saved"
            trial.on_load(dict(state))
            clock.cancel_timers()
            what = "made"
        return make(spec)
    except Exception as error:
        raise CheckFailed(f"{words} can't be {what}: {_words(error)}") from error


def _words(error: BaseException) -> str:
    return redact(" ".join(f"{type(error).__name__}: {error}".split()))
