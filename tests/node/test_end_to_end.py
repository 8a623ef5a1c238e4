"""The whole path: a file, the simulated exchange, the Rust-backed adapter, the gate; and every way to end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.node.exit_codes import ExitCode
from tests.node.process import config, running

pytestmark = pytest.mark.slow
# The last core half hour, as fast as it goes: some sixty bars.
SHORT = ("--sim", "--speed", "max", "--start", "15:30")
TWO = {"one": "Trader", "two": "Trader"}


def post(url: str, body: object) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status < 300


def test_the_shipped_file_trades_a_made_up_day_with_agreeing_books() -> None:
    # Port 0: the shipped one may be in use where tests run side by side.
    words = ("configs/paper.yaml", "--sim", "--speed", "max", "--json")
    with running(*words, RUNNER__METRICS__LISTEN="127.0.0.1:0") as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert set(summary) == {"orders", "fills", "ticks", "accounts", "positions", "books_agree", "books", "denials"}
    assert set(summary["orders"]) == {"submitted", "accepted", "filled", "canceled", "rejected", "denied"}
    assert summary["fills"] > 0
    assert summary["books_agree"] is True
    assert {"IBM", "BAC"} <= {line.split()[4] for line in node.fills()}


def test_the_real_day_trades_both_symbols_in_lock_step(shared: Path | None) -> None:
    day = ["--seed", "5"]
    if shared is not None:
        day = ["--replay", str(shared / "market-data" / "stocks-IBM-BAC-2013-10-07.jsonl.gz")]
    words = ("configs/paper.yaml", "--sim", "--speed", "max", "--json", "--fee-per-share", "0.005", *day)
    with running(*words, RUNNER__METRICS__LISTEN="127.0.0.1:0") as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True
    assert {"IBM", "BAC"} <= {line.split()[4] for line in node.fills()}


def test_the_real_day_is_traded_with_brackets_on_both_symbols(shared: Path | None) -> None:
    day = ["--seed", "5"]
    if shared is not None:
        day = ["--replay", str(shared / "market-data" / "stocks-IBM-BAC-2013-10-07.jsonl.gz")]
    with running(
        "configs/brackets.yaml", "--sim", "--speed", "max", "--json", *day, RUNNER__METRICS__LISTEN="127.0.0.1:0"
    ) as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True
    orders = summary["orders"]
    assert orders["denied"] == orders["rejected"] == 0
    # Of each bracket two fill, the entry and one exit; the other exit is canceled (both, for one that is flattened).
    assert orders["filled"] >= 2 * orders["canceled"] > 0
    assert {"IBM", "BAC"} <= {line.split()[4] for line in node.fills()}


def test_lock_step_gives_the_same_fills_twice_and_fees_only_cost_cash(tmp_path: Path) -> None:
    path = config(tmp_path, TWO)
    runs = []
    for fee in ("0", "0", "0.01"):
        with running(path, *SHORT, "--json", "--fee-per-share", fee) as node:
            code, summary, err = node.summary()
        assert code == 0, err
        assert summary["books_agree"] is True, summary["books"]
        runs.append((node.fills(), summary))
    (first, without), (second, _), (third, with_fees) = runs
    assert len(first) > 20
    assert first == second == third
    shares = sum(Decimal(line.split()[3]) for line in first)
    cash = [Decimal(summary["accounts"]["main"]["cash"]) for summary in (without, with_fees)]
    # The last positions are closed after the last line of the replay, so both runs have the same shares.
    assert cash[0] - cash[1] == shares * Decimal("0.01")


def test_an_algorithm_carries_out_orders_while_actors_listen_and_one_of_them_fails(tmp_path: Path) -> None:
    more = """
actors:
  good: {class: own_traders:Ears, params: {bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL}}
  bad: {class: own_traders:Ears, params: {bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL, fails_at: 2}}
exec_algorithms:
  TWAP: {class: nautilus_trader.examples.algorithms.twap:TWAPExecAlgorithm}
