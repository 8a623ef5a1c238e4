"""`runner check FILE…`: every mistake of a file, without connecting to anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runner.cli._files import EXIT_OK, report
from runner.config.classes import KINDS
from runner.config.errors import STAGES, ConfigErrors
from runner.config.load import inspect, sorted_errors


def check(
    *files: Annotated[Path, Parameter(required=True)],
    sim: bool = False,
    no_build: Annotated[bool, Parameter(negative=())] = False,
    speed: str = "1",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Find every mistake in FILES (each laid over the one before) without connecting to anything.

    Stages: parse, schema, references (names, environment variables, secrets), build (strategies, actors and execution
    algorithms are imported and their parameters checked by their own config classes).

    Parameters
    ----------
    sim
        As for `runner FILE --sim`: keys may be missing.
    no_build
        Stop before anything is imported that the file names.
    speed
        Of the replay that the file is meant for; other than 1, bars aggregated inside the node are refused.
    json_
        Print one JSON object on stdout.
    """
    found = inspect(files, environ=os.environ, need_secrets=not sim)
    errors = list(found.errors)
    plans: dict[str, dict[str, str]] = {kind.section: {} for kind in KINDS}
    if not no_build:
        from runner.config.strategies import check_stage

        made, more = check_stage(found, files, environ=os.environ, speed_is_one=speed == "1")
        errors += more
        for one in made:
            plans[one.kind.section][one.name] = one.class_path
    if errors:
        return report(ConfigErrors(sorted_errors(errors, files)), as_json=json_)
    stages = [stage for stage in STAGES if stage != "build" or not no_build]
    if json_:
        print(json.dumps({"errors": [], "stages": stages, **plans}, indent=2))
    else:
        print(f"{', '.join(map(str, files))}: fine ({', '.join(stages)})")
    return EXIT_OK
