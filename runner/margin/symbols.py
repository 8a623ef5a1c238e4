"""What a symbol that somebody typed can be: a share's, a pair's, a contract's."""

from __future__ import annotations

import re

from runner.margin.options import OCC, parse_symbol

_SHARE = re.compile(r"[A-Z][A-Z0-9]{0,4}([.-][A-Z0-9]{1,5})*")
_PAIR = re.compile(r"[A-Z0-9]{1,12}/(USD|USDC|USDT)")


def plain_symbol(text: str) -> str:
    """A symbol as Alpaca writes it; Nautilus's id IBM.ALPACA is IBM. Raises ValueError for what can be none.

    A contract with a digit too few, or a pair without its slash, would otherwise count as a share.
    """
    symbol = text.removesuffix(".ALPACA")
    if OCC.fullmatch(symbol):
        parse_symbol(symbol)  # its date may be none
    elif not _SHARE.fullmatch(symbol) and not _PAIR.fullmatch(symbol):
        kinds = "a share's is IBM or BRK.B, a pair's BTC/USD (amounts are dollars), a contract's AAPL250117C00190000"
        raise ValueError(f"`{text}` is no Alpaca symbol: {kinds}")
    return symbol
