"""`runner run`: from files to an exit code. The order of things is what makes the start fast.

The simulated exchange is started before Nautilus is imported, so that the two slow things happen side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from runner.config.errors import ConfigErrors
from runner.config.load import Loaded, load
from runner.config.models import RunnerConfig
from runner.node import children
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.logs import OutputTap, log_names, put_back, set_up
from runner.node.progress import ReplayBar
from runner.node.reload.origin import Origin, fingerprint
from runner.node.simulation import Exchange, SimOptions

if TYPE_CHECKING:
    from runner.node.loop import NodeLoop
    from runner.node.node import Node
    from runner.node.reload.hook import ReloadHook

log = logging.getLogger("runner.node")
_INSTRUMENT = re.compile(r"\b([A-Z][A-Z0-9./]*)\.ALPACA\b")
_READY_TIMEOUT_S = 30.0
# Beyond the file's stop_timeout: how long the end may take before the process is ended from a thread.
_GRACE_S = 3.0
# How often it is looked whether strategies' code has taken the signals or the log away: where it has closed a standard
# file, the next socket gets its number, and what is printed.
_HOLD_S = 0.1
# A terminal's descriptors are among the first: the standard ones, and what was made of them before anything else.
_FDS = 32


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says. `sim` is None for a run against the real broker."""

    files: tuple[Path, ...]
    sim: SimOptions | None = None
    live: bool = False
    json: bool = False
    report: Path | None = None
    watch: bool = False


def run(options: RunOptions, environ: dict[str, str] | None = None) -> int:
    """Run a node to its end. Raises ConfigErrors for mistakes in the files; everything else is an exit code."""
    env = dict(os.environ if environ is None else environ)
    files = tuple(path.absolute() for path in options.files)
    before = fingerprint(files)
    loaded, sim = _load(options, env)
    config = loaded.config
    origin = Origin(
        files,
        env,
        need_secrets=options.sim is None,
        speed_is_one=sim is None or sim.speed == "1",
        loaded=before,
    )
    tap = OutputTap()
    bar = ReplayBar(config.name)
    try:
        terminal = set_up(config.log.level, config.log.file, config.log.format, config.name)
    except NodeError as error:
        tap.close()
        sys.stderr.write(f"{error.text()}\n")
        return int(error.code)
    terminal.write = bar.write
    exchange = Exchange(sim) if sim is not None else None
    ending = _Ending(config.node.stop_timeout.total_seconds(), tap.hold)
    ending.install()
    try:
        return _run(options, loaded, origin, exchange, sim, tap, bar, ending)
    except NodeError as error:
        log.error("%s", error.text())  # noqa: TRY400 (no traceback: it is an answer, not a fault)
        return int(error.code)
    finally:
        bar.stop()
        if exchange is not None:
            exchange.stop()
        ending.uninstall()
        tap.close()


def _load(options: RunOptions, env: dict[str, str]) -> tuple[Loaded, SimOptions | None]:
    """The checked file, and the simulation it asks for: by --sim, or by `environment: sim`."""
    speed_is_one = options.sim is None or options.sim.speed == "1"
    try:
        loaded = load(options.files, environ=env, need_secrets=options.sim is None)
    except ConfigErrors:
        # What is wrong with the strategies is told together with the rest.
        from runner.config.strategies import prepare

        prepare(options.files, environ=env, need_secrets=options.sim is None, speed_is_one=speed_is_one)
        raise
    sim = options.sim
    if sim is None and loaded.config.environment == "sim":
        sim = SimOptions()
    if sim is not None and not sim.symbols:
        named = symbols_of(loaded.config)
        chains = any(feed.market == "options" for feed in loaded.config.feeds.values())
        stocks = tuple(symbol for symbol in named if symbol.isalpha()) if chains else ()
        sim = replace(sim, symbols=named, options=stocks)
    return loaded, sim


def symbols_of(config: RunnerConfig) -> tuple[str, ...]:
    """The symbols that parameters name, found without importing anything."""
    found: dict[str, None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)
        elif isinstance(value, str):
            found.update(dict.fromkeys(_INSTRUMENT.findall(value)))

    walk([each.params for each in config.strategies.values()])
    walk([each.params for each in config.exec_algorithms.values()])
    walk([each.params for each in config.actors.values()])
    return tuple(found)


def _run(
    options: RunOptions,
    loaded: Loaded,
    origin: Origin,
    exchange: Exchange | None,
    sim: SimOptions | None,
    tap: OutputTap,
    bar: ReplayBar,
    ending: _Ending,
) -> int:
    if exchange is not None:
        exchange.start()
    from runner.config.strategies import resolve

    plans = resolve(loaded, speed_is_one=sim is None or sim.speed == "1")
    children.end_child()  # of a class's module
    from runner.node.assemble import assemble

    ready = exchange.wait_ready(_READY_TIMEOUT_S) if exchange is not None else None
    tap.own = log_names(plans)
    code, summary = _on_loop(
        lambda: assemble(
            loaded.config,
            plans,
            exchange=exchange,
            ready=ready,
            sim=sim,
            live=options.live,
            bar=bar,
            report=options.report,
            origin=origin,
            watch=options.watch,
            on_names=tap.own.update,
        ),
        ending,
    )
    bar.stop()
    if summary is not None:
        try:
            _tell(summary, options, tap)
        except OSError as error:
            log.error("the summary could not be written: %s", error.strerror or error)  # noqa: TRY400
            code = code or int(ExitCode.FAILED)
    return code


