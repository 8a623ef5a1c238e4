"""From `package.module:ClassName` to the class of a strategy, an actor or an algorithm, and its config class."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import traceback
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.config.errors import instead, suggestion


class ClassProblem(Exception):
    """Why a class can't be used: a sentence for the person who named it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Kind:
    """What a section of the file declares by class. `base` and `config_base` are import paths of Nautilus's classes."""

    section: str
    word: str
    base: str
    config_base: str
    id_field: str
    """The field of its config that holds its id, which is its name in the file."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Fields of its config that a file can't set, each with what to do instead."""

    @property
    def plural(self) -> str:
        return {"strategy": "strategies"}.get(self.word, f"{self.word}s")

    @property
    def label(self) -> str:
        """As metrics have it."""
        return self.word.replace("execution", "exec").replace(" ", "_")

    def state_key(self, name: str) -> str:
        """Under which the saved state of one of this name is kept. Names have no slash."""
        return name if self is STRATEGY else f"{self.section}/{name}"

    @property
    def base_name(self) -> str:
        return self.base.partition(":")[2]


STRATEGY = Kind(
    "strategies",
    "strategy",
    "nautilus_trader.trading.strategy:Strategy",
    "nautilus_trader.config:StrategyConfig",
    "strategy_id",
    {
        "strategy_id": "the strategy's name in the file is its id, remove it",
        "order_id_tag": "made from the strategy's name in the file, remove it",
    },
)
EXEC_ALGORITHM = Kind(
    "exec_algorithms",
    "execution algorithm",
    "nautilus_trader.execution.algorithm:ExecAlgorithm",
    "nautilus_trader.config:ExecAlgorithmConfig",
    "exec_algorithm_id",
    {"exec_algorithm_id": "the algorithm's name in the file is its id, remove it"},
)
ACTOR = Kind(
    "actors",
    "actor",
    "nautilus_trader.common.actor:Actor",
    "nautilus_trader.config:ActorConfig",
    "component_id",
    {"component_id": "the actor's name in the file is its id, remove it"},
)
#: Every strategy and every algorithm is an actor, too: those come first.
KINDS = (STRATEGY, EXEC_ALGORITHM, ACTOR)


def search_folders(files: Sequence[Path], extra: Iterable[Path]) -> list[Path]:
    """Where classes are looked for besides what is installed, in order."""
    folders = [Path.cwd()]
    for file in files:
        folders += [file.resolve().parent, file.resolve().parent.parent]
    folders += extra
    return list(dict.fromkeys(folder.resolve() for folder in folders))


#: A checkout that this runs from has example strategies of its own, which must not hide those of a user's folder.
_CHECKOUT = Path(__file__).resolve().parents[2]


def extend_path(folders: Iterable[Path]) -> None:
    """Append to the import path. Never in front, so that no file of a user's hides an installed module."""
    folders = list(folders)
    if (_CHECKOUT / "pyproject.toml").is_file() and _CHECKOUT not in folders:
        last = [entry for entry in sys.path if Path(entry).resolve() == _CHECKOUT]
        sys.path[:] = [entry for entry in sys.path if entry not in last]
        folders.append(_CHECKOUT)
    present = {str(Path(entry).resolve()) for entry in sys.path}
    for folder in folders:
        if str(folder) not in present and folder.is_dir():
            sys.path.append(str(folder))
            importlib.invalidate_caches()


def import_class(kind: Kind, path: str, folders: Sequence[Path]) -> type:
    """The class at `path`, of this kind. Raises ClassProblem."""
    module_name, _, class_name = path.partition(":")
    module = _import(module_name, folders)
    found = getattr(module, class_name, None)
    if found is None:
        there = [name for name, value in vars(module).items() if kind_of(value) is kind]
        meant = instead(class_name, there, kind.plural) if there else f"and no {kind.plural}"
        raise ClassProblem(f"{module_name} has no class {class_name}, {meant}")
    if not isinstance(found, type):
        raise ClassProblem(f"{class_name} is not a class, name one that extends Nautilus's {kind.base_name}")
    if found is _nautilus(kind.base):
        raise ClassProblem(f"{class_name} itself does nothing, name a class that extends it")
    if (other := kind_of(found)) is not None and other is not kind:
        article = "an" if other.word[0] in "aeiou" else "a"
        raise ClassProblem(f"{class_name} is {article} {other.word}, name it under {other.section}")
    if other is None:
        similar = suggestion(
            class_name.removesuffix("Config"), [n for n, v in vars(module).items() if kind_of(v) is kind]
        )
        raise ClassProblem(
            f"{class_name} does not extend Nautilus's {kind.base_name}"
            + (f", did you mean {similar}?" if similar else "")
        )
    return found


