"""The command line: one module a command, imported only when it is called."""

from __future__ import annotations

import os
import signal
import sys

from cyclopts import App

from runner.config.secrets import install_excepthook

COMMANDS = {
    "run": "Run the node that the files declare; --sim runs it against the simulated exchange.",
    "status": "Say how a running node stands: states and why, limits used, open orders.",
    "plan": "Say what a reload would change in a running node, with every check; nothing is changed.",
    "reload": "Have a running node take its changed file over, untouched strategies trading on.",
    "halt": "Deny every order that opens, of a node, an account or a strategy, until it is resumed.",
    "resume": "Let a halted or reducing node, account or strategy open positions again.",
    "flatten": "Cancel all orders and close all positions; then only closing is allowed until it is resumed.",
    "cancel": "Cancel what works now; strategies trade on.",
    "check": "Say everything that is wrong with the files, each with its line and what to do.",
    "show": "Print the file as it is understood: overrides applied, secrets masked.",
    "test": "Judge the orders under `tests:` by the file's limits, without a broker.",
    "fetch": "Bring history from Alpaca, or a recording, into a folder that `backtest` reads.",
    "backtest": "Run the file's strategies, with its gate and limits, over history.",
    "margin": "Say what an order would take of an account's margin, and where most is lost.",
    "strategies": "List what a file can name, with parameters, defaults and texts; of one class, YAML to paste.",
    "init": "Write a new folder to begin with: a file to run, its tests, a strategy; nothing is overwritten.",
    "doctor": "Look at this machine, a file and what its keys open: each finding with its remedy.",
    "record": "Write a live feed to files that the simulated exchange replays.",
    "schema": "Print the JSON Schema of the file, for editors.",
    "exchange": "Serve the simulated Alpaca on a port of this machine.",
}

# Those that don't live in a module of their own name.
_MODULES = dict.fromkeys(("halt", "resume", "flatten", "cancel"), "command") | {"plan": "reload"}

app = App(
    name="runner",
    help="One YAML file becomes a guarded, observable trading node. `runner FILE` runs it.",
    # Markdown would cost every --help a library that takes longer to load than all the rest.
    help_format="plaintext",
    result_action="return_int_as_exit_code_else_zero",
)
for _name, _help in COMMANDS.items():
    app.command(f"runner.cli.{_MODULES.get(_name, _name)}:{_name}", name=_name, help=_help)


def main(argv: list[str] | None = None) -> None:
    """Run the `runner` script. `run` may be left out: a first word that is no command names a file to run."""
    install_excepthook()
    _open_standard_files()
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in app:
        words.insert(0, "run")
    try:
        code = app(words)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def _open_standard_files() -> None:
    """Where one of the first three descriptors is closed, the next file or socket would get it, and what is printed."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
