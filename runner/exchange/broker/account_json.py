"""The account's and its configuration's JSON ([OAS-T] Account, AccountConfigurations).

The pattern-day-trader members were removed from Alpaca's replies on 2026-07-06; `legacy` brings them back for old
clients.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any, Final

from runner.exchange.broker.accounts import Account, Configuration
from runner.exchange.broker.desk import Desk
from runner.exchange.broker.wire import rfc3339, text
from runner.exchange.errors import invalid

# Members of a PATCH that were removed from the API: accepted and ignored, as older clients still send them.
REMOVED: Final = frozenset({"dtbp_check", "pdt_check"})


def account_json(desk: Desk, account: Account, *, legacy: bool = False) -> dict[str, Any]:
    """GET /v2/account at the current marks."""
    now = desk.figures(account)
    figures: dict[str, Decimal] = {
        "cash": now.cash,
        "equity": now.equity,
        "last_equity": account.last_equity,
        "portfolio_value": now.equity,
        "buying_power": now.buying_power,
        "regt_buying_power": now.regt_buying_power,
        "effective_buying_power": now.buying_power,
        "non_marginable_buying_power": now.non_marginable_buying_power,
        "options_buying_power": now.options_buying_power,
        "initial_margin": now.initial,
        "maintenance_margin": now.maintenance,
        "last_maintenance_margin": account.last_maintenance,
        "long_market_value": now.long_value,
        "short_market_value": now.short_value,
        "position_market_value": now.long_value - now.short_value,
        "sma": Decimal(0),
        "accrued_fees": Decimal(0),
        "pending_transfer_in": Decimal(0),
        "pending_transfer_out": Decimal(0),
        "pending_reg_taf_fees": Decimal(0),
        "intraday_adjustments": Decimal(0),
    }
    body: dict[str, Any] = {
        "id": account.id,
        "account_number": account.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        **{name: text(value) for name, value in figures.items()},
        "multiplier": str(now.multiplier),
        "shorting_enabled": now.multiplier > 1 and not account.configuration.no_shorting,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": account.configuration.suspend_trade,
        "options_approved_level": account.options_approved_level,
        "options_trading_level": account.options_level,
        "crypto_tier": account.crypto_volume.tier(desk.now_ns),
        "balance_asof": desk.last_close_day(account.last_close_ns or account.created_ns).isoformat(),
        "created_at": rfc3339(account.created_ns),
        "admin_configurations": {},
        "user_configurations": None,
    }
    if legacy:
        body |= {
            "pattern_day_trader": False,
            "daytrade_count": 0,
            "daytrading_buying_power": "0",
            "bod_dtbp": "0",
        }
    return body


def configuration_json(configuration: Configuration) -> dict[str, Any]:
    """GET /v2/account/configurations."""
    return asdict(configuration)


def patched(configuration: Configuration, body: dict[str, Any]) -> Configuration:
    """The configuration with the members of a PATCH; 422 for a value that a member can't have."""
    known = asdict(configuration)
    changes: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in REMOVED:
            continue
        if name not in known:
            raise invalid(f"unknown account configuration: {name}")
        changes[name] = _checked(name, known[name], value)
    return replace(configuration, **changes)


def _checked(name: str, known: object, value: object) -> object:
    if isinstance(known, bool):
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false")
        return value
    if name == "max_options_trading_level":
        if value not in {0, 1, 2, 3}:
            raise invalid(f"{name} must be 0, 1, 2 or 3")
        return int(str(value))
    if name == "max_margin_multiplier":
        if str(value) not in {"1", "2", "4"}:
            raise invalid(f"{name} must be 1, 2 or 4")
        return str(value)
    if value not in {"all", "none"}:
        raise invalid(f"{name} must be all or none")
    return value
