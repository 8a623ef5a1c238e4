"""A strategy that never rests: on a quote it may send, modify or cancel an order of any shape. For a kill test."""

from __future__ import annotations

import json
import os
import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model.enums import ContingencyType, OrderSide, TimeInForce, TrailingOffsetType
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId, generic_spread_id_to_list
from nautilus_trader.model.objects import Price
from nautilus_trader.trading.strategy import Strategy, StrategyConfig

from runner.alpaca.resume import Resume
from runner.alpaca.retention import Retention
from runner.node import retention

if folder := os.environ.get("FRANTIC_LETS_GO"):
    # Orders are let go of as soon as the journal has their end, though the next list may show them: far too soon.
    retention.EVERY_S = 0.05
    Retention._listed_ns = lambda self: self._client.venue_clock.now_ns() - 4_000_000_000  # type: ignore[method-assign]

    def noting(name: str, inner: Any) -> Any:
        def noted(self: Any, *args: Any) -> Any:
            with (Path(folder) / f"{name}.txt").open("a") as notes:
                notes.write("1\n")
            return inner(self, *args)

        return noted

    Retention._release = noting("let-go", Retention._release)  # type: ignore[method-assign]
    Resume.take_back = noting("taken-back", Resume.take_back)  # type: ignore[method-assign]

DAY = TimeInForce.DAY
CENT = Decimal("0.01")


class FranticConfig(StrategyConfig, frozen=True):
    stocks: list[InstrumentId]
    pair: InstrumentId
    spread: InstrumentId
    folder: str


