"""A file with feeds of several markets, as a process in lock-step."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.node.process import ROOT, running

SHORT = ("--sim", "--speed", "max", "--start", "14:00")


def test_the_crypto_file_trades_its_pairs_and_the_books_agree_with_fees(tmp_path: Path) -> None:
    with running(ROOT / "configs" / "crypto.yaml", *SHORT, "--json", XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["orders"]["filled"] > 4, err
    assert summary["orders"]["denied"] == summary["orders"]["rejected"] == 0, err
    assert summary["books_agree"] is True, summary["books"]


def test_stocks_and_pairs_trade_side_by_side(tmp_path: Path) -> None:
    crypto, stocks = (yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text()) for name in ("crypto", "paper"))
    both = crypto | {
        "feeds": crypto["feeds"] | stocks["feeds"],
        "strategies": {"ema_btc": crypto["strategies"]["ema_btc"], "ema_ibm": stocks["strategies"]["ema_ibm"]},
    }
    path = tmp_path / "both.yaml"
    path.write_text(yaml.safe_dump(both))
    with running(path, *SHORT, "--json", XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["books_agree"] is True, summary["books"]
    traded = {line.split()[4] for line in node.fills()}
    assert traded == {"BTC/USD", "IBM"}, node.fills()


def test_the_options_file_buys_and_sells_spreads_and_is_out_before_the_close(tmp_path: Path) -> None:
    command = (ROOT / "configs" / "options.yaml", "--sim", "--speed", "max", "--start", "14:30", "--json")
    with running(*command, XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["orders"]["filled"] > 0, err
    assert summary["orders"]["denied"] == summary["orders"]["rejected"] == 0, err
    assert summary["positions"] == []
    assert summary["books_agree"] is True, summary["books"]
    # Each order of two legs fills as two.
    assert summary["fills"] == len(node.fills()) == 2 * summary["orders"]["filled"]
