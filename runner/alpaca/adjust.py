"""Positions that change without an order: exercise, assignment, expiry, splits, and fees that were taken for others.

None of them is streamed. Where the broker's position is another one than fills make it, its account activities are
asked why, and the strategies' positions are brought to it by fills that belong to no order (Nautilus books such fills
where their ids say `-LEG-`, as it does those of a spread's legs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations, count
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
        "FOPT",
        "JNLS",
        "SC",
        "SSO",
        "SSP",
    }
)
SPLITS = frozenset({"SPLIT", "SSO", "SSP"})
#: Endings of contracts that show in the positions before their rows come (on paper a day before).
UNTOLD = frozenset({"EXPIRED", "DELIVERED"})
#: Rows may come a day and more after what they tell of.
LOOKBACK_NS = 7 * 86_400 * NANOS
EXTERNAL = StrategyId("EXTERNAL")
_OPTION = re.compile(r"([A-Z][A-Z0-9]{0,5})(\d{6})([CP])(\d{8})")
#: Contracts beyond these are not tried in all combinations.
MOST_COMBINED = 10


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a position changed: the activity's type, its id, and the price that it was changed at (None: its own)."""

    kind: str
    id: str
    price: Decimal | None


def contract_size(symbol: str) -> int:
    """Shares that one unit is for: an option contract (an OCC symbol) is for 100."""
    return 100 if _OPTION.fullmatch(symbol) else 1


def has_expired(symbol: str, now_ns: int) -> bool:
    """Whether this is an option contract whose day of expiration (UTC) has begun or passed."""
    found = _OPTION.fullmatch(symbol)
    return found is not None and f"{datetime.fromtimestamp(now_ns // NANOS, UTC):%y%m%d}" >= found.group(2)


@dataclass(frozen=True, slots=True)
class Change:
    """A position that becomes larger by `qty` (negative: smaller) at a price, and whose it is."""

    strategy_id: StrategyId
    qty: Decimal
    price: Decimal


class Adjustments:
    """Explains differences of positions, and tells Nautilus."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._used: set[str] = set()
        self._due_ns = 0
        self._untold = count(1)
        #: How often a position was brought to the broker's.
        self.count = 0
        #: Symbols whose change no row has told yet, and when (UNIX ns) the row can be expected.
        self.awaited: dict[str, int] = {}

    async def reasons(self, changes: Mapping[str, Decimal], *, exact: bool = False) -> dict[str, Reason]:
        """Why positions may have changed by so much. Raises as the reads do.

        `exact`: only where rows tell of just this change, as those of long ago may have been applied before.
        """
        now_ns = self._client.venue_clock.now_ns()
        rows = await self._client.rest.activities(None, after_ns=self._client.opened_ns - LOOKBACK_NS)
        found: dict[str, Reason] = {}
        for symbol, change in changes.items():
            told = [row for row in rows if row.symbol == symbol and row.activity_type in MOVING]
            told = [row for row in told if row.id not in self._used]
            if told and (not exact or _tells(told, change)):
                found[symbol] = Reason(told[-1].activity_type, told[-1].id, _price(told[-1]))
        # The rows come with the night; the contracts are gone already.
        untold = endings({symbol: change for symbol, change in changes.items() if symbol not in found}, now_ns)
        if untold:
            self._due_ns = await self._client.rest.next_open_ns()
        for symbol, (kind, price) in untold.items():
            found[symbol] = self.made_up(kind, symbol, price)
        return found

    def made_up(self, kind: str, symbol: str, price: Decimal | None) -> Reason:
        """A reason that no row tells: its id is never used twice, also where the venue's clock stands still."""
        return Reason(kind, f"{symbol}@{self._client.now_ns()}.{next(self._untold)}", price)

    def apply(self, symbol: str, ours: Decimal, theirs: Decimal, reason: Reason) -> None:
        """The broker has `theirs` where fills made `ours`: Nautilus's positions follow."""
        self._used.add(reason.id)
        self.count += 1
        if reason.kind in UNTOLD:
            self.awaited[symbol] = self._due_ns
            if reason.price:
                self._client.transfers.expect((ours - theirs) * reason.price)
        self._client.log.warning(f"The position of {symbol} went from {ours} to {theirs}: {reason.kind}")
        instrument = self._client.instrument(instrument_id(symbol))
        if instrument is None:
            return
        positions = self._client.open_positions(instrument.id)
        more: dict[str, str] = {}
        if reason.kind in SPLITS and ours:
            more = {"ratio": str(theirs / ours)}
            changes = _split(positions, theirs / ours)
        else:
            left = theirs - ours
            left -= self._client.exercises.fill(symbol, left, reason.id)
            changes = _shared_out(positions, left, reason.price)
        for number, change in enumerate(changes, 1):
            self._tell(instrument, change, reason, number, **more)

    def take_dropped(self, fill: Any) -> None:
        """A fill that Nautilus has just handled: where its strategy held nothing to reduce, take it as EXTERNAL's.

        The broker nets an account: an exit fills against others' shares where the strategy's own are gone. Nautilus
        counts such a fill of a reduce-only order for no position, and its net position would stay another one.
        """
        order = self._client.cached_order(fill.client_order_id)
        if fill.account_id != self._client.account_id or order is None or not order.is_reduce_only:
            return
        instrument = self._client.instrument(fill.instrument_id)
        if instrument is None or instrument.is_spread() or self._client.is_in_position(fill):
            return
        qty = fill.last_qty.as_decimal() * (1 if fill.order_side == OrderSide.BUY else -1)
        self.count += 1
        self._client.log.warning(
            f"{fill.client_order_id} filled {fill.last_qty} {instrument.id.symbol} that its strategy did not hold: "
            "somebody else's shares were reduced, and EXTERNAL's position follows"
        )
        reason = self.made_up("REDUCED", instrument.id.symbol.value, None)
        self._tell(instrument, Change(EXTERNAL, qty, fill.last_px.as_decimal()), reason, 1)

    def _tell(self, instrument: Any, change: Change, reason: Reason, number: int, **more: str) -> None:
        quantity = exact_quantity(abs(change.qty), instrument.size_precision)
        if not quantity:
            return
        name = trade_id_text(reason.id, Decimal(number))
        client_order_id = ClientOrderId(f"{reason.kind}-LEG-{name}")
        if self._client.journal is not None and change.strategy_id != EXTERNAL:
            self._client.journal.follow(client_order_id.value)
        now_ns = self._client.now_ns()
        self._client.generate_order_filled(
            strategy_id=change.strategy_id,
            instrument_id=instrument.id,
            client_order_id=client_order_id,
            venue_order_id=VenueOrderId(f"{reason.kind}-LEG-{name}"),
            venue_position_id=None,
            trade_id=TradeId(name),
            order_side=OrderSide.BUY if change.qty > 0 else OrderSide.SELL,
            order_type=OrderType.MARKET,
            last_qty=quantity,
            last_px=exact_price(change.price.quantize(Decimal("1e-9")).normalize(), instrument.price_precision),
            quote_currency=USD,
            commission=Money(0, USD),
            liquidity_side=LiquiditySide.NO_LIQUIDITY_SIDE,
            ts_event=now_ns,
            info={"activity": reason.kind, "id": reason.id, **more},
        )


