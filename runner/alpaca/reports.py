"""The four kinds of execution reports, made from what Alpaca's REST says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.model.enums import (
    LiquiditySide,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    TimeInForce,
    TrailingOffsetType,
    TriggerType,
)
from nautilus_trader.model.identifiers import ClientOrderId, TradeId, VenueOrderId, new_generic_spread_id

from runner.alpaca import symbols
from runner.alpaca.emit import exact_price, exact_quantity
from runner.alpaca.fees import commission
from runner.alpaca.fills import Fill, trade_id_text
from runner.alpaca.models import Activity, Order, Position
from runner.alpaca.orders import TIMES_IN_FORCE_BACK, TYPES_BACK

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

_STATUSES = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "replaced": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    "pending_cancel": OrderStatus.PENDING_CANCEL,
    "pending_replace": OrderStatus.PENDING_UPDATE,
}


def order_status(order: Order) -> OrderStatus:
    """Nautilus's status. A status that is new to us is a working one: the next look will say more."""
    known = _STATUSES.get(order.status)
    if known is not None:
        return known
    return OrderStatus.PARTIALLY_FILLED if order.filled_qty > 0 else OrderStatus.ACCEPTED


def _trailing(order: Order) -> tuple[Decimal | None, TrailingOffsetType | None]:
    """How a trailing stop trails, as Nautilus has it."""
    if order.trail_percent is not None:
        return order.trail_percent * 100, TrailingOffsetType.BASIS_POINTS
    return order.trail_price, None if order.trail_price is None else TrailingOffsetType.PRICE


