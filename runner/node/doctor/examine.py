"""All checks, in the order in which a person would mend things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.config.errors import ConfigError
from runner.config.load import Inspected, inspect
from runner.config.models import RunnerConfig
from runner.node.doctor import machine
from runner.node.doctor.row import Row, fail, ok
from runner.node.paths import journal_path


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look at. `offline` asks nothing of the network, `streams` opens no stream where it is false."""

    files: tuple[Path, ...]
    environ: Mapping[str, str]
    offline: bool = False
    streams: bool = True


def examine(asked: Asked) -> Iterator[Row]:
    """Rows as they are found: the machine's, then the file's, then the broker's."""
    yield from machine.versions()
    yield machine.time_zone()
    yield machine.open_files()
    if not asked.files:
        yield from machine.secret_files(None, Path.cwd())
        return
    yield from _file(asked)


def _file(asked: Asked) -> Iterator[Row]:
    named = ", ".join(map(str, asked.files))
    found = inspect(asked.files, environ=asked.environ, need_secrets=True)
    keyless = inspect(asked.files, environ=asked.environ, need_secrets=False)
    wrong = [error for error in keyless.errors if _of_keys(error)]
    missing = [error for error in found.errors if error not in keyless.errors] + wrong
    for error in keyless.errors:
        if error in wrong:
            continue
        place = error.path if error.line is None else f"{error.path}:{error.line}:{error.column}"
        where = f"{place} {error.where}".rstrip()
        yield fail("file", f"{where}: {error.message}", f"runner check {' '.join(map(str, asked.files))}")
    for error in missing:
        yield fail("keys", f"{error.where}: {error.message}", _advice(error.message))
    config = keyless.config
    if config is None:
        return
    yield ok("file", f"{named}: no mistakes")
    if not missing:
        count = sum(1 for each in config.accounts.values() if each.key.loaded and each.secret.loaded)
        if count:
            yield ok("keys", f"those of {count} account{'s' if count > 1 else ''} were found")
    yield from machine.secret_files(config, asked.files[-1].parent)
    yield from machine.disks(config)
    yield from machine.ports(config)
    yield from machine.nodes(config)
    yield from _redis(config)
    yield from _broker(asked, config, whole=not missing)
    yield from _journal(config)
    yield from _strategies(asked, keyless)


def _strategies(asked: Asked, found: Inspected) -> Iterator[Row]:
    """The build stage, last: it imports Nautilus, which takes longer than all the rest."""
    from runner.config.strategies import build_stage

    made, errors = build_stage(found, asked.files)
    for error in errors:
        yield fail("strategies", f"{error.where}: {error.message}", f"runner check {' '.join(map(str, asked.files))}")
    if not errors:
        yield ok("strategies", f"{', '.join(one.name for one in made)} can be built")


def _of_keys(error: ConfigError) -> bool:
    """Whether the text of the file is right, and a key that it names is of the other environment."""
    return error.where.startswith("accounts.") and "key (it begins with" in error.message


def _advice(message: str) -> str:
    if "begins with" in message:
        return "keys of a paper account begin with PK, those of a live one with AK"
    return "keys are made on the broker's dashboard; --sim runs without them"


def _broker(asked: Asked, config: RunnerConfig, *, whole: bool) -> Iterator[Row]:
    if config.environment == "sim":
        yield ok("broker", "the file is for the simulated exchange: no broker is asked")
        return
    if asked.offline or not whole:
        yield from machine.locks(config, {})
        return
    from runner.node.doctor.broker import Broker
    from runner.node.run import symbols_of

    broker = Broker(config, timeout_s=config.node.http_timeout.total_seconds())
    yield from broker.rows(symbols=len(symbols_of(config)), streams=asked.streams)
    yield from machine.locks(config, broker.ids)


def _journal(config: RunnerConfig) -> Iterator[Row]:
    """Whether what the node knew of its orders is there. Imports Nautilus, too."""
    path = journal_path(config)
    if config.environment == "sim":
        return
    from runner.journal.schema import has_log, log_alone
    from runner.journal.schema import inspect as look

    reason = None
    if path.exists():
        reason = look(path)
    elif has_log(path):
        reason = log_alone(path)
    if reason is not None:
        problem, _, remedy = reason.partition("; ")
        yield fail("journal", problem, remedy)
    elif path.exists():
        yield ok("journal", f"{path} is whole")
    else:
        yield ok("journal", f"there is none yet at {path}: the first start makes it")


def _redis(config: RunnerConfig) -> Iterator[Row]:
    redis = config.state.redis
    if redis is None:
        return
    place = f"{redis.host}:{redis.port}"
    if redis.password is not None and not redis.password.loaded:
        return  # the row of the missing secret says so
    from runner.journal import SharedStates

    password = redis.password.value.get_secret_value() if redis.password is not None else None
    try:
        SharedStates(
            config.name, host=redis.host, port=redis.port, username=redis.username, password=password, tls=redis.tls
        ).check()
    except OSError as error:
        yield fail("redis", str(error), "start Redis, or take state.redis out of the file")
    else:
        yield ok("redis", f"{place} answers")


def worst(rows: Sequence[Row]) -> int:
    """The exit code."""
    return int(any(row.state == "fail" for row in rows))
