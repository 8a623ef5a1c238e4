"""From what the venue said to Nautilus's order events, each at most once and in an order that Nautilus accepts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import LiquiditySide, OrderType
from nautilus_trader.model.identifiers import TradeId, VenueOrderId
from nautilus_trader.model.objects import Money, Price, Quantity

from runner.alpaca.constants import USD
from runner.alpaca.fees import commission
from runner.alpaca.fills import Fill
from runner.alpaca.tracking import Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

NO_COMMISSION = Money(0, USD)


def exact_price(value: Decimal, precision: int) -> Price:
    """The price with all of its own digits, and at least `precision` of them."""
    exponent = value.as_tuple().exponent
    digits = max(precision, -exponent if isinstance(exponent, int) else 0)
    return Price.from_str(f"{value:.{min(digits, 9)}f}")


def exact_quantity(value: Decimal, precision: int) -> Quantity:
    """The quantity at an instrument's precision."""
    return Quantity.from_str(f"{value:.{precision}f}")


class Emitter:
    """Sends events for tracked orders. Nautilus refuses an event whose venue order id is not the one it knows."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self.lost_fills = 0

    def _ids(self, tracked: Tracked) -> dict[str, Any]:
        return {
            "strategy_id": tracked.strategy_id,
            "instrument_id": tracked.instrument_id,
            "client_order_id": tracked.client_order_id,
        }

    def _ts(self, ts_ns: int) -> int:
        return ts_ns or self._client.now_ns()

    def denied(self, order: Any, reason: str) -> None:
        """Refused here, before anything was sent."""
        self._client.tracker.denied.add(order.client_order_id.value)
        self._client.generate_order_denied(
            order.strategy_id, order.instrument_id, order.client_order_id, reason, self._client.now_ns()
        )

    def submitted(self, tracked: Tracked) -> None:
        """On its way."""
        if tracked.is_silent:
            return
        self._client.generate_order_submitted(**self._ids(tracked), ts_event=self._client.now_ns())

    def accepted(self, tracked: Tracked, order_id: str, ts_ns: int) -> None:
        """The venue has it under `order_id`. The second half of a crossing order keeps the first one's id here."""
        if tracked.accepted:
            return
        tracked.accepted = True
        venue_order_id = tracked.venue_order_id = VenueOrderId(order_id)
        if tracked.is_silent:
            return
        self._client.generate_order_accepted(
            **self._ids(tracked), venue_order_id=venue_order_id, ts_event=self._ts(ts_ns)
        )

    def updated(
        self,
        tracked: Tracked,
        order_id: str,
        ts_ns: int,
        *,
        price: Any = None,
        trigger_price: Any = None,
        in_shares: bool = False,
    ) -> None:
        """The order stands as `tracked.quantity` under `order_id`. Prices that are None stay as they are.

        `in_shares`: an order by dollars has a quantity of shares from now on.
        """
        if tracked.is_silent:
            tracked.venue_order_id = VenueOrderId(order_id)
            return
        if tracked.order.order_type != OrderType.MARKET:
            # Nautilus's market orders keep their first id whatever an update says, and refuse events with another.
            tracked.venue_order_id = VenueOrderId(order_id)
        self._client.generate_order_updated(
            **self._ids(tracked),
            venue_order_id=tracked.venue_order_id,
            quantity=tracked.quantity,
            price=price if price is not None else getattr(tracked.order, "price", None),
            trigger_price=trigger_price if trigger_price is not None else getattr(tracked.order, "trigger_price", None),
            ts_event=self._ts(ts_ns),
            venue_order_id_modified=True,
            is_quote_quantity=False if in_shares else None,
        )

    def rejected(self, tracked: Tracked, reason: str, ts_ns: int = 0) -> None:
        """Refused by the venue, or known never to have arrived. One that has filled in part is canceled instead."""
        if tracked.is_silent:
            return
        if tracked.filled > 0:
            self._client.log.warning(f"The rest of {tracked.id} ended: {reason}")
            self.canceled(tracked, ts_ns)
            return
        self._client.generate_order_rejected(**self._ids(tracked), reason=reason, ts_event=self._ts(ts_ns))

    def canceled(self, tracked: Tracked, ts_ns: int = 0) -> None:
        """Ended unfilled or partly filled."""
        if tracked.is_silent:
            return
        self._client.generate_order_canceled(
            **self._ids(tracked), venue_order_id=tracked.venue_order_id, ts_event=self._ts(ts_ns)
        )

    def expired(self, tracked: Tracked, ts_ns: int = 0) -> None:
        """Ended by its time in force."""
        if tracked.is_silent:
            return
        self._client.generate_order_expired(
            **self._ids(tracked), venue_order_id=tracked.venue_order_id, ts_event=self._ts(ts_ns)
        )

    def modify_rejected(self, tracked: Tracked, reason: str, ts_ns: int = 0) -> None:
        """The venue refused a modification."""
        if tracked.is_silent:
            return
        self._client.generate_order_modify_rejected(
            **self._ids(tracked), venue_order_id=tracked.venue_order_id, reason=reason, ts_event=self._ts(ts_ns)
        )

    def cancel_rejected(self, tracked: Tracked, reason: str, ts_ns: int = 0) -> None:
        """The venue refused a cancellation, and the order still works."""
        if tracked.is_silent:
            return
        self._client.generate_order_cancel_rejected(
            **self._ids(tracked), venue_order_id=tracked.venue_order_id, reason=reason, ts_event=self._ts(ts_ns)
        )

    def filled(self, tracked: Tracked, fill: Fill, trade_id: str) -> None:
        """One execution of a tracked order. One that comes after the order's end is sent, and the end repeated."""
        instrument = self._client.instrument(tracked.instrument_id)
        late = tracked.closed
        tracked.filled += fill.qty
        self._client.note_booked(tracked, fill, trade_id)
        if tracked.is_silent and tracked.is_head:
            return  # It stands for several orders of Nautilus's, each of which has its fills.
        if instrument is None:
            self.lost_fills += 1
            self._client.log.error(f"A fill of {tracked.id} has no instrument {tracked.instrument_id}: {fill}")
            return
        if tracked.venue_order_id is None:
            self.accepted(tracked, fill.order_id, fill.venue_ts_ns)
        taker = tracked.order.order_type == OrderType.MARKET
        self._client.generate_order_filled(
            **self._ids(tracked),
            venue_order_id=tracked.venue_order_id,
            venue_position_id=None,
            trade_id=TradeId(trade_id),
            order_side=tracked.order.side,
            order_type=tracked.order.order_type,
            last_qty=exact_quantity(fill.qty, instrument.size_precision),
            last_px=exact_price(fill.price * tracked.price_sign, instrument.price_precision),
            quote_currency=USD,
            commission=commission(fill, instrument),
            liquidity_side=LiquiditySide.TAKER if taker else LiquiditySide.NO_LIQUIDITY_SIDE,
            ts_event=self._ts(fill.venue_ts_ns),
            info={"inferred": True} if fill.inferred else None,
        )
        if late and tracked.filled < tracked.qty:
            # The fill has put the order back to partially filled; nothing else would ever close it again.
            self.canceled(tracked, fill.venue_ts_ns)
