"""Where a node's control socket is, for the node that makes it and the commands that look for it. No Nautilus here."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.node.exit_codes import ExitCode, NodeError
from runner.node.lock import lock_folder

_SUFFIX = ".sock"


@dataclass(frozen=True, slots=True)
class Place:
    """One node's socket. Runs of one file stand side by side (a trial beside the real one), so the process is in it."""

    name: str
    environment: str
    pid: int
    folder: Path

    @classmethod
    def of(cls, path: Path) -> Place | None:
        """What a file's name says; None for another file."""
        words = path.name.removesuffix(_SUFFIX).rsplit(".", 2)
        if not path.name.endswith(_SUFFIX) or len(words) != 3 or not words[2].isdecimal():
            return None
        return cls(words[0], words[1], int(words[2]), path.parent)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.{self.environment}.{self.pid}{_SUFFIX}"


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """The path by a name that is short enough for a socket's address (some hundred bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def answers(path: Path) -> bool:
    """Whether somebody listens there."""
    try:
        with address(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            client.connect(name)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        return True  # it is there, if too busy, or not ours to ask
    return True


def running(name: str | None = None) -> list[Place]:
    """The nodes of this user that listen now."""
    places = (Place.of(path) for path in sorted(lock_folder().glob(f"*{_SUFFIX}")))
    return [each for each in places if each is not None and name in (None, each.name) and answers(each.path)]


def own_folder(folder: Path) -> Path:
    """Make the folder, for this user alone. Raises NodeError where it is another user's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            folder.chmod(0o700)
            return folder
        problem = "it belongs to somebody else"
    except OSError as error:
        problem = error.strerror or str(error)
    raise NodeError(
        ExitCode.CONFIG,
        f"the control socket's folder {folder} can't be used: {problem}",
        "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
    )


def listen(place: Place) -> socket.socket:
    """A listening socket that only this user can open; what ended nodes left behind is removed. Raises NodeError."""
    own_folder(place.folder)
    for path in place.folder.glob(f"*{_SUFFIX}"):
        if Place.of(path) is not None and not answers(path):
            path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with address(place.path) as name:
            listener.bind(name)
        place.path.chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise NodeError(
            ExitCode.CONFIG,
            f"the control socket {place.path} can't be made: {error.strerror}",
            "set XDG_RUNTIME_DIR to a folder of your own on a local disk",
        ) from error
    return listener
