"""What the file says holds in a running node: limits deny and are counted, and strategies are swapped by an edit."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from tests.node.process import config, running

pytestmark = pytest.mark.slow
LIMITS = {
    "max_order_qty: 9": "MAX_ORDER_QTY",
    "max_order_notional: 100": "MAX_ORDER_NOTIONAL",
    "max_position_notional: 100": "MAX_POSITION_NOTIONAL",
    "max_orders: {count: 1, per: 6h}": "MAX_ORDERS",
    "max_gross_exposure: 100": "MAX_GROSS_EXPOSURE",
    "margin: {headroom: 99.999%}": "MARGIN_INSUFFICIENT",
    "universe: {deny: ['*']}": "SYMBOL_DENIED",
    "state: reducing": "STATE_REDUCING",
    "state: halted": "STATE_HALTED",
}
DENIED = re.compile(
    r'^runner_denials_total\{(?=.*code="(?P<code>\w+)")(?=.*strategy="(?P<strategy>\w+)").*\} (?P<n>\S+)$'
)
FEEDS = """\
name: test
environment: paper
feeds: {stocks: {market: stocks}}
accounts:
  main: {broker: alpaca, key: {env: TEST_KEY}, secret: {env: TEST_SECRET}}
strategies:
"""
OURS = """\
  trend:
    class: strategies.ema_cross:EMACross
    account: main
    feed: stocks
    params:
      instrument_id: IBM.ALPACA
      bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL
      fast_period: 2
      slow_period: 4
      trade_size: 10
"""
NAUTILUSES = """\
  trend:
    class: nautilus_trader.examples.strategies.ema_cross:EMACross
    account: main
    feed: stocks
    params:
      instrument_id: IBM.ALPACA
      bar_type: IBM.ALPACA-1-MINUTE-LAST-EXTERNAL
      fast_ema_period: 2
      slow_ema_period: 4
      trade_size: 10
"""
SECOND = """\
  reversion:
    class: strategies.mean_reversion:MeanReversion
    account: main
    feed: stocks
    params:
      instrument_id: BAC.ALPACA
      bar_type: BAC.ALPACA-1-MINUTE-LAST-EXTERNAL
      window: 5
      entry_z: 1
      exit_z: 0
      trade_size: 10
"""


def test_an_order_over_each_limit_is_denied_with_its_code_and_counted(tmp_path: Path) -> None:
    symbols = ("IBM", "BAC", "AAPL", "MSFT", "KO", "GE", "F", "T", "JPM")
    names = [f"s{n}" for n in range(len(LIMITS))]
    path = config(tmp_path, dict.fromkeys(names, "Trader"), symbols=symbols, text="metrics: {listen: '127.0.0.1:0'}")
    text = path.read_text()
    for name, limit in zip(names, LIMITS, strict=True):
        text = text.replace(f"  {name}:\n", f"  {name}:\n    limits: {{{limit}}}\n")
    path.write_text(text)
    want = dict(zip(names, LIMITS.values(), strict=True))
    with running(path, "--sim", "--speed", "240", "--start", "15:00", "--json") as node:
        url = re.search(r"http://\S+", node.until("metrics at "))
        assert url is not None
        for code in want.values():
            if not any(code in line for line in node.lines):
                node.until(code)
        with urllib.request.urlopen(url[0], timeout=10) as reply:
            scraped = reply.read().decode()
        node.signal()
        code, summary, err = node.summary()
    assert code == 0, err
    counted = {}
    for line in scraped.splitlines():
        if (found := DENIED.match(line)) and float(found["n"]) > 0:
            assert found["strategy"] not in counted, "denied for one reason only"
            counted[found["strategy"]] = found["code"]
    assert counted == want
    assert summary["orders"]["denied"] >= len(want)
    assert summary["fills"] <= 2, "only the one whose first order its rate lets through has traded"
    assert summary["books_agree"] is True


def test_a_strategy_is_swapped_and_a_second_added_by_editing_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "edited.yaml"
    sizes = []
    for strategies in (OURS, NAUTILUSES, OURS + SECOND):
        path.write_text(FEEDS + strategies)
        with running(path, "--sim", "--speed", "max", "--start", "14:00", "--json", "--seed", "3") as node:
            code, summary, err = node.summary()
        assert code == 0, err
        assert summary["books_agree"] is True, err
        sizes.append({line.split()[1] for line in node.fills()})
    assert sizes == [{"trend"}, {"trend"}, {"trend", "reversion"}]
