"""Everything of a submit up to the sending: what is denied, how it is sent, and what is tracked of it."""

from __future__ import annotations

from decimal import Decimal
from math import gcd
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.identifiers import generic_spread_id_to_list
from nautilus_trader.model.instruments import OptionContract, OptionSpread

from runner.alpaca.crossings import Refusal
from runner.alpaca.exercise import asked_of
from runner.alpaca.groups import LEG, Group, Shape, exit_fault, leg_order, net_price, shape_of, spread_fault
from runner.alpaca.orders import INTENTS, asset_of, decimal_text, denial, side_text
from runner.alpaca.through_zero import Plan, is_opposed, plan
from runner.alpaca.tracking import Part, Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

ZERO = Decimal(0)
#: Decimals of shares that an order by dollars is estimated to.
SHARE = Decimal("0.000000001")


class Preparing:
    """Makes of orders what can be sent. Waits for nothing; a text in place of a result says why it is denied."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._tracker = client.tracker

    def one(self, order: Any, params: dict[str, Any] | None, *, is_legal: bool = False) -> Tracked | str:
        """A single order, that of an option spread included. `is_legal`: the gate has asked `denial`."""
        instrument = self._client.instrument(order.instrument_id)
        # One that is linked to others is judged with its list, and here where it comes without it.
        is_legal = is_legal and order.order_list_id is None and order.contingency_type == ContingencyType.NO_CONTINGENCY
        reason = self._refused(order, instrument, params, is_legal=is_legal)
        if reason is not None:
            return reason
        if asked_of(params) is not None:
            return self._client.exercises.prepare(order, instrument, params or {})
        if isinstance(instrument, OptionSpread):
            return self._spread(order, params or {})
        tracked = Tracked(order, params)
        planned = self._plan(tracked, instrument)
        if isinstance(planned, Refusal):
            return planned.reason
        return self._ready(tracked, planned)

    def several(self, orders: list[Any], params: dict[str, Any] | None) -> list[Tracked] | str:
        """A list: the orders to send, which is one where it is a group at Alpaca, or else each of them."""
        shape = shape_of(orders, params)
        if isinstance(shape, str):
            return shape
        if shape is not None:
            made = self._legs(orders, params or {}) if shape.kind == "mleg" else self._complex(shape, orders, params)
            return made if isinstance(made, str) else [made]
        prepared: list[Tracked] = []
        for order in orders:
            one = self.one(order, params)
            if isinstance(one, str):
                for tracked in prepared:
                    self.forget(tracked)
                return f"{one} (order {order.client_order_id} of the list)"
            prepared.append(one)
        return prepared

    def forget(self, tracked: Tracked) -> None:
        """Prepared, and not to be sent after all."""
        for member in tracked.group.orders if tracked.group else (tracked,):
            self._tracker.forget(member)

    # -- single orders --------------------------------------------------------------------------------

    def _refused(
        self,
        order: Any,
        instrument: Any,
        params: dict[str, Any] | None,
        *,
        order_class: str = "",
        is_exit: bool = False,
        is_legal: bool = False,
    ) -> str | None:
        if instrument is None:
            return f"NO_INSTRUMENT: {order.instrument_id} is not loaded; name it in the provider's load_ids"
        reason = None
        if not is_legal:
            now_ns = self._client.venue_clock.now_ns()
            reason = denial(order, instrument, params, order_class=order_class, is_exit=is_exit, now_ns=now_ns)
        if reason is None and self._tracker.get(order.client_order_id.value) is not None:
            return f"DUPLICATE_ID: {order.client_order_id} was sent before; ids are unique for ever"
        return reason

    def _plan(self, tracked: Tracked, instrument: Any) -> Plan | Refusal:
        crossings = self._client.crossings
        if tracked.notional is not None:
            return self._plan_notional(tracked)
        if asset_of(tracked.order, instrument) != "crypto" or tracked.side == "buy":
            return crossings.plan(tracked)
        position = crossings.position(tracked.symbol)
        planned = plan("sell", tracked.qty, position, self._tracker.working(tracked.symbol, "sell"))
        if planned.later > 0 or position <= 0:
            return Refusal(
                f"NOT_SHORTABLE: crypto is not sold short; {decimal_text(tracked.qty)} {tracked.symbol} are more than "
                f"the {decimal_text(position)} held less what other orders sell (fees are taken from the coins)"
            )
        return crossings.plan(tracked)

    def _plan_notional(self, tracked: Tracked) -> Plan | Refusal:
        """Dollars go in one piece: how many shares they are is known when they have traded."""
        position = self._client.crossings.position(tracked.symbol)
        if tracked.side == "sell" and position <= 0:
            return Refusal("FRACTIONAL_ORDER: an order by dollars may be a fraction, and those are not sold short")
        if tracked.order.is_reduce_only and not is_opposed(tracked.side, position):
            return Refusal(f"REDUCE_ONLY: the order would open; the position is {decimal_text(position)}")
        quote = self._client.last_quote(tracked.instrument_id)
        price = None if quote is None else (quote.ask_price if tracked.side == "buy" else quote.bid_price).as_decimal()
        assert tracked.notional is not None
        tracked.qty = (tracked.notional / price).quantize(SHARE) if price else ZERO
        return Plan(tracked.qty, ZERO)

    def _ready(self, tracked: Tracked, planned: Plan) -> Tracked | str:
        client = self._client
        opens = planned.later > 0 or not is_opposed(tracked.side, client.crossings.position(tracked.symbol))
        if opens and not client.ready and client.config.when_down == "deny":
            return "STREAM_DOWN: the trade-updates stream is down, and this order would open a position"
        for one in tracked.group.orders if tracked.group else (tracked,):
            self._tracker.add(one)
            if one is not tracked:
                self._tracker.add_part(one, Part(one.id, one.qty))
        tracked.held = planned.later
        if planned.now > 0 or tracked.notional is not None:
            self._tracker.add_part(tracked, Part(tracked.id, planned.now))
        return tracked

    # -- exits that come with their entry ---------------------------------------------------------------

    def _complex(self, shape: Shape, orders: list[Any], params: dict[str, Any] | None) -> Tracked | str:
        for order in orders:
            instrument = self._client.instrument(order.instrument_id)
            is_exit = order is not shape.head
            reason = self._refused(order, instrument, params, order_class=shape.kind, is_exit=is_exit)
            if reason is not None:
                return f"{reason} (order {order.client_order_id} of the list)"
        if reason := exit_fault(shape, orders):
            return reason
        head = Tracked(shape.head, params)
        group = Group(shape.kind, head, [Tracked(order, params) for order in orders if order is not shape.head])
        for tracked in group.orders:
            tracked.group, tracked.role = group, shape.roles.get(tracked.client_order_id, "")
        planned = self._plan_group(head, shape.kind)
        return planned.reason if isinstance(planned, Refusal) else self._ready(head, planned)

    def _plan_group(self, head: Tracked, kind: str) -> Plan | Refusal:
        position = self._client.crossings.position(head.symbol)
        planned = plan(head.side, head.qty, position, self._tracker.working(head.symbol, head.side))
        what = f"{head.side} {decimal_text(head.qty)} {head.symbol}"
        if kind == "oco":
            if not is_opposed(head.side, position) or planned.later > 0:
                return Refusal(
                    f"OCO_WITHOUT_POSITION: {what} would close more than there is; the position is "
                    f"{decimal_text(position)}, of which other orders close some already"
                )
            return planned
        if is_opposed(head.side, position) and planned.now > 0:
            return Refusal(
                f"THROUGH_ZERO: a {kind} order opens a position and can't be sent in two; close the "
                f"{decimal_text(position)} {head.symbol} first, then send {what}"
            )
        return planned

    # -- several contracts at once ----------------------------------------------------------------------

    def _spread(self, order: Any, params: dict[str, Any]) -> Tracked | str:
        """An order of an OptionSpread. Sold, its legs are turned round, and a price that is paid is one received."""
        legs = []
        sign = 1 if order.side == OrderSide.BUY else -1
        for leg_id, ratio in generic_spread_id_to_list(order.instrument_id):
            contract = self._client.instrument(leg_id)
            if not isinstance(contract, OptionContract):
                return f"NO_INSTRUMENT: the leg {leg_id} of {order.instrument_id} is not loaded as an option contract"
            legs.append((contract, OrderSide.BUY if ratio * sign > 0 else OrderSide.SELL, abs(ratio)))
        head = Tracked(order, params)
        members = []
        for contract, side, ratio in legs:
            leg_id = f"{head.id}-LEG-{contract.id.symbol}"
            made = leg_order(leg_id, order, instrument_id=contract.id, side=side, qty=head.qty * ratio)
            members.append(Tracked(made, params, is_silent=True))
        price = getattr(order, "price", None)
        limit = None if price is None else price.as_decimal() * sign
        return self._multi_leg(head, members, [row[2] for row in legs], limit, sign, params)

    def _legs(self, orders: list[Any], params: dict[str, Any]) -> Tracked | str:
        """A list of orders for contracts, sent as one; `limit_price` among the params is its net price (debit > 0)."""
        for order in orders:
            instrument = self._client.instrument(order.instrument_id)
            if instrument is not None and not isinstance(instrument, OptionContract):
                return f"MULTI_LEG: {order.instrument_id} is no option contract"
            reason = self._refused(order, instrument, params, order_class="mleg")
            if reason is not None:
                return f"{reason} (order {order.client_order_id} of the list)"
        price = net_price(orders, params)
        if isinstance(price, str):
            return price
        sizes = [int(order.quantity.as_decimal()) for order in orders]
        units = gcd(*sizes)
        made = leg_order(
            f"{orders[0].client_order_id.value}-M", orders[0], instrument_id=orders[0].instrument_id,
            side=orders[0].side, qty=Decimal(units),
        )  # fmt: skip
        head = Tracked(made, params, symbol="", is_silent=True)
        return self._multi_leg(
            head, [Tracked(order, params) for order in orders], [size // units for size in sizes], price, 1, params
        )

    def _multi_leg(
        self,
        head: Tracked,
        members: list[Tracked],
        ratios: list[int],
        limit_price: Decimal | None,
        sign: int,
        params: dict[str, Any],
    ) -> Tracked | str:
        named = params.get("position_intents") or {}
        group = Group("mleg", head, members, sign=sign, limit_price=limit_price)
        legs = []
        for tracked, ratio in zip(members, ratios, strict=True):
            if self._tracker.get(tracked.id) is not None:
                return f"DUPLICATE_ID: {tracked.id} was sent before; ids are unique for ever"
            legs.append((self._client.instrument(tracked.instrument_id), tracked.side, ratio))
            intent = named.get(tracked.symbol) or self._intent(tracked)
            if intent not in INTENTS:
                return intent
            if not intent.startswith(tracked.side):
                return f"MULTI_LEG: position_intents has {intent} for {tracked.symbol}, which is a {tracked.side} leg"
            group.ratios[tracked.symbol], group.intents[tracked.symbol] = ratio, intent
        if reason := spread_fault(legs):
            return reason
        head.group = group
        for tracked in members:
            tracked.group, tracked.role = group, LEG
        return self._ready(head, Plan(head.qty, ZERO))

    def _intent(self, tracked: Tracked) -> str:
        """Whether a leg opens or closes, by the position; text with a code where it would do both."""
        crossings = self._client.crossings
        position = crossings.position(tracked.symbol)
        planned = plan(tracked.side, tracked.qty, position, self._tracker.working(tracked.symbol, tracked.side))
        if not is_opposed(tracked.side, position) or planned.now == 0:
            return f"{tracked.side}_to_open"
        if planned.later > 0:
            return (
                f"THROUGH_ZERO: the leg {tracked.side} {decimal_text(tracked.qty)} {tracked.symbol} would close "
                f"{decimal_text(planned.now)} and open the rest; send two orders, or name its position_intents"
            )
        return f"{tracked.side}_to_close"


def intent_of(tracked: Tracked, position: Decimal, instrument: Any) -> str | None:
    """What a single order says of its intent: what its params name, or for options what the position makes it."""
    named = tracked.params.get("position_intent")
    if named is not None or not isinstance(instrument, OptionContract):
        return None if named is None else str(named)
    return f"{side_text(tracked.order.side)}_to_{'close' if is_opposed(tracked.side, position) else 'open'}"
