"""Where a node keeps what outlives it. No Nautilus here."""

from __future__ import annotations

import os
from pathlib import Path

from runner.config.models import RunnerConfig


def state_folder() -> Path:
    """Where state is kept unless the file says otherwise: `runner` in the user's XDG state folder."""
    base = os.environ.get("XDG_STATE_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state") / "runner"


def journal_path(config: RunnerConfig) -> Path:
    """One journal a node and environment: paper and live never share one."""
    folder = config.state.dir.expanduser() if config.state.dir is not None else state_folder()
    return folder / config.name / f"{config.environment}.sqlite"
