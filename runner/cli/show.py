"""`runner show FILE…`: the file as the node would take it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runner.cli._files import EXIT_OK, report
from runner.config.errors import ConfigErrors
from runner.config.load import load
from runner.config.show import resolved, resolved_yaml


def show(
    *files: Annotated[Path, Parameter(required=True)],
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print FILES merged, with overrides and defaults filled in. Secrets are shown by where they come from.

    Parameters
    ----------
    json_
        Print one JSON object instead of YAML.
    """
    try:
        loaded = load(files, environ=os.environ, need_secrets=False)
    except ConfigErrors as errors:
        return report(errors, as_json=json_)
    if json_:
        print(json.dumps(resolved(loaded.config), indent=2, ensure_ascii=False))
    else:
        print(resolved_yaml(loaded.config), end="")
    return EXIT_OK