class Frantic(Strategy):
    """Writes `NAME.started` when it starts, and what it believes to hold as `NAME.json` when it stops.

    Its last life is quiet: it sends nothing, and says every tenth of a second what it believes.
    """

    def __init__(self, config: FranticConfig) -> None:
        super().__init__(config)
        self.lives = 0
        self.legs = [leg for leg, _ in generic_spread_id_to_list(config.spread)]

    def on_start(self) -> None:
        self.random = random.Random(f"{os.environ['FRANTIC_SEED']} {self.id}")
        self.begun = False
        self.lives += 1
        for instrument_id in (*self.config.stocks, self.config.pair, *self.legs):
            self.subscribe_quote_ticks(instrument_id)
        if os.environ["FRANTIC_SEED"] == "quiet":
            self.clock.set_timer("believes", timedelta(milliseconds=100), callback=lambda _: self.tell())
        self.note("started")

    def on_save(self) -> dict[str, bytes]:
        return {"lives": str(self.lives).encode()}

    def on_load(self, state: dict[str, bytes]) -> None:
        self.lives = int(state["lives"])

    def on_quote_tick(self, tick: Any) -> None:
        if os.environ["FRANTIC_SEED"] == "quiet" or tick.instrument_id not in self.config.stocks:
            return
        roll = self.random.random()
        if roll < 0.08:
            self.trade_coins()
        elif roll < 0.16:
            self.trade_spread()
        else:
            self.trade_stock(tick)

    # -- stocks -------------------------------------------------------------------------------------------------------

    def trade_stock(self, tick: Any) -> None:
        rng = self.random
        working = self.cache.orders_open(strategy_id=self.id, instrument_id=tick.instrument_id)
        roll = rng.random()
        if roll < 0.3 and working:
            self.cancel_order(rng.choice(working))
        elif roll < 0.5 and working:
            self.modify(rng.choice(working))
        elif len(working) < 4:
            flat = self.portfolio.is_flat(tick.instrument_id)
            shapes = [self.send_bracket, self.send_oto] if flat else [self.send_trailing_stop, self.send_oco]
            if roll > 0.8 and (flat or not working):
                rng.choice(shapes)(tick)
            else:
                self.send(tick, market=roll > 0.75)

    def modify(self, order: Any) -> None:
        if order.has_price and not (order.is_pending_update or order.is_pending_cancel):
            change = self.random.choice((-CENT, CENT))
            self.modify_order(order, price=Price(order.price.as_decimal() + change, order.price.precision))

    def send(self, tick: Any, *, market: bool) -> None:
        # The first of each life goes to the algorithm, so that no run is without any.
        first, self.begun = not self.begun, True
        rng, instrument = self.random, self.cache.instrument(tick.instrument_id)
        side = rng.choice((OrderSide.BUY, OrderSide.SELL))
        qty = instrument.make_qty(rng.randint(1, 9))
        if first or (market and rng.random() < 0.5):
            qty = instrument.make_qty(rng.choice((2, 4, 8)))  # of two parts, a tenth of a second apart
            order = self.order_factory.market(
                tick.instrument_id,
                side,
                qty,
                time_in_force=DAY,
                exec_algorithm_id=ExecAlgorithmId("TWAP"),
                exec_algorithm_params={"horizon_secs": 0.2, "interval_secs": 0.1},
            )
        elif market:
            order = self.order_factory.market(tick.instrument_id, side, qty, time_in_force=DAY)
        else:
            base = tick.bid_price if side == OrderSide.BUY else tick.ask_price
            price = instrument.make_price(float(base) + rng.choice((-0.05, -0.01, 0.0, 0.01, 0.03)))
            order = self.order_factory.limit(tick.instrument_id, side, qty, price, time_in_force=DAY)
        self.submit_order(order)

    def send_bracket(self, tick: Any) -> None:
        up = self.random.choice((1, -1))
        side = OrderSide.BUY if up > 0 else OrderSide.SELL
        self.submit_order_list(self.bracket(tick, side, self.random.randint(2, 9)))

    def send_oto(self, tick: Any) -> None:
        """An entry with one exit."""
        entry, stop, _ = self.bracket(tick, OrderSide.BUY, self.random.randint(2, 9)).orders
        entry = remade(entry, linked_order_ids=[stop.client_order_id.value])
        stop = remade(stop, linked_order_ids=None, contingency_type="NO_CONTINGENCY")
        self.submit_order_list(self.order_factory.create_list([entry, stop]))

    def send_oco(self, tick: Any) -> None:
        """Two exits of the position that is held."""
        held = self.portfolio.net_position(tick.instrument_id)
        side = OrderSide.BUY if held > 0 else OrderSide.SELL
        made = self.bracket(tick, side, abs(held), contingency_type=ContingencyType.OCO)
        exits = [remade(order, parent_order_id=None) for order in made.orders[1:]]
        self.submit_order_list(self.order_factory.create_list(exits))

    def send_trailing_stop(self, tick: Any) -> None:
        held = self.portfolio.net_position(tick.instrument_id)
        order = self.order_factory.trailing_stop_market(
            tick.instrument_id,
            OrderSide.SELL if held > 0 else OrderSide.BUY,
            self.cache.instrument(tick.instrument_id).make_qty(abs(held)),
            trailing_offset=self.random.choice((Decimal("0.05"), Decimal("0.50"))),
            trailing_offset_type=TrailingOffsetType.PRICE,
            time_in_force=DAY,
        )
        self.submit_order(order)

    def bracket(self, tick: Any, side: OrderSide, qty: Any, **more: Any) -> Any:
        rng, instrument = self.random, self.cache.instrument(tick.instrument_id)
        up, middle = 1 if side == OrderSide.BUY else -1, float(tick.bid_price)
        return self.order_factory.bracket(
            tick.instrument_id,
            side,
            instrument.make_qty(qty),
            tp_price=instrument.make_price(middle + up * rng.choice((0.04, 0.5))),
            sl_trigger_price=instrument.make_price(middle - up * rng.choice((0.06, 0.5))),
            time_in_force=DAY,
            tp_time_in_force=DAY,
            sl_time_in_force=DAY,
            tp_post_only=False,
            **more,
        )

    # -- pairs and contracts ------------------------------------------------------------------------------------------

    def trade_coins(self) -> None:
        rng, pair = self.random, self.cache.instrument(self.config.pair)
        tick = self.cache.quote_tick(self.config.pair)
        working = self.cache.orders_open(strategy_id=self.id, instrument_id=self.config.pair)
        if working and rng.random() < 0.5:
            self.cancel_order(rng.choice(working))
        elif tick is not None and not working:
            held = self.portfolio.net_position(self.config.pair)
            sells = held > 0 and rng.random() < 0.5
            side, qty = OrderSide.SELL if sells else OrderSide.BUY, held if sells else rng.choice((0.01, 0.0123))
            if rng.random() < 0.5:
                order = self.order_factory.market(self.config.pair, side, pair.make_qty(qty))
            else:
                base = tick.ask_price if sells else tick.bid_price
                order = self.order_factory.limit(self.config.pair, side, pair.make_qty(qty), pair.make_price(base))
            self.submit_order(order)

    def trade_spread(self) -> None:
        """As an order of the spread, or as a list of its legs."""
        rng = self.random
        working = self.cache.orders_open(strategy_id=self.id, instrument_id=self.config.spread)
        working += [row for leg in self.legs for row in self.cache.orders_open(strategy_id=self.id, instrument_id=leg)]
        low, high = (self.cache.quote_tick(leg) for leg in self.legs)
        if working:
            self.cancel_order(rng.choice(working))
        elif low is not None and high is not None:
            sells = self.portfolio.net_position(self.legs[0]) > 0
            net = low.bid_price.as_decimal() - high.ask_price.as_decimal()
            if not sells:
                net = low.ask_price.as_decimal() - high.bid_price.as_decimal()
            net = max(CENT, net - rng.choice((0, 0, 10)) * CENT * (-1 if sells else 1))
            self.send_spread(sells=sells, net=net, as_list=rng.random() < 0.5)

    def send_spread(self, *, sells: bool, net: Decimal, as_list: bool) -> None:
        side, other = (OrderSide.SELL, OrderSide.BUY) if sells else (OrderSide.BUY, OrderSide.SELL)
        spread = self.cache.instrument(self.config.spread)
        if not as_list:
            price = spread.make_price(net)
            self.submit_order(self.order_factory.limit(spread.id, side, spread.make_qty(1), price, time_in_force=DAY))
            return
        legs = [
            self.order_factory.limit(leg, way, spread.make_qty(1), spread.make_price(1), time_in_force=DAY)
            for leg, way in zip(self.legs, (side, other), strict=True)
        ]
        params = {"order_class": "mleg", "limit_price": str(-net if sells else net)}
        self.submit_order_list(self.order_factory.create_list(legs), params=params)

    # -- what it believes ---------------------------------------------------------------------------------------------

    def on_stop(self) -> None:
        self.tell()

    def tell(self) -> None:
        mine = self.cache.positions_open(strategy_id=self.id)
        believes = {
            "lives": self.lives,
            "positions": {row.instrument_id.symbol.value: str(row.signed_decimal_qty()) for row in mine},
            "portfolio": {
                each.symbol.value: str(self.portfolio.net_position(each))
                for each in (*self.config.stocks, self.config.pair, *self.legs)
            },
            "others": [str(row) for row in self.cache.positions_open() if row.strategy_id.value == "EXTERNAL"],
            "elsewhere": [
                row.client_order_id.value for row in self.cache.orders() if row.strategy_id.value == "EXTERNAL"
            ],
            "open": {
                order.venue_order_id.value: str(order.filled_qty)
                for order in self.cache.orders_open(strategy_id=self.id)
            },
            "events": {
                order.venue_order_id.value: [f"{type(each).__name__} {each.venue_order_id}" for each in order.events]
                for order in self.cache.orders(strategy_id=self.id)
                if order.venue_order_id is not None
            },
            "inflight": [order.client_order_id.value for order in self.cache.orders_inflight(strategy_id=self.id)],
        }
        self.note("json", json.dumps(believes))

    def note(self, suffix: str, text: str = "") -> None:
        path = Path(self.config.folder) / f"{self.id.get_tag()}.{suffix}"
        path.with_suffix(".tmp").write_text(text)
        path.with_suffix(".tmp").rename(path)


def remade(order: Any, **changes: Any) -> Any:
    """The order with other links than its factory gives it."""
    document = order.init_event.to_dict(order.init_event) | changes
    return type(order).create(type(order.init_event).from_dict(document))
