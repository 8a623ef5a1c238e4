"""`runner backtest`: from a file and a folder of history to a summary, a report and an exit code."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nautilus_trader.config import LoggingConfig
from rich.console import Console

from runner.backtest.catalog import History
from runner.backtest.engine import Backtest, Terms
from runner.backtest.feed import Feed, Source, sources
from runner.backtest.summary import print_summary, summarize
from runner.backtest.verify import verify
from runner.backtest.window import FOREVER_NS
from runner.config.load import load
from runner.config.models import RunnerConfig
from runner.config.strategies import Plans, StrategyPlan, resolve
from runner.node.build import NodePlan
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.logs import OutputTap, log_names, nautilus_level, set_up
from runner.node.progress import ReplayBar
from runner.report.page import write_report
from runner.report.recorder import Recorder

log = logging.getLogger("runner.node")
_INTERRUPTED = 130  # 128 + SIGINT


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. Times are UNIX ns, both ends included."""

    files: tuple[Path, ...]
    data: Path
    start_ns: int = 0
    end_ns: int = FOREVER_NS
    account: str | None = None
    terms: Terms = field(default_factory=Terms)
    report: Path | None = None
    json: bool = False


def run(options: Options, environ: Mapping[str, str] | None = None) -> int:
    """Run it. Raises ConfigErrors for mistakes in the files; everything else is an exit code."""
    # Keys are for the broker, and there is none.
    loaded = load(options.files, environ=os.environ if environ is None else environ, need_secrets=False)
    plans = resolve(loaded)
    config = loaded.config
    tap = OutputTap(log_names(plans))
    bar = ReplayBar(config.name)
    try:
        terminal = set_up(config.log.level, config.log.file, config.log.format, config.name)
        terminal.write = bar.write
        logging_config = LoggingConfig(
            log_level=nautilus_level(config.log.level), log_colors=False, print_config=False, use_pyo3=False
        )
        summary, code = _run(options, config, plans, bar, logging_config)
        bar.stop()
        if options.json:
            tap.out.write(json.dumps(summary, indent=2) + "\n")
        else:
            print_summary(summary, Console(file=tap.out, highlight=False))
        tap.out.flush()
        return int(code)
    except NodeError as error:
        bar.stop()
        log.error("%s", error.text())  # noqa: TRY400 (no traceback: it is an answer, not a fault)
        return int(error.code)
    except KeyboardInterrupt:
        bar.stop()
        log.error("stopped: there is no summary of a part")  # noqa: TRY400
        return _INTERRUPTED
    finally:
        bar.stop()
        tap.close()


def _run(
    options: Options,
    config: RunnerConfig,
    plans: Plans,
    bar: ReplayBar,
    logging_config: LoggingConfig,
) -> tuple[dict[str, Any], ExitCode]:
    backtest, recorder = prepare(options, config, plans, logging_config=logging_config)
    feed = backtest.feed
    try:
        bar.start(feed.end_ns - feed.start_ns)
        backtest.run(lambda ns: bar.update(ns, ns - feed.start_ns, feed.end_ns - feed.start_ns))
        recorder.close()
        summary = summarize(backtest, recorder)
        if options.report is not None:
            summary["report"] = str(options.report)
            _report(options.report, recorder, summary, config.name)
    finally:
        backtest.close()
    code = (
        ExitCode.STRATEGY if len(backtest.faults) == len(plans_of(plans.strategies, backtest.account)) else ExitCode.OK
    )
    return summary, code


def prepare(
    options: Options,
    config: RunnerConfig,
    plans: Plans,
    *,
    logging_config: LoggingConfig | None = None,
) -> tuple[Backtest, Recorder]:
    """The backtest of a checked file, ready to run. Raises NodeError for data that is not there, and the like."""
    account = account_of(config, options.account)
    own = plans_of(plans.strategies, account)
    history = History.open(options.data)
    chains = any(feed.market == "options" for feed in config.feeds.values())
    played = sources(history, own, options.start_ns, options.end_ns, others=plans.others(), chains=chains)
    instruments = _instruments(history, played)
    verify(history, played, instruments, options.start_ns, options.end_ns)
    feed = Feed(history, played, options.start_ns, options.end_ns)
    plan = NodePlan(config, own, {}, {}, actors=plans.actors, exec_algorithms=plans.exec_algorithms)
    backtest = Backtest(plan, account, instruments, feed, options.terms, logging_config=logging_config)
    kernel = backtest.engine.kernel
    kernel.data_engine.register_catalog(history.catalog)  # what strategies ask for of before the first day
    recorder = Recorder(kernel.cache, lambda strategy_id: backtest.parts.names.get(strategy_id, strategy_id))
    recorder.listen(kernel.msgbus)
    return backtest, recorder


def account_of(config: RunnerConfig, asked: str | None) -> str:
    """Which account is simulated. Raises NodeError where that can't be told."""
    names = list(config.accounts)
    if asked is not None and asked not in names:
        raise NodeError(ExitCode.USAGE, f"there is no account {asked}", f"the file has {', '.join(names)}")
    used = [name for name in names if any(each.account == name for each in config.strategies.values())]
    if asked is None and len(used) > 1:
        raise NodeError(
            ExitCode.USAGE,
            f"the file trades {len(used)} accounts ({', '.join(used)}), and a backtest has one: Nautilus's simulated "
            "venue knows a single account",
            f"say which with --account {used[0]}; strategies on the others are left out",
        )
    account = asked or (used or names)[0]
    if account not in used:
        raise NodeError(ExitCode.USAGE, f"no strategy trades account {account}", f"those that do: {', '.join(used)}")
    return account


def plans_of(plans: Mapping[str, StrategyPlan], account: str) -> dict[str, StrategyPlan]:
    """The strategies of one account."""
    return {name: plan for name, plan in plans.items() if plan.spec.account == account}


def _instruments(history: History, played: list[Source]) -> dict[str, Any]:
    # Whatever else is known may be looked up by a strategy: the chain of an option, for one.
    found = {each.id.value: each for each in history.instruments()}
    needed = dict.fromkeys(each.instrument for each in played)
    if missing := [name for name in needed if name not in found]:
        raise NodeError(
            ExitCode.NO_DATA,
            f"{history.folder} has prices of {', '.join(missing)} and does not say what they are",
            "`runner fetch` writes both; a catalog of your own needs its instruments too",
        )
    return found


def _report(path: Path, recorder: Recorder, summary: dict[str, Any], name: str) -> None:
    data = summary["data"]
    facts = [
        f"Backtest from {data['from']} to {data['to']}; times are New York's.",
        "Filled by "
        + ", ".join(f"{kind} of {instrument}" for instrument, kind in data["fills_by"].items())
        + f"; seed {summary['seed']}.",
        *summary["notes"],
    ]
    try:
        write_report(path, recorder, summary, title=name, facts=facts)
    except OSError as error:
        raise NodeError(
            ExitCode.FAILED, f"the report {path} can't be written: {error.strerror}", "name another --report"
        ) from error
    log.info("report: %s", path)
