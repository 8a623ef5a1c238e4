"""`POST /control/broker`: what happens to accounts without anybody trading, ordered by a client on the same machine.

    {"assign": {"symbol": "GOOG160115C00750000", "qty": 1}}       of each account's shorts; "key" names one account
    {"dividend": {"symbol": "IBM", "rate": "0.95"}}               dollars a share, paid (and charged to shorts) at once
    {"split": {"symbol": "IBM", "new_rate": 2, "old_rate": 1}}    two shares for one
    {"transfer": {"amount": "-5000"}}                             money that comes (CSD) or goes (CSW), of each account,
                                                                  with its row; "type" is another activity's; "cash" or
                                                                  "row": false leaves it out; "key" as above
    {"close": {"symbol": "GOOG160115C00750000"}}                  the venue sells (or buys back) the position at market,
                                                                  as it does before an expiry; "key" as above

The reply says how many accounts it reached.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange.broker.corporate import Corporate
from runner.exchange.broker.desk import Desk
from runner.exchange.broker.wire import parse_decimal, parse_json
from runner.exchange.errors import invalid


class BrokerControl:
    """Takes one order at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._corporate = Corporate(desk.floor)
        self._listed = False
        self.on_action: Callable[[str, str, dict[str, Any]], None] | None = None
        """Told of each dividend and split that was carried out: its type at Alpaca, the symbol, its other members."""
        self._known: dict[str, Callable[[dict[str, Any]], int]] = {
            "assign": self._assign,
            "dividend": self._dividend,
            "split": self._split,
            "close": self._close,
            "transfer": self._transfer,
        }

    def routes(self) -> list[Route]:
        """Routes for the app."""
        return [Route("/control/broker", self._post, methods=["POST"])]

    def do(self, document: dict[str, Any], *, listed: bool = False) -> int:
        """Carry the document out; AlpacaError names what is wrong with it. `listed`: nobody is told of the action."""
        self._listed = listed
        if len(document) != 1:
            raise invalid(f"the body must have one member of {', '.join(self._known)}")
        ((name, members),) = document.items()
        if name not in self._known or not isinstance(members, dict):
            raise invalid(f"{name} must be one of {', '.join(self._known)}, with an object")
        return self._known[name](members)

    async def _post(self, request: Request) -> Response:
        return JSONResponse({"accounts": self.do(parse_json(await request.body()))})

    def _assign(self, members: dict[str, Any]) -> int:
        symbol, qty = _symbol(members), _positive(members, "qty")
        key = members.get("key")
        accounts = [
            account
            for account in self._desk.accounts.values()
            if (key is None or account.key == key) and account.qty(symbol) < 0
        ]
        for account in accounts:
            self._desk.settling.check_assign(account, symbol, qty)
        for account in accounts:
            self._desk.settling.assign(account, symbol, qty)
        return len(accounts)

    def _close(self, members: dict[str, Any]) -> int:
        symbol, key = _symbol(members), members.get("key")
        accounts = [account for account in self._desk.accounts.values() if key in {None, account.key}]
        accounts = [account for account in accounts if account.qty(symbol)]
        for account in accounts:
            self._desk.close(account, symbol)
        return len(accounts)

    def _transfer(self, members: dict[str, Any]) -> int:
        amount = parse_decimal(members.get("amount"), "amount")
        if not amount:
            raise invalid("amount must be a number other than 0")
        kind, key = members.get("type", "CSD" if amount > 0 else "CSW"), members.get("key")
        parts = [members.get(part, True) for part in ("cash", "row")]
        if not isinstance(kind, str) or not all(isinstance(part, bool) for part in parts) or not any(parts):
            raise invalid("type is text, cash and row are true or false, and one of them is true")
        accounts = [account for account in self._desk.accounts.values() if key in {None, account.key}]
        for account in accounts:
            self._corporate.transfer(account, kind, amount, cash=parts[0], row=parts[1])
        return len(accounts)

    def _dividend(self, members: dict[str, Any]) -> int:
        symbol, rate = _symbol(members), _positive(members, "rate")
        reached = self._corporate.dividend(self._desk.accounts.values(), symbol, rate)
        self._tell("cash_dividend", symbol, rate=rate)
        return reached

    def _split(self, members: dict[str, Any]) -> int:
        new, old = _positive(members, "new_rate"), _positive(members, "old_rate")
        symbol = _symbol(members)
        reached = self._corporate.split(self._desk.accounts.values(), symbol, new, old)
        self._tell("forward_split" if new >= old else "reverse_split", symbol, new_rate=new, old_rate=old)
        return reached

    def _tell(self, kind: str, symbol: str, **members: Any) -> None:
        if self.on_action is not None and not self._listed:
            self.on_action(kind, symbol, members)


def _symbol(members: dict[str, Any]) -> str:
    symbol = members.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise invalid("symbol is required")
    return symbol


def _positive(members: dict[str, Any], name: str) -> Decimal:
    value = parse_decimal(members.get(name), name)
    if value is None or value <= 0:
        raise invalid(f"{name} must be > 0")
    return value
