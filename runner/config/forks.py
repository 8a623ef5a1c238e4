"""Locks are of the process that took them: a child that a strategy forks must not hold them when that one has ended."""

from __future__ import annotations

import contextlib
import os

_held: set[int] = set()


def keep_from_children(fd: int) -> None:
    """Have a forked child close this descriptor at once; the lock on it stays the parent's."""
    _held.add(fd)


def close(fd: int) -> None:
    """Close it, unless this is a child, where it is closed already and its number may be another file's."""
    if fd in _held:
        _held.discard(fd)
        os.close(fd)


def _in_child() -> None:
    for fd in _held:
        with contextlib.suppress(OSError):
            os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_in_child)
