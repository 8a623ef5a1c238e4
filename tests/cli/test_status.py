"""What `runner status` shows of a node's answer."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from runner.cli._client import EXIT_USAGE, Reach
from runner.cli.status import screen, status

ACTIVE = {"state": "active"}
HALTED = {"state": "halted", "why": "[bold]odd[/nothing]", "by": "command", "since": "2026-01-12T17:01:00Z"}


def answer(orders: int = 0) -> dict[str, Any]:
    row = {"strategy": "one", "side": "buy", "filled": "0", "quantity": "10", "symbol": "IBM", "type": "limit"}
    rows = [{**row, "price": str(n), "trigger": None, "status": "accepted", "sent": "x"} for n in range(orders)]
    return {
        "name": "test",
        "environment": "paper",
        "pid": 7,
        "stage": "trade",
        "ready": True,
        "started": "2026-01-12T17:00:00Z",
        **ACTIVE,
        "feeds": {"stocks": {"market": "stocks", "feed": "iex", "connected": False, "gap": True}},
        "accounts": {"main": {"trade_updates": False, "equity": None, "buying_power": "1", **ACTIVE}},
        "strategies": {
            "one": {"account": "main", "running": False, "failed": True, "orders": 2, "positions": 1, **HALTED}
        },
        "actors": {"ears": {"class": "Ears", "running": True, "failed": False}},
        "exec_algorithms": {"TWAP": {"class": "TWAPExecAlgorithm", "running": False, "failed": True, "orders": 7}},
        "limits": [
            {"limit": "max_orders", "kind": "node", "name": "", "used": "0.2000"},
            {"limit": "max_drawdown", "kind": "account", "name": "main", "used": "0.9500"},
        ],
        "orders": {"total": orders, "rows": rows},
        "positions": {"total": 0, "rows": []},
        "fills": 3,
        "denied": 4,
    }


def shown(what: dict[str, Any]) -> list[str]:
    console = Console(width=100, highlight=False)
    with console.capture() as capture:
        console.print(screen(what))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_why_nothing_is_opened_is_said() -> None:
    down = answer()
    down["ready"] = False
    down["accounts"]["main"]["journal"] = "the disk is full; free some space"
    text = "\n".join(shown(down))
    assert "opens nothing: no trade updates of main" in text
    assert "account main: every order is denied: the disk is full; free some space" in text
    down["stage"] = "stop"
    assert "not trading: stop" in shown(down)[0]


def test_what_is_wrong_stands_out_and_reasons_are_taken_literally() -> None:
    lines = shown(answer())
    text = "\n".join(lines)
    assert lines[0].startswith("test  paper  process 7  up ")
    assert "strategy one is halted since 2026-01-12T17:01:00Z, by command: [bold]odd[/nothing]" in text
    for word in ("not connected", "gap", "no trade updates", "failed", "3 fills", "4 denied", "Ears", "7 orders"):
        assert word in text
    assert text.index("95%") < text.index("20%")


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"open": True, "flat": False, "until": "2026-01-12T20:30:00Z", "left": 0}, "open until Mon 15:30"),
        ({"open": False, "flat": False, "until": "2026-01-13T14:45:00Z", "left": 0}, "closes only until Tue 09:45"),
        ({"open": False, "flat": True, "until": None, "left": 2}, "flat, 2 positions not closed"),
    ],
)
def test_a_schedule_stands_beside_its_strategy_in_new_yorks_time(schedule: dict[str, Any], words: str) -> None:
    what = answer()
    what["strategies"]["two"] = {**what["strategies"]["one"], "schedule": schedule}
    lines = shown(what)
    (head,) = [line for line in lines if "state" in line and "schedule" in line]
    (row,) = [line for line in lines if line.startswith("two")]
    assert row.endswith(words)
    assert row.index(words) == head.index("schedule")
    assert not any("schedule" in line for line in shown(answer())), "no column where no strategy has one"


def test_it_fits_a_screen_and_says_what_it_leaves_out() -> None:
    lines = shown(answer(orders=500))
    assert "open orders (8 of 500)" in lines
    assert len(lines) < 40


def test_watching_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("test", watch=True, reach=Reach(json=True)) == EXIT_USAGE
    assert "not both" in capsys.readouterr().err
