"""The command line: one module a command, imported only when it is called."""

from __future__ import annotations

import sys

from cyclopts import App

COMMANDS = {
    "run": "Run the node that the files declare; --sim runs it against the simulated exchange.",
    "check": "Say everything that is wrong with the files, each with its line and what to do.",
    "show": "Print the file as it is understood: overrides applied, secrets masked.",
    "test": "Judge the orders under `tests:` by the file's limits, without a broker.",
    "margin": "Say what an order would take of an account's margin, and where most is lost.",
    "schema": "Print the JSON Schema of the file, for editors.",
    "exchange": "Serve the simulated Alpaca on a port of this machine.",
}

app = App(
    name="runner",
    help="One YAML file becomes a guarded, observable trading node. `runner FILE` runs it.",
    # Markdown would cost every --help a library that takes longer to load than all the rest.
    help_format="plaintext",
    result_action="return_int_as_exit_code_else_zero",
)
for _name, _help in COMMANDS.items():
    app.command(f"runner.cli.{_name}:{_name}", name=_name, help=_help)


def main(argv: list[str] | None = None) -> None:
    """Run the `runner` script. `run` may be left out: a first word that is no command names a file to run."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in app:
        words.insert(0, "run")
    sys.exit(app(words))
