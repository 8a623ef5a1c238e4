"""The build stage: imports each class that the file names and makes its config, all mistakes at their places.

Imports Nautilus, but only when it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from runner.config.classes import (
    ACTOR,
    EXEC_ALGORITHM,
    KINDS,
    STRATEGY,
    ClassProblem,
    Kind,
    config_class,
    extend_path,
    import_class,
    search_folders,
)
from runner.config.document import Entry, MapNode, Mark, Node, Scalar, Step, entry_at, walk
from runner.config.errors import ConfigError, ConfigErrors, instead
from runner.config.fields import CLASS_PATH
from runner.config.load import Inspected, Loaded, inspect, sorted_errors
from runner.config.markets import Market, market_of
from runner.config.memo import Memo
from runner.config.models import ActorConfig, ExecAlgorithmConfig, StrategyConfig
from runner.config.params import VENUE, build_struct
from runner.config.references import extra_folders, names, text_at
from runner.config.secrets import MASK
from runner.config.source import Source, under_secret


@dataclass(frozen=True)
class ComponentPlan[Spec]:
    """What can be built: `cls(config)`. `instruments` and `bar_types` are those its config names."""

    id: str
    cls: type
    config_cls: type
    config: Any
    instruments: tuple[str, ...]
    bar_types: tuple[str, ...]
    spec: Spec


type StrategyPlan = ComponentPlan[StrategyConfig]
type ActorPlan = ComponentPlan[ActorConfig]
type ExecAlgorithmPlan = ComponentPlan[ExecAlgorithmConfig]


@dataclass(frozen=True)
class Plans:
    """All that a file names by class, by its names there."""

    strategies: dict[str, StrategyPlan] = field(default_factory=dict)
    exec_algorithms: dict[str, ExecAlgorithmPlan] = field(default_factory=dict)
    actors: dict[str, ActorPlan] = field(default_factory=dict)

    def others(self) -> dict[str, ComponentPlan[Any]]:
        """Of what is no strategy, by its kind and its name, as in `actor NAME`."""
        kinds = ((EXEC_ALGORITHM, self.exec_algorithms), (ACTOR, self.actors))
        return {f"{kind.word} {name}": plan for kind, plans in kinds for name, plan in plans.items()}


@dataclass(frozen=True)
class Checked:
    """What `check` needs to know of something that the file names by class. `algorithms`: those that it sends to."""

    kind: Kind
    name: str
    class_path: str
    instruments: tuple[str, ...]
    bar_types: tuple[str, ...]
    algorithms: tuple[str, ...]


@dataclass(frozen=True)
class _Made(Checked):
    cls: type
    config_cls: type
    config: Any

    def plan[Spec](self, spec: Spec) -> ComponentPlan[Spec]:
        return ComponentPlan(self.name, self.cls, self.config_cls, self.config, self.instruments, self.bar_types, spec)


def resolve(loaded: Loaded, *, speed_is_one: bool = True) -> Plans:
    """A plan for each class that the file names. Raises ConfigErrors with every mistake.

    `speed_is_one` is false for a replay at another speed, where bars aggregated inside Nautilus would be cut by
    today's clock and are refused.
    """
    made, errors = _build(loaded.source, loaded.files, speed_is_one=speed_is_one)
    if errors:
        raise ConfigErrors(sorted_errors(errors, loaded.files))
    return _plans(made, loaded)


def prepare(
    files: Sequence[Path], *, environ: Mapping[str, str], need_secrets: bool = True, speed_is_one: bool = True
) -> tuple[Loaded, Plans]:
    """`load` and `resolve` at once: raises ConfigErrors with the mistakes of both."""
    found = inspect(files, environ=environ, need_secrets=need_secrets)
    errors = list(found.errors)
    made, more = build_stage(found, files, speed_is_one=speed_is_one)
    if errors or more or found.config is None or found.source is None:
        raise ConfigErrors(sorted_errors([*errors, *more], files))
    loaded = Loaded(found.config, tuple(files), found.source)
    return loaded, _plans(made, loaded)


def build_stage(
    found: Inspected, files: Sequence[Path], *, speed_is_one: bool = True
) -> tuple[list[_Made], list[ConfigError]]:
    """The build stage of whatever could be parsed, mistakes elsewhere in the file or not."""
    if found.source is None:
        return [], []
    return _build(found.source, files, speed_is_one=speed_is_one)


def check_stage(
    found: Inspected, files: Sequence[Path], *, environ: Mapping[str, str], speed_is_one: bool = True
) -> tuple[Sequence[Checked], list[ConfigError]]:
    """`build_stage` for who wants to know of mistakes alone: classes that have not changed since are not imported."""
    if found.source is None:
        return [], []
    source = found.source
    wanted = _wanted(source)
    if not wanted:
        return [], []
    folders = search_folders(files, [folder for _, _, folder in extra_folders(source)])
    extend_path(folders)
    nodes = {kind.section: entry.value for kind in KINDS if (entry := entry_at(source.root, (kind.section,)))}
    memo = Memo(files, {section: _of_classes(node) for section, node in nodes.items()}, environ)
    kinds = {kind.section: kind for kind in KINDS}
    made: Sequence[Checked]
    try:
        rows = msgspec.convert(memo.recall(), list[_Row])
        made = [Checked(kinds[row.section], *(getattr(row, name) for name in _COLUMNS)) for row in rows]
        errors: list[ConfigError] = []
    except msgspec.ValidationError:
        with memo.watching() as keep:
            made, errors = _make(source, wanted, folders)
            if not errors:
                keep([_Row(one.kind.section, *(getattr(one, name) for name in _COLUMNS)) for one in made])
    return made, errors + _between(source, made, speed_is_one=speed_is_one)


class _Row(msgspec.Struct, frozen=True):
    """A `Checked` that is kept."""

    section: str
    name: str
    class_path: str
    instruments: tuple[str, ...]
    bar_types: tuple[str, ...]
    algorithms: tuple[str, ...]


_COLUMNS = ("name", "class_path", "instruments", "bar_types", "algorithms")


def _of_classes(node: Node) -> Node:
    """Of a section what its classes are made of: what else stands there may change without them."""
    if not isinstance(node, MapNode):
        return node
    return MapNode(
        node.mark,
        {
            name: Entry(
                entry.key_mark,
                MapNode(entry.value.mark, {k: v for k, v in entry.value.entries.items() if k in ("class", "params")})
                if isinstance(entry.value, MapNode)
                else entry.value,
            )
            for name, entry in node.entries.items()
        },
    )


def _plans(made: Sequence[_Made], loaded: Loaded) -> Plans:
    config, plans = loaded.config, Plans()
    for one in made:
        if one.kind is STRATEGY:
            plans.strategies[one.name] = one.plan(config.strategies[one.name])
        elif one.kind is EXEC_ALGORITHM:
            plans.exec_algorithms[one.name] = one.plan(config.exec_algorithms[one.name])
        else:
            plans.actors[one.name] = one.plan(config.actors[one.name])
    return plans


def _build(source: Source, files: Sequence[Path], *, speed_is_one: bool) -> tuple[list[_Made], list[ConfigError]]:
    wanted = _wanted(source)
    if not wanted:
        return [], []
    folders = search_folders(files, [folder for _, _, folder in extra_folders(source)])
    extend_path(folders)
    made, errors = _make(source, wanted, folders)
    return made, errors + _between(source, made, speed_is_one=speed_is_one)


def _wanted(source: Source) -> list[tuple[Kind, str, str]]:
    return [
        (kind, name, path)
        for kind in KINDS
        for name in names(source, kind.section)
        if (path := _class_path(source, kind, name)) is not None
    ]


def _make(
    source: Source, wanted: Sequence[tuple[Kind, str, str]], folders: list[Path]
) -> tuple[list[_Made], list[ConfigError]]:
    errors: list[ConfigError] = []
    made = [_one(source, kind, name, class_path, folders, errors) for kind, name, class_path in wanted]
    return [one for one in made if one is not None], errors


def _between(source: Source, made: Sequence[Checked], *, speed_is_one: bool) -> list[ConfigError]:
    """What is wrong with them together, or with the rest of the file."""
    errors: list[ConfigError] = []
    if not speed_is_one:
        for one in made:
            errors += _internal_bars(source, one)
    errors += _same_instrument(source, [one for one in made if one.kind is STRATEGY])
    errors += _markets(source, made)
    errors += _algorithms(source, made)
    return errors


def _class_path(source: Source, kind: Kind, name: str) -> str | None:
    text = text_at(source, kind.section, name, "class")
    return text if text is not None and CLASS_PATH.fullmatch(text) else None


def _one(
    source: Source, kind: Kind, name: str, class_path: str, folders: list[Path], errors: list[ConfigError]
) -> _Made | None:
    here: tuple[Step, ...] = (kind.section, name)
    try:
        cls = import_class(kind, class_path, folders)
        config_cls = config_class(cls)
    except ClassProblem as problem:
        path = (*here, "class")
        errors.append(source.error("build", source.value_mark(path), path, problem.message))
        return None
    path = (*here, "params")
    entry = entry_at(source.root, path)
    node: Node = MapNode(source.key_mark(here)) if entry is None else entry.value
    if isinstance(node, Scalar) and node.text is None:
        node = MapNode(source.key_mark(path))
    if not isinstance(node, MapNode):
        return None
    node = MapNode(source.key_mark(path), node.entries)

    def report(mark: Mark, where: tuple[Step, ...], message: str) -> None:
        if under_secret(where) and (value := text_at(source, *where)):
            message = message.replace(value, MASK)
        errors.append(source.error("build", mark, where, message))

    config = build_struct(node, config_cls, path, report, refused=kind.refused)
    if config is None:
        return None
    if kind is not STRATEGY:
        config = _identified(config, kind, name)
    try:
        made = cls(config)
    except (Exception, SystemExit) as error:  # its author's own checks
        text = " ".join(str(error).split()) or type(error).__name__
        report(node.mark, path, f"{cls.__name__} refuses these: {text}")
        return None
    if kind is not STRATEGY and made.id.value != name:
        path = (*here, "class")
        message = f"{cls.__name__} is not called {name}: its __init__ must hand its config on, super().__init__(config)"
        errors.append(source.error("build", source.value_mark(path), path, message))
        return None
    named = _values_named(config)
    return _Made(kind, name, f"{cls.__module__}:{cls.__qualname__}", *named, cls, config_cls, config)


def _identified(config: Any, kind: Kind, name: str) -> Any:
    """The config with its name in the file for an id. A strategy is given its own later: Nautilus lets it change."""
    from nautilus_trader.model.identifiers import ComponentId, ExecAlgorithmId

    made = ExecAlgorithmId(name) if kind is EXEC_ALGORITHM else ComponentId(name)
    return msgspec.structs.replace(config, **{kind.id_field: made})


def _values_named(config: Any) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Every instrument, bar type and execution algorithm among a config's values."""
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId

    instruments: dict[str, None] = {}
    bar_types: dict[str, None] = {}
    algorithms: dict[str, None] = {}
    for value in _values(config):
        if isinstance(value, InstrumentId):
            instruments[str(value)] = None
        elif isinstance(value, BarType):
            bar_types[str(value)] = None
            instruments[str(value.instrument_id)] = None
        elif isinstance(value, ExecAlgorithmId):
            algorithms[value.value] = None
    return tuple(instruments), tuple(bar_types), tuple(algorithms)


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _values(key)
            yield from _values(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _values(item)
    elif hasattr(value, "__struct_fields__"):
        for field in value.__struct_fields__:
            yield from _values(getattr(value, field))
    else:
        yield value


def _place(source: Source, made: Checked, text: str) -> tuple[Mark, tuple[Step, ...]]:
    """Where the parameters name `text`, or else the parameters themselves (it may be a default)."""
    path: tuple[Step, ...] = (made.kind.section, made.name, "params")
    entry = entry_at(source.root, path)
    if entry is not None:
        for where, _, node in walk(entry.value, path):
            if isinstance(node, Scalar) and node.text is not None and node.text == text:
                return node.mark, where
        for where, _, node in walk(entry.value, path):
            if isinstance(node, Scalar) and node.text is not None and node.text.startswith(f"{text}-"):
                return node.mark, where
    return source.key_mark(path), path


def _internal_bars(source: Source, made: Checked) -> Iterator[ConfigError]:
    for bar_type in made.bar_types:
        if "-INTERNAL" not in bar_type:
            continue
        mark, path = _place(source, made, bar_type)
        message = (
            "bars aggregated inside the node (INTERNAL) are cut by today's clock, which a replay at this speed outruns:"
            " use EXTERNAL bars or --speed 1"
        )
        yield source.error("build", mark, path, message)


def _same_instrument(source: Source, made: Sequence[Checked]) -> Iterator[ConfigError]:
    owners: dict[tuple[str, str], list[str]] = {}
    for one in made:
        name = one.name
        account = text_at(source, "strategies", name, "account")
        for instrument in one.instruments if account is not None else ():
            assert account is not None
            others = owners.setdefault((account, instrument), [])
            shared = text_at(source, "strategies", name, "shared") == "true"
            for other in others:
                if shared and text_at(source, "strategies", other, "shared") == "true":
                    continue
                mark, path = _place(source, one, instrument)
                message = (
                    f"strategies.{other} trades {instrument} on accounts.{account} already,"
                    " name another or write `shared: true` on both"
                )
                yield source.error("build", mark, path, message)
                break
            others.append(name)


def _algorithms(source: Source, made: Sequence[Checked]) -> Iterator[ConfigError]:
    """Orders for an algorithm that is not there would be denied, each of them."""
    known = names(source, EXEC_ALGORITHM.section)
    for one in (one for one in made if one.kind is STRATEGY):
        for name in (name for name in one.algorithms if name not in known):
            mark, path = _place(source, one, name)
            there = instead(name, known, "exec_algorithms") if known else "declare it under exec_algorithms"
            yield source.error("build", mark, path, f"there is no execution algorithm {name}, {there}")


def _markets(source: Source, made: Sequence[Checked]) -> Iterator[ConfigError]:
    """An instrument is of a market; without a feed of that market it would get neither prices nor orders through."""
    feeds = names(source, "feeds")
    markets = {text_at(source, "feeds", feed, "market") for feed in feeds}
    if not feeds or not markets <= set(get_args(Market)):
        return  # the feeds' own mistakes come first
    for one in made:
        for instrument in one.instruments:
            symbol, _, venue = instrument.rpartition(".")
            market = market_of(symbol)
            if venue != VENUE or market in markets:
                continue
            mark, path = _place(source, one, instrument)
            message = (
                f"{instrument} needs a feed of {market}, and there is none:"
                f" add `{market}: {{source: alpaca, market: {market}}}` under feeds"
            )
            yield source.error("build", mark, path, message)
