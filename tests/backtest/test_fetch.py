"""History by REST into a catalog, from the simulated exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.data import BarType

from runner.alpaca.archive import Archive
from runner.alpaca.config import AlpacaDataClientConfig, AlpacaDataFeed
from runner.backtest.bring import Options
from runner.backtest.bring import run as bring
from runner.backtest.catalog import History
from runner.backtest.errors import DataError
from runner.backtest.fetch import Want, fetch, wanted_by, wants_of
from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from runner.node.exit_codes import ExitCode, NodeError
from runner.risk.limits import Limits, LimitsBook
from tests.backtest.conftest import BARS, NEW_YORK, at_ns, file_of

DAY = date(2026, 1, 12)
NOON = at_ns(datetime(2026, 1, 12, 12, tzinfo=NEW_YORK))
OPEN_NS = at_ns(datetime(2026, 1, 12, 9, 30, tzinfo=NEW_YORK))
FOREVER = 2**62


@asynccontextmanager
async def exchange_until(hour: int) -> AsyncIterator[Archive]:
    """A made-up day that stands at that hour, and a client of it."""
    clock = time(hour)
    settings = Settings(symbols=("IBM", "BTC/USD"), day=DAY, activity=0.05, wait=True, start=clock, seed=7)
    async with ExchangeServer(settings) as server, archive_of(server.url) as archive:
        yield archive


def archive_of(url: str, feed: str = "iex", **more: Any) -> Archive:
    config = AlpacaDataClientConfig(
        api_key="SIMTEST", api_secret="s", trading_url=url, data_url=url, feed=AlpacaDataFeed(feed),
        data_per_min=100_000, trading_per_min=100_000, **more,
    )  # fmt: skip
    return Archive(config)


def quiet(*_: Any) -> None: ...


async def test_only_what_is_missing_is_fetched_and_the_rest_when_it_has_come(tmp_path: Path) -> None:
    history = History(tmp_path / "d")
    wants = [Want("bars", BARS), Want("quotes", "IBM.ALPACA"), Want("trades", "IBM.ALPACA")]
    with history.writing():
        async with exchange_until(12) as archive:
            first = await fetch(archive, history, wants, OPEN_NS, FOREVER, quiet)
            again = await fetch(archive, history, wants, OPEN_NS, NOON - 120_000_000_000, quiet)
        assert all(each.rows for each in first)
        assert all(each.complete and not each.requests for each in again)
        async with exchange_until(14) as archive:
            later = await fetch(archive, history, wants, OPEN_NS, FOREVER, quiet)
        whole = History(tmp_path / "whole")
        with whole.writing():
            async with exchange_until(14) as archive:
                once = await fetch(archive, whole, wants, OPEN_NS, FOREVER, quiet)
    # In two parts or at once: the same rows, none twice, none lost at the seam.
    assert [a.rows + b.rows for a, b in zip(first, later, strict=True)] == [each.rows for each in once]
    for want in wants:
        rows, others = (each.read(want.kind, want.identifier, 0, FOREVER) for each in (history, whole))
        assert [row.ts_event for row in rows] == [row.ts_event for row in others]
        assert len(rows) > 10
    assert history.instrument("IBM.ALPACA").size_precision == 9


async def test_a_fetch_that_broke_off_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: Any) -> None:
    history, want = History(tmp_path / "d"), Want("quotes", "IBM.ALPACA")
    asked: list[int] = []
    async with exchange_until(14) as archive:
        ask = archive.history_quotes

        async def breaks(instrument_id: Any, start_ns: int, end_ns: int) -> list[Any]:
            asked.append(start_ns)
            if len(asked) == 3:
                raise TimeoutError
            return await ask(instrument_id, start_ns, end_ns)

        monkeypatch.setattr(archive, "history_quotes", breaks)
        with history.writing():
            with pytest.raises(NodeError, match="no answer in time") as caught:
                await fetch(archive, history, [want], OPEN_NS, FOREVER, quiet)
            assert "run it again" in caught.value.hint
            await fetch(archive, history, [want], OPEN_NS, FOREVER, quiet)
    assert asked[2] == asked[3], "the two hours before were kept"
    assert len(set(asked)) == len(asked) - 1


async def test_pairs_have_their_own_paths_and_weekends_of_stocks_are_not_asked_for(tmp_path: Path) -> None:
    history = History(tmp_path / "d")
    saturday = at_ns(datetime(2026, 1, 10, tzinfo=NEW_YORK))
    bars = "BTC/USD.ALPACA-1-MINUTE-LAST-EXTERNAL"
    async with exchange_until(12) as archive:
        with history.writing():
            (stock,) = await fetch(
                archive, history, [Want("trades", "IBM.ALPACA")], saturday, saturday + 86_399 * 10**9, quiet
            )
            async with archive_of(str(archive.config.data_url), "us") as pairs:
                (coin,) = await fetch(pairs, history, [Want("bars", bars)], OPEN_NS, FOREVER, quiet)
    assert (stock.requests, stock.rows) == (0, 0)
    assert coin.rows > 50
    assert [span.identifier for span in history.spans()] == [bars]


async def test_a_file_is_fetched_from_a_simulated_exchange_without_keys(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"a": {}})
    async with exchange_until(12) as archive:
        url = str(archive.config.data_url)
        options = Options(tmp_path / "d", (path,), url=url, start_ns=OPEN_NS, quotes=True, quota_per_min=100_000)
        assert await asyncio.to_thread(bring, options, {}) == 0
    found = [(span.kind, span.identifier) for span in History.open(tmp_path / "d").spans()]
    assert found == [("bars", BARS), ("quotes", "IBM.ALPACA")]


async def test_what_alpaca_has_not_is_told(tmp_path: Path) -> None:
    history = History(tmp_path / "d")
    async with exchange_until(12) as archive:
        with history.writing():
            with pytest.raises(DataError, match=r"NOPE\.ALPACA"):
                await fetch(archive, history, [Want("quotes", "NOPE.ALPACA")], OPEN_NS, FOREVER, quiet)
            with pytest.raises(DataError, match="in the future"):
                await fetch(archive, history, [Want("bars", BARS)], NOON * 2, FOREVER, quiet)


async def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first, second = History(tmp_path), History(tmp_path)
    with first.writing(), pytest.raises(NodeError, match="another `runner fetch`") as caught, second.writing():
        pass
    assert caught.value.code == ExitCode.FAILED


class Plan:
    def __init__(self, bar_types: tuple[str, ...], instruments: tuple[str, ...]) -> None:
        self.bar_types, self.instruments = bar_types, instruments
        self.spec = type("Spec", (), {"feed": "stocks", "account": "main"})


def test_a_file_is_fetched_what_its_strategies_name() -> None:
    five = "IBM.ALPACA-5-MINUTE-LAST-INTERNAL@1-MINUTE-EXTERNAL"
    plans = {
        "bars": Plan((five,), ("IBM.ALPACA",)),
        "ticks": Plan(("BAC.ALPACA-100-TICK-LAST-INTERNAL",), ("BAC.ALPACA",)),
        "nothing": Plan((), ("GOOG.ALPACA",)),
        "collar": Plan(("F.ALPACA-1-MINUTE-LAST-EXTERNAL",), ("F.ALPACA",)),
    }
    assert BarType.from_str(five).is_composite()
    limits = LimitsBook(strategies={"collar": Limits(max_quote_age_ns=1)})
    assert wanted_by(plans, limits, {"stocks": "stocks"}) == {
        "stocks": [
            Want("bars", BARS),
            Want("trades", "BAC.ALPACA"),
            Want("trades", "GOOG.ALPACA"),
            Want("quotes", "GOOG.ALPACA"),
            Want("bars", "F.ALPACA-1-MINUTE-LAST-EXTERNAL"),
            Want("quotes", "F.ALPACA"),
        ]
    }


def test_the_stock_of_an_options_strategy_comes_from_the_feed_of_stocks() -> None:
    plan = Plan((BARS,), ("IBM.ALPACA", "IBM260116C00225000.ALPACA"))
    plan.spec.feed = "options"
    wanted = wanted_by({"a": plan}, LimitsBook(), {"options": "options", "stocks": "stocks"})
    assert wanted == {"stocks": [Want("bars", BARS)], "options": [Want("trades", "IBM260116C00225000.ALPACA")]}
    with pytest.raises(ValueError, match="no feed of stocks"):
        wanted_by({"a": plan}, LimitsBook(), {"options": "options"})


def test_bars_that_alpaca_has_not_are_refused() -> None:
    for spec in ("90-MINUTE", "5-MONTH", "1MIN", "MINUTE"):
        with pytest.raises(ValueError, match=f"--bars {spec}: Alpaca has 1 to 59 minutes"):
            wants_of(["IBM.ALPACA"], [spec], quotes=False, trades=False)
