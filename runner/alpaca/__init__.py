"""Alpaca for NautilusTrader: market data and trading of US stocks, network and parsing in Rust."""

from __future__ import annotations

from runner._engine import AlpacaHttpClient, AlpacaWebSocketClient
from runner.alpaca.config import AlpacaDataClientConfig, AlpacaDataFeed, AlpacaExecClientConfig, MissingKeysError
from runner.alpaca.constants import ALPACA_VENUE
from runner.alpaca.data import use_direct_delivery
from runner.alpaca.factories import AlpacaLiveDataClientFactory, AlpacaLiveExecClientFactory
from runner.alpaca.providers import AlpacaInstrumentProvider
from runner.margin import AlpacaOptionsMarginCalculator

__all__ = [
    "ALPACA_VENUE",
    "AlpacaDataClientConfig",
    "AlpacaDataFeed",
    "AlpacaExecClientConfig",
    "AlpacaHttpClient",
    "AlpacaInstrumentProvider",
    "AlpacaLiveDataClientFactory",
    "AlpacaLiveExecClientFactory",
    "AlpacaOptionsMarginCalculator",
    "AlpacaWebSocketClient",
    "MissingKeysError",
    "use_direct_delivery",
]
