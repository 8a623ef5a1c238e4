"""A position's JSON ([OAS-T] Position)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from runner.exchange.broker.accounts import Account, Position
from runner.exchange.broker.desk import Desk
from runner.exchange.broker.options import pledged_shares
from runner.exchange.broker.wire import one_word, text

ZERO: Final = Decimal(0)


def position_json(desk: Desk, account: Account, position: Position) -> dict[str, Any]:
    """Every documented field; a short's quantity, value and cost are negative."""
    symbol = position.symbol
    asset = desk.asset(symbol)
    price = desk.mark(symbol)
    last_day = desk.last_day_price(symbol)
    value = position.qty * price * position.multiplier
    unrealized = value - position.cost
    today = value - position.day_cost
    held = account.held(symbol) + pledged_shares(account, desk.floor.prices, symbol)
    available = max(abs(position.qty) - held, ZERO)
    return {
        "asset_id": "" if asset is None else asset.id,
        "symbol": one_word(symbol),
        "exchange": "" if asset is None else asset.exchange,
        "asset_class": "us_equity" if asset is None else asset.asset_class,
        "asset_marginable": asset is not None and asset.marginable,
        "qty": text(position.qty),
        "qty_available": text(available if position.qty > 0 else -available),
        "side": "long" if position.qty > 0 else "short",
        "avg_entry_price": text(position.average),
        "market_value": text(value),
        "cost_basis": text(position.cost),
        "unrealized_pl": text(unrealized),
        "unrealized_plpc": text(_ratio(unrealized, abs(position.cost))),
        "unrealized_intraday_pl": text(today),
        "unrealized_intraday_plpc": text(_ratio(today, abs(position.day_cost))),
        "current_price": text(price),
        "lastday_price": text(last_day),
        "change_today": text(_ratio(price - last_day, last_day)),
    }


def _ratio(part: Decimal, whole: Decimal) -> Decimal:
    return part / whole if whole else ZERO
