"""Earlier lives of positions, added up: what a position was before it was flat and opened again.

Nautilus (1.231) keeps a pickled copy of each life, and its portfolio unpickles all of an instrument's again whenever
it has been asked about another instrument in between: with each trade that closes, and with each question about
realized profit. Here all but the newest are put into one with the same profit, so that neither time nor memory grows.
"""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderType
from nautilus_trader.model.events import OrderFilled, PositionOpened
from nautilus_trader.model.identifiers import ClientOrderId, PositionId, TradeId, VenueOrderId
from nautilus_trader.model.objects import Money
from nautilus_trader.model.position import Position

#: So many lives of one position are let lie before they are added up. The newest always stays: Nautilus compares it
#: with the position as it is.
MOST = 8


class Lives:
    """Watches a kernel's positions from `listen` on.

    With `keep` the lives are put aside, for statistics that look at each, and `restore` puts them back.
    """

    def __init__(self, cache: Any, *, keep: bool) -> None:
        self._cache = cache
        self._keep = keep
        self._aside: dict[Any, list[bytes]] = {}
        self.folded = 0
        """Lives that were added to others."""

    def listen(self, msgbus: Any) -> None:
        """Hear of every position that is opened: that is when Nautilus copies what it was before."""
        msgbus.subscribe("events.position.*", self._on_event)

    def restore(self) -> None:
        """Put back every life that was put aside."""
        for position_id, lives in self._aside.items():
            held = self._cache.position_snapshot_bytes(position_id)
            held[:1] = lives
        self._aside.clear()

    def _on_event(self, event: Any) -> None:
        if isinstance(event, PositionOpened):
            self.fold(event.position_id, MOST)

    def fold(self, position_id: Any, most: int = 2) -> None:
        """Add a position's lives up, where there are `most` of them or more."""
        held = self._cache.position_snapshot_bytes(position_id)  # the cache's own list
        if len(held) < max(most, 3):
            return
        lives = [pickle.loads(each) for each in held[:-1]]  # noqa: S301 (what Nautilus has pickled itself)
        made = _sum(self._cache, position_id, lives)
        if made is None:
            return
        if self._keep:
            # The first may be a sum itself, whose parts are aside already.
            known = self._aside.get(position_id)
            self._aside[position_id] = held[:-1] if known is None else known + held[1:-1]
        held[:-1] = [pickle.dumps(made)]
        self.folded += len(lives) - 1


def _sum(cache: Any, position_id: Any, lives: list[Any]) -> Any:
    """A closed position with the profit of all of these; None where there is none such."""
    profits = [life.realized_pnl for life in lives if life.realized_pnl is not None]
    instrument = cache.instrument(lives[0].instrument_id)
    if instrument is None or len({life.account_id for life in lives}) > 1 or not profits:
        return None
    currency = profits[0].currency
    if any(profit.currency != currency for profit in profits) or currency != lives[0].settlement_currency:
        return None
    profit = sum((each.as_decimal() for each in profits), Decimal(0))
    first = lives[0].last_event
    # A position's profit can only be made by its fills: bought and sold at one price, it is what the commission says.
    opened = _fill(first, position_id, OrderSide.BUY, Money(-profit, currency), lives[0].ts_opened, 1)
    made = Position(instrument, opened)
    made.apply(_fill(first, position_id, OrderSide.SELL, Money(0, currency), lives[-1].ts_closed, 2))
    return made


def _fill(like: Any, position_id: Any, side: OrderSide, commission: Any, ts_ns: int, number: int) -> Any:
    return OrderFilled(
        trader_id=like.trader_id,
        strategy_id=like.strategy_id,
        instrument_id=like.instrument_id,
        client_order_id=ClientOrderId("EARLIER-LIVES"),
        venue_order_id=VenueOrderId("EARLIER-LIVES"),
        account_id=like.account_id,
        trade_id=TradeId(f"EARLIER-LIVES-{number}"),
        position_id=PositionId(f"{position_id.value}-{UUID4().value}"),
        order_side=side,
        order_type=OrderType.MARKET,
        last_qty=like.last_qty,
        last_px=like.last_px,
        currency=like.currency,
        commission=commission,
        liquidity_side=LiquiditySide.NO_LIQUIDITY_SIDE,
        event_id=UUID4(),
        ts_event=ts_ns,
        ts_init=ts_ns,
    )
