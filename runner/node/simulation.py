"""The simulated exchange as a child process: started first, ready in the background, ended with the node.

It runs in a process of its own because that is what a real venue is: nothing but the wire between it and the node.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runner.margin.options import OCC
from runner.node.exit_codes import ExitCode, NodeError

log = logging.getLogger("runner.exchange")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class SimOptions:
    """What `--sim` can be told. `speed` is a factor on real time as text, or `max` for lock-step."""

    replay: tuple[Path, ...] = ()
    speed: str = "1"
    start: str | None = None
    seed: int = 0
    symbols: tuple[str, ...] = ()
    fee_per_share: str = "0"
    options: tuple[str, ...] = ()
    """Underlyings whose option chains are made up."""

    @property
    def lockstep(self) -> bool:
        return self.speed == "max"

    def arguments(self) -> list[str]:
        words = ["exchange", "--port", "0", "--wait", "--speed", self.speed, "--seed", str(self.seed)]
        for path in self.replay:
            words += ["--replay", str(path)]
        if self.start is not None:
            words += ["--start", self.start]
        contracts = [OCC.fullmatch(symbol) for symbol in self.symbols]
        roots = dict.fromkeys([*self.options, *(found[1] for found in contracts if found is not None)])
        others = [symbol for symbol, found in zip(self.symbols, contracts, strict=True) if found is None]
        if not self.replay:
            words += ["--symbols", ",".join(dict.fromkeys([*others, *roots]))] if self.symbols else []
            words += ["--options", ",".join(roots)] if roots else []
        if self.fee_per_share not in ("0", ""):
            words += ["--fee-per-share", self.fee_per_share]
        return words


@dataclass(frozen=True, slots=True)
class Ready:
    """What the exchange said when it was ready. `url` has no trailing slash."""

    url: str
    synthetic: bool
    symbols: tuple[str, ...]
    date: str

    @property
    def ws_url(self) -> str:
        return "ws" + self.url.removeprefix("http")


class Exchange:
    """The child. `start` returns at once; `wait_ready` blocks (call it in a thread, or before the loop runs)."""

    def __init__(self, options: SimOptions, command: Sequence[str] | None = None) -> None:
        self._command = [*(command or (sys.executable, "-m", "runner.cli")), *options.arguments()]
        self._process: subprocess.Popen[str] | None = None
        self._ready: Ready | None = None
        self._said = threading.Event()
        self._tail: deque[str] = deque(maxlen=12)
        self._on_exit: Callable[[int], None] | None = None
        self._ending = False

    def start(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

        def die_with_parent() -> None:
            if libc is not None:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        self._process = subprocess.Popen(  # noqa: S603 (our own command line)
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C at the terminal is for the node, which still needs its exchange to wind down.
            start_new_session=True,
            preexec_fn=die_with_parent,  # nothing else runs in this process yet
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        threading.Thread(target=self._read_out, name="exchange-out", daemon=True).start()
        threading.Thread(target=self._read_err, name="exchange-err", daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def on_exit(self, callback: Callable[[int], None]) -> None:
        """Called from a thread, with the exit code, when it ends by itself."""
        self._on_exit = callback

    def wait_ready(self, timeout_s: float) -> Ready:
        """Raises NodeError when it ends, or says nothing, instead."""
        said = self._said.wait(timeout_s)
        if self._ready is not None:
            return self._ready
        why = "ended at once" if said else f"was not ready within {timeout_s:g} s"
        raise NodeError(ExitCode.CONNECT, f"the simulated exchange {why}{self.last_words()}")

    def last_words(self) -> str:
        """What it last wrote to its standard error, as an indented block."""
        return "".join(f"\n  {line}" for line in self._tail)

    def stop(self, timeout_s: float = 2.0) -> None:
        """End it: politely, then not."""
        self._ending = True
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_out(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process.stdout as out:
            for line in out:
                if self._ready is None:
                    self._ready = _parse_ready(line)
                    if self._ready is not None:
                        self._said.set()
        code = process.wait()
        self._said.set()
        if self._on_exit is not None and not self._ending:
            self._on_exit(code)

    def _read_err(self) -> None:
        assert self._process is not None
        err: IO[str] | None = self._process.stderr
        assert err is not None
        with err:
            for line in err:
                text = line.rstrip()
                self._tail.append(text)
                log.debug("%s", text)


def throwaway_keys(account: str) -> tuple[str, str]:
    """A key id and secret that open a fresh account at the simulated exchange, and nothing anywhere else."""
    return f"SIM{account.upper()}{secrets.token_hex(6).upper()}", secrets.token_urlsafe(24)


def _parse_ready(line: str) -> Ready | None:
    try:
        said: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not said.get("ready"):
        return None
    return Ready(
        url=str(said["url"]).rstrip("/"),
        synthetic=bool(said.get("synthetic", False)),
        symbols=tuple(said.get("symbols", ())),
        date=str(said.get("date", "")),
    )
