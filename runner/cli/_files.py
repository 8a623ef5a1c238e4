"""What the commands about files have in common."""

from __future__ import annotations

import json
import sys

from runner.config.errors import ConfigErrors

EXIT_OK = 0
EXIT_CONFIG = 78


def report(errors: ConfigErrors, *, as_json: bool) -> int:
    """Tell a person (stderr) or a program (stdout) what is wrong with a file; returns the exit code."""
    if as_json:
        print(json.dumps(errors.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(errors.render(), file=sys.stderr)
    return EXIT_CONFIG
