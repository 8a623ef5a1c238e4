"""`runner init [DIR]`: a folder of one's own to begin with. No questions, and nothing is overwritten."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from runner.cli._folder import TEMPLATES, Wrote, folder_files, write_files

_FAILED = 1
Template = Literal["equity", "reversion", "brackets", "crypto", "options", "nautilus", "accounts"]


def init(
    folder: Annotated[Path, Parameter(name="DIR")] = Path(),
    *,
    template: Template = "equity",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Write a new folder: a file to run, its tests, an example strategy, and what git must not see.

    What exists is left as it is. Exit codes: 0 written, or there already; 1 it can't be written.

    Parameters
    ----------
    folder
        Where; the current folder by default. It is made where it is missing.
    template
        equity: trend following on two stocks; reversion: to the mean; brackets: entries with their exits as one order;
        crypto: two pairs round the clock; options: call spreads; nautilus: an example of Nautilus's own; accounts: two
        strategies on two accounts.
    json_
        Print one JSON object on stdout.
    """
    files = folder_files(template, folder.resolve().name)
    try:
        wrote = write_files(folder, files)
    except OSError as error:
        where = error.filename or folder
        print(f"runner init: {where} can't be written: {error.strerror or error}", file=sys.stderr)
        print("  mend that and run it again: what is there already stays as it is", file=sys.stderr)
        return _FAILED
    if json_:
        print(json.dumps({"folder": str(folder), "written": wrote.new, "kept": wrote.kept}, indent=2))
        return 0
    _tell(folder, TEMPLATES[template], wrote)
    return 0


def _tell(folder: Path, file: str, wrote: Wrote) -> None:
    for name in wrote.new:
        print(f"wrote   {folder / name}")
    for name in wrote.kept:
        print(f"exists  {folder / name}, left as it is")
    if wrote.unsafe:
        print(f"        {folder / '.gitignore'} does not keep .env away from git: add a line `.env` to it")
    step = "" if folder.resolve() == Path.cwd() else f"cd {folder}\n  "
    print(f"next:\n  {step}runner configs/{file}.yaml --sim --speed max\n  see {folder / 'README.md'}")