class Reports:
    """Builds reports. An order or position of an instrument that is not loaded has none, and is logged."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client

    def _client_order_id(self, text: str) -> ClientOrderId | None:
        if text in self._client.tracker.disowned:
            return None  # Nautilus has rejected that one; what turned up is another order to it.
        # Nautilus aborts the process on text that is not ASCII, and anybody may have chosen it.
        return ClientOrderId(text) if text.isascii() and text.isprintable() and text.strip() else None

    def _instrument(self, symbol: str) -> Any:
        if not symbols.valid_symbol(symbol):
            return None
        instrument = self._client.instrument(symbols.instrument_id(symbol))
        if instrument is None:
            self._client.log.warning(f"{symbol} is not loaded: what happens to it is booked, but not reported")
        return instrument

    def order_report(self, order: Order, *, filled_qty: Decimal | None = None) -> OrderStatusReport | None:
        """An order. `filled_qty` overrides its cumulative quantity where fills are reported one by one."""
        found = self._client.find(order)
        if found is not None and found[0].is_silent:
            return None  # Nautilus has no such order: its head is one, or its members are.
        if not order.symbol and order.legs:
            return self._spread_report(order)
        instrument = self._instrument(order.symbol)
        # A leg of a multi-leg order has no type of its own; an order by dollars has no quantity before it has filled.
        kind = OrderType.MARKET if order.order_class == "mleg" else TYPES_BACK.get(order.type)
        quantity = order.qty if order.qty is not None else order.filled_qty
        if instrument is None or quantity <= 0 or kind is None:
            if instrument is not None and kind is None:
                self._client.log.warning(
                    f"No report of the {order.type or order.order_class} order {order.id}: no such type here"
                )
            return None
        filled = order.filled_qty if filled_qty is None else filled_qty
        status = order_status(order)
        if order.is_terminal and filled < order.filled_qty:
            status = OrderStatus.PARTIALLY_FILLED if filled > 0 else OrderStatus.ACCEPTED
        now_ns = self._client.now_ns()
        return OrderStatusReport(
            account_id=self._client.account_id,
            instrument_id=instrument.id,
            venue_order_id=VenueOrderId(order.id),
            client_order_id=found[0].client_order_id if found else self._client_order_id(order.client_order_id),
            order_side=OrderSide.BUY if order.side == "buy" else OrderSide.SELL,
            order_type=kind,
            time_in_force=TIMES_IN_FORCE_BACK.get(order.time_in_force, TimeInForce.DAY),
            order_status=status,
            quantity=exact_quantity(quantity, instrument.size_precision),
            filled_qty=exact_quantity(filled, instrument.size_precision),
            avg_px=order.filled_avg_price,
            price=self._price(order.limit_price, instrument),
            trigger_price=self._price(order.stop_price, instrument) if kind != OrderType.LIMIT else None,
            trigger_type=TriggerType.DEFAULT if order.stop_price is not None else TriggerType.NO_TRIGGER,
            trailing_offset=_trailing(order)[0],
            trailing_offset_type=_trailing(order)[1],
            report_id=UUID4(),
            ts_accepted=order.submitted_ns,
            ts_last=order.last_ns,
            ts_init=now_ns,
        )

    def _spread_report(self, order: Order) -> OrderStatusReport | None:
        """A multi-leg order as a whole, where its spread is loaded, bought or sold; else its legs alone are told."""
        found = self._client.find(order)
        for sign in (1, -1):
            legs = [
                (symbols.instrument_id(leg.symbol), int(leg.ratio_qty or 1) * (sign if leg.side == "buy" else -sign))
                for leg in order.legs or ()
            ]
            instrument = self._client.instrument(new_generic_spread_id(legs))
            if instrument is not None:
                break
        else:
            return None
        limit, average = order.limit_price, order.filled_avg_price
        return OrderStatusReport(
            account_id=self._client.account_id,
            instrument_id=instrument.id,
            venue_order_id=VenueOrderId(order.id),
            client_order_id=found[0].client_order_id if found else self._client_order_id(order.client_order_id),
            order_side=OrderSide.BUY if sign == 1 else OrderSide.SELL,
            order_type=TYPES_BACK.get(order.type, OrderType.MARKET),
            time_in_force=TIMES_IN_FORCE_BACK.get(order.time_in_force, TimeInForce.DAY),
            order_status=order_status(order),
            quantity=exact_quantity(order.qty or order.filled_qty, 0),
            filled_qty=exact_quantity(order.filled_qty, 0),
            avg_px=None if average is None else average * sign,
            price=None if limit is None else self._price(limit * sign, instrument),
            report_id=UUID4(),
            ts_accepted=order.submitted_ns,
            ts_last=order.last_ns,
            ts_init=self._client.now_ns(),
        )

    def fill_report(self, fill: Fill, trade_id: str) -> FillReport | None:
        """One execution."""
        instrument = self._instrument(fill.symbol)
        if instrument is None:
            return None
        return FillReport(
            account_id=self._client.account_id,
            instrument_id=instrument.id,
            venue_order_id=VenueOrderId(fill.order_id),
            client_order_id=self._client_order_id(fill.client_order_id),
            trade_id=TradeId(trade_id),
            order_side=OrderSide.BUY if fill.side == "buy" else OrderSide.SELL,
            last_qty=exact_quantity(fill.qty, instrument.size_precision),
            last_px=exact_price(fill.price, instrument.price_precision),
            commission=commission(fill, instrument),
            liquidity_side=LiquiditySide.NO_LIQUIDITY_SIDE,
            report_id=UUID4(),
            ts_event=fill.venue_ts_ns,
            ts_init=self._client.now_ns(),
        )

    def activity_report(self, activity: Activity) -> FillReport | None:
        """A FILL activity. Its trade id is made of order and quantity, as its own id is no execution's."""
        if activity.qty is None or activity.price is None or activity.cum_qty is None or activity.symbol is None:
            return None
        found = self._client.find_id(activity.order_id)
        side = "buy" if activity.side == "buy" else "sell"
        client_id = found[0].id if found else ""
        fill = Fill(
            activity.symbol,
            side,
            activity.qty,
            activity.price,
            activity.order_id,
            client_id,
            activity.ts_ns,
            not found,
            False,
        )
        return self.fill_report(fill, trade_id_text(activity.order_id, activity.cum_qty))

    def position_report(self, position: Position) -> PositionStatusReport | None:
        """A position."""
        instrument = self._instrument(position.symbol)
        if instrument is None:
            return None
        now_ns = self._client.now_ns()
        return PositionStatusReport(
            account_id=self._client.account_id,
            instrument_id=instrument.id,
            position_side=PositionSide.SHORT if position.signed_qty < 0 else PositionSide.LONG,
            quantity=exact_quantity(abs(position.qty), instrument.size_precision),
            avg_px_open=position.avg_entry_price,
            report_id=UUID4(),
            ts_last=now_ns,
            ts_init=now_ns,
        )

    def flat_report(self, instrument: Any) -> PositionStatusReport:
        """No position in an instrument."""
        return PositionStatusReport.create_flat(
            self._client.account_id, instrument.id, instrument.size_precision, self._client.now_ns()
        )

    @staticmethod
    def _price(value: Decimal | None, instrument: Any) -> Any:
        return None if value is None else exact_price(value, instrument.price_precision)
