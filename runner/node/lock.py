"""One runner per account: two that trade one account would each take the other's orders for strangers."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from types import TracebackType

from runner.node.exit_codes import ExitCode, NodeError


class AccountLock:
    """An advisory file lock held as long as the process lives; the kernel frees it however the process ends.

    `identity` is what stands for the account (its number, or its key before that is known); only its hash is written.
    """

    def __init__(self, name: str, identity: str, folder: Path | None = None) -> None:
        self._name = name
        digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
        self._path = (folder or lock_folder()) / f"account-{digest}.lock"
        self._fd: int | None = None

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
        return self

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
            os.close(self._fd)
            self._fd = None

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
