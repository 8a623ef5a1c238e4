"""What Alpaca says of its assets changes from day to day: tradable, shortable, easy to borrow, margins.

A node that stays up reads them anew now and then. Precisions and increments stay as they were at the start: orders,
positions and streams are made with them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nautilus_trader.model.instruments import CurrencyPair, Equity

from runner._engine import EngineError
from runner.alpaca.derived import pair
from runner.alpaca.instruments import AlpacaEquity, equity
from runner.alpaca.models import Asset, WireError
from runner.alpaca.symbols import symbol_of

if TYPE_CHECKING:
    from runner.alpaca.execution import AlpacaExecutionClient

KINDS = (Equity, AlpacaEquity, CurrencyPair)
#: What a user wants to hear of: an order that passed yesterday may be refused today.
TOLD = ("status", "tradable", "shortable", "easy_to_borrow", "marginable", "fractionable")
#: Of an asset that is not listed any more.
GONE = {"status": "inactive", "tradable": False, "shortable": False}


def refreshed(old: Any, asset: Asset, *, ts_ns: int) -> Any:
    """The instrument as the asset is now; the old one where nothing has changed.

    Where the new one would be of other precisions (a stock that can't be split any more), only what is said of it
    changes.
    """
    if isinstance(old, CurrencyPair):
        new: Any = pair(asset, ts_ns=ts_ns)
    else:
        new = equity(asset, price_decimals=old.price_precision, ts_ns=ts_ns)
    if new.info == old.info and (new.margin_init, new.margin_maint) == (old.margin_init, old.margin_maint):
        return old
    if (new.price_precision, new.size_precision) != (old.price_precision, old.size_precision):
        old.info.update(new.info)
        return old
    return new


def _is_ours(instrument: Any) -> bool:
    """Whether it was made of an asset; one that a user put into the cache says nothing of that."""
    return isinstance(instrument, KINDS) and "asset_id" in (instrument.info or {})


class AssetWatch:
    """Reads the assets of the instruments that are loaded every `assets_interval_s` (0: never, nor in lock-step)."""

    def __init__(self, client: AlpacaExecutionClient) -> None:
        self._client = client
        self._interval_s: float = 0.0 if client.config.serial else client.config.assets_interval_s

    def start(self) -> None:
        """Go round from now on, until the client's tasks are canceled."""
        if self._interval_s > 0:
            self._client.create_task(self._walk(), log_msg="assets")

    async def _walk(self) -> None:
        while True:
            try:
                await asyncio.sleep(self._interval_s)
                await self.refresh()
            except asyncio.CancelledError:
                return  # The client disconnects.
            except (EngineError, WireError) as error:
                self._client.log.warning(f"The assets can't be read, and stay as they were: {error}")
            except Exception as error:
                self._client.log.exception("The assets could not be refreshed", error)  # noqa: TRY401  # Nautilus's

    async def refresh(self) -> None:
        """Read them once. Instruments that are others now go to Nautilus's cache and whoever subscribed to them.

        Raises HttpError, Unavailable or WireError.
        """
        client = self._client
        instruments = {symbol_of(each.id): each for each in client.known_instruments() if _is_ours(each)}
        assets = await client.provider.assets(list(instruments))
        for symbol, old in instruments.items():
            before = dict(old.info or {})
            asset = assets.get(symbol)
            if asset is None:
                old.info.update(GONE)
                new = old
            else:
                new = refreshed(old, asset, ts_ns=client.now_ns())
            self._tell(symbol, before, new.info or {})
            if new is not old:
                client.replace_instrument(new)

    def _tell(self, symbol: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        changes = [
            f"{name} {before.get(name)} -> {after.get(name)}" for name in TOLD if before.get(name) != after.get(name)
        ]
        if changes:
            self._client.log.warning(f"Alpaca says otherwise of {symbol} now: {', '.join(changes)}")
