"""Equity over time, valued exactly; and the page that shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runner.backtest.summary import summarize
from runner.report.page import page, write_report
from runner.report.recorder import Recorder, Series
from tests.backtest.conftest import Run, folder, recording, run  # noqa: F401 (fixtures)

D = Decimal


def test_equity_is_cash_and_positions_at_the_middle_and_the_drawdown_is_the_deepest_of_all(run: Run) -> None:  # noqa: F811
    backtest, recorder = run({"a": {"steps": "buy 100, , , , , sell 100"}})
    quotes = backtest.feed._history.read("quotes", "IBM.ALPACA", 0, 2**62)
    bought, sold = recorder.fills
    values = {}
    for quote in quotes:
        middle = (quote.bid_price.as_decimal() + quote.ask_price.as_decimal()) / 2
        held = 100 if bought.ts_ns <= quote.ts_event < sold.ts_ns else 0  # a fill comes before the quote of its time
        cash = 100_000 - 100 * bought.price * (quote.ts_event >= bought.ts_ns)
        cash += 100 * sold.price * (quote.ts_event >= sold.ts_ns)
        values[quote.ts_event] = cash + held * middle
    points = {point.ts_ns: point.equity for point in recorder.points.values}
    # At the turn of a minute its bar comes first, and the books are valued at the quote before.
    shared = {ts for ts in set(points) & set(values) if ts % 60_000_000_000}
    assert len(shared) == 300
    assert {ts: points[ts] for ts in shared} == {ts: values[ts] for ts in shared}
    peak, deepest = D(0), D(0)
    for ts in sorted(values):
        peak = max(peak, values[ts])
        deepest = max(deepest, peak - values[ts])
    assert recorder.drawdown == deepest > 0
    assert recorder.last.equity == recorder.last.cash == 100_000 + 100 * (sold.price - bought.price)


def test_a_long_series_stays_short_and_keeps_its_shape() -> None:
    series: Series[int] = Series(100)
    for value in range(10_000):
        series.add(value)
    assert 50 <= len(series.values) <= 100
    steps = {later - earlier for earlier, later in zip(series.values, series.values[1:], strict=False)}
    assert len(steps) == 1


@pytest.fixture
def made(run: Run) -> tuple[Recorder, dict[str, Any]]:  # noqa: F811
    backtest, recorder = run({"a": {"steps": "buy 10, buy 999, sell 10"}}, risk={"max_order_notional": 30_000})
    return recorder, summarize(backtest, recorder)


def test_the_page_needs_nothing_from_elsewhere_and_shows_what_the_summary_says(made: Any) -> None:
    recorder, summary = made
    text = page(recorder, summary, title="a <b>", facts=["x & y"])
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|@import|url\(", body)
    assert "default-src 'none'" in body
    assert "a &lt;b&gt;" in body
    assert "x &amp; y" in body
    assert re.search(r"MAX_ORDER_NOTIONAL</td><td>1<", body)
    assert f"{recorder.last.equity.quantize(D('0.01')):,}" in body
    figures = json.loads(re.search(r"Object\.entries\((\{.*\})\)\)", text)[1].replace("<\\/", "</"))
    assert len(figures) == 3
    marks = [trace for trace in figures["chart2"]["data"] if trace["mode"] == "markers"]
    assert [trace["text"] for trace in marks] == [
        [f"a buys 10 at {recorder.fills[0].price}"],
        [f"a sells 10 at {recorder.fills[1].price}"],
    ]


def test_a_run_without_a_trade_has_a_page_too(run: Run, tmp_path: Path) -> None:  # noqa: F811
    backtest, recorder = run({"a": {}})
    write_report(tmp_path / "r.html", recorder, summarize(backtest, recorder), title="nothing")
    assert "100,000.00" in (tmp_path / "r.html").read_text()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The installed browser, or Debian's, which root can install here and now."""
    if (found := shutil.which("chromium")) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.fail("a browser is needed: install chromium (on Debian: apt-get install chromium)")
    for words in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        done = subprocess.run(["apt-get", "-qq", *words], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            pytest.fail(f"chromium can't be installed: apt-get {words[0]}: {done.stdout}{done.stderr}")
    return shutil.which("chromium") or pytest.fail("apt-get installed chromium, and it is not on the PATH")


# The first run may download the browser.
@pytest.mark.timeout(900)
def test_a_browser_draws_every_chart(made: Any, tmp_path: Path, chromium: str) -> None:
    recorder, summary = made
    write_report(tmp_path / "r.html", recorder, summary, title="t")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--window-size=400,900")
    seen = subprocess.run(
        [chromium, *flags, "--dump-dom", (tmp_path / "r.html").as_uri()],
        capture_output=True, text=True, check=True, timeout=100,
    ).stdout  # fmt: skip
    drawn = seen.count('class="main-svg"')
    assert drawn >= 3
    assert "traces" in seen
