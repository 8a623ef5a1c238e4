"""An order's steps: each changes the order, the books and the activities, and publishes one trade update.

Source: docs.alpaca.markets "Orders at Alpaca" (life cycle) and "Websocket streaming" (the members of an update).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from runner.exchange.broker.accounts import ZERO, Account
from runner.exchange.broker.activities import crypto_fee_activity, fee_activity, fill_activity
from runner.exchange.broker.orders import Order
from runner.exchange.broker.wire import NINE_PLACES, Ids, rfc3339, text
from runner.exchange.market import Market

type Publish = Callable[[str, dict[str, Any]], None]


class Lifecycle:
    """The only place that changes an order's status. `publish(account key, update)` must not block."""

    def __init__(
        self, market: Market, ids: Ids, publish: Publish, fee_per_share: Decimal, *, leg_updates: bool
    ) -> None:
        self._market = market
        self._ids = ids
        self._publish = publish
        self._fee_per_share = fee_per_share
        self._leg_updates = leg_updates
        self._last_ns = 0
        # The last price at which anything traded here: the mark of a symbol that the market shows no price for.
        self.last_fill: dict[str, Decimal] = {}
        self.fills = 0
        # Called after each step of an order, once its update is out.
        self.after: list[Callable[[Account, Order], None]] = []

    def stamp(self, ns: int | None = None) -> int:
        """Venue time, never twice the same: a replay's clock stands still between ticks, but time filters are
        exclusive.
        """
        self._last_ns = max(self._market.now_ns if ns is None else ns, self._last_ns + 1)
        return self._last_ns

    def simple(self, account: Account, order: Order, status: str, *, at_ns: int | None = None) -> None:
        """A step without a trade, named after the status it leads to."""
        ts_ns = self.stamp(at_ns)
        for one in order.family if order.several else (order,):
            self._mark(account, one, status, ts_ns)
        named = status not in {"pending_new", "accepted", "pending_cancel", "pending_replace"}
        self._emit(account, order, status, ts_ns, execution_id=self._ids.fresh() if named else None)

    @staticmethod
    def _mark(account: Account, order: Order, status: str, ts_ns: int) -> None:
        order.status = status
        order.updated_ns = ts_ns
        match status:
            case "canceled":
                order.canceled_ns = ts_ns
            case "expired":
                order.expired_ns = ts_ns
            case "rejected":
                order.failed_ns = ts_ns
            case "replaced":
                order.replaced_ns = ts_ns
            case "pending_cancel":
                order.cancel_requested_ns = ts_ns
            case _:
                pass
        if not order.open:
            account.order_ended(order)

    def refused_change(self, account: Account, order: Order, event: str) -> None:
        """`order_cancel_rejected` or `order_replace_rejected`: the order is back where it was."""
        ts_ns = self.stamp()
        for one in order.family if order.several else (order,):
            self._mark(account, one, order.before_pending, ts_ns)
        self._emit(account, order, event, ts_ns, execution_id=self._ids.fresh())

    def fill(self, account: Account, order: Order, qty: Decimal, price: Decimal) -> None:
        """One execution of `qty` shares at `price`: books, activities, then the update."""
        ts_ns = self.stamp()
        if order.qty is None:
            order.estimated_qty = order.filled_qty + qty  # an amount of dollars fills at once
        whole = self._executed(account, order, qty, price, ts_ns)
        self.last_fill[order.symbol] = price
        account.book_fill(order, qty, price)
        account.activities.add(fill_activity(self._ids.activity(ts_ns), order, qty, price, ts_ns))
        self._charge(account, order, qty, price, ts_ns)
        self._emit(
            account,
            order,
            "fill" if whole else "partial_fill",
            ts_ns,
            execution_id=self._ids.fresh(),
            price=text(price),
            qty=text(qty),
            position_qty=text(account.qty(order.symbol)),
        )

    def fill_several(
        self, account: Account, order: Order, units: Decimal, net: Decimal, prices: Sequence[Decimal]
    ) -> None:
        """`units` of a multi-leg order at the legs' `prices`, `net` for each: one update tells of all legs."""
        ts_ns = self.stamp()
        at = rfc3339(ts_ns)
        legs = []
        for leg, price in zip(order.legs, prices, strict=True):
            qty = units * (leg.ratio or 0)
            self._executed(account, leg, qty, price, ts_ns)
            self.last_fill[leg.symbol] = price
            account.book_fill(leg, qty, price)
            account.activities.add(fill_activity(self._ids.activity(ts_ns), leg, qty, price, ts_ns))
            execution = {"execution_id": self._ids.fresh(), "qty": text(qty), "price": text(price)}
            legs.append({**execution, "order_id": leg.id, "symbol": leg.symbol, "timestamp": at})
        whole = self._executed(account, order, units, net, ts_ns)
        self._emit(
            account,
            order,
            "fill" if whole else "partial_fill",
            ts_ns,
            execution_id=None,
            price=text(net),
            qty=text(units),
            position_qtys={leg.symbol: text(account.qty(leg.symbol)) for leg in order.legs},
            legs=legs,
        )
        if not self._leg_updates:
            return
        for leg, execution in zip(order.legs, legs, strict=True):
            self._emit(
                account,
                leg,
                "fill" if whole else "partial_fill",
                ts_ns,
                execution_id=execution["execution_id"],
                price=execution["price"],
                qty=execution["qty"],
                position_qty=text(account.qty(leg.symbol)),
            )

    def _executed(self, account: Account, order: Order, qty: Decimal, price: Decimal, ts_ns: int) -> bool:
        """The order's own state after an execution; whether that was the last one."""
        whole = qty == order.leaves
        order.filled_qty += qty
        order.filled_value += qty * price
        if whole:
            order.status = "filled"
        elif order.status not in {"pending_cancel", "pending_replace"}:
            order.status = "partially_filled"
        order.before_pending = "partially_filled"
        order.filled_ns = order.updated_ns = ts_ns
        self.fills += not order.several
        if whole:
            account.order_ended(order)
        return whole

    def _charge(self, account: Account, order: Order, qty: Decimal, price: Decimal, ts_ns: int) -> None:
        """The fee of an execution: dollars a share of stocks; of pairs a part of what is received."""
        if order.asset_class == "crypto":
            rate = account.crypto_volume.rate(ts_ns, maker=order.maker)
            account.crypto_volume.add(ts_ns, qty * price)
            if not rate:
                return
            coins = (qty * rate).quantize(NINE_PLACES) if order.is_buy else ZERO
            dollars = ZERO if order.is_buy else (qty * price * rate).quantize(NINE_PLACES)
            if coins:
                account.book_coin_fee(order.symbol, coins)
            else:
                account.book_fee(dollars)
            row = crypto_fee_activity(self._ids.activity(ts_ns), order, price, ts_ns, coins=coins, dollars=dollars)
            account.activities.add(row)
        elif order.asset_class == "us_equity" and (fee := self._fee_per_share * qty):
            account.book_fee(fee)
            account.activities.add(fee_activity(self._ids.activity(ts_ns), order, qty, fee, ts_ns))

    def _emit(
        self, account: Account, order: Order, event: str, ts_ns: int, *, execution_id: str | None, **members: Any
    ) -> None:
        at = rfc3339(ts_ns)
        update = {
            "event": event,
            "event_id": self._ids.event(ts_ns),
            "at": at,
            **({} if order.several and execution_id is None else {"execution_id": execution_id}),
            "timestamp": at,
            **members,
            "order": order.streamed(),
        }
        self._publish(account.key, update)
        for callback in self.after:
            callback(account, order)
