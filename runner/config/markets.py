"""Words that the file and the adapter share: which market a symbol is of, what history is adjusted for."""

from __future__ import annotations

import re
from typing import Literal

Market = Literal["stocks", "crypto", "options", "news"]

#: What historical bars of stocks can be adjusted for; several can be combined, with commas between them.
ADJUSTMENTS = ("raw", "split", "dividend", "spin-off", "all")
_OPTION = re.compile(r"[A-Z][A-Z0-9]{0,5}\d{6}[CP]\d{8}")


def market_of(symbol: str) -> Market:
    """Which market a symbol is traded in, by its form; a spread of options by its first leg's."""
    if "/" in symbol:
        return "crypto"
    return "options" if is_spread(symbol) or _OPTION.fullmatch(symbol) else "stocks"


def is_spread(symbol: str) -> bool:
    """Whether it is Nautilus's generic name of a spread, such as `(1)A___((1))B`."""
    return symbol.startswith("(")


def adjustment(text: object) -> str:
    """What history is to be adjusted for, as Alpaca writes it. Raises ValueError for what it does not know."""
    parts = [part.strip() for part in str(text).split(",")]
    for part in parts:
        if part not in ADJUSTMENTS:
            raise ValueError(f"adjustment `{part}` is none of {', '.join(ADJUSTMENTS)} (several with commas)")
    return ",".join(parts)
