"""Where a node's file comes from. No Nautilus here: this is asked before it is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Origin:
    """The files and what they were read with, so that they can be read again in the same way."""

    files: tuple[Path, ...]
    environ: Mapping[str, str] = field(repr=False)
    need_secrets: bool = True
    speed_is_one: bool = True
    loaded: str | None = field(default=None, compare=False)
    """Their fingerprint when the node's file was loaded; what is saved after that has not been looked at."""

    def fingerprint(self) -> str | None:
        """Of the files' bytes; None where one can't be read."""
        return fingerprint(self.files)


def fingerprint(files: tuple[Path, ...]) -> str | None:
    """Of the files' bytes; None where one can't be read."""
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return None
    return digest.hexdigest()
