"""A strategy that never rests: on each quote it may buy, sell, modify or cancel. For the test that kills its node."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig


class FranticConfig(StrategyConfig, frozen=True):
    instrument_ids: list[InstrumentId]
    folder: str


class Frantic(Strategy):
    """Writes `NAME.started` when it starts, and what it believes to hold as `NAME.json` when it stops."""

    def __init__(self, config: FranticConfig) -> None:
        super().__init__(config)
        self.lives = 0

    def on_start(self) -> None:
        self.random = random.Random(f"{os.environ['FRANTIC_SEED']} {self.id}")
        self.lives += 1
        for instrument_id in self.config.instrument_ids:
            self.subscribe_quote_ticks(instrument_id)
        self.note("started")

    def on_save(self) -> dict[str, bytes]:
        return {"lives": str(self.lives).encode()}

    def on_load(self, state: dict[str, bytes]) -> None:
        self.lives = int(state["lives"])

    def on_quote_tick(self, tick: Any) -> None:
        if os.environ["FRANTIC_SEED"] == "quiet":
            return
        rng = self.random
        working = self.cache.orders_open(strategy_id=self.id, instrument_id=tick.instrument_id)
        roll = rng.random()
        if roll < 0.3 and working:
            self.cancel_order(rng.choice(working))
        elif roll < 0.5 and working:
            order = rng.choice(working)
            if order.has_price and not (order.is_pending_update or order.is_pending_cancel):
                instrument = self.cache.instrument(tick.instrument_id)
                self.modify_order(order, price=instrument.make_price(float(order.price) + rng.choice((-0.01, 0.01))))
        elif len(working) < 4:
            if roll > 0.92 and self.portfolio.is_flat(tick.instrument_id):
                self.send_bracket(tick)
            else:
                self.send(tick, market=roll > 0.85)

    def send_bracket(self, tick: Any) -> None:
        rng, instrument = self.random, self.cache.instrument(tick.instrument_id)
        up = rng.choice((1, -1))
        middle = float(tick.bid_price)
        day = TimeInForce.DAY
        bracket = self.order_factory.bracket(
            tick.instrument_id,
            OrderSide.BUY if up > 0 else OrderSide.SELL,
            instrument.make_qty(rng.randint(2, 9)),
            tp_price=instrument.make_price(middle + up * rng.choice((0.04, 0.5))),
            sl_trigger_price=instrument.make_price(middle - up * rng.choice((0.06, 0.5))),
            time_in_force=day,
            tp_time_in_force=day,
            sl_time_in_force=day,
            tp_post_only=False,
        )
        self.submit_order_list(bracket)

    def send(self, tick: Any, *, market: bool) -> None:
        rng, instrument = self.random, self.cache.instrument(tick.instrument_id)
        side = rng.choice((OrderSide.BUY, OrderSide.SELL))
        qty = instrument.make_qty(rng.randint(1, 9))
        if market:
            order = self.order_factory.market(tick.instrument_id, side, qty, time_in_force=TimeInForce.DAY)
        else:
            base = tick.bid_price if side == OrderSide.BUY else tick.ask_price
            price = instrument.make_price(float(base) + rng.choice((-0.05, -0.01, 0.0, 0.01, 0.03)))
            order = self.order_factory.limit(tick.instrument_id, side, qty, price, time_in_force=TimeInForce.DAY)
        self.submit_order(order)

    def on_stop(self) -> None:
        believes = {
            "lives": self.lives,
            "positions": {
                position.instrument_id.symbol.value: str(position.signed_decimal_qty())
                for position in self.cache.positions_open(strategy_id=self.id)
            },
            "portfolio": {
                each.symbol.value: str(self.portfolio.net_position(each)) for each in self.config.instrument_ids
            },
            "others": [str(p) for p in self.cache.positions_open() if p.strategy_id.value == "EXTERNAL"],
            "open": {
                order.venue_order_id.value: str(order.filled_qty)
                for order in self.cache.orders_open(strategy_id=self.id)
            },
            "inflight": [order.client_order_id.value for order in self.cache.orders_inflight(strategy_id=self.id)],
        }
        self.note("json", json.dumps(believes))

    def note(self, suffix: str, text: str = "") -> None:
        path = Path(self.config.folder) / f"{self.id.get_tag()}.{suffix}"
        path.with_suffix(".tmp").write_text(text)
        path.with_suffix(".tmp").rename(path)
