"""Finds the values of the secrets that a file refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from runner.config.document import MapNode, Mark, Scalar, Step, entry_at
from runner.config.errors import ConfigError
from runner.config.models import RunnerConfig, SecretRef
from runner.config.references import names, text_at
from runner.config.secrets import is_variable
from runner.config.source import Source

LARGEST_BYTES = 65_536
type Path_ = tuple[Step, ...]
_REDIS: Path_ = ("state", "redis", "password")
_WEBHOOK: Path_ = ("alerts", "webhook", "url")
_TOKEN: Path_ = ("control", "token")


def read_secrets(
    source: Source, environ: Mapping[str, str], *, need: bool
) -> tuple[dict[Path_, SecretStr], list[ConfigError]]:
    """Every secret by its path in the file, and what could not be read (nothing, where none is needed)."""
    values: dict[Path_, SecretStr] = {}
    errors: list[ConfigError] = []
    paths: list[Path_] = [
        (section, name, key)
        for section in ("accounts", "feeds")
        for name in names(source, section)
        for key in ("key", "secret")
    ]
    for path in (*paths, _REDIS, _TOKEN, _WEBHOOK):
        found = _reference(source, path)
        if found is None:
            continue
        kind, place, mark = found
        value = _variable(place, environ) if kind == "env" else _file(place, mark)
        if isinstance(value, SecretStr):
            values[path] = value
        elif need:
            errors.append(source.error("references", mark, (*path, kind), value))
    errors += _wrong_environment(source, values)
    errors += _twice(source, values)
    return values, errors


def attach(config: RunnerConfig, values: Mapping[Path_, SecretStr]) -> None:
    """Put the values into the config's references."""
    for path, value in values.items():
        holder: Any = {_REDIS: config.state.redis, _TOKEN: config.control, _WEBHOOK: config.alerts.webhook}.get(path)
        if path not in (_REDIS, _TOKEN, _WEBHOOK):
            holder = (config.accounts if path[0] == "accounts" else config.feeds)[str(path[1])]
        reference = getattr(holder, str(path[-1]))
        if isinstance(reference, SecretRef):
            reference.set_value(value)


def _reference(source: Source, path: Path_) -> tuple[str, str, Mark] | None:
    """The one place that a well-formed reference names; others are the schema's business."""
    entry = entry_at(source.root, path)
    if entry is None or not isinstance(entry.value, MapNode):
        return None
    places = [(k, e.value) for k, e in entry.value.entries.items() if getattr(e.value, "text", "") is not None]
    if len(places) != 1 or places[0][0] not in {"env", "file"}:
        return None
    kind, node = places[0]
    if not isinstance(node, Scalar) or not node.text:
        return None
    if kind == "env" and not is_variable(node.text):
        return None
    return kind, node.text, node.mark


def _variable(name: str, environ: Mapping[str, str]) -> SecretStr | str:
    text = environ.get(name)
    if text is None:
        return f"the environment variable {name} is not set, set it (a run with --sim needs no keys)"
    return _clean(text, f"the environment variable {name}")


def _file(place: str, mark: Mark) -> SecretStr | str:
    # Relative to the file that names it; a path in an override is the shell's, so relative to where it was typed.
    path = (Path(mark.path).parent if mark.in_file else Path()) / place
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_BYTES + 1)
        if len(raw) > LARGEST_BYTES:
            return f"{path} is too large to be a secret"
        return _clean(raw.decode(), str(path))
    except FileNotFoundError:
        return f"there is no file {path}, write the secret to it (a run with --sim needs no keys)"
    except UnicodeDecodeError:
        return f"{path} is not text"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"


def _clean(text: str, where: str) -> SecretStr | str:
    text = text.strip()
    if not text:
        return f"{where} is empty"
    if any(character.isspace() or not character.isprintable() or not character.isascii() for character in text):
        return f"{where} holds more than one word of plain ASCII, it should hold the secret alone"
    return SecretStr(text)


def _twice(source: Source, values: Mapping[Path_, SecretStr]) -> list[ConfigError]:
    """One account at the broker under two names: each would see the other's orders as a stranger's."""
    first: dict[str, Path_] = {}
    errors: list[ConfigError] = []
    for path, value in values.items():
        if path[0] != "accounts" or path[2] != "key":
            continue
        other = first.setdefault(value.get_secret_value(), path)
        same_place = text_at(source, *path, "env") == text_at(source, *other, "env") is not None
        if other != path and not same_place:
            message = f"the same key as accounts.{other[1]} has: one account at the broker can't be two here"
            errors.append(source.error("references", source.value_mark(path), path, message))
    return errors


def _wrong_environment(source: Source, values: Mapping[Path_, SecretStr]) -> list[ConfigError]:
    """Alpaca's key ids begin with PK on paper and with AK where the money is real (the simulation takes both)."""
    environment = text_at(source, "environment")
    errors: list[ConfigError] = []
    for path, value in values.items():
        if path[0] != "accounts" or path[2] != "key":
            continue
        prefix = value.get_secret_value()[:2]
        if environment == "live" and prefix == "PK":
            message = "a paper key (it begins with PK) under `environment: live`, use the live account's"
        elif environment == "paper" and prefix == "AK":
            message = "a live key (it begins with AK) under `environment: paper`, use the paper account's"
        else:
            continue
        errors.append(source.error("references", source.value_mark(path), path, message))
    return errors
