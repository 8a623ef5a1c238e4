"""One runner per account: two that trade one account would each take the other's orders for strangers."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from runner.config.forks import close, keep_from_children
from runner.node.exit_codes import ExitCode, NodeError


class AccountLock:
    """An advisory file lock held as long as the process lives; the kernel frees it however the process ends.

    `identity` is what stands for the account (its number, or its key before that is known); only its hash is written.
    With a `venue` (the broker's address) it is held on the whole machine, not only among those that share a runtime
    folder: a shell, cron and sudo each have their own.
    """

    def __init__(self, name: str, identity: str, folder: Path | None = None, *, venue: str | None = None) -> None:
        self._name = name
        digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
        self._path = (folder or lock_folder()) / f"account-{digest}.lock"
        self._fd: int | None = None
        self._venue = None if venue is None else hashlib.sha256(f"{identity} {venue}".encode()).hexdigest()[:24]
        self._socket: socket.socket | None = None

    def acquire(self) -> AccountLock:
        """Raises NodeError (configuration) when another process holds it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise NodeError(
                ExitCode.CONFIG,
                f"account {self._name} is already traded by another runner (process {holder or 'unknown'})",
                "end that one first, or give this file another account",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd
        keep_from_children(fd)
        try:
            self._acquire_venue()
        except BaseException:
            self.release()
            raise
        return self

    def _acquire_venue(self) -> None:
        if self._venue is None or not sys.platform.startswith("linux"):
            return
        # A name in the kernel's own list of sockets, which has no folder; it is free again when the process has ended.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            keep_from_children(self._socket.fileno())
            self._socket.bind(f"\0runner-account-{self._venue}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise NodeError(
                ExitCode.CONFIG,
                f"account {self._name} is already traded by another runner, which has another runtime folder than "
                f"this one ({self._path.parent}): another user's, or one that cron or sudo started",
                "end that one first, or give this file another account",
            ) from None

    def holder(self) -> str | None:
        """The process that holds it now; None where nobody does. Takes it for nobody."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        finally:
            os.close(fd)
        return None

    def release(self) -> None:
        if self._fd is not None:
            close(self._fd)
            self._fd = None
        if self._socket is not None:
            close(self._socket.detach())
            self._socket = None

    def __enter__(self) -> AccountLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_folder() -> Path:
    """The user's runtime folder, or one in the temporary folder that carries the user's number."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "runner"
    return Path(tempfile.gettempdir()) / f"runner-{os.getuid()}"
