"""From `package.module:ClassName` to the strategy class and its config class."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import traceback
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runner.config.errors import instead, suggestion


class ClassProblem(Exception):
    """Why a class can't be used: a sentence for the person who named it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def search_folders(files: Sequence[Path], extra: Iterable[Path]) -> list[Path]:
    """Where strategies are looked for besides what is installed, in order."""
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


def import_strategy(path: str, folders: Sequence[Path]) -> type:
    """The class at `path`. Raises ClassProblem."""
    from nautilus_trader.trading.strategy import Strategy

    module_name, _, class_name = path.partition(":")
    module = _import(module_name, folders)
    found = getattr(module, class_name, None)
    if found is None:
        strategies = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
        ]
        raise ClassProblem(f"{module_name} has no class {class_name}, {instead(class_name, strategies, 'strategies')}")
    if not isinstance(found, type):
        raise ClassProblem(f"{class_name} is not a class, name one that extends Nautilus's Strategy")
    if found is Strategy:
        raise ClassProblem("Strategy itself does nothing, name a class that extends it")
    if not issubclass(found, Strategy):
        strategy = suggestion(
            class_name.removesuffix("Config"), [n for n, v in vars(module).items() if _is(v, Strategy)]
        )
        raise ClassProblem(
            f"{class_name} does not extend Nautilus's Strategy" + (f", did you mean {strategy}?" if strategy else "")
        )
    return found


def strategies_in(module_name: str, folders: Sequence[Path]) -> list[type]:
    """The strategies that a module itself defines. Raises ClassProblem where it can't be imported."""
    from nautilus_trader.trading.strategy import Strategy

    module = _import(module_name, folders)
    return [value for value in vars(module).values() if _is(value, Strategy) and value.__module__ == module_name]


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


def config_class(strategy: type) -> type:
    """The class of a strategy's `config`: by its __init__'s annotation, or `<Class>Config` beside it.

    One without either has its parent's. Raises ClassProblem.
    """
    from nautilus_trader.config import StrategyConfig
    from nautilus_trader.trading.strategy import Strategy

    annotated = _annotation(strategy)
    if _is(annotated, StrategyConfig) and "__init__" in vars(strategy):
        return typing.cast("type", annotated)
    for ancestor in strategy.__mro__[: strategy.__mro__.index(Strategy)]:
        beside = getattr(sys.modules.get(ancestor.__module__), f"{ancestor.__name__}Config", None)
        if _is(beside, StrategyConfig):
            return typing.cast("type", beside)
        if "__init__" in vars(ancestor) and _is(annotated, StrategyConfig):
            return typing.cast("type", annotated)
    if annotated is None or annotated is StrategyConfig:
        return typing.cast("type", StrategyConfig)
    raise ClassProblem(
        f"the config of {strategy.__name__} is no StrategyConfig,"
        " annotate `config` in its __init__ with a class that extends it"
    )


def _annotation(strategy: type) -> Any:
    init = strategy.__init__  # type: ignore[misc]
    try:
        hints = typing.get_type_hints(init)
    except Exception:  # an annotation that is importable only for type checkers
        return None
    try:
        parameters = inspect.signature(init).parameters
    except (TypeError, ValueError):  # a compiled __init__
        return None
    if "config" not in parameters and len(parameters) > 1 and inspect.isfunction(init):
        raise ClassProblem(f"the __init__ of {strategy.__name__} has no parameter `config`, add it")
    hint = hints.get("config")
    options = [one for one in typing.get_args(hint) if one is not type(None)]
    return options[0] if len(options) == 1 and typing.get_origin(hint) in {typing.Union, types.UnionType} else hint
