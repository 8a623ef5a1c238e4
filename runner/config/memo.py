"""What `check` found to be fine, so that Nautilus and a user's modules need not be imported for what has not changed.

It takes over a second to import Nautilus, and a class can be asked about its parameters only by importing it. So what
the build stage found is kept, with everything that it depended on: the parameters' text, the import path, the
environment, the day, each module that was loaded and each file that was read meanwhile (size and time of change), and
what could be imported from the folders they came from. Where any of it differs, or can't be told, classes are imported
as if nothing had been kept. Only what was without a mistake is kept; a run of the node never asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from runner.config.document import ListNode, MapNode, Node

#: Files of this many checks are kept; the others go, the longest unused first.
KEPT = 32
#: What differs between two shells, and says nothing.
_PASSING = {"_", "SHLVL", "OLDPWD", "COLUMNS", "LINES", "TERM", "WINDOWID"}
#: What a module may ask the world, whose answer can't be compared.
_DOUBTFUL = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "sqlite3.", "urllib.")
_LISTING = ("os.listdir", "os.scandir", "glob.glob")
_SUFFIXES = (".py", ".pyc", ".so", ".pth")
_UNCHANGING = ("/proc/", "/sys/", "/dev/")

type State = tuple[int, int] | None


class Kept(msgspec.Struct, frozen=True):
    """One check. `files` and `folders` are what it depended on; `found` is the caller's."""

    files: dict[str, State]
    folders: dict[str, str]
    found: Any


def memo_folder() -> Path:
    """`runner/check` in the user's XDG cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "runner" / "check"


class Memo:
    """Of the build stage of some files, in one folder. It never raises: what can't be kept or read is done anew."""

    def __init__(self, files: Sequence[Path], nodes: Mapping[str, Node], environ: Mapping[str, str]) -> None:
        variables = sorted((name, value) for name, value in environ.items() if name not in _PASSING)
        now = datetime.now(UTC)
        asked = [
            {name: _text(node) for name, node in nodes.items()},
            # A param may be judged by the day that it is.
            [now.date().isoformat(), now.astimezone().date().isoformat()],
            [sys.version, sys.prefix, sys.flags, sys.path, variables],
            [str(Path.cwd()), *(str(file.resolve()) for file in files)],
        ]
        self._path = memo_folder() / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}.json"

    def recall(self) -> Any:
        """What was found, None where nothing was, or anything may be different by now."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=Kept)
            if any(_state(path) != state for path, state in kept.files.items()):
                return None
            if any(_listing(folder) != names for folder, names in kept.folders.items()):
                return None
            os.utime(self._path)
        except (OSError, ValueError):
            return None
        return kept.found

    @contextlib.contextmanager
    def watching(self) -> Iterator[Callable[[Any], None]]:
        """Import in this block; hand over what to keep before its end."""
        # Whatever was imported before would not be seen to be.
        fresh = "nautilus_trader" not in sys.modules
        watch = _watch() if fresh else None
        try:
            yield (lambda found: self._keep(found, watch)) if watch is not None else (lambda _found: None)
        finally:
            if watch is not None:
                watch.off = True

    def _keep(self, found: Any, watch: _Watch) -> None:
        watch.off = True
        if watch.doubt is not None:
            return
        modules = list(sys.modules.values())
        paths = {path for module in modules if isinstance(path := getattr(module, "__file__", None), str)} | watch.read
        folders = {entry or str(Path.cwd()) for entry in sys.path}
        folders |= {str(Path(path).parent) for path in paths if path.endswith(_SUFFIXES) and not _is_installed(path)}
        for module in modules:
            with contextlib.suppress(Exception):  # a module may be anything, and so may its path
                folders |= {str(each) for each in getattr(module, "__path__", ()) if not _is_installed(str(each))}
        kept = Kept(
            {path: _state(path) for path in sorted(paths)},
            {folder: _listing(folder) for folder in sorted(folders)},
            found,
        )
        with contextlib.suppress(OSError):
            self._write(msgspec.json.encode(kept))

    def _write(self, body: bytes) -> None:
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            file.write(body)
        Path(file.name).replace(self._path)
        by_use = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in by_use[:-KEPT]:
            path.unlink(missing_ok=True)


def _text(node: Node) -> Any:
    """The tree without its places: a shifted line changes nothing."""
    if isinstance(node, MapNode):
        return {key: _text(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [_text(item) for item in node.items]
    return {"": [node.text, node.quoted]}


def _state(path: str) -> State:
    try:
        stat = os.stat(path)  # noqa: PTH116 (a thousand of them)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _listing(folder: str) -> str:
    """What could be imported from a folder. Not when it changed: an editor that saves a YAML file changes that."""
    if _is_installed(folder):
        return str(_state(folder))
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.endswith(_SUFFIXES) or (entry.name.isidentifier() and entry.name != "__pycache__")
            ]
    except OSError:
        return ""
    return hashlib.sha256("/".join(sorted(names)).encode()).hexdigest()[:16]


def _is_installed(path: str) -> bool:
    return path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep))


class _Watch:
    """Of what a module does while it is imported: which files it reads, and whether it asks anything else."""

    def __init__(self) -> None:
        self.off = False
        self.read: set[str] = set()
        self.doubt: str | None = None

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.off:
            return
        if event == "open":
            if isinstance(args[0], str | bytes | os.PathLike):
                path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100 (links stay links)
                if not (path.endswith(_SUFFIXES) or path.startswith(_UNCHANGING) or _is_installed(path)):
                    self.read.add(path)
        elif event.startswith((*_DOUBTFUL, *_LISTING)) and _is_users_doing():
            self.doubt = event


def _watch() -> _Watch:
    watch = _Watch()
    sys.addaudithook(watch)
    return watch


def _is_users_doing() -> bool:
    """Whether a module that is not installed asks, itself or by another's function; what `import` asks is nobody's."""
    ours = str(Path(__file__).parents[1]) + os.sep
    frame = sys._getframe(2)
    while True:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return False
        if not name.startswith(("<", ours)) and not _is_installed(name):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
