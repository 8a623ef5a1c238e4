"""Account activities: FILL rows and FEE rows, their order, filters and pages ([OAS-T] /v2/account/activities)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from runner.exchange.broker.orders import Order
from runner.exchange.broker.wire import SECOND_NS, Ids, day_of, one_word, rfc3339, text
from runner.exchange.errors import invalid

ZERO = Decimal(0)
# Activity types that stand for several ([OAS-T] ActivityType).
GROUPS: dict[str, frozenset[str]] = {"TRANS": frozenset({"CSD", "CSW"}), "MISC": frozenset({"FEE", "CFEE"})}


@dataclass(frozen=True, slots=True)
class Activity:
    """One row; `created_ns` is what `date`, `after` and `until` look at."""

    id: str
    type: str
    created_ns: int
    row: dict[str, Any]
    late: bool = False
    """Whether it doesn't show before `created_ns`."""


def fill_activity(activity_id: str, order: Order, qty: Decimal, price: Decimal, ts_ns: int) -> Activity:
    """The row of one execution. It has no execution id, and the UUID in its own id is not one."""
    row = {
        "activity_type": "FILL",
        "id": activity_id,
        "type": "fill" if order.status == "filled" else "partial_fill",
        "order_id": order.id,
        "order_status": order.status,
        "symbol": one_word(order.symbol),
        "side": order.side,
        "price": text(price),
        "qty": text(qty),
        "cum_qty": text(order.filled_qty),
        "leaves_qty": text(order.leaves),
        "transaction_time": rfc3339(ts_ns),
    }
    return Activity(activity_id, "FILL", ts_ns, row)


def fee_activity(activity_id: str, order: Order, qty: Decimal, amount: Decimal, ts_ns: int) -> Activity:
    """A fee of `amount` dollars on an execution. Alpaca books it overnight; here it shows, and is paid, at once."""
    row = {
        "activity_type": "FEE",
        "activity_sub_type": "COM",
        "id": activity_id,
        "date": rfc3339(ts_ns)[:10],
        "created_at": rfc3339(ts_ns),
        "net_amount": text(-amount),
        "description": f"Commission on {text(qty)} shares of {order.symbol}, order {order.id}",
        "symbol": order.symbol,
        "qty": text(qty),
        "per_share_amount": text(-amount / qty),
        "currency": "USD",
        "status": "executed",
    }
    return Activity(activity_id, "FEE", ts_ns, row)


def crypto_fee_activity(
    activity_id: str, order: Order, price: Decimal, ts_ns: int, *, coins: Decimal = ZERO, dollars: Decimal = ZERO
) -> Activity:
    """The fee of a pair's execution, in what was received: coins of a buy, dollars of a sale. Alpaca books the row
    overnight; here it shows at once.
    """
    row = {
        "activity_type": "CFEE",
        "id": activity_id,
        "date": rfc3339(ts_ns)[:10],
        "created_at": rfc3339(ts_ns),
        "net_amount": text(-dollars),
        "description": f"Coin Pair Transaction Fee ({'Non USD' if coins else 'USD'})",
        "symbol": one_word(order.symbol),
        "qty": text(-coins),
        "price": text(price),
        "status": "executed",
    }
    return Activity(activity_id, "CFEE", ts_ns, row)


def non_trade_activity(ids: Ids, kind: str, ts_ns: int, *, late: bool, **members: str) -> Activity:
    """A row that no trade made. `late` lets it show from the next day (UTC) on, as it does on the paper host."""
    day = 86_400 * SECOND_NS
    created_ns = (ts_ns // day + 1) * day if late else ts_ns
    activity_id = ids.activity(created_ns)
    row = {
        "activity_type": kind,
        "id": activity_id,
        "date": day_of(ts_ns).isoformat(),
        "created_at": rfc3339(created_ns),
        **members,
        "status": "executed",
    }
    return Activity(activity_id, kind, created_ns, row, late)


@dataclass(slots=True)
class Activities:
    """The rows of one account."""

    rows: list[Activity] = field(default_factory=list)

    def add(self, activity: Activity) -> None:
        self.rows.append(activity)

    def page(
        self,
        *,
        types: frozenset[str] | None = None,
        category: str | None = None,
        after_ns: int | None = None,
        until_ns: int | None = None,
        day_ns: int | None = None,
        order_id: str | None = None,
        descending: bool = True,
        page_size: int = 100,
        page_token: str | None = None,
        now_ns: int | None = None,
    ) -> list[dict[str, Any]]:
        """At most `page_size` rows behind the row whose id is `page_token`, sorted by id; `after` and `until` are
        exclusive. Late rows of a time after `now_ns` don't show yet.
        """
        wanted = None if types is None else frozenset().union(*(GROUPS.get(t, frozenset({t})) for t in types))

        def fits(row: Activity) -> bool:
            return (
                (not row.late or now_ns is None or row.created_ns <= now_ns)
                and (wanted is None or row.type in wanted)
                and (category is None or (row.type == "FILL") == (category == "trade_activity"))
                and (after_ns is None or row.created_ns > after_ns)
                and (until_ns is None or row.created_ns < until_ns)
                and (day_ns is None or 0 <= row.created_ns - day_ns < 86_400 * SECOND_NS)
                and (order_id is None or row.row.get("order_id") == order_id)
            )

        found = sorted((row for row in self.rows if fits(row)), key=lambda row: row.id, reverse=descending)
        if page_token:
            if not any(row.id == page_token for row in self.rows):
                raise invalid(f"page_token is not the id of an activity: {page_token}")
            found = [row for row in found if (row.id < page_token if descending else row.id > page_token)]
        return [row.row for row in found[:page_size]]
