"""Several Nautilus orders that are one order at Alpaca: bracket, one-cancels-other, one-triggers-other, multi-leg.

The head is the order that is sent; its legs come back with ids of Alpaca's own making, and are mapped to the members
by what they are there for (exits) or trade (contracts). Source: "Orders at Alpaca", order classes; facts of the
options pages (intents, ratio, sign of a net price: positive is a debit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from math import gcd
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import ContingencyType, OrderSide, OrderType
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.orders import TIMES_IN_FORCE, TYPES, decimal_text

if TYPE_CHECKING:
    from runner.alpaca.tracking import Part, Tracked

ZERO = Decimal(0)
CENT = Decimal("0.01")
COMPLEX = frozenset({"bracket", "oco", "oto"})
TAKE_PROFIT, STOP_LOSS, LEG = "take_profit", "stop_loss", "leg"
STOPS = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
MOST_LEGS = 4
SEVERAL_TIMES = (
    "its orders have several times in force (a bracket's tp_time_in_force and sl_time_in_force are GTC by default)"
)


@dataclass(slots=True)
class LegOrder:
    """Stands where a Nautilus order would: for the leg of a spread order, or the head of a list of legs."""

    client_order_id: Any
    strategy_id: Any
    instrument_id: Any
    side: Any
    quantity: Any
    order_type: Any
    time_in_force: Any
    price: Any = None
    is_reduce_only: bool = False
    is_quote_quantity: bool = False
    is_closed: bool = False


@dataclass(slots=True, eq=False)
class Group:
    """One Alpaca order with legs. `members` are in the order of its legs, the head itself not among them."""

    kind: str
    head: Tracked
    members: list[Tracked] = field(default_factory=list)
    #: Multi-leg: how many contracts of each member one unit has.
    ratios: dict[str, int] = field(default_factory=dict)
    #: Multi-leg: whether each member opens or closes, as Alpaca writes it.
    intents: dict[str, str] = field(default_factory=dict)
    #: Multi-leg: 1 where the legs go as the instrument has them, -1 where the spread is sold.
    sign: int = 1
    limit_price: Decimal | None = None

    @property
    def is_multi_leg(self) -> bool:
        """Whether it trades several contracts at once."""
        return self.kind == "mleg"

    @property
    def orders(self) -> list[Tracked]:
        """Head and members."""
        return [self.head, *self.members]

    @property
    def exits(self) -> list[Tracked]:
        """Those of which one cancels the others."""
        return [tracked for tracked in self.orders if tracked.role in (TAKE_PROFIT, STOP_LOSS)]

    @property
    def is_entered(self) -> bool:
        """Whether its exits work: there is no entry, or it has filled."""
        head = self.head.part
        return self.kind == "oco" or (head is not None and head.done)

    @property
    def symbols(self) -> set[str]:
        """What its legs trade."""
        return {tracked.symbol for tracked in self.members}

    def to_dict(self) -> dict[str, Any]:
        """What a journal keeps of it: the head first, then its members."""
        return {
            "kind": self.kind,
            "sign": self.sign,
            "limit_price": None if self.limit_price is None else str(self.limit_price),
            "ratios": self.ratios,
            "intents": self.intents,
            "members": [
                {
                    "id": tracked.id,
                    "role": tracked.role,
                    "silent": tracked.is_silent,
                    "instrument_id": tracked.instrument_id.value,
                    "symbol": tracked.symbol,
                    "side": tracked.side,
                    "qty": str(tracked.qty),
                }
                for tracked in self.orders
            ],
        }

    def has_unmapped(self) -> bool:
        """Whether an order at the venue may be a leg of it that is not known yet."""
        head = self.head.part
        if head is None or not head.sent:
            return False
        return any(
            tracked.part is not None and not tracked.part.done and tracked.part.order_id is None
            for tracked in self.members
        )

    def is_being_replaced(self) -> bool:
        """Multi-leg: whether another order, with legs of its own, may stand in its place already."""
        part = self.head.part
        if not self.is_multi_leg or self.head.closed or part is None:
            return False
        return part.replacement is not None or part.order_id in part.replaced_ids

    def member_of(self, symbol: str, side: str, kind: str) -> Tracked | None:
        """The member that a leg at the venue is, by what it trades or (exits) by its type."""
        if self.is_multi_leg:
            found = [tracked for tracked in self.members if tracked.symbol == symbol]
        else:
            role = TAKE_PROFIT if kind == "limit" else STOP_LOSS
            found = [tracked for tracked in self.members if tracked.role == role and tracked.symbol == symbol]
        return next((tracked for tracked in found if tracked.side == side), None)

    def body(self, part: Part) -> dict[str, Any]:
        """What its class adds to the request of its head."""
        if self.is_multi_leg:
            return self._legs_body(part)
        made: dict[str, Any] = {"order_class": self.kind}
        if self.kind == "oco":
            made["limit_price"] = None  # its limit is the take profit's
        for tracked in self.exits:
            order = tracked.order
            if tracked.role == TAKE_PROFIT:
                made[TAKE_PROFIT] = {"limit_price": decimal_text(order.price.as_decimal())}
                continue
            made[STOP_LOSS] = {"stop_price": decimal_text(order.trigger_price.as_decimal())}
            if order.order_type == OrderType.STOP_LIMIT:
                made[STOP_LOSS]["limit_price"] = decimal_text(order.price.as_decimal())
        return made

    def _legs_body(self, part: Part) -> dict[str, Any]:
        order = self.head.order
        made: dict[str, Any] = {
            "order_class": "mleg",
            "qty": decimal_text(part.qty),
            "type": TYPES[order.order_type],
            "time_in_force": TIMES_IN_FORCE[order.time_in_force],
            "client_order_id": part.client_order_id,
        }
        if self.limit_price is not None:
            made["limit_price"] = decimal_text(self.limit_price)
        made["legs"] = [
            {
                "symbol": tracked.symbol,
                "ratio_qty": str(self.ratios[tracked.symbol]),
                "side": tracked.side,
                "position_intent": self.intents[tracked.symbol],
            }
            for tracked in self.members
        ]
        return made


@dataclass(frozen=True, slots=True)
class Shape:
    """What a list of orders is at Alpaca: its class, the order that is sent, and the role of each of them."""

    kind: str
    head: Any
    roles: dict[Any, str]


def shape_of(orders: list[Any], params: dict[str, Any] | None = None) -> Shape | str | None:
    """The shape of an order list; text says why Alpaca has none like it; None where its orders are independent.

    A list whose params have `order_class: mleg` is one multi-leg order.
    """
    asked = (params or {}).get("order_class")
    if asked not in (None, "mleg"):
        return f"UNSUPPORTED_ORDER_CLASS: order_class {asked!r} is not chosen by a param; use the orders' contingencies"
    if asked == "mleg":
        return Shape("mleg", None, {order.client_order_id: LEG for order in orders})
    if all(_is_independent(order) for order in orders):
        return None
    heads = [order for order in orders if order.parent_order_id is None]
    if len({order.instrument_id for order in orders}) > 1:
        return _no_shape("its orders are of several instruments")
    if len(heads) == 1 and heads[0].contingency_type == ContingencyType.OTO:
        return _entry_shape(heads[0], [order for order in orders if order is not heads[0]])
    if len(heads) == 2 == len(orders):
        return _oco_shape(heads)
    return _no_shape("it is neither an entry with one or two exits nor a pair of exits")


def _is_independent(order: Any) -> bool:
    return order.contingency_type == ContingencyType.NO_CONTINGENCY and order.parent_order_id is None


def _no_shape(why: str) -> str:
    return (
        f"UNSUPPORTED_ORDER_LIST: Alpaca has no such list, as {why}; it takes bracket (entry, stop loss, take profit), "
        "OTO (entry and one exit), OCO (stop loss and take profit), or orders without contingencies"
    )


def _entry_shape(entry: Any, children: list[Any]) -> Shape | str:
    if any(child.parent_order_id != entry.client_order_id for child in children) or not 1 <= len(children) <= 2:
        return _no_shape("an entry has one or two exits")
    roles = _roles(children)
    if isinstance(roles, str):
        return roles
    if any(child.side == entry.side for child in children):
        return _no_shape("its exits are on the entry's side")
    if any(child.quantity != entry.quantity for child in children):
        return _no_shape("its exits have another quantity than its entry")
    if len(children) == 2 and any(
        child.contingency_type not in (ContingencyType.OCO, ContingencyType.OUO) for child in children
    ):
        return _no_shape("its exits do not cancel each other (OCO or OUO)")
    if not _times_agree(entry, children):
        return _no_shape(SEVERAL_TIMES)
    return Shape("bracket" if len(children) == 2 else "oto", entry, roles)


def _oco_shape(orders: list[Any]) -> Shape | str:
    roles = _roles(orders)
    if isinstance(roles, str):
        return roles
    if any(order.contingency_type not in (ContingencyType.OCO, ContingencyType.OUO) for order in orders):
        return _no_shape("its orders do not cancel each other (OCO or OUO)")
    if orders[0].side != orders[1].side or orders[0].quantity != orders[1].quantity:
        return _no_shape("its exits differ in side or quantity")
    head = next(order for order in orders if roles[order.client_order_id] == TAKE_PROFIT)
    return Shape("oco", head, roles) if _times_agree(head, orders) else _no_shape(SEVERAL_TIMES)


def _times_agree(first: Any, others: list[Any]) -> bool:
    return all(order.time_in_force == first.time_in_force for order in others)


def _roles(exits: list[Any]) -> dict[Any, str] | str:
    roles = {}
    for order in exits:
        if order.order_type == OrderType.LIMIT:
            roles[order.client_order_id] = TAKE_PROFIT
        elif order.order_type in STOPS:
            roles[order.client_order_id] = STOP_LOSS
        else:
            return _no_shape(f"an exit is a {order.type_string()}; a take profit is LIMIT, a stop loss STOP")
    if len(set(roles.values())) < len(exits):
        return _no_shape("its exits are two of a kind")
    return roles


def exit_fault(shape: Shape, orders: list[Any]) -> str | None:
    """Why the exits' prices do not fit each other or the entry's limit, or None."""
    exits = {shape.roles[order.client_order_id]: order for order in orders if order.client_order_id in shape.roles}
    profit, stop = exits.get(TAKE_PROFIT), exits.get(STOP_LOSS)
    side = next(iter(exits.values())).side
    up = 1 if side == OrderSide.SELL else -1  # long: profit above, stop below
    base = getattr(shape.head, "price", None) if shape.kind != "oco" else profit.price if profit else None
    if profit is not None and stop is not None and up * (_value(profit.price) - _value(stop.trigger_price)) <= 0:
        return "EXIT_PRICES: the take profit must lie beyond the stop loss"
    if stop is not None and base is not None and up * (_value(base) - _value(stop.trigger_price)) < CENT:
        return f"EXIT_PRICES: the stop loss must be at least 0.01 away from {base}, on the losing side"
    if stop is None or stop.order_type != OrderType.STOP_LIMIT:
        return None
    if up * (_value(stop.price) - _value(stop.trigger_price)) > 0:
        return "EXIT_PRICES: the stop loss's limit must not lie before its stop"
    return None


def _value(price: Any) -> Decimal:
    value: Decimal = price.as_decimal()
    return value


def leg_order(
    client_order_id: str, like: Any, *, instrument_id: Any, side: OrderSide, qty: Decimal, price: Price | None = None
) -> LegOrder:
    """An order that Nautilus does not have, with strategy, type and time in force of `like`."""
    return LegOrder(
        client_order_id=ClientOrderId(client_order_id),
        strategy_id=like.strategy_id,
        instrument_id=instrument_id,
        side=side,
        quantity=Quantity.from_str(f"{qty:f}"),
        order_type=like.order_type,
        time_in_force=like.time_in_force,
        price=price,
    )


def net_price(orders: list[Any], params: dict[str, Any] | None) -> Decimal | str | None:
    """The net price of a list that is one multi-leg order, a debit positive; None at the market; text says why it can't
    be sent so.

    What is judged of such a list are its orders' own limits, so that together they must not ask for less.
    """
    limit = (params or {}).get("limit_price")
    if len({(order.order_type, order.time_in_force) for order in orders}) > 1:
        return "MULTI_LEG: its orders have several types or times in force"
    if (limit is not None) != (orders[0].order_type == OrderType.LIMIT):
        return "MULTI_LEG: LIMIT orders need the param limit_price (net; a debit is positive), MARKET orders have none"
    if limit is None:
        return None
    try:
        price = Decimal(str(limit))
    except ArithmeticError:
        return f"MULTI_LEG: limit_price {limit!r} is no number"
    if not price.is_finite() or price != round(price, 2):
        return f"PRICE_INCREMENT: limit_price {limit} has more than 2 decimals"
    units = gcd(*(int(order.quantity.as_decimal()) for order in orders))
    own = ZERO
    for order in orders:
        paid = order.quantity.as_decimal() * _value(order.price)
        own += paid if order.side == OrderSide.BUY else -paid
    if price * units > own:
        most = (own / units).quantize(CENT, ROUND_FLOOR)
        return (
            f"MULTI_LEG: the net price {limit} (a debit is positive) is worse than its orders' own limits, which "
            f"come to {most} and by which it is judged; send at most that, or give them limits that come to {limit}"
        )
    return price


def spread_fault(legs: list[tuple[Any, str, int]]) -> str | None:
    """Why Alpaca would not take these legs as one order: each the contract's instrument, its side and its ratio.

    Every sold contract must be covered by a bought one of the same right that expires no sooner; strikes don't matter.
    """
    if not 2 <= len(legs) <= MOST_LEGS:
        return f"MULTI_LEG: Alpaca takes 2 to {MOST_LEGS} legs, not {len(legs)}"
    if len({instrument.id for instrument, _, _ in legs}) < len(legs):
        return "MULTI_LEG: a contract stands in it twice; give it one leg with the sum"
    if len(underlyings := {str(instrument.underlying) for instrument, _, _ in legs}) > 1:
        return f"MULTI_LEG: its legs have several underlyings: {', '.join(sorted(underlyings))}"
    common = gcd(*(ratio for _, _, ratio in legs))
    if common != 1:
        return f"MULTI_LEG: its ratios have the common divisor {common}; divide them by it and multiply the quantity"
    for right in {instrument.option_kind for instrument, _, _ in legs}:
        cover = 0
        rows = sorted(
            ((leg[0].expiration_ns, leg[1] == "sell", leg) for leg in legs if leg[0].option_kind == right),
            key=lambda row: (-row[0], row[1]),
        )
        for _, sold, (instrument, _, ratio) in rows:
            cover += -ratio if sold else ratio
            if cover < 0:
                return (
                    f"MULTI_LEG: {instrument.id.symbol} is sold without a bought one of its kind that expires no "
                    "sooner; Alpaca takes uncovered contracts as single orders only"
                )
    return None
