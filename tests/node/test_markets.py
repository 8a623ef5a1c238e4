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


READER = """
from pathlib import Path

from nautilus_trader.model.identifiers import ClientId, InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig

from runner.alpaca.custom import AlpacaCorporateAction, AlpacaNews, AlpacaPriceBand

ALPACA = ClientId("ALPACA")


class ReaderConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId


class Reader(Strategy):
    def __init__(self, config: ReaderConfig):
        super().__init__(config)

    def on_start(self):
        self.subscribe_data(AlpacaNews.of(self.config.instrument_id), client_id=ALPACA)
        self.subscribe_data(AlpacaPriceBand.of(self.config.instrument_id), client_id=ALPACA)
        wanted = AlpacaCorporateAction.of(self.config.instrument_id)
        self.request_data(wanted, ALPACA, start=self.clock.utc_now(), params={"start": "2025-06-01"})

    def on_data(self, data):
        self.say(data)

    def on_historical_data(self, data):
        self.say(data)

    def say(self, data):
        with Path(__file__).with_name("seen.txt").open("a") as file:
            print(type(data).__name__, data.ts_event, file=file)
"""


def test_a_strategy_hears_news_and_bands_and_asks_for_corporate_actions(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "configs" / "paper.yaml").read_text())
    config["feeds"] = {"news": {"market": "news"}, "stocks": {"market": "stocks", "feed": "sip"}}
    params = {"instrument_id": "IBM.ALPACA"}
    config["strategies"] = {"reader": {"class": "reader:Reader", "account": "main", "feed": "stocks", "params": params}}
    (tmp_path / "reader.py").write_text(READER)
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(config))
    command = ("--sim", "--speed", "max", "--start", "15:30", "--json")
    with running(tmp_path / "file.yaml", *command, XDG_RUNTIME_DIR=str(tmp_path)) as node:
        code, _, err = node.summary()
    assert code == 0, err
    kinds = [line.split()[0] for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert set(kinds) == {"AlpacaNews", "AlpacaPriceBand", "AlpacaCorporateAction"}
    assert kinds[0] == "AlpacaCorporateAction"


WATCHER = """
from nautilus_trader.config import StrategyConfig
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

class WatcherConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    report: str

class Watcher(Strategy):
    def on_start(self):
        self.rows = []
        wanted = {"asset_class": "us_option", "underlying_symbols": "IBM", "type": "call"}
        self.request_instruments(self.config.instrument_id.venue, params=wanted, callback=self.loaded)

    def loaded(self, _):
        calls = [each for each in self.cache.instruments() if hasattr(each, "strike_price")]
        first = min(calls, key=lambda each: each.expiration_ns)
        series = nautilus_pyo3.OptionSeriesId("ALPACA", first.underlying, "USD", first.expiration_ns)
        self.subscribe_option_chain(series, nautilus_pyo3.StrikeRange.atm_relative(1, 1))
        for each in calls:
            self.subscribe_option_greeks(each.id)

    def on_option_chain(self, chain):
        for strike in chain.strikes():
            greeks = chain.get_call_greeks(strike)
            self.rows.append(f"{strike} {greeks.mark_iv if greeks else None}")

    def on_option_greeks(self, greeks):
        self.rows.append(f"{greeks.instrument_id} {greeks.delta} {greeks.underlying_price} {greeks.ts_event}")

    def on_stop(self):
        with open(self.config.report, "w") as file:
            file.write("\\n".join(self.rows))
"""


def test_a_chain_that_is_looked_up_first_is_seen_from_the_start_and_the_same_twice(tmp_path: Path) -> None:
    (tmp_path / "watcher.py").write_text(WATCHER)
    seen = []
    for run in ("first", "second"):
        report = tmp_path / run
        config = yaml.safe_load((ROOT / "configs" / "options.yaml").read_text())
        config["strategies"] = {
            "watcher": {
                "class": "watcher:Watcher", "account": "main", "feed": "options",
                "params": {"instrument_id": "IBM.ALPACA", "report": str(report)},
            }
        }  # fmt: skip
        path = tmp_path / "watch.yaml"
        path.write_text(yaml.safe_dump(config))
        command = (path, "--sim", "--speed", "max", "--start", "15:45", "--json")
        with running(*command, XDG_RUNTIME_DIR=str(tmp_path)) as node:
            code, _, err = node.summary()
        assert code == 0, err
        seen.append(report.read_text().splitlines())
    greeks = [[row for row in rows if "ALPACA" in row] for rows in seen]
    # What a slice of the chain holds already depends on whether a reply or a quote of one moment came first.
    assert greeks[0] == greeks[1]
    assert len(greeks[0]) > 50, "greeks"
    assert sum("ALPACA" not in row and not row.endswith("None") for row in seen[0]) > 50, "strikes of slices"
