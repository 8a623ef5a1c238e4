"""Positions that change without an order: exercise, assignment, expiry, splits, and fees that were taken for others.

None of them is streamed. Where the broker's position is another one than fills make it, its account activities are
asked why, and the strategies' positions are brought to it by fills that belong to no order (Nautilus books such fills
where their ids say `-LEG-`, as it does those of a spread's legs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderType
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId, TradeId, VenueOrderId
from nautilus_trader.model.objects import Money

from runner.alpaca.constants import NANOS, USD
from runner.alpaca.emit import exact_price, exact_quantity
from runner.alpaca.fills import trade_id_text
from runner.alpaca.models import Activity
from runner.alpaca.symbols import instrument_id

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

ZERO = Decimal(0)
#: Activities that move a position: contracts that end, what they deliver, changes of the shares themselves.
MOVING = frozenset(
    {
        "OPASN",
        "OPEXC",
        "OPEXP",
        "OPTRD",
        "OPCA",
        "SPLIT",
        "SPIN",
        "REORG",
        "MA",
        "NC",
        "ACATS",
        "JNLS",
        "SC",
        "SSO",
        "SSP",
    }
)
SPLITS = frozenset({"SPLIT", "SSO", "SSP"})
#: Rows may come a day and more after what they tell of.
LOOKBACK_NS = 7 * 86_400 * NANOS
EXTERNAL = StrategyId("EXTERNAL")
_OPTION = re.compile(r"[A-Z][A-Z0-9]{0,5}(\d{6})[CP]\d{8}")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a position changed: the activity's type, its id, and the price that it was changed at (None: its own)."""

    kind: str
    id: str
    price: Decimal | None


def has_expired(symbol: str, now_ns: int) -> bool:
    """Whether this is an option contract whose day of expiration (UTC) has begun or passed."""
    found = _OPTION.fullmatch(symbol)
    return found is not None and f"{datetime.fromtimestamp(now_ns // NANOS, UTC):%y%m%d}" >= found.group(1)


class Adjustments:
    """Explains differences of positions, and tells Nautilus."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._used: set[str] = set()
        self.count = 0

    async def reasons(self, symbols: set[str]) -> dict[str, Reason]:
        """Why the positions of these symbols may have changed. Raises as the reads do."""
        now_ns = self._client.venue_clock.now_ns()
        rows = await self._client.rest.activities(None, after_ns=self._client.opened_ns - LOOKBACK_NS)
        found: dict[str, Reason] = {}
        for row in rows:
            if row.symbol in symbols and row.activity_type in MOVING and row.id not in self._used:
                found[row.symbol or ""] = Reason(row.activity_type, row.id, _price(row))
        for symbol in symbols - found.keys():
            if has_expired(symbol, now_ns):
                # The row comes with the night; the contract is gone already.
                found[symbol] = Reason("EXPIRED", f"{symbol}@{now_ns}", ZERO)
        return found

    def apply(self, symbol: str, ours: Decimal, theirs: Decimal, reason: Reason) -> None:
        """The broker has `theirs` where fills made `ours`: Nautilus's positions follow."""
        self._used.add(reason.id)
        self.count += 1
        self._client.log.warning(f"The position of {symbol} went from {ours} to {theirs}: {reason.kind}")
        instrument = self._client.instrument(instrument_id(symbol))
        if instrument is None:
            return
        positions = self._client.open_positions(instrument.id)
        if reason.kind in SPLITS and ours:
            self._split(instrument, positions, theirs / ours, reason)
            return
        left = theirs - ours
        left -= self._client.exercises.fill(symbol, left, reason.id)
        for position in positions:
            held = Decimal(str(position.signed_decimal_qty()))
            if left == 0 or held * left >= 0:
                continue
            change = max(held * -1, left) if left < 0 else min(held * -1, left)
            left -= change
            self._fill(instrument, position.strategy_id, change, _or(reason.price, position.avg_px_open), reason)
        if left:
            owner = positions[0] if positions else None
            strategy_id = owner.strategy_id if owner is not None else EXTERNAL
            average = owner.avg_px_open if owner is not None else 0
            self._fill(instrument, strategy_id, left, _or(reason.price, average), reason)

    def _split(self, instrument: Any, positions: list[Any], ratio: Decimal, reason: Reason) -> None:
        """Each position closes at what it cost, and opens anew with more (or fewer) shares for the same money."""
        for position in positions:
            held, cost = Decimal(str(position.signed_decimal_qty())), Decimal(str(position.avg_px_open))
            self._fill(instrument, position.strategy_id, -held, cost, reason)
            self._fill(instrument, position.strategy_id, held * ratio, cost / ratio, reason)

    def _fill(self, instrument: Any, strategy_id: Any, change: Decimal, price: Decimal, reason: Reason) -> None:
        quantity = exact_quantity(abs(change), instrument.size_precision)
        if not quantity:
            return
        self.count += 1
        name = trade_id_text(reason.id, Decimal(self.count))
        now_ns = self._client.now_ns()
        self._client.generate_order_filled(
            strategy_id=strategy_id,
            instrument_id=instrument.id,
            client_order_id=ClientOrderId(f"{reason.kind}-LEG-{name}"),
            venue_order_id=VenueOrderId(f"{reason.kind}-LEG-{name}"),
            venue_position_id=None,
            trade_id=TradeId(name),
            order_side=OrderSide.BUY if change > 0 else OrderSide.SELL,
            order_type=OrderType.MARKET,
            last_qty=quantity,
            last_px=exact_price(price.quantize(Decimal("1e-9")).normalize(), instrument.price_precision),
            quote_currency=USD,
            commission=Money(0, USD),
            liquidity_side=LiquiditySide.NO_LIQUIDITY_SIDE,
            ts_event=now_ns,
            info={"activity": reason.kind},
        )


def _price(row: Activity) -> Decimal | None:
    """What a contract is worth when it ends (nothing: its value went into the shares), what shares are delivered at."""
    if row.activity_type in ("OPASN", "OPEXC", "OPEXP"):
        return ZERO
    return row.price


def _or(price: Decimal | None, average: float) -> Decimal:
    return Decimal(str(average)) if price is None else price
