"""Where Alpaca is."""

from __future__ import annotations

from typing import Final

PAPER_HOST: Final = "paper-api.alpaca.markets"
LIVE_HOST: Final = "api.alpaca.markets"
PAPER_TRADING_URL: Final = f"https://{PAPER_HOST}"
LIVE_TRADING_URL: Final = f"https://{LIVE_HOST}"
DATA_URL: Final = "https://data.alpaca.markets"
STREAM_URL: Final = "wss://stream.data.alpaca.markets"

_STREAMS: Final = {"stocks": "v2", "crypto": "v1beta3/crypto", "options": "v1beta1", "news": "v1beta1"}


def as_ws(url: str) -> str:
    """The stream address of a REST one."""
    return "ws" + url.removeprefix("http") if url.startswith("http") else url


def market_stream(base: str, market: str, feed: str) -> str:
    """Address of one feed's stream at the market-data host `base`."""
    return f"{as_ws(base.rstrip('/'))}/{_STREAMS[market]}/{feed}"


def orders_stream(trading: str) -> str:
    """Address of the trade updates of the trading host."""
    return f"{as_ws(trading.rstrip('/'))}/stream"
