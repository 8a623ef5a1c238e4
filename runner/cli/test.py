"""`runner test FILE…`: a file's own tests of its limits, without a broker."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runner.cli._files import EXIT_OK, report
from runner.config.document import Step, walk
from runner.config.errors import ConfigError, ConfigErrors
from runner.config.load import Loaded, load
from runner.config.trials import ALLOWED, Trial

if TYPE_CHECKING:
    from runner.node.trial import Outcome, TrialError

EXIT_FAILED = 1
BESIDE = ".tests.yaml"
_ENDINGS = (BESIDE, ".tests.yml")


def test(
    *files: Annotated[Path, Parameter(required=True)],
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Judge the orders under `tests:` by the limits of FILES (each laid over the one before); nothing is sent.

    Tests stand in the file itself, or beside it: those of paper.yaml in paper.tests.yaml. Exit code 0: all hold;
    1: one does not, or there are none; 78: the file is wrong.

    Parameters
    ----------
    json_
        Print one JSON object on stdout.
    """
    try:
        sets = _sets(files)
    except ConfigErrors as errors:
        return report(errors, as_json=json_)
    from runner.node.trial import outcomes

    rows: list[dict[str, Any]] = []
    failures: list[ConfigError] = []
    for loaded in sets:
        trials = loaded.config.tests
        for number, outcome in outcomes(loaded.config, dict(enumerate(trials))).items():
            failure = _failure(loaded, number, trials[number], outcome)
            rows.append(_row(number, trials[number], outcome, failure))
            if failure is not None:
                failures.append(failure)
    return _tell(files, rows, failures, as_json=json_)


def _sets(files: Sequence[Path]) -> list[Loaded]:
    """The files as they are, and once more for each file of tests beside one. Raises ConfigErrors."""
    if all(file.name.endswith(_ENDINGS) for file in files):
        message = "a file of tests says nothing of what it tests, name that file: its tests are found beside it"
        raise ConfigErrors([ConfigError("references", str(file), None, None, "", message) for file in files])
    own = load(files, environ=os.environ, need_secrets=False)
    sets = [own] if own.config.tests else []
    for beside in (file.with_name(file.stem + ending) for file in files for ending in _ENDINGS):
        if not beside.is_file() or beside in files:
            continue
        loaded = load([*files, beside], environ=os.environ, need_secrets=False)
        held = [(path, mark) for path, mark, _ in walk(loaded.source.root) if mark.path == str(beside)]
        # A file of tests must not change what it tests.
        if strangers := [(path, mark) for path, mark in held if path[0] != "tests"]:
            says = "a file of tests holds nothing but tests:"
            raise ConfigErrors([loaded.source.error("references", mark, path, says) for path, mark in strangers])
        if held:  # else the tests are the file's own, which are there already
            sets.append(loaded)
    return sets


def _failure(loaded: Loaded, number: int, trial: Trial, outcome: Outcome | TrialError) -> ConfigError | None:
    path: tuple[Step, ...] = ("tests", number)
    called = "" if trial.name is None else f"`{trial.name}` "
    if isinstance(outcome, Exception):
        path = (*path, *outcome.path)
        return loaded.source.error(
            "references", loaded.source.value_mark(path), path, f"{called}can't be run: {outcome}"
        )
    if outcome.code == trial.expect:
        return None
    path = (*path, "expect")
    said = "it is allowed" if outcome.code == ALLOWED else f"it is denied with {outcome.reason}"
    message = f"{called}expects {trial.expect}, but {said}"
    return loaded.source.error("references", loaded.source.value_mark(path), path, message)


def _row(number: int, trial: Trial, outcome: Outcome | TrialError, failure: ConfigError | None) -> dict[str, Any]:
    said = ("", str(outcome)) if isinstance(outcome, Exception) else (outcome.code, outcome.reason)
    return {
        "test": number,
        "name": trial.name,
        "expect": trial.expect,
        "outcome": said[0] or None,
        "reason": said[1],
        "passed": failure is None,
        "error": None if failure is None else failure.as_dict(),
    }


def _tell(files: Sequence[Path], rows: list[dict[str, Any]], failures: list[ConfigError], *, as_json: bool) -> int:
    named = ", ".join(map(str, files))
    code = EXIT_OK if rows and not failures else EXIT_FAILED
    if as_json:
        print(json.dumps({"tests": rows, "passed": len(rows) - len(failures), "failed": len(failures)}, indent=2))
        return code
    for failure in failures:
        print(failure.render())
    if not rows:
        print(f"{named}: no tests; write them under `tests:`, or beside it in a file NAME{BESIDE}")
        return code
    count = "1 test" if len(rows) == 1 else f"{len(rows)} tests"
    print(f"{named}: {count}, {len(rows) - len(failures)} passed, {len(failures)} failed")
    return code
