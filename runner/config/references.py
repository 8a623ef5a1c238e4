"""What a schema can't say: names that refer to something, and things that exclude one another.

Works on the tree rather than on models, so that mistakes elsewhere in the file hide none of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runner.config.document import ListNode, MapNode, Mark, Scalar, Step, entry_at
from runner.config.errors import ConfigError, instead
from runner.config.hosts import LIVE_HOST, PAPER_HOST
from runner.config.schedule import CORE_CLOSE, EVENING, WEEKEND, parse_time
from runner.config.source import NAMED_SECTIONS, Source

_ENDPOINTS = {"BacktestEngine", "Controller", "DataEngine", "ExecEngine", "OrderEmulator", "RiskEngine"}


def text_at(source: Source, *path: Step) -> str | None:
    entry = entry_at(source.root, path)
    return entry.value.text if entry is not None and isinstance(entry.value, Scalar) else None


def names(source: Source, section: str) -> list[str]:
    """The keys of a section, save those that a null removes."""
    entry = entry_at(source.root, (section,))
    if entry is None or not isinstance(entry.value, MapNode):
        return []
    return [name for name, item in entry.value.entries.items() if getattr(item.value, "text", "") is not None]


def check_references(source: Source) -> list[ConfigError]:
    return [
        *_twins(source),
        *_strategies(source),
        *_algorithms(source),
        *_schedules(source),
        *_feeds(source),
        *_accounts(source),
        *_paths(source),
        *_tests(source),
    ]


def _error(source: Source, path: tuple[Step, ...], message: str, **how: Any) -> ConfigError:
    return source.error("references", source.value_mark(path), path, message, **how)


def _twins(source: Source) -> Iterator[ConfigError]:
    """An override's variable has no case, so names must differ by more than that."""
    for section in NAMED_SECTIONS:
        seen: dict[str, str] = {}
        for name in names(source, section):
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                path = (section, name)
                message = f"differs from {other} only in case, rename one"
                yield source.error("references", source.key_mark(path), path, message)


def _strategies(source: Source) -> Iterator[ConfigError]:
    for strategy in names(source, "strategies"):
        for key, section in (("account", "accounts"), ("feed", "feeds")):
            wanted = text_at(source, "strategies", strategy, key)
            known = names(source, section)
            if wanted is not None and wanted not in known:
                path = ("strategies", strategy, key)
                yield _error(source, path, f"there is no {key} `{wanted}`, {instead(wanted, known, f'{section}')}")


def _algorithms(source: Source) -> Iterator[ConfigError]:
    """Nautilus sends an order for an algorithm to the endpoint `ID.execute`, and has some of that form itself."""
    for name in names(source, "exec_algorithms"):
        if name in _ENDPOINTS:
            path = ("exec_algorithms", name)
            yield source.error(
                "references", source.key_mark(path), path, "a part of Nautilus has this name, take another"
            )


def _schedules(source: Source) -> Iterator[ConfigError]:
    """What depends on the feed: a crypto feed has no close, and any other no weekend."""
    for strategy in names(source, "strategies"):
        here: tuple[Step, ...] = ("strategies", strategy, "schedule")
        feed = text_at(source, "strategies", strategy, "feed")
        market = text_at(source, "feeds", feed, "market") if feed is not None else None
        if entry_at(source.root, here) is None or market is None:
            continue
        if market == "crypto":
            if text_at(source, *here, "flat_before_close") is not None:
                message = f"feed {feed} is of crypto, which never closes: write `stop` and `on_stop: flatten`"
                yield _error(source, (*here, "flat_before_close"), message)
            continue
        start, stop = text_at(source, *here, "start"), text_at(source, *here, "stop")
        begins, ends = (None if text is None else parse_time(text) for text in (start, stop))
        nightly = begins is not None and ends is not None and ends < begins
        days = entry_at(source.root, (*here, "days"))
        for index, item in enumerate(days.value.items if days is not None and isinstance(days.value, ListNode) else ()):
            if not isinstance(item, Scalar):
                continue
            if nightly and item.text == "fri" and begins is not None and begins >= EVENING:
                message = "nothing trades from Friday's 20:00 to Sunday's, remove fri (the night to Monday is sun's)"
                yield _error(source, (*here, "days", index), message)
            elif item.text in WEEKEND and not (nightly and item.text == "sun"):
                message = f"the exchange is closed on weekends, remove {item.text} (only a crypto feed trades then)"
                yield _error(source, (*here, "days", index), message)
        if text_at(source, *here, "on_stop") == "flatten" and (
            stop is None or ((at := parse_time(stop)) is not None and at >= CORE_CLOSE)
        ):
            message = "positions can't be closed once the exchange has closed: write a `stop` before 16:00, or "
            yield _error(source, (*here, "on_stop"), message + "`flat_before_close: 5m` in place of this")


def _feeds(source: Source) -> Iterator[ConfigError]:
    first: dict[str, str] = {}
    for feed in names(source, "feeds"):
        market = text_at(source, "feeds", feed, "market")
        if market is None:
            continue
        other = first.setdefault(market, feed)
        if other != feed:
            message = f"feeds.{other} is for {market} already, and Alpaca allows one connection: remove one of them"
            yield _error(source, ("feeds", feed, "market"), message)


def _accounts(source: Source) -> Iterator[ConfigError]:
    environment = text_at(source, "environment")
    keys: dict[tuple[str, str], str] = {}
    for account in names(source, "accounts"):
        url = text_at(source, "accounts", account, "url")
        host = _host(url)
        path: tuple[Step, ...] = ("accounts", account, "url")
        if environment == "live" and host == PAPER_HOST:
            yield _error(
                source, path, "the paper host under `environment: live`, remove url or write environment: paper"
            )
        if environment in {"paper", "sim"} and host == LIVE_HOST:
            message = f"the live host under `environment: {environment}`, remove url or write environment: live"
            yield _error(source, path, message)
        for kind in ("env", "file"):
            place = text_at(source, "accounts", account, "key", kind)
            if place is None:
                continue
            other = keys.setdefault((kind, place), account)
            if other != account:
                message = f"the key of accounts.{other}: one account at the broker can't be two here"
                yield _error(source, ("accounts", account, "key", kind), message)


def extra_folders(source: Source) -> list[tuple[Mark, tuple[Step, ...], Path]]:
    """The folders under `paths:`, relative to the folder of the file that names them."""
    entry = entry_at(source.root, ("paths",))
    found: list[tuple[Mark, tuple[Step, ...], Path]] = []
    if entry is not None and isinstance(entry.value, ListNode):
        for index, item in enumerate(entry.value.items):
            if isinstance(item, Scalar) and item.text is not None:
                base = Path(item.mark.path).parent if item.mark.in_file else Path()
                found.append((item.mark, ("paths", index), base / Path(item.text).expanduser()))
    return found


def _paths(source: Source) -> Iterator[ConfigError]:
    for mark, path, folder in extra_folders(source):
        if not folder.is_dir():
            yield source.error("references", mark, path, f"there is no folder {folder}")


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url).hostname if url else None
    except ValueError:
        return None


def _tests(source: Source) -> Iterator[ConfigError]:
    entry = entry_at(source.root, ("tests",))
    known = names(source, "strategies")
    for index in range(len(entry.value.items) if entry is not None and isinstance(entry.value, ListNode) else 0):
        wanted = text_at(source, "tests", index, "strategy")
        if wanted is not None and wanted not in known:
            message = f"there is no strategy `{wanted}`, {instead(wanted, known, 'strategies')}"
            yield _error(source, ("tests", index, "strategy"), message)
