"""Do our books agree with the broker's? Per account: what was there + what we saw = what the broker says.

Opening cash and positions at connect, every de-duplicated fill since, fees and other non-trade activities, against the
broker's cash and its quantity of each symbol. Exact: no tolerance beyond the decimals the broker itself shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol

# Activities whose quantity moves shares; a FEE's `qty` only says what it was charged for.
_MOVES_SHARES = frozenset(
    {"ACATS", "FOPT", "JNLS", "MA", "OPASN", "OPEXC", "OPEXP", "OPTRD", "REORG", "SC", "SPIN", "SPLIT", "SSO", "SSP"}
)
_CENT = Decimal("0.01")
_ZERO = Decimal(0)
_ENDINGS = frozenset({"OPASN", "OPEXC", "OPEXP"})
_OPTION = re.compile(r"[A-Z][A-Z0-9]{0,5}\d{6}[CP]\d{8}")


class Snapshot(Protocol):
    """What the broker said at one moment. Cash in USD, quantities signed (short is negative)."""

    @property
    def cash(self) -> Decimal: ...
    @property
    def positions(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that is not as it should be. `what` is `cash` or a symbol."""

    what: str
    ours: Decimal
    broker: Decimal

    def __str__(self) -> str:
        return f"{self.what}: ours {self.ours}, broker {self.broker} ({self.broker - self.ours:+})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """`agree` is None where it can't be told yet, or the broker not be asked; `reason` says why, or why agreeing
    figures don't count."""

    agree: bool | None
    differences: tuple[Difference, ...] = ()
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "agree": self.agree,
            "differences": [{"what": d.what, "ours": str(d.ours), "broker": str(d.broker)} for d in self.differences],
            "reason": self.reason,
        }


def compare(
    opening: Snapshot | None,
    fills: Iterable[Any],
    activities: Iterable[Any],
    closing: Snapshot,
    *,
    unsettled: int = 0,
    awaited: Mapping[str, int] | None = None,
    earlier: Any = None,
) -> Agreement:
    """Adds up `opening`, `fills` and non-trade `activities`, and sets the sum against `closing`.

    A fill has `symbol`, `side` (BUY or SELL), `qty`, `price`, `inferred`; an activity
    `activity_type`, `net_amount`, `symbol`, `qty` (the last three may be None). `awaited` are symbols whose contracts
    ended though the activity is not there yet, with the time (UNIX ns) that it is due: what they and cash differ by
    can't be judged before. `earlier` are sums of fills before these (`runner.alpaca.fills.Earlier`).
    """
    if opening is None:
        return Agreement(None, reason="the account was never read: there is nothing to start from")
    if unsettled:
        return Agreement(None, reason=f"{unsettled} order{'' if unsettled == 1 else 's'} of unknown outcome")
    cash = opening.cash
    held = {symbol: _quantity(position) for symbol, position in opening.positions.items()}
    inferred, charges, charged = 0, 0, _ZERO
    if earlier is not None:
        inferred, charges, charged = earlier.inferred, earlier.charges, earlier.charged
        for symbol, change in earlier.held.items():
            cash -= earlier.paid[symbol] * multiplier(symbol)
            held[symbol] = held.get(symbol, _ZERO) + change
    for fill in fills:
        signed = fill.qty if _is_buy(fill.side) else -fill.qty
        cash -= signed * fill.price * multiplier(fill.symbol)
        if fee := getattr(fill, "fee_usd", _ZERO):
            charges, charged = charges + 1, charged + fee
        held[fill.symbol] = held.get(fill.symbol, _ZERO) + signed - getattr(fill, "fee_qty", _ZERO)
        inferred += bool(fill.inferred)
    # Fees of pairs are taken from what is received, at once; rows of the broker's say how much, but maybe a day later.
    # Until every fee has its row, what we took them for counts.
    rows = _since_opening(list(activities), held)
    told = [-row.net_amount for row in rows if row.activity_type == "CFEE" and row.net_amount]
    cash -= sum(told, _ZERO) if len(told) == charges else charged
    for activity in rows:
        if activity.activity_type == "CFEE":
            continue
        cash += activity.net_amount or Decimal(0)
        if activity.activity_type in _MOVES_SHARES and activity.symbol and activity.qty is not None:
            held[activity.symbol] = held.get(activity.symbol, Decimal(0)) + activity.qty
    differences = []
    # The broker rounds to what it shows; digits beyond are no disagreement.
    shown = min(_CENT, Decimal(1).scaleb(int(closing.cash.as_tuple().exponent)))
    if (ours := cash.quantize(shown, ROUND_HALF_EVEN)) != closing.cash:
        differences.append(Difference("cash", ours, closing.cash))
    theirs = {symbol: _quantity(position) for symbol, position in closing.positions.items()}
    for symbol in sorted(held.keys() | theirs.keys()):
        ours, broker = held.get(symbol, Decimal(0)), theirs.get(symbol, Decimal(0))
        if ours != broker:
            differences.append(Difference(symbol, ours, broker))
    if inferred:
        reason = f"{inferred} fills were inferred from positions, not seen"
        return Agreement(False, tuple(differences), reason)
    waiting = {row.what: awaited[row.what] for row in differences if awaited and row.what in awaited}
    if waiting and all(row.what in waiting or row.what == "cash" for row in differences):
        return Agreement(None, tuple(differences), _until(waiting))
    return Agreement(not differences, tuple(differences))


def _since_opening(rows: list[Any], held: Mapping[str, Decimal]) -> list[Any]:
    """Without those that tell, a day late, how contracts ended that were gone before the opening balance was read.

    `held` is what the opening and all fills since name: one that ended later is among it.
    """
    late = [row for row in rows if row.activity_type in _ENDINGS and _OPTION.fullmatch(row.symbol or "") and row.qty]
    late = [row for row in late if row.symbol not in held]
    delivered = [(_underlying(row.symbol), abs(row.qty) * 100) for row in late if row.activity_type != "OPEXP"]
    kept: list[Any] = []
    for row in rows:
        what = (row.symbol, abs(row.qty or _ZERO))
        if row.activity_type == "OPTRD" and what in delivered:
            delivered.remove(what)
        elif row not in late:
            kept.append(row)
    return kept


def _underlying(contract: str) -> str:
    return contract[:-15]


def _until(waiting: Mapping[str, int]) -> str:
    due = datetime.fromtimestamp(max(waiting.values()) // 1_000_000_000, UTC)
    what = f"the broker's activity of {', '.join(waiting)} (expired, exercised or assigned)"
    return f"{what} is due by {due:%Y-%m-%d %H:%M} UTC"


def multiplier(symbol: str) -> int:
    """Dollars that a dollar of price is worth in one unit: an option contract (an OCC symbol) is for 100 shares."""
    return 100 if _OPTION.fullmatch(symbol) else 1


def all_agree(books: Mapping[str, Agreement]) -> bool | None:
    """One answer for the node: False if any account disagrees, None if any could not be asked."""
    answers = [agreement.agree for agreement in books.values()]
    if False in answers:
        return False
    return None if None in answers or not answers else True


def _is_buy(side: Any) -> bool:
    return str(getattr(side, "name", side)).upper() == "BUY"


def _quantity(position: Any) -> Decimal:
    return position if isinstance(position, Decimal) else Decimal(getattr(position, "qty", position))
