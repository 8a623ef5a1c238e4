"""Trading in crypto pairs: fees by tier, and what an order must amount to.

Sources: docs.alpaca.markets "Crypto spot trading fees" (tiers by the volume of 30 days; the fee comes off what is
received) and "Crypto orders". The minimum of $10 and the cap of $200,000 are what the venue enforces.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Final

from runner.exchange.assets import Asset
from runner.exchange.broker.request import OrderRequest
from runner.exchange.broker.wire import NINE_PLACES, SECOND_NS, text
from runner.exchange.errors import forbidden, invalid, unprocessable

# (volume from, maker, taker): dollars of 30 days, basis points of what is received.
TIERS: Final = (
    (0, 15, 25),
    (100_000, 12, 22),
    (500_000, 10, 20),
    (1_000_000, 8, 18),
    (10_000_000, 5, 15),
    (25_000_000, 2, 13),
    (50_000_000, 2, 12),
    (100_000_000, 0, 10),
)
BASIS_POINT: Final = Decimal("0.0001")
WINDOW_NS: Final = 30 * 86_400 * SECOND_NS
LEAST_COST: Final = Decimal(10)
MOST_COST: Final = Decimal(200_000)


@dataclass(slots=True)
class Volume:
    """Dollars that an account has traded in pairs within 30 days."""

    _trades: deque[tuple[int, Decimal]] = field(default_factory=deque)
    _total: Decimal = Decimal(0)

    def add(self, ns: int, dollars: Decimal) -> None:
        """One execution."""
        self._trades.append((ns, dollars))
        self._total += dollars

    def tier(self, now_ns: int) -> int:
        """From 1, the tier with the highest fees."""
        while self._trades and self._trades[0][0] <= now_ns - WINDOW_NS:
            self._total -= self._trades.popleft()[1]
        return sum(self._total >= volume for volume, _, _ in TIERS)

    def rate(self, now_ns: int, *, maker: bool) -> Decimal:
        """The fee of an execution now, as a share of what is received."""
        _, making, taking = TIERS[self.tier(now_ns) - 1]
        return (making if maker else taking) * BASIS_POINT


def check_pair(asset: Asset) -> None:
    """Dollars only: an order in BTC/USDT would need a book of USDT as cash."""
    if not asset.symbol.endswith("/USD"):
        raise unprocessable(f'asset "{asset.symbol}" is not tradable: this exchange trades pairs against USD')


def truncated(qty: Decimal) -> Decimal:
    """Places beyond the ninth are dropped without a word."""
    shorter = qty.quantize(NINE_PLACES, rounding=ROUND_DOWN)
    if shorter <= 0:
        raise invalid("qty must be > 0")
    return shorter


def check_balance(request: OrderRequest, qty: Decimal, available: Decimal) -> None:
    """Coins that are not there, or are held by other orders, can't be sold."""
    if qty > available:
        coin = request.symbol.partition("/")[0]
        raise forbidden(f"insufficient balance for {coin} (requested: {text(qty)}, available: {text(available)})")


def check_cost(dollars: Decimal | None, *, whole_position: bool = False) -> None:
    """The least and the most that an order may amount to; what is left of a position may always be sold."""
    if dollars is None:
        return
    if dollars < LEAST_COST and not whole_position:
        raise forbidden(f"cost basis must be >= minimal amount of order {LEAST_COST}", cost_basis=text(dollars))
    if dollars > MOST_COST:
        raise forbidden(f"cost basis must be <= maximal amount of order {MOST_COST}", cost_basis=text(dollars))
