"""`runner test`: a file's own tests of its limits."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from runner.cli import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
BASE = """\
name: t
environment: paper
feeds: {stocks: {market: stocks}}
accounts: {main: {broker: alpaca, key: {env: T_KEY}, secret: {env: T_SECRET}}}
strategies: {s: {class: "m:C", account: main, feed: stocks}}
risk:
  max_order_qty: 10
  price_collar: 2%
  max_daily_loss: 500
  max_quote_age: 5s
  self_match: deny
  universe: {sessions: [core]}
  margin: {}
"""
BUY = "order: {symbol: IBM, side: buy, qty: 1}"


def run(*words: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["test", *map(str, words)])
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def write(folder: Path, tests: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(f"{BASE}{tests}")
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.tests.yaml")), ids=lambda path: path.name)
def test_the_shipped_files_keep_their_own_promises(path):
    code, out, err = run(path.with_name(path.name.replace(".tests", "")))
    assert (code, err) == (0, ""), out


def test_every_shipped_file_has_tests():
    files = {path for path in CONFIGS.glob("*.yaml") if not path.name.endswith(".tests.yaml")}
    assert {path for path in files if not path.with_name(f"{path.stem}.tests.yaml").exists()} == set()


ROWS = [
    (f"quotes: {{IBM: 100}}, {BUY}", "allowed"),
    ("quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 11}", "MAX_ORDER_QTY"),
    ("quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 1, limit: 102.01}", "PRICE_COLLAR"),
    (BUY, "QUOTE_MISSING"),
    # Below a dollar a price has four decimals, whoever says that the share is there.
    ("order: {symbol: PNY, side: buy, qty: 1, limit: 0.5123}", "QUOTE_MISSING"),
    ("quotes: {PNY: 1.01}, order: {symbol: PNY, side: buy, qty: 1, limit: 0.9985}", "allowed"),
    ("quotes: {PNY: 0.99}, order: {symbol: PNY, side: buy, qty: 1, limit: 1.0050}", "ORDER_ILLEGAL"),
    (
        "account: {positions: {PNY: {qty: 5, price: 0.5123}}}, order: {symbol: PNY, side: sell, qty: 5, limit: 0.5123}",
        "allowed",
    ),
    (f"quotes: {{IBM: {{bid: 101, ask: 100}}}}, {BUY}", "QUOTE_CROSSED"),
    (f"quotes: {{IBM: {{bid: 100, ask: 100, age: 6s}}}}, {BUY}", "QUOTE_STALE"),
    (f"at: 2026-01-05 16:00, quotes: {{IBM: 100}}, {BUY}", "SESSION_CLOSED"),
    (f"state: halted, quotes: {{IBM: 100}}, {BUY}", "STATE_HALTED"),
    (f"account: {{lost_today: 501}}, quotes: {{IBM: 100}}, {BUY}", "STATE_REDUCING"),
    (f"account: {{lost_today: 500}}, quotes: {{IBM: 100}}, {BUY}", "allowed"),
    (f"account: {{cash: 99}}, quotes: {{IBM: 100}}, {BUY}", "MARGIN_INSUFFICIENT"),
    (
        (
            f"account: {{working: [{{symbol: IBM, side: sell, qty: 1, limit: 100}}], positions: {{IBM: 1}}}}, "
            f"quotes: {{IBM: 100}}, {BUY}"
        ),
        "SELF_MATCH",
    ),
    ("quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 0.5, time_in_force: fok}", "ORDER_ILLEGAL"),
    (
        "state: halted, account: {positions: {IBM: -3}}, quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 3}",
        "allowed",
    ),
    (
        "quotes: {IBM: 100}, orders: [{symbol: IBM, side: buy, qty: 2}, {symbol: IBM, side: buy, qty: 3, limit: 99}]",
        "allowed",
    ),
    ("quotes: {BTC/USD: 100}, order: {symbol: BTC/USD, side: buy, qty: 0.5, time_in_force: gtc}", "allowed"),
    (
        "quotes: {IBM280121C00100000: 5}, order: {symbol: IBM280121C00100000, side: sell, qty: 1, limit: 5}",
        "MARGIN_UNCOVERED",
    ),
    (f"quotes: {{IBM.ALPACA: 100}}, {BUY}", "allowed"),
    ("quotes: {IBM: 100}, order: {symbol: IBM.ALPACA, side: buy, qty: 1}", "allowed"),
    # An adjusted contract is one: ten at 5.00 are 5,000 USD.
    (
        (
            "account: {cash: 3_000}, quotes: {IBM1280121C00100000: 5}, "
            "order: {symbol: IBM1280121C00100000, side: buy, qty: 10}"
        ),
        "MARGIN_INSUFFICIENT",
    ),
    # A price below a cent is one, and 2 % of it is no cent.
    (
        "quotes: {DOGE/USD: 0.08123}, order: {symbol: DOGE/USD, side: buy, qty: 1, limit: 0.0848, time_in_force: gtc}",
        "PRICE_COLLAR",
    ),
    ("quotes: {ABC: 0.0045}, order: {symbol: ABC, side: buy, qty: 1}", "allowed"),
    ("quotes: {ABC: 0.5012}, order: {symbol: ABC, side: buy, qty: 1, limit: 0.5113}", "PRICE_COLLAR"),
]


@pytest.mark.parametrize(("body", "expect"), ROWS)
def test_a_test_says_what_the_gate_says(tmp_path, body, expect):
    code, out, err = run("--json", write(tmp_path, f"tests:\n  - {{{body}, expect: {expect}}}\n"))
    told = json.loads(out)
    assert told["tests"][0]["outcome"] == expect, told
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("at", "order", "expect"),
    [
        ("at: 2026-01-05 09:45, ", BUY, "allowed"),
        ("at: 2026-01-05 15:29, ", BUY, "allowed"),
        ("at: 2026-01-05 15:30, ", BUY, "SCHEDULE_CLOSED"),
        ("at: 2026-01-06 12:00, ", BUY, "SCHEDULE_CLOSED"),
        (
            "at: 2026-01-06 12:00, account: {positions: {IBM: 1}}, ",
            "order: {symbol: IBM, side: sell, qty: 1}",
            "allowed",
        ),
        ("", BUY, "allowed"),
    ],
)
def test_a_test_that_says_when_is_judged_by_the_strategys_schedule_too(tmp_path, at, order, expect):
    path = write(tmp_path, f"tests: [{{{at}quotes: {{IBM: 100}}, {order}, expect: {expect}}}]\n")
    path.write_text(path.read_text().replace("feed: stocks}", "feed: stocks, schedule: {days: [mon], stop: 15:30}}"))
    code, out, _ = run(path)
    assert code == 0, out


def test_a_test_that_does_not_hold_is_told_with_its_place_and_the_reason(tmp_path):
    path = write(tmp_path, f"tests:\n  - name: small\n    quotes: {{IBM: 100}}\n    {BUY}\n    expect: MAX_ORDER_QTY\n")
    code, out, _ = run(path)
    assert code == 1
    assert out.replace(str(tmp_path), "") == (
        "/file.yaml:18:13 tests.0.expect: `small` expects MAX_ORDER_QTY, but it is allowed\n"
        "   18 |     expect: MAX_ORDER_QTY\n"
        "      |             ^^^^^^^^^^^^^\n"
        f"{path}: 1 test, 0 passed, 1 failed\n".replace(str(tmp_path), "")
    )


def test_a_denial_that_was_not_expected_gives_its_numbers(tmp_path):
    path = write(tmp_path, "tests: [{quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 11}, expect: allowed}]\n")
    code, out, _ = run("--json", path)
    (row,) = json.loads(out)["tests"]
    assert code == 1
    assert row["reason"] == "MAX_ORDER_QTY: to buy 11 IBM.ALPACA is more than the 10 of risk.max_order_qty"
    assert (row["error"]["line"], row["error"]["column"]) == (14, 80)


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("[{expect: allowed}]", "a test judges an order, write order or orders"),
        (f"[{{{BUY}}}]", "missing, add `expect:`"),
        (f"[{{{BUY}, expect: maybe}}]", "`maybe` is neither `allowed` nor the code of a denial"),
        ("[{order: {symbol: IBM, side: buy}, expect: allowed}]", "write either qty or notional"),
        (f"[{{{BUY}, expect: allowed, qoutes: {{}}}}]", "unknown key, did you mean quotes?"),
        (f"[{{at: noon, {BUY}, expect: allowed}}]", "`noon` is no time"),
        (f"[{{at: 1926-03-08 12:30, {BUY}, expect: allowed}}]", "is no time"),
        (f"[{{at: 9999-03-08 12:30, {BUY}, expect: allowed}}]", "is no time"),
    ],
)
def test_a_test_that_is_written_wrong_is_a_mistake_of_the_file(tmp_path, tests, says):
    code, _, err = run(write(tmp_path, f"tests: {tests}\n"))
    assert code == 78
    assert says in err


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("[{order: {symbol: 'a b', side: buy, qty: 1}, expect: allowed}]", "is no Alpaca symbol"),
        (f"[{{account: {{positions: {{IBM: 1}}}}, {BUY}, expect: allowed}}]", "give it a price or a quote"),
        (f"[{{{BUY}, expect: NO_SUCH_CODE}}]", "there is no code NO_SUCH_CODE"),
        (f"[{{{BUY}, expect: MAX_DAILY_LOSS}}]", "denies no order: expect the state that it makes"),
        # What would be judged as something else than it says.
        ("[{order: {symbol: IBM280121C0010000, side: buy, qty: 1}, expect: QUOTE_MISSING}]", "is no Alpaca symbol"),
        ("[{order: {symbol: BTCUSD, side: buy, qty: 1}, expect: QUOTE_MISSING}]", "is no Alpaca symbol"),
        ("[{order: {symbol: IBM240119C00100000, side: buy, qty: 1}, expect: QUOTE_MISSING}]", "expired on 2024-01-19"),
        ("[{order: {symbol: IBM280121C00100000, side: buy, qty: 1.5}, expect: QUOTE_MISSING}]", "has more decimals"),
        (
            "[{quotes: {IBM: 100}, order: {symbol: IBM, side: buy, qty: 1, limit: 102.004}, expect: allowed}]",
            "102.004 has more decimals",
        ),
        (f"[{{quotes: {{IBM: 100.123}}, {BUY}, expect: allowed}}]", "100.123 has more decimals"),
    ],
)
def test_a_test_that_can_not_be_run_fails(tmp_path, tests, says):
    code, out, _ = run(write(tmp_path, f"tests: {tests}\n"))
    assert code == 1
    assert says in out


def test_no_tests_at_all_is_no_success(tmp_path):
    code, out, _ = run(write(tmp_path, ""))
    assert code == 1
    assert "no tests" in out


def test_tests_beside_a_file_must_not_change_what_they_test(tmp_path):
    path = write(tmp_path, "")
    beside = tmp_path / "file.tests.yaml"
    beside.write_text(f"tests: [{{quotes: {{IBM: 100}}, {BUY}, expect: allowed}}]\n")
    assert run(path)[0] == 0
    beside.write_text(f"risk: {{max_order_qty: 99}}\n{beside.read_text()}")
    code, _, err = run(path)
    assert code == 78
    assert "a file of tests holds nothing but tests:" in err


def test_both_places_are_run(tmp_path):
    path = write(tmp_path, f"tests: [{{quotes: {{IBM: 100}}, {BUY}, expect: allowed}}]\n")
    (tmp_path / "file.tests.yaml").write_text(f"tests: [{{{BUY}, expect: QUOTE_MISSING}}]\n")
    code, out, _ = run("--json", path)
    assert code == 0
    assert [row["expect"] for row in json.loads(out)["tests"]] == ["allowed", "QUOTE_MISSING"]


def test_a_file_of_tests_may_end_in_yml_and_where_it_is_empty_nothing_is_run_twice(tmp_path):
    path = write(tmp_path, f"tests: [{{quotes: {{IBM: 100}}, {BUY}, expect: allowed}}]\n")
    beside = tmp_path / "file.tests.yml"
    beside.write_text(f"tests: [{{{BUY}, expect: allowed}}]\n")
    code, out, _ = run(path)
    assert code == 1
    assert "2 tests, 1 passed, 1 failed" in out
    beside.write_text("{}\n")
    code, out, _ = run(path)
    assert code == 0
    assert "1 test, 1 passed" in out


def test_a_file_of_tests_by_itself_is_told_what_to_name(tmp_path):
    path = tmp_path / "file.tests.yaml"
    path.write_text(f"tests: [{{{BUY}, expect: allowed}}]\n")
    code, _, err = run(path)
    assert code == 78
    assert "name that file" in err
    assert "missing" not in err
