"""Cards of Nautilus's data testing specification, played by its `DataTester` on the simulated exchange: one a test."""

from __future__ import annotations

from datetime import time
from typing import Any

import httpx
import pytest
from nautilus_trader.model.data import BarType, InstrumentStatus, OrderBookDeltas, OrderBookDepth10
from nautilus_trader.model.enums import BookAction, MarketStatusAction
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.test_kit.strategies.tester_data import DataTester, DataTesterConfig

from runner.alpaca.config import AlpacaDataFeed

IBM = InstrumentId.from_str("IBM.ALPACA")
BTC = InstrumentId.from_str("BTC/USD.ALPACA")
STOCKS: dict[str, Any] = {"symbols": ("IBM", "BAC", "BTC/USD"), "speed": 600.0, "start": time(11, 0)}


class CardPlayer(DataTester):
    """Keeps what it gets."""

    def __init__(self, config: DataTesterConfig) -> None:
        super().__init__(config)
        self.seen: list[Any] = []

    def _note(self, data: Any) -> None:
        self.seen.append(data)

    on_quote_tick = on_trade_tick = on_bar = on_order_book_deltas = on_instrument_status = _note
    on_order_book_depth = on_instrument = on_historical_data = on_order_book = _note


async def play_card(
    running: Any, instrument_id: InstrumentId, wanted: Any, *, before: dict[str, Any] | None = None, **config: Any
) -> list[Any]:
    """Run the tester until something that `wanted` likes has come; what came by then. `before`: happens first."""
    feed = {"feed": AlpacaDataFeed.US if "/" in str(instrument_id) else AlpacaDataFeed.IEX}
    tester = CardPlayer(DataTesterConfig(instrument_ids=[instrument_id], log_data=False, **config))
    async with running(data=True, settings=STOCKS, data_config=feed) as rig:
        await rig.data.provider.load_ids_async([instrument_id])
        rig.data._handle_data(rig.data.provider.find(instrument_id))
        tester.register_base(rig.node.portfolio, rig.node.kernel.msgbus, rig.node.kernel.cache, rig.node.kernel.clock)
        if before is not None:
            await happen(rig, before)
        tester.start()
        if config.get("subscribe_instrument_status"):
            await rig.until(lambda: rig.data.subscriptions_confirmed, "the acknowledgment")
            halt = {"T": "s", "S": "IBM", "sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "News Pending", "z": "A"}
            await happen(rig, halt)
        await rig.until(lambda: any(wanted(row) for row in tester.seen), "what the card asks for")
        tester.stop()
        await rig.until(lambda: not any(rig.data._channels.values()), "the end of all subscriptions")
    return tester.seen


async def happen(rig: Any, message: dict[str, Any]) -> None:
    """Let it happen at the exchange."""
    async with httpx.AsyncClient(base_url=rig.exchange.url) as client:
        assert (await client.post("/control/market", json=message)).status_code == 200


def is_a(name: str) -> Any:
    return lambda row: type(row).__name__ == name


@pytest.mark.parametrize(
    ("instrument_id", "config", "kind"),
    [
        pytest.param(IBM, {"subscribe_quotes": True}, "QuoteTick", id="TC-D20 and D70, stocks"),
        pytest.param(BTC, {"subscribe_quotes": True}, "QuoteTick", id="TC-D20, pairs"),
        pytest.param(IBM, {"request_quotes": True}, "QuoteTick", id="TC-D21"),
        pytest.param(IBM, {"subscribe_trades": True}, "TradeTick", id="TC-D30, stocks"),
        pytest.param(BTC, {"subscribe_trades": True}, "TradeTick", id="TC-D30, pairs"),
        pytest.param(IBM, {"request_trades": True}, "TradeTick", id="TC-D31"),
        pytest.param(IBM, {"subscribe_bars": True}, "Bar", id="TC-D40, stocks"),
        pytest.param(BTC, {"subscribe_bars": True}, "Bar", id="TC-D40, pairs"),
        pytest.param(IBM, {"request_bars": True}, "Bar", id="TC-D41"),
    ],
)
def test_ticks_and_bars(play: Any, running: Any, instrument_id: InstrumentId, config: Any, kind: str) -> None:
    bars = {"bar_types": [BarType.from_str(f"{instrument_id}-1-MINUTE-LAST-EXTERNAL")]}

    async def scenario() -> None:
        await play_card(running, instrument_id, is_a(kind), **config, **bars)

    play(scenario())


def test_tc_d10_a_book_comes_whole_and_then_in_changes(play: Any, running: Any) -> None:
    async def scenario() -> None:
        seen: list[OrderBookDeltas] = await play_card(
            running,
            BTC,
            lambda row: isinstance(row, OrderBookDeltas) and not row.is_snapshot,
            subscribe_book_deltas=True,
        )
        first = seen[0]
        assert first.is_snapshot
        assert first.deltas[0].action == BookAction.CLEAR
        assert all(row.deltas[-1].flags & 128 for row in seen)

    play(scenario())


def test_tc_d12_the_best_ten_levels(play: Any, running: Any) -> None:
    async def scenario() -> None:
        seen = await play_card(running, BTC, is_a("OrderBookDepth10"), subscribe_book_depth=True)
        depth: OrderBookDepth10 = seen[0]
        assert depth.bids[0].price < depth.asks[0].price
        assert depth.bids[0].price > depth.bids[1].price

    play(scenario())


@pytest.mark.parametrize("depth", [0, 3])
def test_tc_d13_a_book_on_request(play: Any, running: Any, depth: int) -> None:
    async def scenario() -> None:
        sides = {side: [{"p": 90_000 + sign * n, "s": n} for n in (2, 1, 4, 3)] for side, sign in (("b", -1), ("a", 1))}
        (book,) = await play_card(
            running, BTC, is_a("OrderBookDeltas"), before={"T": "o", "S": "BTC/USD", "r": True, **sides},
            request_book_snapshot=True, book_depth=depth,
        )  # fmt: skip
        assert book.is_snapshot
        assert book.deltas[0].action == BookAction.CLEAR
        levels = [(str(each.order.side), float(each.order.price), float(each.order.size)) for each in book.deltas[1:]]
        best = [1, 2, 3, 4][: depth or None]
        assert [row[1:] for row in levels] == [(90_000 - n, n) for n in best] + [(90_000 + n, n) for n in best]

    play(scenario())


def test_tc_d13_only_pairs_have_a_book(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True) as rig:
            with pytest.raises(ValueError, match="order books of crypto pairs only"):
                await rig.data.book_now(IBM)

    play(scenario())


def test_tc_d60_a_halt(play: Any, running: Any) -> None:
    async def scenario() -> None:
        seen: list[InstrumentStatus] = await play_card(
            running, IBM, is_a("InstrumentStatus"), subscribe_instrument_status=True
        )
        assert (seen[0].action, seen[0].is_trading) == (MarketStatusAction.HALT, False)
        assert seen[0].reason == "News Pending"

    play(scenario())


def test_tc_d10_stocks_have_no_book_and_it_is_said(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, settings=STOCKS) as rig:
            with pytest.raises(ValueError, match="order books of crypto pairs only"):
                await rig.data.stream_book(IBM, "deltas")

    play(scenario())
