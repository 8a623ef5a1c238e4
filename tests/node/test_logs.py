"""One readable line for each thing that happened, whoever said it, and no secret in any."""

from __future__ import annotations

import json
import logging
import logging.config
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.config.secrets import remember
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.logs import FloodFilter, OutputTap, put_back, set_up


@pytest.fixture(autouse=True)
def _own_handlers() -> object:
    root, ours = logging.getLogger(), logging.getLogger("runner")
    handlers, level = list(root.handlers), ours.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    ours.setLevel(level)


def told(level: int, component: str, text: str, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    tap = OutputTap.__new__(OutputTap)
    tap.own = {"EMACross"}
    caplog.set_level("DEBUG", "runner")
    tap.emit(level, component, text)
    return [(r.levelname, r.getMessage()) for r in caplog.records]


@pytest.mark.parametrize(
    ("level", "component", "text", "shown"),
    [
        (logging.INFO, "EMACross", "crossed upwards", "INFO"),
        (logging.INFO, "EMACross", "<--[EVT] OrderFilled(...)", "DEBUG"),
        (logging.INFO, "EMACross", "TradeTick(IBM.ALPACA,1.00,1)", "DEBUG"),
        (logging.INFO, "DataEngine", "RUNNING", "DEBUG"),
        (logging.WARNING, "DataClient-ALPACA", "Market data: disconnected (cut)", "WARNING"),
        (logging.WARNING, "T-001", "EMACross-a already stopped", "DEBUG"),
        (logging.ERROR, "ExecEngine", "no such client", "ERROR"),
    ],
)
def test_each_line_has_the_level_that_a_person_gives_it(
    level: int, component: str, text: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(level, component, text, caplog) == [(shown, f"{component}: {text}")]


def test_a_file_takes_json_with_secrets_masked(tmp_path: Path) -> None:
    remember([SecretStr("hunter2hunter2")])
    set_up("info", tmp_path / "logs", "json", "node").write = lambda text, level: None
    try:
        raise ValueError("hunter2hunter2")
    except ValueError:
        logging.getLogger("runner.node").exception("the key is %s", "hunter2hunter2")
    (line,) = (tmp_path / "logs" / "node.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert "ValueError" in entry["traceback"]
    assert "hunter2" not in line


def test_a_flood_of_warnings_that_differ_by_numbers_is_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info", None, "text", "n")
    child, audit = logging.getLogger("runner.node"), logging.getLogger("runner.audit")
    warning = logging.LogRecord("runner.node", logging.WARNING, "", 0, "%s: order %s denied", ("a", "O-1"), None)
    start = warning.created
    for n in range(1000):
        warning = logging.LogRecord("runner.node", logging.WARNING, "", 0, "%s: order O-%d denied", ("a", n), None)
        warning.created = start + n / 1000
        child.handle(warning)
        child.info("quote %d", n)
        audit.warning("who: halt %d", n)
    child.warning("another order O-1 denied")
    warning.created = start + 20
    child.handle(warning)
    lines = capsys.readouterr().err.splitlines()
    denied = [line for line in lines if "warning: a: order O-" in line]
    assert len(denied) == FloodFilter.MOST + 1
    assert denied[-1].endswith(f"(and {1000 - FloodFilter.MOST} more like it, which are not shown)")
    assert sum("quote" in line for line in lines) == sum("who: halt" in line for line in lines) == 1000
    assert sum("another order" in line for line in lines) == 1


def test_what_a_strategys_library_does_to_the_log_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info", None, "text", "n")
    child = logging.getLogger("runner.node")
    assert not put_back()
    logging.config.dictConfig({"version": 1, "root": {"handlers": []}})  # disables all loggers that there are
    logging.disable(logging.CRITICAL)
    child.error("lost")
    assert put_back()
    child.error("told")
    assert not put_back()
    err = capsys.readouterr().err
    assert "told" in err
    assert "lost" not in err


def test_a_full_disk_is_said_once_and_so_is_its_end(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    file.symlink_to("/dev/full")
    said: list[str] = []
    set_up("info", tmp_path, "text", "node").write = lambda text, level: said.append(text)
    log = logging.getLogger("runner.node")
    log.info("one")
    log.info("two")
    file.unlink()
    log.info("three")
    complaints = [line for line in said if "the log file" in line]
    assert len(complaints) == 2
    assert "can't be written (No space left on device): make room" in complaints[0]
    assert "is written again, 2 lines are missing" in complaints[1]
    assert file.read_text().endswith("three\n")


def test_a_folder_that_can_not_be_written_to_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(NodeError, match=r"no log can be written in .*taken: ") as caught:
        set_up("info", tmp_path / "taken", "text", "node")
    assert caught.value.code is ExitCode.CONFIG


def test_what_is_printed_goes_to_stderr_and_stdout_is_for_the_summary_alone() -> None:
    code = (
        "import os, sys\n"
        "from runner.node.logs import FloodFilter, OutputTap, put_back, set_up\n"
        "set_up('info', None, 'text', 'n')\n"
        "tap = OutputTap({'S'})\n"
        "print('from a strategy')\n"
        "os.write(1, b'2026-01-01T00:00:00.000000001Z [INFO] T-1.S: own words\\n')\n"
        "os.write(2, b'2026-01-01T00:00:00.000000001Z [ERROR] T-1.X: trouble\\nsecond line\\n')\n"
        "tap.out.write('{}')\n"
        "tap.out.flush()\n"
        "tap.close()\n"
        "os.write(1, b'late, from a thread\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{}"
    *told, late = done.stderr.splitlines()
    assert late == "late, from a thread"
    lines = [line[9:] for line in told]
    assert lines == ["from a strategy", "S: own words", "error: X: trouble", "error:   second line"]


def test_standard_files_that_a_strategy_closed_are_opened_anew() -> None:
    """The next socket would get their numbers, and Nautilus's log be written into it."""
    code = (
        "import os, socket, sys\n"
        "from runner.node.logs import OutputTap, set_up\n"
        "set_up('info', None, 'text', 'n')\n"
        "tap = OutputTap()\n"
        "assert tap.hold() == []\n"
        "sys.stdout.close(); sys.__stderr__.close(); os.close(1); os.close(2)\n"
        "assert tap.hold() == ['standard output', 'standard error', 'sys.stdout'], tap.hold()\n"
        "assert socket.socket().fileno() > 2\n"
        "print('from a strategy')\n"
        "os.write(2, b'2026-01-01T00:00:00.000000001Z [ERROR] T-1.X: trouble\\n')\n"
        "tap.out.write('{}')\n"
        "tap.out.flush()\n"
        "tap.close()\n"
        "sys.stdout.flush(); print('as before', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{}"), done.stderr
    assert [line[9:] for line in done.stderr.splitlines()] == ["from a strategy", "error: X: trouble", ""]


def test_secrets_are_masked_in_what_rust_and_python_write_to_stderr() -> None:
    code = (
        "import os, sys\n"
        "from pydantic import SecretStr\n"
        "from runner.config.secrets import remember\n"
        "from runner.node.logs import FloodFilter, OutputTap, put_back, set_up\n"
        "set_up('info', None, 'text', 'n')\n"
        "remember([SecretStr('hunter2hunter2')])\n"
        "tap = OutputTap({'S'})\n"
        "os.write(2, b'2026-01-01T00:00:00.000000001Z [ERROR] T-1.S: Rust, hunter2hunter2\\n')\n"
        "os.write(2, b'thread panicked, hunter2hunter2\\n')\n"
        "print('Python, hunter2hunter2', file=sys.stderr)\n"
        "tap.close()\n"
        "print('as before', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = set(done.stderr.splitlines())
    assert "hunter2" not in done.stderr
    assert {"Python, **********", "as before"} <= lines
    assert {line[9:] for line in lines} >= {"error: S: Rust, **********", "error:   thread panicked, **********"}
