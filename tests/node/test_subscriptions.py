"""What a strategy leaves subscribed is given back for it, and nothing of anybody else's."""

from __future__ import annotations

from typing import Any

from nautilus_trader.core.data import Data
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.identifiers import ClientId

from tests.node.fake_venue import IBM, Behaviour, Quiet, Run, make_plan

BARS = BarType.from_str("IBM.ALPACA-1-MINUTE-LAST-INTERNAL")


class Signal(Data):
    """Data of a strategy's own."""


class Many(Quiet):
    def on_start(self) -> None:
        self.subscribe_quote_ticks(IBM)
        self.subscribe_quote_ticks(instrument_id=IBM)
        self.subscribe_bars(BARS)
        self.subscribe_order_book_at_interval(IBM, interval_ms=500)
        self.subscribe_data(DataType(Signal), client_id=ClientId("ALPACA"))
        self.subscribe_trade_ticks(IBM)
        self.unsubscribe_trade_ticks(IBM)
        self.msgbus.subscribe("my.topic", self.on_own)

    def on_own(self, message: Any) -> None: ...


async def test_all_is_given_back_and_the_others_keep_theirs() -> None:
    async with Run(make_plan({"many": Many, "other": Quiet}), Behaviour()) as run:
        bus, parts = run.node.parts.kernel.msgbus, run.node.parts
        strategy, guard = run.strategy("many"), parts.guards["many"]
        engine = parts.kernel.data_engine
        await run.until(lambda: engine.subscribed_quote_ticks() and engine.subscribed_order_book_deltas())
        assert len(guard.subscriptions) == 4

        def mine() -> list[str]:
            own = {id(each) for each in vars(strategy).values()}
            return sorted(
                each.topic
                for each in bus.subscriptions()
                if id(each.handler) in own or getattr(each.handler, "__self__", None) is strategy
            )

        assert "my.topic" in mine()
        assert f"events.order.{strategy.id}" in mine()
        strategy.stop()
        guard.retire(bus)
        assert mine() == []
        assert len(guard.subscriptions) == 0
        assert [each.topic for each in bus.subscriptions("data.quotes.ALPACA.IBM")]
        await run.until(lambda: not engine.subscribed_order_book_deltas())
        assert engine.subscribed_quote_ticks() == [IBM], "the other one still wants them"


async def test_who_has_left_trades_no_more(caplog: Any) -> None:
    async with Run(make_plan({"a": Quiet, "b": Quiet}), Behaviour()) as run:
        strategy = run.strategy("a")
        strategy.stop()
        run.node.parts.guards["a"].retire(run.node.parts.kernel.msgbus)
        strategy.market()
        assert "strategy a has left the node, and its submit_order is not carried out" in caplog.text
        assert run.exec.sent == []
