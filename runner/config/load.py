"""From files and environment to a checked config: parse → schema → references, all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from runner.config.document import MapNode, Mark, merge
from runner.config.errors import STAGES, ConfigError, ConfigErrors
from runner.config.models import RunnerConfig
from runner.config.overrides import override_tree
from runner.config.reader import read
from runner.config.references import check_references, text_at
from runner.config.schema import validate
from runner.config.secrets import remember
from runner.config.source import Source
from runner.config.vault import attach, read_secrets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config without mistakes, and the text that it came from for errors found later."""

    config: RunnerConfig
    files: tuple[Path, ...]
    source: Source


@dataclass(frozen=True, slots=True)
class Inspected:
    """What `inspect` found. `config` is None where there are errors; `source` where nothing could be parsed."""

    config: RunnerConfig | None
    source: Source | None
    errors: tuple[ConfigError, ...]


def load(files: Sequence[Path], *, environ: Mapping[str, str], need_secrets: bool = True) -> Loaded:
    """Read `files`, each laid over the one before, then the RUNNER__ overrides in `environ`.

    With `need_secrets` false (a simulation) a secret that can't be found is no mistake.
    Raises ConfigErrors with every mistake.
    """
    found = inspect(files, environ=environ, need_secrets=need_secrets)
    if found.errors or found.config is None or found.source is None:
        raise ConfigErrors(found.errors)
    return Loaded(found.config, tuple(files), found.source)


def inspect(files: Sequence[Path], *, environ: Mapping[str, str], need_secrets: bool = True) -> Inspected:
    """Like `load`, but hands over the mistakes, so that a later stage can add its own."""
    if not files:
        raise ValueError("no file given")
    parsed = [read(path) for path in files]
    lines = {each.path: each.lines for each in parsed}
    roots = [each.root for each in parsed if each.root is not None]
    tree = roots[0] if roots else MapNode(Mark(str(files[0]), 1, 1))
    for root in roots[1:]:
        merged = merge(tree, root)
        assert isinstance(merged, MapNode)
        tree = merged
    overrides, override_flaws = override_tree(environ, tree)
    whole = merge(tree, overrides)
    assert isinstance(whole, MapNode)
    unsure = frozenset(each.path for each in parsed if each.flaws)
    source = Source(whole, lines, tuple(files), unsure, tuple(one for each in parsed for one in each.dropped))
    flaws = [flaw for each in parsed for flaw in each.flaws] + override_flaws
    errors = [source.error("parse", flaw.mark, flaw.where, flaw.message) for flaw in flaws]
    if len(roots) < len(parsed):
        # With one file unread, whatever is missing may stand in it.
        return Inspected(None, None, tuple(_sorted(errors, files)))
    config, mistakes = validate(source, (overrides, tree))
    errors += mistakes
    errors += check_references(source)
    needed = need_secrets and text_at(source, "environment") != "sim"
    values, missing = read_secrets(source, environ, need=needed)
    errors += missing
    remember([*values.values(), *map(SecretStr, source.secret_texts())])
    if config is not None:
        attach(config, values)
    return Inspected(None if errors else config, source, tuple(_sorted(errors, files)))


def sorted_errors(errors: Sequence[ConfigError], files: Sequence[Path]) -> tuple[ConfigError, ...]:
    """In the order in which a person meets them: by file, then line; overrides last. Doubles are dropped."""
    return tuple(_sorted(errors, files))


def _sorted(errors: Sequence[ConfigError], files: Sequence[Path]) -> list[ConfigError]:
    order = {str(path): index for index, path in enumerate(files)}
    return sorted(
        dict.fromkeys(errors),
        key=lambda e: (order.get(e.path, len(order)), e.path, e.line or 0, e.column or 0, STAGES.index(e.stage)),
    )
