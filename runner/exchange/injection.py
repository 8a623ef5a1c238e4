"""`POST /control/market`: messages that the replayed day does not have happen now, for tests and the curious.

The body is one stream message, or `{"messages": [...]}`: a halt (`s`), a price band (`l`), a correction (`c`), a
cancelled trade (`x`), an imbalance (`i`), an order book (`o`), news (`n`), a quote or a trade. `t` is venue time where
it is left out. It is served on loopback only, like the rest of the exchange.

    {"T": "s", "S": "IBM", "sc": "H", "sm": "Trading Halt", "rc": "T1", "rm": "News Pending", "z": "A"}
"""

from __future__ import annotations

from decimal import InvalidOperation
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange.errors import invalid
from runner.exchange.hub import Hub
from runner.exchange.market import Market
from runner.exchange.player import Player
from runner.exchange.wire import Message, canonical, loads, parse_ns, stamp

# What each kind can't do without, besides T and S.
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "q": ("bp", "ap", "bs", "as"),
    "t": ("p", "s", "x"),
    "s": ("sc",),
    "l": ("u", "d"),
    "c": ("x", "oi", "ci", "cp", "cs"),
    "x": ("x", "i"),
    "i": ("p",),
    "o": ("b", "a"),
    "n": ("symbols", "headline"),
}


class Injection:
    """Takes messages and lets the player apply them."""

    def __init__(self, market: Market, player: Player, hub: Hub) -> None:
        self._market = market
        self._player = player
        self._hub = hub

    def routes(self) -> list[Route]:
        """Routes for the app."""
        return [Route("/control/market", self._post, methods=["POST"])]

    async def _post(self, request: Request) -> Response:
        try:
            document = loads(await request.body())
        except ValueError:
            raise invalid("the body is not JSON") from None
        wanted = document.get("messages", [document]) if isinstance(document, dict) else None
        if not isinstance(wanted, list) or not wanted:
            raise invalid("the body must be a stream message, or an object with a list of messages")
        messages = [self._checked(number, fields) for number, fields in enumerate(wanted, 1)]
        for message in messages:
            self._player.inject(message)
        self._hub.flush()
        return JSONResponse({"published": len(messages), "venue_ns": self._market.now_ns})

    def _checked(self, number: int, fields: Any) -> Message:
        """All of them are checked before the first happens."""
        kind = fields.get("T") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or kind not in _NEEDED:
            raise invalid(f"message {number} must be an object whose T is one of {', '.join(_NEEDED)}")
        missing = [name for name in _NEEDED[kind] if name not in fields]
        symbol = "" if kind == "n" else fields.get("S")
        if missing or not isinstance(symbol, str) or (kind != "n" and not symbol):
            raise invalid(f"message {number} of type {kind} lacks {missing[0] if missing else 'S'}")
        now = stamp(self._market.now_ns)
        try:
            if kind == "n":
                text = {"id": 0, "summary": fields["headline"], "author": "", "content": "", "source": "control"}
                fields = {**text, "created_at": now, "updated_at": now, "url": "", **fields}
                parse_ns(fields["created_at"])
            else:
                fields = {**fields, "t": fields.get("t", now)}
                parse_ns(fields["t"])
                self._market.add_symbols([symbol])
        except (TypeError, ValueError, InvalidOperation) as error:
            raise invalid(f"message {number}: {error}") from None
        return Message(self._market.now_ns, kind, symbol, canonical(kind, symbol, fields))
