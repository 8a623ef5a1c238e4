"""Query parameters, and the filters of GET /v2/orders ([OAS-T])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from runner.exchange.broker.orders import Order
from runner.exchange.broker.wire import one_word, parse_time
from runner.exchange.errors import invalid, not_found

DEFAULT_LIMIT: Final = 50
MOST_ORDERS: Final = 500
DEFAULT_PAGE: Final = 100


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter, false where it is left out."""
    value = query.get(name, "").lower()
    if value not in {"", "true", "false", "1", "0"}:
        raise invalid(f"{name} must be true or false")
    return value in {"true", "1"}


def number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    value = query.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise invalid(f"{name} must be an integer from 1 to {most}")
    return int(value)


def choice(query: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words; the first where it is left out."""
    value = (query.get(name) or allowed[0]).lower()
    if value not in allowed:
        raise invalid(f"{name} must be one of {', '.join(allowed)}")
    return value


def moment(query: Mapping[str, str], name: str) -> int | None:
    """A time in UNIX ns."""
    value = query.get(name)
    return parse_time(value, name) if value else None


def words(query: Mapping[str, str], name: str) -> frozenset[str] | None:
    """A comma-separated list."""
    value = query.get(name)
    return frozenset(word.strip() for word in value.split(",") if word.strip()) if value else None


def select_orders(orders: Iterable[Order], query: Mapping[str, str]) -> list[Order]:
    """The orders that the query asks for, sorted by submission time; `after` and `until` are exclusive."""
    status = choice(query, "status", ("open", "closed", "all"))
    direction = choice(query, "direction", ("desc", "asc"))
    limit = number(query, "limit", DEFAULT_LIMIT, MOST_ORDERS)
    after, until = moment(query, "after"), moment(query, "until")
    symbols = words(query, "symbols")
    classes = words(query, "asset_class")
    side = query.get("side")
    nested = flag(query, "nested")
    known = list(orders)
    before_id, after_id = query.get("before_order_id"), query.get("after_order_id")
    if before_id and after_id:
        raise invalid("only one of before_order_id or after_order_id is accepted")
    if (before_id or after_id) and (after is not None or until is not None):
        raise invalid("before_order_id and after_order_id can't be combined with after or until")
    if before_id:
        until = _submitted(known, before_id)
    if after_id:
        after = _submitted(known, after_id)
    found = [
        order
        for order in known
        if (status == "all" or order.open == (status == "open"))
        and (after is None or order.created_ns > after)
        and (until is None or order.created_ns < until)
        and (symbols is None or any({one, one_word(one)} & symbols for one in order.symbols))
        and (classes is None or classes & {order.asset_class, "all"})
        and (not side or order.side == side)
    ]
    if nested:  # a leg shows with its parent, and by itself where the parent is not asked for
        chosen = {order.id for order in found}
        found = [order for order in found if order.parent is None or order.parent.id not in chosen]
    found.sort(key=lambda order: order.created_ns, reverse=direction == "desc")
    return found[:limit]


def _submitted(orders: list[Order], order_id: str) -> int:
    for order in orders:
        if order.id == order_id:
            return order.created_ns
    raise not_found(f"order not found for {order_id}")
