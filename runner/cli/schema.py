"""`runner schema`: the JSON Schema of a file, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from runner.cli._files import EXIT_OK
from runner.config.schema import json_schema_text


def schema(
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print the JSON Schema of a file, for editors: `# yaml-language-server: $schema=./runner.schema.json`.

    Parameters
    ----------
    out
        Write to this file instead.
    json_
        For uniformity with the other commands: the schema is JSON either way.
    """
    text = json_schema_text()
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
    return EXIT_OK
