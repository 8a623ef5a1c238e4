"""`runner margin` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.cli import main

SPREAD = "+AAPL250117C00200000 -AAPL250117C00190000 @ -5"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["margin", *words])
    return int(ended.value.code or 0)


def test_a_file_with_its_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"cash: 10_000\npositions:\n  - {{symbol: AAPL, qty: 10, price: 190.50}}\norder: {SPREAD}\n")
    assert run(str(path), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cost_basis"], found["net"], found["allowed"]) == ("500", "-500", True)
    assert found["worst"] == {"root": "AAPL", "loss": "1000", "price": "200", "expiry": "2025-01-17"}


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--cash", "400", "--order", SPREAD) == 1
    out = capsys.readouterr().out
    assert "cost basis  500.00 (500.00 received)" in out
    assert "OPTIONS_BUYING_POWER" in out


def test_an_order_may_begin_with_a_minus(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--cash", "30000", "--order", "-AAPL250117P00205000 @ 1.90") == 0
    assert "20,310.00" in capsys.readouterr().out


def test_mistakes_of_a_file_have_their_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("cash: abc\npositions:\n  - {symbol: A, pric: 3}\n")
    assert run(str(path)) == 78
    err = capsys.readouterr().err
    assert f"{path}:1:7 cash: " in err
    assert f"{path}:3:17 positions.0.pric: unknown key" in err
    assert "positions.0.qty: missing" in err


@pytest.mark.parametrize("order", ["AAPL", "+AAPL", "+AAPL @ much"])
def test_an_order_that_can_not_be_read(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--order", order) == 2
    assert capsys.readouterr().err


def test_a_picture_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--cash", "1", "--plot", str(tmp_path / "a.png")) == 2
    assert "nothing to draw" in capsys.readouterr().err
