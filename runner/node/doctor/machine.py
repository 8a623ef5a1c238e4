"""What the machine has to offer: versions, time zones, files, disks, ports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import stat
import sys
import tempfile
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from runner.config.models import RunnerConfig, SecretRef
from runner.node.doctor.row import Row, fail, ok, warn
from runner.node.lock import AccountLock
from runner.node.paths import journal_path
from runner.node.remote.place import running

_DISTRIBUTION = "guarded-runner"
NAUTILUS = "1.231.0"
OLDEST_PYTHON = (3, 12)
FEW_FILES, FEWEST_FILES = 1024, 256
LOW_BYTES, LOWEST_BYTES = 1 << 30, 100 << 20
#: File systems whose locks SQLite can't rely on.
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "ceph", "glusterfs", "fuse.glusterfs"})


def versions() -> Iterator[Row]:
    """Python, this package, its engine, Nautilus."""
    said = f"Python {platform.python_version()}"
    if sys.version_info < OLDEST_PYTHON:
        yield fail("python", said, "use Python 3.12 or newer")
    else:
        yield ok("python", said)
    try:
        from runner import _engine
    except ImportError as error:
        yield fail("engine", f"the compiled engine can't be loaded: {error}", "install the package anew (make setup)")
    else:
        own = _version(_DISTRIBUTION)
        yield ok("engine", f"runner {own or 'of a checkout'}, engine {_engine.__version__}")
    nautilus = _version("nautilus_trader")
    if nautilus != NAUTILUS:
        found = "is not installed" if nautilus is None else f"is {nautilus}"
        yield fail(
            "nautilus", f"NautilusTrader {found}, {NAUTILUS} is needed", f"pip install nautilus_trader=={NAUTILUS}"
        )
    else:
        yield ok("nautilus", f"NautilusTrader {nautilus}")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def time_zone() -> Row:
    """New York's sessions need its time zone."""
    try:
        zone = zoneinfo.ZoneInfo("America/New_York")
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        return fail("time zones", "America/New_York is not known", "pip install tzdata")
    if datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == datetime(2026, 1, 5, tzinfo=zone).utcoffset():
        return fail("time zones", "America/New_York has no summer time here", "pip install --upgrade tzdata")
    return ok("time zones", "America/New_York is known")


