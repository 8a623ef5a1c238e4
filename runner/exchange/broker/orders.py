"""An order's state and its JSON.

Statuses and events: docs.alpaca.markets, "Orders at Alpaca", order lifecycle. `replaced` ends an id; the new id
goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from runner.exchange.broker.wire import optional_rfc3339, optional_text, rfc3339, text

type Side = Literal["buy", "sell"]

TERMINAL: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
# What PATCH refuses, besides the terminal ones ([OAS-T] and "Orders at Alpaca").
NOT_REPLACEABLE: Final = TERMINAL | {"accepted", "pending_new", "pending_cancel", "pending_replace", "held"}
ZERO: Final = Decimal(0)
# The exits of a bracket, OCO or OTO order: what its legs are there for.
EXITS: Final = ("take_profit", "stop_loss")
NIL_ID: Final = "00000000-0000-0000-0000-000000000000"


def signed_ratio(leg: Order) -> int:
    """Contracts of a leg in one unit of its order, negative where they are sold."""
    ratio = leg.ratio or 0
    return ratio if leg.is_buy else -ratio


@dataclass(slots=True, eq=False)
class Order:
    """One order id. Quantities are shares, coins or contracts, prices dollars, times UNIX ns of venue time.

    `qty` is None for an order by notional, which then has `notional`. `unit_reserve` is the buying power that each
    share still to be filled holds; `opens` says whether the order opens (and so reserves) or closes (and so holds
    shares). `role` says what a leg is there for: an exit, or `leg` in a multi-leg order, which has `ratio` of it in
    each unit.
    """

    id: str
    client_order_id: str
    account_key: str
    asset_id: str
    symbol: str
    side: Side
    type: str
    time_in_force: str
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    position_intent: str
    created_ns: int
    expires_ns: int
    order_class: str = ""
    status: str = "pending_new"
    hwm: Decimal | None = None
    triggered: bool = False
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    updated_ns: int = 0
    filled_ns: int | None = None
    expired_ns: int | None = None
    canceled_ns: int | None = None
    cancel_requested_ns: int | None = None
    failed_ns: int | None = None
    replaced_ns: int | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    unit_reserve: Decimal = ZERO
    estimated_qty: Decimal = ZERO
    before_pending: str = "new"
    asset_class: str = "us_equity"
    multiplier: int = 1
    # How many dollars of what is free of margin each reserved dollar takes: half of one where it is lent.
    reserve_rate: Decimal = Decimal("0.5")
    role: str = ""
    ratio: int | None = None
    parent: Order | None = None
    legs: list[Order] = field(default_factory=list)
    # Whether it gives liquidity (a limit that did not trade when it came), which decides the fee of a pair.
    maker: bool = False

    def __post_init__(self) -> None:
        self.updated_ns = self.updated_ns or self.created_ns

    @property
    def is_buy(self) -> bool:
        return self.side == "buy"

    @property
    def opens(self) -> bool:
        return self.position_intent.endswith("_open")

    @property
    def open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def several(self) -> bool:
        """Whether it is the parent of a multi-leg order: no symbol and no side of its own."""
        return self.order_class == "mleg" and self.parent is None

    @property
    def symbols(self) -> list[str]:
        """What it trades."""
        return [leg.symbol for leg in self.legs] if self.several else [self.symbol]

    @property
    def family(self) -> list[Order]:
        """The order that was sent, and its legs."""
        root = self.parent or self
        return [root, *root.legs]

    @property
    def exits(self) -> list[Order]:
        """Those of its family of which one cancels the others."""
        return [order for order in self.family if order.role in EXITS]

    @property
    def holds(self) -> bool:
        """Whether it keeps shares from being sold again. Of two exits only one does; a leg that is held does not."""
        if self.opens or not self.open or self.status == "held" or self.several:
            return False
        return self.role != "stop_loss" or not any(e.open and e.role == "take_profit" for e in self.exits)

    @property
    def working(self) -> bool:
        """At the venue and able to fill: a queued order (`accepted`) is open but not yet working."""
        return self.status in {"new", "partially_filled", "pending_cancel", "pending_replace"}

    @property
    def in_auction(self) -> bool:
        """Whether it trades in the opening or the closing auction, and there alone."""
        return self.time_in_force in {"opg", "cls"}

    @property
    def fractional(self) -> bool:
        return self.qty is None or self.qty != self.qty.to_integral_value()

    @property
    def leaves(self) -> Decimal:
        """Shares still to be filled; estimated at the price of submission for an order by notional."""
        if not self.open:
            return ZERO
        return (self.estimated_qty if self.qty is None else self.qty) - self.filled_qty

    @property
    def average(self) -> Decimal | None:
        return self.filled_value / self.filled_qty if self.filled_qty else None

    @property
    def protective_limit(self) -> Decimal | None:
        """The limit that a triggered order may not trade beyond.

        Alpaca turns a buy stop into a stop-limit 4 % above a stop under $50, 2.5 % above a higher one; sell stops
        stay market orders. The order keeps its type and shows no limit.
        """
        if self.type != "stop" or not self.is_buy or self.stop_price is None:
            return self.limit_price
        return self.stop_price * (Decimal("1.04") if self.stop_price < 50 else Decimal("1.025"))

    def json(self, *, nested: bool = True) -> dict[str, Any]:
        """Every documented field of the reply. `nested` shows legs; a multi-leg order always does."""
        several = self.several
        leg = self.role == "leg"
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": rfc3339(self.created_ns),
            "updated_at": rfc3339(self.updated_ns),
            "submitted_at": rfc3339(self.created_ns),
            "filled_at": optional_rfc3339(self.filled_ns),
            "expired_at": optional_rfc3339(self.expired_ns),
            "expires_at": rfc3339(self.expires_ns),
            "canceled_at": optional_rfc3339(self.canceled_ns),
            "cancel_requested_at": optional_rfc3339(self.cancel_requested_ns),
            "failed_at": optional_rfc3339(self.failed_ns),
            "replaced_at": optional_rfc3339(self.replaced_ns),
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": self.asset_id,
            "symbol": self.symbol,
            "asset_class": "" if several else self.asset_class,
            "notional": optional_text(self.notional),
            "qty": optional_text(self.qty),
            "filled_qty": text(self.filled_qty),
            "filled_avg_price": optional_text(self.average),
            "order_class": self.order_class,
            "order_type": "" if leg else self.type,
            "type": "" if leg else self.type,
            "side": "" if several else self.side,
            "position_intent": self.position_intent,
            "time_in_force": self.time_in_force,
            "limit_price": optional_text(self.limit_price),
            "stop_price": optional_text(self.stop_price),
            "status": self.status,
            "extended_hours": self.extended_hours,
            "legs": [one.json() for one in self.legs] if self.legs and (nested or several) else None,
            "trail_percent": optional_text(self.trail_percent),
            "trail_price": optional_text(self.trail_price),
            "hwm": optional_text(self.hwm),
            "subtag": None,
            "source": None,
            **({"ratio_qty": str(self.ratio)} if self.ratio is not None else {}),
        }

    def streamed(self) -> dict[str, Any]:
        """As a trade update shows it: a multi-leg parent has the nil id and a side there."""
        body = self.json()
        return body | {"asset_id": NIL_ID, "side": "buy"} if self.several else body
