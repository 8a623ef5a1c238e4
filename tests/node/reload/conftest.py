"""A node over the fake venue whose file and strategies stand in a folder, so that they can be edited."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.config.strategies import prepare
from runner.metrics.registry import Metrics
from runner.node.build import Endpoint, NodePlan
from runner.node.calendar import CalendarHook
from runner.node.gate import install_gate
from runner.node.reload.hook import ReloadHook
from runner.node.reload.origin import Origin
from runner.node.remote.commands import Command, Commands
from runner.node.schedule.hook import ScheduleHook
from tests.node.fake_venue import Behaviour, Run

CODE = '''
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import StrategyConfig

from tests.node.fake_venue import IBM, Quiet


class SubjectConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId = IBM
    period: int = 10
    fails_on: str = ""


class Subject(Quiet):
    """Fails where its parameters say so; counts its lives by its saved state."""

    made = 0

    def __init__(self, config: SubjectConfig) -> None:
        super().__init__(config)
        Subject.made += config.fails_on == "make"
        if config.fails_on == "make" and Subject.made % 2 == 0:  # the check's own is made, what is to run is not
            raise ValueError("no more of them")
        self.lives = 1

    def on_start(self) -> None:
        self._fail("start")
        super().on_start()

    def on_save(self):
        self._fail("save")
        return {"lives": str(self.lives).encode()}

    def on_load(self, state) -> None:
        self._fail("load")
        self.lives = int(state["lives"]) + 1

    def _fail(self, where: str) -> None:
        if self.config.fails_on == where:
            raise ValueError(f"{where} fails")


class Other(Subject):
    pass


class EarsConfig(ActorConfig, frozen=True):
    fails_on: str = ""


class Ears(Actor):
    """Hears quotes; its state is how many."""

    def __init__(self, config: EarsConfig) -> None:
        super().__init__(config)
        self.quotes = 0

    def on_start(self) -> None:
        if self.config.fails_on == "start":
            raise ValueError("no start")
        self.subscribe_quote_ticks(IBM)

    def on_quote_tick(self, tick) -> None:
        self.quotes += 1

    def on_save(self):
        return {"quotes": str(self.quotes).encode()}

    def on_load(self, state) -> None:
        if self.config.fails_on == "load":
            raise ValueError("no load")
        self.quotes = int(state["quotes"])


class Slices(ExecAlgorithm):
    pass
'''
HEAD = """\
name: test
environment: sim
feeds: {stocks: {market: stocks}}
node: {connect_timeout: 300ms, reconcile_timeout: 300ms, stop_timeout: 1s}
log: {level: error}
"""


class Editable:
    """The folder, and the node that runs by it. `await at.reload()` is the command's answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "test.yaml"
        self.module = f"subject_{folder.name.replace('-', '_')}"
        self.code = folder / f"{self.module}.py"
        self.code.write_text(CODE)
        self.metrics = Metrics()
        self.strategies = {name: {"on_stop": "keep"} for name in ("a", "b", "c")}
        self.more = ""
        self.actors: dict[str, str] = {}
        self.algorithms: dict[str, str] = {}
        self.accounts = ("main",)
        self.write()
        self.run: Run

    def write(self) -> None:
        lines = [HEAD, self.more, "accounts:"]
        for each in self.accounts:
            lines += [f"  {each}: {{broker: alpaca, key: {{env: {each.upper()}_KEY}}, secret: {{env: A_SECRET}}}}"]
        lines.append("strategies:")
        for name, keys in self.strategies.items():
            said = {"class": f"{self.module}:Subject", "account": "main", "feed": "stocks", "shared": "true"} | keys
            lines += [f"  {name}:", *(f"    {key}: {value}" for key, value in said.items())]
        for section, made in (("actors", self.actors), ("exec_algorithms", self.algorithms)):
            lines += [f"{section}:"] * bool(made)
            lines += [f"  {name}: {{class: '{self.module}:{what}'}}" for name, what in made.items()]
        self.path.write_text("\n".join([*lines, ""]))

    def edit(self, name: str, **keys: str) -> None:
        self.strategies[name] = self.strategies.get(name, {}) | {key.rstrip("_"): value for key, value in keys.items()}
        self.write()

    def remove(self, name: str) -> None:
        del self.strategies[name]
        self.write()

    async def do(self, verb: str, *files: Path) -> dict[str, Any]:
        command = Command(why="a test", files=tuple(map(str, files)))
        return await Commands(self.run.node).do(verb, command, "a test")  # type: ignore[arg-type]

    async def reload(self) -> dict[str, Any]:
        return await self.do("reload")

    def sample(self, metric: str, /, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric, labels)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Editable]:
    editable = Editable(tmp_path)
    before = list(sys.path)
    yield editable
    sys.path[:] = before
    sys.modules.pop(editable.module, None)


@pytest.fixture
async def at(folder: Editable, behaviour: Behaviour) -> AsyncIterator[Editable]:
    """It runs."""
    async with start(folder, behaviour) as run:
        folder.run = run
        yield folder


def start(
    folder: Editable, behaviour: Behaviour, *, gate: bool = True, watch: bool = False, telemetry: Any = None
) -> Run:
    loaded, plans = prepare((folder.path,), environ={}, need_secrets=False)
    endpoint = Endpoint("key", "secret")
    plan = NodePlan(
        loaded.config,
        plans.strategies,
        dict.fromkeys(folder.accounts, endpoint),
        {"stocks": endpoint},
        actors=plans.actors,
        exec_algorithms=plans.exec_algorithms,
    )
    hooks: list[Any] = []
    if telemetry is not None:
        hooks.append(telemetry)
    hooks.append(
        ReloadHook(
            Origin((folder.path,), {}, need_secrets=False),
            lambda: folder.metrics if telemetry is None else telemetry.metrics,
            watch=watch,
        )
    )
    hooks += [calendar := CalendarHook(), ScheduleHook(calendar)]
    return Run(plan, behaviour, hooks=tuple(hooks), install_gate=install_gate if gate else None)