def endings(changes: Mapping[str, Decimal], now_ns: int) -> dict[str, tuple[str, Decimal]]:
    """What changes of positions alone say of contracts that ended: by symbol, how, and the price.

    Contracts were exercised or assigned where the change of their underlying is just what they deliver, at their
    strikes; those that have expired were worthless otherwise. What neither explains is left out.
    """
    contracts = {symbol: found for symbol in changes if (found := _OPTION.fullmatch(symbol)) is not None}
    ended: dict[str, tuple[str, Decimal]] = {
        symbol: ("EXPIRED", ZERO) for symbol in contracts if has_expired(symbol, now_ns)
    }
    for underlying, change in changes.items():
        delivered = {
            symbol: -changes[symbol] * (100 if found.group(3) == "C" else -100)
            for symbol, found in contracts.items()
            if found.group(1) == underlying
        }
        chosen = _adding_up(delivered, change)
        if chosen is None:
            continue
        ended |= dict.fromkeys(chosen, ("DELIVERED", ZERO))
        cost = sum((delivered[symbol] * Decimal(contracts[symbol].group(4)) / 1000 for symbol in chosen), ZERO)
        ended[underlying] = ("DELIVERED", cost / change)
    return ended


def _adding_up(delivered: Mapping[str, Decimal], wanted: Decimal) -> tuple[str, ...] | None:
    """The fewest symbols whose shares add up to `wanted`."""
    symbols = sorted(delivered)[:MOST_COMBINED]
    for size in range(1, len(symbols) + 1):
        for chosen in combinations(symbols, size):
            if wanted and sum(delivered[symbol] for symbol in chosen) == wanted:
                return chosen
    return None


def _tells(rows: Iterable[Activity], change: Decimal) -> bool:
    """Whether all of these rows together, or the last one, are of just this change."""
    quantities = [row.qty or ZERO for row in rows]
    return change in (sum(quantities, ZERO), quantities[-1])


def _split(positions: list[Any], ratio: Decimal) -> list[Change]:
    """Each position closes at what it cost, and opens anew with more (or fewer) shares for the same money."""
    changes: list[Change] = []
    for position in positions:
        held, cost = Decimal(str(position.signed_decimal_qty())), Decimal(str(position.avg_px_open))
        changes += [
            Change(position.strategy_id, -held, cost),
            Change(position.strategy_id, held * ratio, cost / ratio),
        ]
    return changes


def _shared_out(positions: list[Any], left: Decimal, price: Decimal | None) -> list[Change]:
    """Positions that the change makes smaller take it, the largest first; what is left is the first one's owner's."""
    changes: list[Change] = []
    for position in positions:
        held = Decimal(str(position.signed_decimal_qty()))
        if left == 0 or held * left >= 0:
            continue
        qty = max(-held, left) if left < 0 else min(-held, left)
        left -= qty
        changes.append(Change(position.strategy_id, qty, _or(price, position.avg_px_open)))
    if left:
        owner = positions[0] if positions else None
        strategy_id, average = (owner.strategy_id, owner.avg_px_open) if owner is not None else (EXTERNAL, 0)
        changes.append(Change(strategy_id, left, _or(price, average)))
    return changes


def _price(row: Activity) -> Decimal | None:
    """What a contract is worth when it ends (nothing: its value went into the shares), what shares are delivered at."""
    if row.activity_type in ("OPASN", "OPEXC", "OPEXP"):
        return ZERO
    return row.price


def _or(price: Decimal | None, average: float) -> Decimal:
    return Decimal(str(average)) if price is None else price
