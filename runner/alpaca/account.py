"""The account's figures: the opening balance of the books, and Nautilus's account state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from nautilus_trader.model.objects import AccountBalance, MarginBalance, Money

from runner._engine import EngineError
from runner.alpaca.constants import NANOS, USD
from runner.alpaca.models import Account, Order, Position, WireError

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

CENT = Decimal("0.01")
#: How often an opening balance is read anew because fills came in between.
OPENING_TRIES = 5


@dataclass(frozen=True, slots=True)
class BrokerSnapshot:
    """Cash and equity (USD) and signed positions (shares), with the newest FILL activity that they include.

    `marks` are the broker's own prices of the positions, where it has any: equity is made of them.
    """

    cash: Decimal
    equity: Decimal
    positions: dict[str, Decimal] = field(default_factory=dict)
    last_fill_id: str | None = None
    ts_ns: int = 0
    marks: dict[str, Decimal] = field(default_factory=dict)


def usd(value: Decimal | None) -> Money:
    """Dollars to the cent."""
    return Money.from_str(f"{(value or Decimal(0)).quantize(CENT, ROUND_HALF_EVEN)} USD")


class AccountBook:
    """Reads the account and tells Nautilus."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._refresh: asyncio.Task[None] | None = None
        self._stale = False

    async def snapshot(self) -> BrokerSnapshot:
        """Account, positions and last fill as the broker has them. Raises HttpError, Unavailable or WireError."""
        rest = self._client.rest
        account, _ = await rest.account()
        positions = await rest.positions()
        last = await rest.last_fill_id()
        return self._made(account, positions, last)

    async def opening(self) -> BrokerSnapshot:
        """A snapshot into which no fill came while it was read. The ledger begins with the orders of that moment.

        Raises as `snapshot` does, or RuntimeError.
        """
        rest = self._client.rest
        after_ns = self._client.opened_ns - int(self._client.config.overlap_s * NANOS)
        for _ in range(OPENING_TRIES):
            before = await rest.last_fill_id()
            account, body = await rest.account()
            positions = await rest.positions()
            orders = [*await rest.orders("open"), *await rest.orders("closed", after_ns=after_ns)]
            recent = {row.id for row in await rest.fills(after_ns=after_ns)}
            await self._client.transfers.begin(account)
            if before == await rest.last_fill_id():
                behind = [order for order in orders if self._is_behind(order)]
                for order in behind:
                    await self._client.gaps.apply(order)  # Of before a restart, and it filled just now.
                if behind:
                    continue
                self._client.gaps.before, self._client.gaps.newest = recent, before
                self._client.fills.begin()
                for order in orders:
                    if self._client.find(order) is None:
                        self._client.fills.seed(order.id, order.filled_qty, order.filled_avg_price)
                self.tell(account, body)
                return self._made(account, positions, before)
        raise RuntimeError(
            f"the account kept trading while its opening balance was read ({OPENING_TRIES} tries); "
            "stop what else trades it"
        )

    def _is_behind(self, order: Order) -> bool:
        found = self._client.find(order)
        return found is not None and not self._client.fills.is_complete(order.id, order.filled_qty)

    def _made(self, account: Account, positions: list[Position], last: str | None) -> BrokerSnapshot:
        return BrokerSnapshot(
            account.cash,
            account.equity,
            {row.symbol: row.signed_qty for row in positions},
            last,
            self._client.venue_clock.now_ns(),
            {row.symbol: row.current_price for row in positions if row.current_price is not None},
        )

    def tell(self, account: Account, body: bytes) -> None:
        """Send Nautilus the account: total is cash, margins are the account's, `info` has every field as text.

        Added to them are what was `transferred` since `last_equity`, and what came or went `unexplained`.
        """
        self._client.fees.tier = account.crypto_tier or 1
        cash = usd(account.cash)
        margin = MarginBalance(usd(account.initial_margin), usd(account.maintenance_margin))
        raw: dict[str, Any] = msgspec.json.decode(body)
        self._client.generate_account_state(
            balances=[AccountBalance(cash, Money(0, USD), cash)],
            margins=[margin],
            reported=True,
            ts_event=self._client.now_ns(),
            info={name: str(value) for name, value in raw.items() if isinstance(value, (str, int, bool))}
            | self._client.transfers.figures(account),
        )

    async def refresh(self) -> None:
        """Read the account and tell Nautilus. Raises as `snapshot` does."""
        self._stale = False
        self.tell(*await self._client.transfers.look(*await self._client.rest.account()))

    def refresh_soon(self) -> None:
        """Refresh once, a little later, however often this is called meanwhile."""
        self._stale = True
        if self._refresh is None or self._refresh.done():
            self._refresh = self._client.create_task(self._later(), log_msg="account")

    async def refresh_if_stale(self) -> None:
        """Refresh at once where one is due."""
        if self._stale:
            await self.refresh()

    async def _later(self) -> None:
        try:
            while self._stale:
                await asyncio.sleep(self._client.config.account_refresh_s)
                await self.refresh_if_stale()
        except asyncio.CancelledError:
            return  # The client disconnects; nobody will look at these figures any more.
        except (EngineError, WireError) as error:
            self._stale = True
            self._client.log.warning(f"The account could not be read and is a little old: {error}")
