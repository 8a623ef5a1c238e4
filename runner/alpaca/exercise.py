"""Exercise and do-not-exercise, given as an order: `submit_order(order, params={"exercise": True})`.

The order sells all contracts that are held, at the market; instead of selling them, they are exercised. It fills at 0
when the position shows it, and the shares come at the strike (`adjust.py`). `do_not_exercise` is an instruction for the
day of expiration: once the venue has taken it the order ends canceled, as nothing trades. Neither can be taken back.

Where the reply is lost, nobody knows whether the request came: there is no list of them to look it up in. The venue
processes one at once, and what it takes of a day is settled in the night: where the contracts are there still once the
market has opened after it, the request never came.
Source: Alpaca's trading OpenAPI specification, /v2/positions/{symbol_or_contract_id}/exercise.
"""

from __future__ import annotations

from collections.abc import Container
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nautilus_trader.model.enums import OrderSide, OrderType
from nautilus_trader.model.instruments import OptionContract

from runner._engine import EngineError, Rejected, Unknown
from runner.alpaca.fills import Fill, trade_id_text
from runner.alpaca.models import WireError
from runner.alpaca.orders import decimal_text
from runner.alpaca.tracking import Tracked

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

EXERCISE, DO_NOT_EXERCISE = "exercise", "do_not_exercise"
WORDS = (EXERCISE, DO_NOT_EXERCISE)


def asked_of(params: dict[str, Any] | None) -> str | None:
    """Which of the two an order's params ask for, None where neither."""
    return next((word for word in WORDS if (params or {}).get(word)), None)


class Exercises:
    """Sends the requests, and fills their orders when the positions show them."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._waiting: dict[str, Tracked] = {}
        self._lost: dict[Tracked, int | None] = {}  # with when (UNIX ns) the night after it is over, once that is known

    def prepare(self, order: Any, instrument: Any, params: dict[str, Any]) -> Tracked | str:
        """What to send, or why it is denied."""
        tracked = Tracked(order, params)
        tracked.role = asked_of(params) or EXERCISE
        position = self._client.crossings.position(tracked.symbol)
        is_whole = order.side == OrderSide.SELL and order.order_type == OrderType.MARKET and tracked.qty == position
        if not isinstance(instrument, OptionContract) or not is_whole:
            return (
                f"EXERCISE: only all contracts that are held can be exercised: send a market order that sells the "
                f"position of {decimal_text(position)} {tracked.symbol}"
            )
        if tracked.symbol in self._waiting or self._client.tracker.working(tracked.symbol, "sell"):
            return f"EXERCISE: another order closes contracts of {tracked.symbol}; cancel it first"
        self._client.tracker.add(tracked)
        return tracked

    async def submit(self, tracked: Tracked) -> None:
        """One POST. It is not repeated: where its outcome is unknown, the position tells in the end."""
        client = self._client
        client.emitter.submitted(tracked)
        word = tracked.role.replace("_", "-")
        async with client.commands.lanes.lane(tracked.symbol):
            outcome = await client.http.post(f"/v2/positions/{quote(tracked.symbol, safe='')}/{word}", b"")
        if isinstance(outcome, Rejected) or (isinstance(outcome, Unknown) and not outcome.sent):
            reason = outcome.message if isinstance(outcome, Rejected) else f"NOT_SENT: {outcome.reason}"
            client.tracker.close(tracked)
            client.emitter.rejected(tracked, reason or "refused without a reason")
            return
        if isinstance(outcome, Unknown) and not _is_taken(outcome):
            client.log.warning(
                f"Nobody knows whether the request of {tracked.id} came ({outcome.reason}); the position of "
                f"{tracked.symbol} tells, at the latest once the market has opened after the coming night"
            )
            self._lost[tracked] = None
        else:
            client.emitter.accepted(tracked, f"{tracked.role.upper()}-{tracked.id}", 0)
        if tracked.role == DO_NOT_EXERCISE:
            if tracked.accepted:
                client.tracker.close(tracked)
                client.emitter.canceled(tracked)
                return
        else:
            self._waiting[tracked.symbol] = tracked
        try:
            await client.gaps.run()
        except (EngineError, WireError) as error:
            client.log.warning(f"The positions can't be read after an exercise: {error}; they are with the next round")

    def fill(self, symbol: str, change: Decimal, reason_id: str) -> Decimal:
        """Contracts of this symbol have gone: what of `change` an exercise explains is its order's fill."""
        tracked = self._waiting.get(symbol)
        if tracked is None or change >= 0:
            return Decimal(0)
        qty = min(-change, tracked.qty - tracked.filled)
        order_id = f"{tracked.role.upper()}-{tracked.id}"
        now_ns = self._client.venue_clock.now_ns()
        fill = Fill(symbol, "sell", qty, Decimal(0), order_id, tracked.id, now_ns, False, False)
        self._client.emitter.filled(tracked, fill, trade_id_text(reason_id, qty))
        if tracked.filled >= tracked.qty:
            self._forget(tracked)
        return -qty

    def why_not_canceled(self, tracked: Tracked) -> str:
        """What to say to a cancel."""
        if tracked not in self._lost:
            return "an exercise can't be taken back"
        return (
            "an exercise can't be taken back, and whether its request came nobody knows: the order ends when the "
            "position shows it, or is rejected once the market has opened after the night and the contracts are there"
        )

    async def look(self, asked_ns: int, differing: Container[str]) -> None:
        """The positions were read at that venue time or later; of `differing` symbols they are not what fills make.

        Ends those whose request never came. Raises as the reads do.
        """
        for tracked, over_ns in list(self._lost.items()):
            if over_ns is None:
                self._lost[tracked] = await self._client.rest.after_night_ns()
            elif asked_ns >= over_ns and tracked.symbol not in differing and not tracked.closed:
                self._forget(tracked)
                never = f"after the night the contracts of {tracked.symbol} are still there: the request never came"
                past = "its day is over, and whether it was taken only the positions tell"
                why = never if tracked.role == EXERCISE else past
                self._client.emitter.rejected(tracked, f"REPLY_LOST: {why}")

    def _forget(self, tracked: Tracked) -> None:
        self._lost.pop(tracked, None)
        if self._waiting.get(tracked.symbol) is tracked:
            del self._waiting[tracked.symbol]
        self._client.tracker.close(tracked)


def _is_taken(outcome: Unknown) -> bool:
    """The venue's answer has nothing in it: that it was no refusal says all."""
    return outcome.status is not None and 200 <= outcome.status < 300
