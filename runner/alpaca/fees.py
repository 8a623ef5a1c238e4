"""Fees of pairs, which Alpaca takes from what an order receives: coins when it buys, dollars when it sells.

No update names them. What a buy paid shows in the position that its update carries; else the tier's rate is taken, and
what the position says later corrects it. Source: "Crypto fees" (15 basis points for a maker, 25 for a taker in tier 1).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.enums import CurrencyType
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Money

from runner.alpaca.constants import NANOS, USD
from runner.alpaca.fills import Fill
from runner.alpaca.orders import is_immediate

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

ZERO = Decimal(0)
COIN = Decimal("0.000000001")
COIN_DIGITS = 9
#: No tier charges more; what a position shows beyond this is another fill, not a fee.
MOST = Decimal("0.003")
#: Basis points that makers and takers pay, by the account's tier from 1 ("Crypto spot trading fees").
TIERS = ((15, 25), (12, 22), (10, 20), (8, 18), (5, 15), (2, 13), (2, 12), (0, 10))
BASIS_POINT = Decimal("0.0001")
#: An order that trades within this time of its submission took liquidity.
TAKES_WITHIN_NS = NANOS


class Fees:
    """What the fills of pairs pay."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        #: The account's tier, from 1, as the broker last told it.
        self.tier = 1

    def charge(self, fill: Fill, *, position_qty: Decimal | None = None, order: Any = None) -> Fill:
        """The fill with its fee. `position_qty`: the signed position after it, where that was told.

        `order`: Nautilus's order of it, None where it is another's.
        """
        if "/" not in fill.symbol:
            return fill
        if fill.side == "sell":
            fee = fill.qty * fill.price * self._rate(fill, order)
            return replace(fill, fee_usd=fee.quantize(COIN, ROUND_HALF_EVEN))
        if position_qty is not None:
            shown = self._client.crossings.position(fill.symbol) + fill.qty - position_qty
            if 0 <= shown <= fill.qty * MOST:
                return replace(fill, fee_qty=shown)
        return replace(fill, fee_qty=(fill.qty * self._rate(fill, order)).quantize(COIN, ROUND_HALF_EVEN))

    def _rate(self, fill: Fill, order: Any) -> Decimal:
        config = self._client.config
        soon = not fill.submitted_ns or fill.venue_ts_ns - fill.submitted_ns < TAKES_WITHIN_NS
        takes = order is None or is_immediate(order) or soon
        given = config.crypto_taker_fee if takes else config.crypto_maker_fee
        if given is not None:
            return Decimal(str(given))
        return TIERS[min(max(self.tier, 1), len(TIERS)) - 1][int(takes)] * BASIS_POINT

    def explains(self, symbol: str, ours: Decimal, theirs: Decimal, *, bought: Decimal | None = None) -> bool:
        """Whether a difference of positions is what fees were taken to be and are not.

        `bought` is what they were taken from (None: what was bought since connect).
        """
        if bought is None:
            bought = self._client.fills.bought(symbol)
        return "/" in symbol and abs(ours - theirs) <= bought * MOST


def commission(fill: Fill, instrument: Any) -> Money:
    """The fill's fee as Nautilus has it: coins make its position smaller, dollars its profit."""
    if fill.fee_qty and isinstance(instrument, CurrencyPair):
        base = instrument.base_currency
        # Nautilus's own coins have eight decimals, Alpaca's nine; currencies are equal by their code.
        return Money(fill.fee_qty, Currency(base.code, COIN_DIGITS, base.iso4217, base.name, CurrencyType.CRYPTO))
    return Money(fill.fee_usd, USD)