def import_named(path: str, folders: Sequence[Path]) -> type:
    """The class at `path`, of whatever kind it is. Raises ClassProblem."""
    module_name, _, class_name = path.partition(":")
    kind = kind_of(getattr(_import(module_name, folders), class_name, None))
    return import_class(kind or STRATEGY, path, folders)


def kind_of(value: Any) -> Kind | None:
    """Of which kind a class is; None for what a file can't name, Nautilus's own bases among it."""
    bases = [typing.cast("type", _nautilus(kind.base)) for kind in KINDS]
    if not isinstance(value, type) or value in bases:
        return None
    return next((kind for kind, base in zip(KINDS, bases, strict=True) if issubclass(value, base)), None)


def classes_in(module_name: str, folders: Sequence[Path]) -> list[type]:
    """What a module itself defines that a file can name. Raises ClassProblem where it can't be imported."""
    module = _import(module_name, folders)
    return [value for value in vars(module).values() if kind_of(value) is not None and value.__module__ == module_name]


def _nautilus(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _is(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base


def _import(name: str, folders: Sequence[Path]) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ClassProblem(_not_found(name, error.name, folders)) from None
        raise ClassProblem(
            f"{name} can't be imported: it needs the module {error.name}, which is not installed"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may do anything, sys.exit included
        raise ClassProblem(f"{name} can't be imported: {_what(error)}") from None


def _not_found(name: str, missing: str, folders: Sequence[Path]) -> str:
    parent, _, leaf = missing.rpartition(".")
    if parent:
        places = list(getattr(sys.modules.get(parent), "__path__", []))
        there = sorted(info.name for info in pkgutil.iter_modules(places))
        meant = suggestion(leaf, there)
        found = (
            f"did you mean {name.replace(missing, f'{parent}.{meant}', 1)}?" if meant else f"it has {', '.join(there)}"
        )
        return f"{parent} has no module {leaf}, {found}" if there else f"{parent} has no module {leaf}"
    there = sorted(
        {info.name for info in pkgutil.iter_modules([str(folder) for folder in folders])}
        | {child.name for folder in folders if folder.is_dir() for child in folder.iterdir() if child.is_dir()}
    )
    meant = suggestion(leaf, there)
    looked = ", ".join(str(folder) for folder in folders)
    what = f"did you mean {name.replace(missing, meant, 1)}? " if meant else ""
    return f"there is no module {missing}, {what}(looked among what is installed and in {looked})"


def _what(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__} at {error.filename}:{error.lineno}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {' '.join(str(error).split())}"


def config_class(cls: type) -> type:
    """The class of a component's `config`: by its __init__'s annotation, or `<Class>Config` beside it.

    One without either has its parent's. Raises ClassProblem.
    """
    kind = kind_of(cls)
    assert kind is not None, cls
    base, config_base = _nautilus(kind.base), _nautilus(kind.config_base)
    annotated = _annotation(cls)
    if _is(annotated, config_base) and "__init__" in vars(cls):
        return typing.cast("type", annotated)
    for ancestor in cls.__mro__[: cls.__mro__.index(base)]:
        beside = getattr(sys.modules.get(ancestor.__module__), f"{ancestor.__name__}Config", None)
        if _is(beside, config_base):
            return typing.cast("type", beside)
        if "__init__" in vars(ancestor) and _is(annotated, config_base):
            return typing.cast("type", annotated)
    if annotated is None or annotated is config_base:
        return typing.cast("type", config_base)
    raise ClassProblem(
        f"the config of {cls.__name__} is no {config_base.__name__},"
        " annotate `config` in its __init__ with a class that extends it"
    )


def config_fields(kind: Kind) -> frozenset[str]:
    """Fields of the config of every component of this kind."""
    return frozenset(_nautilus(kind.config_base).__struct_fields__)


def _annotation(cls: type) -> Any:
    init = cls.__init__  # type: ignore[misc]
    try:
        hints = typing.get_type_hints(init)
    except Exception:  # an annotation that is importable only for type checkers
        return None
    try:
        parameters = inspect.signature(init).parameters
    except (TypeError, ValueError):  # a compiled __init__
        return None
    if "config" not in parameters and len(parameters) > 1 and inspect.isfunction(init):
        raise ClassProblem(f"the __init__ of {cls.__name__} has no parameter `config`, add it")
    hint = hints.get("config")
    options = [one for one in typing.get_args(hint) if one is not type(None)]
    return options[0] if len(options) == 1 and typing.get_origin(hint) in {typing.Union, types.UnionType} else hint