"""
    path = config(tmp_path, {"one": "Sliced", "two": "Sliced"}, text=more)
    with running(path, "--sim", "--speed", "60", "--start", "12:00", "--json") as node:
        node.until("actor bad is stopped: ValueError: deaf in on_bar")
        node.until("good heard 5")
        node.signal(signal.SIGTERM)
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True, summary["books"]
    assert summary["positions"] == []
    for name in ("one", "two"):
        own = [line.split()[2:4] for line in node.fills() if f" {name} " in line]
        assert own == [["buys", "10"]] * 3 + [["sells", "10"]] * 3


def test_a_signal_mid_run_flattens_and_ends_with_0_and_a_summary(tmp_path: Path) -> None:
    with running(config(tmp_path, TWO), "--sim", "--speed", "60", "--start", "12:00", "--json") as node:
        node.until(" one buys ")
        node.signal(signal.SIGTERM)
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True
    assert summary["positions"] == []


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(config(tmp_path, {"one": "HangingStop"}), "--sim", "--speed", "60", "--start", "12:00") as node:
        node.until(" one buys ")
        node.signal(signal.SIGINT)
        node.until("stopping for ever")
        node.signal(signal.SIGINT)
        code, _, _ = node.end()
    assert code == 128 + signal.SIGINT


def test_cut_sockets_lose_no_fill(tmp_path: Path) -> None:
    with running(config(tmp_path, TWO), "--sim", "--speed", "120", "--start", "15:00", "--json") as node:
        url = node.until("replaying").split()[-1]
        for _ in range(3):
            node.until(" buys ")
            post(f"{url}/control/faults", {"cut": "all"})
        for _ in range(4):
            node.until(" buys ")
        node.signal()
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True, err
    assert summary["fills"] >= 7


def test_one_strategy_that_raises_is_told_once_and_the_other_trades_on(tmp_path: Path) -> None:
    with running(config(tmp_path, {"bad": "Raising", "good": "Trader"}), *SHORT, "--json") as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert err.count("ValueError: boom in on_bar") == 1
    assert "own_traders.py" in err
    assert summary["fills"] > 10
    assert summary["books_agree"] is True


def test_when_all_strategies_have_failed_it_ends_with_70(tmp_path: Path) -> None:
    with running(config(tmp_path, {"a": "Raising", "b": "Raising"}), *SHORT) as node:
        code, _, err = node.end()
    assert code == ExitCode.STRATEGY, err


def test_a_strategy_that_hangs_ends_it_with_72(tmp_path: Path) -> None:
    text = "node: {unhealthy_after: 200ms, hang_limit: 1s}"
    with running(config(tmp_path, {"one": "Hanging"}, text=text), *SHORT) as node:
        code, _, err = node.end()
    assert code == ExitCode.HUNG, err


def test_a_strategy_that_forks_closes_its_files_and_stops_the_loop_has_one_node_wound_down(tmp_path: Path) -> None:
    with running(config(tmp_path, {"one": "Ending", "two": "Trader"}), *SHORT, "--json") as node:
        code, summary, err = node.summary()
    assert code == ExitCode.FAILED, err
    assert err.count("came back to the node, and is ended") == 1
    assert err.count("stops the event loop (") == 1
    assert "own_traders.py" in err
    assert "in on_bar), so the node ends" in err
    assert summary["fills"] >= 4
    assert (summary["positions"], summary["books_agree"]) == ([], True), err


def test_an_exchange_that_dies_ends_it_with_69(tmp_path: Path) -> None:
    with running(config(tmp_path, TWO), "--sim", "--speed", "60", "--start", "12:00", "--json") as node:
        node.until(" buys ")
        children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        code, summary, err = node.summary()
    assert code == ExitCode.CONNECT, err
    assert "the simulated exchange" in err or "control channel" in err
    assert summary["books_agree"] is None


def test_without_keys_it_says_which_and_that_sim_needs_none(tmp_path: Path) -> None:
    with running(config(tmp_path, TWO)) as node:
        code, out, err = node.end()
    assert code == ExitCode.CONFIG
    assert out == ""
    assert "TEST_KEY" in err
    assert "TEST_SECRET" in err
    assert "--sim" in err


def test_a_refused_connection_says_so_once_and_ends_with_69(tmp_path: Path) -> None:
    path = config(tmp_path, TWO, url="http://127.0.0.1:9")
    with running(path, TEST_KEY="PK" + "A" * 18, TEST_SECRET="s3cret-s3cret", XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, out, err = node.end()
    assert code == ExitCode.CONNECT, err
    assert out == ""
    assert "can't be reached" in err
    assert err.count("error:") == 1
    assert "s3cret" not in err


async def test_another_program_with_the_same_key_is_named_as_such(tmp_path: Path) -> None:
    key = "PK" + "A" * 18
    async with (
        ExchangeServer(Settings(symbols=("IBM", "BAC"), start=time(10, 0))) as exchange,
        connect(f"{exchange.ws_url}/v2/iex", proxy=None) as other,
    ):
        await other.send(json.dumps({"action": "auth", "key": key, "secret": "another one's"}))
        path = config(tmp_path, TWO, url=exchange.url, text="node: {connect_timeout: 3s}")
        host = f'{{market: stocks, data_url: "{exchange.url}", stream_url: "{exchange.ws_url}"}}'
        path.write_text(path.read_text().replace("{market: stocks}", host))

        def run() -> tuple[int, str]:
            keys = {"TEST_KEY": key, "TEST_SECRET": "s3cret-s3cret", "XDG_RUNTIME_DIR": str(tmp_path)}
            with running(path, **keys) as node:
                code, _, err = node.end()
            return code, err

        code, err = await asyncio.to_thread(run)
    assert code == ExitCode.CONNECT, err
    assert "feed stocks: Alpaca allows no further connection" in err
    assert err.count("another program uses these keys") == 1


@pytest.mark.parametrize(
    ("environment", "words", "key", "says"),
    [
        ("paper", [], "AK" + "A" * 18, "a live key"),
        ("live", ["--live"], "PK" + "A" * 18, "a paper key"),
        ("live", [], "AK" + "A" * 18, "--live is not given"),
        ("paper", ["--live"], "PK" + "A" * 18, "environment: paper"),
    ],
)
def test_paper_and_live_are_kept_apart_before_anything_connects(
    tmp_path: Path, environment: str, words: list[str], key: str, says: str
) -> None:
    path = config(tmp_path, TWO)
    path.write_text(path.read_text().replace("environment: paper", f"environment: {environment}"))
    with running(path, *words, TEST_KEY=key, TEST_SECRET="s3cret-s3cret", XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, _, err = node.end()
    assert code == ExitCode.CONFIG, err
    assert says in err
    assert key not in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--speed", "600"], "--speed is for --sim"),
        (["--sim", "--speed", "fast"], "--speed is a number"),
        (["--sim", "--live"], "exclude each other"),
        (["--sim", "--replay", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
    ],
)
def test_options_that_make_no_sense_end_with_2(tmp_path: Path, words: list[str], says: str) -> None:
    with running(config(tmp_path, TWO), *words) as node:
        code, _, err = node.end()
    assert code == ExitCode.USAGE
    assert says in err