def open_files() -> Row:
    """Sockets, journal and logs are files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = "any number of open files" if soft == resource.RLIM_INFINITY else f"{soft} open files at most"
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        return ok("open files", said)
    remedy = f"ulimit -n {FEW_FILES}, or LimitNOFILE={FEW_FILES} in the systemd unit"
    if 0 <= hard < FEW_FILES:
        remedy += f" (the hard limit is {hard}: an administrator must raise it)"
    return (fail if soft < FEWEST_FILES else warn)("open files", said, remedy)


def secret_files(config: RunnerConfig | None, base: Path) -> Iterator[Row]:
    """Who may read the files of secrets, and the .env files beside them. `base` is the config's folder."""
    found: dict[Path, None] = {}
    for reference in [] if config is None else _references(config):
        if reference.file is not None:
            found[base / reference.file] = None
    for folder in dict.fromkeys((Path.cwd(), base)):
        if (folder / ".env").is_file():
            found[folder / ".env"] = None
    for path in found:
        try:
            seen = path.stat()
        except OSError as error:
            yield fail(
                "secrets", f"{path} can't be read: {error.strerror}", "write the secret to it, or name another file"
            )
            continue
        others = stat.S_IMODE(seen.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        if others:
            yield warn("secrets", f"{path} is open to others ({stat.filemode(seen.st_mode)})", f"chmod 600 {path}")
        elif seen.st_uid not in (os.getuid(), 0):
            yield warn("secrets", f"{path} belongs to another user (uid {seen.st_uid})", f"chown {os.getuid()} {path}")
        else:
            yield ok("secrets", f"{path} is this user's alone")


def _references(config: RunnerConfig) -> Iterator[SecretRef]:
    for account in config.accounts.values():
        yield from (account.key, account.secret)
    for feed in config.feeds.values():
        yield from (each for each in (feed.key, feed.secret) if each is not None)
    if config.control.token is not None:
        yield config.control.token
    if config.alerts.webhook is not None:
        yield config.alerts.webhook.url
    if config.state.redis is not None and config.state.redis.password is not None:
        yield config.state.redis.password


def disks(config: RunnerConfig) -> Iterator[Row]:
    """Whether the journal and the logs can be written, and for how long."""
    path = journal_path(config)
    yield from _disk("journal", path.parent, "name another folder with state.dir", local=True)
    if path.is_file():
        if not os.access(path, os.W_OK):
            yield fail("journal", f"{path} can't be written", f"chown {os.getuid()} {path}")
        elif path.stat().st_mode & 0o077:
            yield warn("journal", f"{path} is open to others", f"chmod 600 {path}")
    if config.log.file is not None:
        yield from _disk("logs", config.log.file, "name another folder with log.file", local=False)


def _disk(check: str, folder: Path, elsewhere: str, *, local: bool) -> Iterator[Row]:
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        yield fail(check, f"{folder} can't be made: {there} is a file", elsewhere)
        return
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(there).free
    except OSError as error:
        yield fail(
            check, f"{there} can't be written: {error.strerror or error}", f"make room or chmod it, or {elsewhere}"
        )
        return
    said = f"{folder} can be written, {_size(free)} are free"
    if local and (kind := _file_system(there)) in NETWORK:
        yield fail(check, f"{folder} is on a network share ({kind}), whose locks can't be relied on", elsewhere)
    elif free < LOWEST_BYTES:
        yield fail(check, said, f"make room: orders are refused once the disk is full; or {elsewhere}")
    elif free < LOW_BYTES:
        yield warn(check, said, f"make room; or {elsewhere}")
    else:
        yield ok(check, said)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _file_system(path: Path) -> str:
    """The type of the file system that `path` is on; empty where that can't be told."""
    best, kind = -1, ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real = path.resolve()
    for line in mounts:
        place = line.split()[1].replace("\\040", " ")
        if real.is_relative_to(place) and len(place) > best:
            best, kind = len(place), line.split()[2]
    return kind


def nodes(config: RunnerConfig) -> Iterator[Row]:
    """Whether a node of this file runs already."""
    for place in running(config.name):
        remedy = "a second one of the same account is refused: `runner status` shows it, SIGTERM ends it"
        yield warn("node", f"{place.name} ({place.environment}) runs as process {place.pid}", remedy)


def locks(config: RunnerConfig, broker_ids: Mapping[str, str]) -> Iterator[Row]:
    """Whether another runner trades these accounts, by key and by the broker's id of the account where it is known."""
    own = {place.pid for place in running(config.name)}
    for name, account in config.accounts.items():
        identities = [account.key.value.get_secret_value()] if account.key.loaded else []
        if name in broker_ids:
            identities.append(f"account {broker_ids[name]}")
        holders = [held for identity in identities if (held := AccountLock(name, identity).holder()) is not None]
        if holders and holders[0] in {str(pid) for pid in own}:
            continue  # told already
        if holders:
            message = f"accounts.{name} is traded by another runner (process {holders[0]})"
            yield fail("lock", message, "end that one first, or give this file another account")
        elif identities:
            yield ok("lock", f"no other runner of this user trades accounts.{name}")


def ports(config: RunnerConfig) -> Iterator[Row]:
    """Whether what the file listens on is free."""
    taken_by = running(config.name)
    for check, section in (("metrics", config.metrics), ("control", config.control)):
        if section.host is None or not section.port:
            continue
        try:
            family = socket.AF_INET6 if ":" in section.host else socket.AF_INET
            socket.create_server((section.host, section.port), family=family).close()
        except OSError as error:
            if taken_by:
                yield ok(check, f"{section.listen} is taken, by the running node it seems")
            else:
                reason = error.strerror or str(error)
                yield fail(
                    check,
                    f"{check}.listen: {section.listen} can't be had: {reason}",
                    "choose another, or stop what uses it",
                )
        else:
            yield ok(check, f"{section.listen} is free")