def _tell(summary: dict[str, Any], options: RunOptions, tap: OutputTap) -> None:
    import json

    if options.json:
        tap.out.write(json.dumps(summary, indent=2) + "\n")
    else:
        from rich.console import Console

        from runner.node.summary import print_summary

        print_summary(summary, Console(file=tap.out, highlight=False))
    tap.out.flush()


def _on_loop(make: Callable[[], Any], ending: _Ending) -> tuple[int, dict[str, Any] | None]:
    """Run the node on a loop of its own. What refuses to end is left behind with the loop."""
    from runner.node.loop import NodeLoop

    loop = NodeLoop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(_loop_trouble)

    async def main() -> tuple[int, dict[str, Any] | None]:
        assembled = make()
        node: Node = assembled.node
        ending.attach(loop, node, assembled.reload, assembled.watchdog.take_back)
        try:
            code = int(await node.run())
        finally:
            assembled.close()
        if assembled.report is not None:
            assembled.report.write()
        return code, assembled.result.summary

    try:
        return loop.run(main())
    finally:
        asyncio.set_event_loop(None)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))


def _loop_trouble(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.debug("%s", context.get("message"), exc_info=context.get("exception"))


class _Ending:
    """Signals: the first ends the node gracefully, the second at once; and the end has an end of its own.

    SIGHUP reloads, unless it says that the terminal is gone.
    """

    def __init__(self, stop_timeout_s: float, hold_files: Callable[[], Sequence[str]] = tuple) -> None:
        self._limit_s = stop_timeout_s + _GRACE_S
        self._hold_files = hold_files
        self._node: Node | None = None
        self._loop: NodeLoop | None = None
        self._signals = 0
        self._old: dict[int, Any] = {}
        self._timer: threading.Timer | None = None
        self._reload: ReloadHook | None = None
        self._terminal = False
        self._ttys: list[int] = []
        self._told: set[str] = set()
        self._take_back: Callable[[], int] | None = None

    def install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            # Under nohup SIGHUP is ignored already, and stays so.
            self._terminal = _has_terminal()
            self._ttys = [fd for fd in range(_FDS) if os.isatty(fd)]
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                if signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._old[number] = signal.signal(number, self._on_signal)
            children.guard(self._old)

    def uninstall(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        children.release()
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def attach(
        self,
        loop: NodeLoop,
        node: Node,
        reload: ReloadHook | None = None,
        take_back: Callable[[], int] | None = None,
    ) -> None:
        self._loop, self._node, self._reload, self._take_back = loop, node, reload, take_back
        loop.on_stop = lambda who: node.request_stop(
            ExitCode.FAILED, f"a strategy's code, or a library of it, stops the event loop ({who}), so the node ends"
        )
        if self._signals:
            node.request_stop(ExitCode.OK, "stopping")
        self._keep_hold(loop)

    def _keep_hold(self, loop: NodeLoop) -> None:
        self.hold()
        loop.call_later(_HOLD_S, self._keep_hold, loop)

    def hold(self) -> None:
        """Take back the signals and the log where strategies' code took them: without them a node can't be ended."""
        for name in self._hold_files():
            self._tell(name)
        if put_back():
            self._tell("the log's handlers")
        for number in self._old:
            if signal.getsignal(number) != self._on_signal:
                signal.signal(number, self._on_signal)
                self._tell(signal.Signals(number).name)

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("%s had been taken by a strategy's code, or a library of it; the node has taken it back", what)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (self._terminal and not _has_terminal()):
            if self._loop is not None and self._reload is not None and not self._signals:
                self._loop.call_soon_threadsafe(self._reload.request, "SIGHUP", "a signal")
            return
        if number == signal.SIGHUP:
            # Whoever still writes there would fail, and the end must not.
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for fd in self._ttys:
                os.dup2(nowhere, fd)
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)
        # The loop may be stuck, and then it never sees the request: a thread ends what does not end.
        self._timer = threading.Timer(self._limit_s, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        if self._loop is not None and self._node is not None:
            name = signal.Signals(number).name
            self._loop.call_soon_threadsafe(
                self._node.request_stop, ExitCode.OK, f"{name}: stopping; a second one ends it at once"
            )

    def _give_up(self) -> None:
        """In a thread: the loop is stuck, and takes nothing back any more."""
        log.error("the node did not end in time, so the process is ended; this is where it stands:")
        with contextlib.suppress(Exception):
            faulthandler.dump_traceback(sys.stderr)
        try:
            taken = self._take_back() if self._take_back is not None else 0
            log.error("%d working orders were taken back; look at the account for what may still work", taken)
        except Exception:
            log.exception("working orders could not be taken back, and may still work at the venue")
        logging.shutdown()
        os._exit(int(ExitCode.HUNG))


def _has_terminal() -> bool:
    """Whether this process still belongs to a terminal: one that is closed sends SIGHUP, too."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def lingering() -> Sequence[threading.Thread]:
    """Threads that would keep the interpreter from ending: a strategy's work in an executor, for one."""
    return [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
