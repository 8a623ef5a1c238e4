"""Alpaca symbols and Nautilus instrument ids: `BRK.B` is `BRK.B.ALPACA`."""

from __future__ import annotations

import re

from nautilus_trader.model.identifiers import InstrumentId, Symbol

from runner.alpaca.constants import ALPACA, ALPACA_VENUE

# Nautilus aborts the process on some strings; nothing else than this may reach its constructors.
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./\-]{0,31}")

_ids: dict[str, InstrumentId] = {}


def valid_symbol(symbol: str) -> bool:
    """Whether `symbol` looks like one of Alpaca's."""
    return _SYMBOL.fullmatch(symbol) is not None


def instrument_id(symbol: str) -> InstrumentId:
    """The id of a symbol, one object a symbol. Raises ValueError for text that is no symbol."""
    known = _ids.get(symbol)
    if known is None:
        if not valid_symbol(symbol):
            raise ValueError(f"{symbol!r} is no Alpaca symbol")
        known = _ids[symbol] = InstrumentId(Symbol(symbol), ALPACA_VENUE)
    return known


def symbol_of(instrument_id: InstrumentId) -> str:
    """The symbol of an id. Raises ValueError for another venue's id."""
    if instrument_id.venue.value != ALPACA:
        raise ValueError(f"{instrument_id} is not Alpaca's: its venue is {instrument_id.venue}, not {ALPACA}")
    return str(instrument_id.symbol.value)
