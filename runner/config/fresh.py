"""A user's modules, imported anew when their source has changed, while the running objects keep what they have.

Only source files of the user's own are ever imported twice: nothing of the standard library, of what is installed,
or of the runner. A module that imports a changed one is imported anew with it, so that no new class stands on an old
base. The old module objects live on in the objects that were made of them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Self

_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(key)).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_OWN = str(Path(__file__).resolve().parents[1])


type Seen = dict[str, tuple[ModuleType, str]]


def is_users(path: str) -> bool:
    """Whether this source file is a user's own."""
    real = str(Path(path).resolve())
    return real.endswith(".py") and not any(real.startswith(f"{each}/") for each in (*_INSTALLED, _OWN))


class Sources:
    """What the source of each of the user's modules was when it was imported."""

    def __init__(self) -> None:
        self._known: Seen = {}

    def look(self) -> Seen:
        """The user's modules that have been imported since the last `take`, each with its source as it is now."""
        seen: Seen = {}
        for name, module in list(sys.modules.items()):
            known = self._known.get(name)
            if known is not None and known[0] is module:
                continue
            path = _source(module)
            if path is not None and (digest := _digest(path)) is not None:
                seen[name] = (module, digest)
        return seen

    def take(self, seen: Seen) -> None:
        """Remember them."""
        self._known.update(seen)

    def stale(self) -> frozenset[str]:
        """Modules whose source is another one by now, with those that import them and those inside a package."""
        changed = {
            name
            for name, (module, digest) in self._known.items()
            if sys.modules.get(name) is module and (path := _source(module)) and _digest(path) not in (digest, None)
        }
        imports = {name: _imports(name, module) for name, (module, _) in self._known.items()} if changed else {}
        while True:
            more = {
                name
                for name, needed in imports.items()
                if name not in changed and (needed & changed or any(name.startswith(f"{one}.") for one in changed))
            }
            if not more:
                return frozenset(changed)
            changed |= more


class Reimport:
    """While it is open, these modules are imported anew at the next import; closed without `keep`, all is as before.

    Source is read from the disk and never from a cached compilation, which tells two edits of one second apart by
    their size alone.
    """

    def __init__(self, names: Sequence[str] | frozenset[str]) -> None:
        self._names = names
        self._finder = _Finder()
        self._before: dict[str, ModuleType] = {}
        self._attributes: list[tuple[ModuleType, str, ModuleType]] = []
        self._present: frozenset[str] = frozenset()
        self._kept = False

    def __enter__(self) -> Self:
        self._present = frozenset(sys.modules)
        for name in self._names:
            module = sys.modules.pop(name, None)
            if module is None:
                continue
            self._before[name] = module
            parent, _, leaf = name.rpartition(".")
            if (package := sys.modules.get(parent) or self._before.get(parent)) is not None:
                self._attributes.append((package, leaf, module))
        importlib.invalidate_caches()
        linecache.checkcache()
        sys.meta_path.insert(0, self._finder)
        return self

    def keep(self) -> None:
        """What was imported anew stays."""
        self._kept = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.meta_path.remove(self._finder)
        if self._kept:
            return
        for name in [each for each in sys.modules if each not in self._present]:
            # What was imported for the first time may be another one by the next time.
            if (module := sys.modules.get(name)) is not None and _source(module) is not None:
                del sys.modules[name]
        sys.modules.update(self._before)
        for package, leaf, module in self._attributes:
            setattr(package, leaf, module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the usual one finds; a user's sources are compiled from the text."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if not is_users(spec.origin):
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _source(module: ModuleType) -> str | None:
    spec = getattr(module, "__spec__", None)
    path = getattr(spec, "origin", None)
    return path if isinstance(path, str) and path.endswith(".py") and is_users(path) else None


def _digest(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # gone: what runs goes on with what it has
        return None


def _imports(name: str, module: ModuleType) -> set[str]:
    """Modules that this one's source names in its imports; a name out of a package may be a module or not."""
    path = _source(module)
    try:
        tree = ast.parse(Path(path).read_bytes()) if path is not None else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return set()
    package = name if hasattr(module, "__path__") else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".rstrip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found
