"""`runner margin` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from runner import http
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


def test_a_narrow_terminal_cuts_no_number_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run("--cash", "123456789.01", "--order", SPREAD) == 0
    out = capsys.readouterr().out
    assert "123,456,789.01  123,456,789.01" in out
    assert "worst       1,000.00 lost with AAPL at 200 on 2025-01-17" in out


@pytest.mark.parametrize(
    "words",
    [
        ("--order", "+IBM"),
        ("--order", f"+{'9' * 30}*IBM @ 3"),
        ("--cash", "1e40"),
        ("--order", SPREAD, "--chart"),
        ("--order", SPREAD, "--plot", "a.jpg"),
        ("--account", "main"),
    ],
)
def test_a_program_gets_an_object_whatever_is_wrong(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--json") == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["message"]


def test_a_picture_that_fails_leaves_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ("--plot", str(tmp_path / "none" / "a.png"))
    assert run("--cash", "400", "--order", SPREAD, *nowhere, "--json") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["refusal"] == "OPTIONS_BUYING_POWER"
    assert "can't be written" in told.err
    assert run("--cash", "600", "--order", SPREAD, *nowhere) == 2


def test_a_chart_has_no_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--cash", "600", "--order", SPREAD, "--chart") == 0
    out = capsys.readouterr().out
    assert "1,000 USD required" in out
    assert "\x1b" not in out


NODE = """\
name: t
environment: paper
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: T_KEY}, secret: {env: T_SECRET}}}
strategies: {s: {class: "m:C", account: main, feed: stocks}}
"""


def test_an_account_at_the_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a coin of 50,000, and an order of 60,000 USD of shares that works: what the simulated exchange told."""
    account: dict[str, object] = {
        "cash": "50000",
        "multiplier": "2",
        "options_trading_level": 3,
        "options_buying_power": "20000",
    }
    account["non_marginable_buying_power"] = "0"
    held = [{"symbol": "BTCUSD", "asset_class": "crypto", "qty": "0.5", "current_price": "100000"}]

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=account if request.url.path == "/v2/account" else held)

    def client(*_: object, **more: str) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), base_url=more["base_url"])

    monkeypatch.setattr(http, "client", client)
    monkeypatch.setenv("T_KEY", "PK1")
    monkeypatch.setenv("T_SECRET", "s")
    path = tmp_path / "node.yaml"
    path.write_text(NODE)
    words = (str(path), "--account", "main", "--order", "+IBM @ 100 x 401")
    assert run(*words, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["before"]["initial_margin"], found["before"]["equity"]) == ("50000", "100000")
    assert (found["before"]["buying_power"], found["held_back"], found["refusal"]) == ("40000", "30000", "BUYING_POWER")
    assert found["before"]["non_marginable_buying_power"] == "0", "60,000 of 50,000 in cash are on order"
    assert run(*words[:3], "--order", "+BTC/USD @ 100000 x 0.1") == 1
    capsys.readouterr()
    run(*words)
    assert "held back   30,000.00" in capsys.readouterr().out
    # Worth nothing, no level told, and more decimals than are counted.
    held.append({"symbol": "AAPL280121P00100000", "asset_class": "us_option", "qty": "1", "current_price": "0"})
    account["options_trading_level"], account["cash"] = None, "50000.00000000001"
    assert run(*words[:3], "--order", "+IBM @ 100 x 1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["before"]["equity"] == "100000"
