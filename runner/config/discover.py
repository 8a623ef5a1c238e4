"""Which modules may hold strategies, actors and algorithms: by their text, so that nothing runs that only looks so."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NAUTILUS_EXAMPLES = ("nautilus_trader.examples.strategies", "nautilus_trader.examples.algorithms.twap")
_BASES = ("Strategy", "ExecAlgorithm", "Actor")
_DISTRIBUTIONS = {"guarded-runner", "nautilus_trader", "nautilus-trader"}
_HARMLESS = (
    ast.Import,
    ast.ImportFrom,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Assign,
    ast.AnnAssign,
    ast.TypeAlias,
    ast.Assert,
    ast.Pass,
)
#: Folders of a user's that hold none, and would take long.
_SKIPPED = {"node_modules", "site-packages", "tests", "target", "dist", "build"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module whose text defines one. `problem` says why it must not be imported."""

    name: str
    path: Path
    problem: str | None = None


def in_folders(folders: Iterable[Path]) -> Iterator[Candidate]:
    """Modules beside one another and in packages below these folders."""
    for folder in folders:
        for path in _files(folder):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if name and (found := _read(name, path)) is not None:
                yield found


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.py"))
    for below in sorted(each for each in folder.iterdir() if each.is_dir()):
        if (below / "__init__.py").is_file() and below.name.isidentifier() and below.name not in _SKIPPED:
            yield from _files(below)


def at(path: Path) -> tuple[Path, list[Candidate]]:
    """The folder to import from, and what a file or a folder holds."""
    path = path.resolve()
    root = path if path.is_dir() else path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    if path.is_dir():
        return root, [each for each in in_folders([root]) if each.path.is_relative_to(path)]
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    found = _read(name, path)
    return root, [] if found is None else [found]


def in_package(name: str) -> list[Candidate]:
    """Modules of an importable package or module, imported only as far as its parents. Empty where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        found = _read(name, Path(spec.origin)) if spec.origin else None
        return [] if found is None else [found]
    candidates = []
    for info in pkgutil.iter_modules(list(spec.submodule_search_locations)):
        path = Path(getattr(info.module_finder, "path", "")) / info.name
        if info.ispkg:
            candidates += in_package(f"{name}.{info.name}")
        elif (found := _read(f"{name}.{info.name}", path.with_suffix(".py"))) is not None:
            candidates.append(found)
    return candidates


def installed() -> Iterator[Candidate]:
    """Those of installed packages that say that they need Nautilus, and of Nautilus's own examples last."""
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        needs = distribution.requires or []
        if name in _DISTRIBUTIONS or not any(each.replace("-", "_").startswith("nautilus_trader") for each in needs):
            continue
        for top in (distribution.read_text("top_level.txt") or name.replace("-", "_")).split():
            yield from in_package(top)
    for examples in NAUTILUS_EXAMPLES:
        yield from in_package(examples)


def _read(name: str, path: Path) -> Candidate | None:
    """A candidate where the text has a class that extends what is called like Nautilus's bases."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not any(base in text for base in _BASES):
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 1)
        return Candidate(name, path, f"SyntaxError at {path}:{line}: {getattr(error, 'msg', error)}")
    if not _found(tree):
        return None
    # A module of a package is made to be imported; one that stands alone may be a script.
    return Candidate(name, path, None if "." in name else _runs(tree, path))


def _found(tree: ast.Module) -> Sequence[str]:
    """Names of classes that extend one, by the look of it; their configs are not among them."""
    known = set(_BASES)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            known |= {each.asname or each.name for each in node.names if each.name.endswith(_BASES)}
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in node.bases]
            if any(base in known or base.endswith(_BASES) for base in bases):
                known.add(node.name)
                found.append(node.name)
    return found


def _runs(tree: ast.Module, path: Path) -> str | None:
    """Why importing would do more than define things: a script without `if __name__ == "__main__":`."""
    for node in tree.body:
        if isinstance(node, _HARMLESS) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node, ast.If | ast.Try):
            continue  # the guard of a script, TYPE_CHECKING, an optional import
        return f'not imported: {path}:{node.lineno} runs code; put it under `if __name__ == "__main__":`'
    return None
