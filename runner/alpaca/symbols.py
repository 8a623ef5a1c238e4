"""Alpaca symbols and Nautilus instrument ids: `BRK.B` is `BRK.B.ALPACA`."""

from __future__ import annotations

import re

from nautilus_trader.model.identifiers import InstrumentId, Symbol

from runner.alpaca.constants import ALPACA, ALPACA_VENUE

# Nautilus aborts the process on some strings; nothing else than this may reach its constructors.
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./\-]{0,31}")

#: What pairs are quoted in, longest first.
QUOTES = ("USDT", "USDC", "USDG", "USD", "BTC", "ETH")

_ids: dict[str, InstrumentId] = {}
_pairs: dict[str, str] = {}


def valid_symbol(symbol: str) -> bool:
    """Whether `symbol` looks like one of Alpaca's."""
    return _SYMBOL.fullmatch(symbol) is not None


def instrument_id(symbol: str) -> InstrumentId:
    """The id of a symbol, one object a symbol. Raises ValueError for text that is no symbol."""
    known = _ids.get(symbol)
    if known is None:
        if not valid_symbol(symbol):
            raise ValueError(f"{symbol!r} is no Alpaca symbol")
        known = _ids[symbol] = InstrumentId(Symbol(note_pair(symbol)), ALPACA_VENUE)
    return known


def pair_symbol(symbol: str, asset_class: str = "") -> str:
    """The pair that positions and activities write without its slash: `BTCUSD` is `BTC/USD`.

    Where the asset's class is not told, only a pair that was named with its slash before is one.
    """
    if "/" in symbol or (asset_class != "crypto" and symbol not in _pairs):
        return symbol
    known = _pairs.get(symbol)
    if known is not None:
        return known
    quote = next((quote for quote in QUOTES if symbol.endswith(quote) and len(symbol) > len(quote)), None)
    return symbol if quote is None else note_pair(f"{symbol.removesuffix(quote)}/{quote}")


def note_pair(symbol: str) -> str:
    """Remember how a pair is written."""
    if "/" in symbol:
        _pairs[symbol.replace("/", "")] = symbol
    return symbol


def symbol_of(instrument_id: InstrumentId) -> str:
    """The symbol of an id. Raises ValueError for another venue's id."""
    if instrument_id.venue.value != ALPACA:
        raise ValueError(f"{instrument_id} is not Alpaca's: its venue is {instrument_id.venue}, not {ALPACA}")
    return note_pair(str(instrument_id.symbol.value))
