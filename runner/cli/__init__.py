"""The command line: one module a command, imported only when it is called."""

from __future__ import annotations

import sys

from cyclopts import App

app = App(
    name="runner",
    help="One YAML file becomes a guarded, observable trading node. `runner FILE` runs it.",
    result_action="return_int_as_exit_code_else_zero",
)
for _name in ("run", "check", "show", "schema", "exchange"):
    app.command(f"runner.cli.{_name}:{_name}", name=_name)


def main(argv: list[str] | None = None) -> None:
    """Entry point of the `runner` script. `run` may be left out: a first word that names a file is one to run."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in app:
        words.insert(0, "run")
    sys.exit(app(words))
