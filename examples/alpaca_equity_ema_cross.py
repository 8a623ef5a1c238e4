"""Nautilus's own EMA cross on Alpaca, in a plain `TradingNode`: no configuration file, no risk gate.

    ALPACA_API_KEY=… ALPACA_API_SECRET=… python examples/alpaca_equity_ema_cross.py [SYMBOL]

Trades Alpaca's paper account. ALPACA_TRADING_URL, ALPACA_DATA_URL and ALPACA_STREAM_URL point it elsewhere, such as at
`runner exchange`; ALPACA_RUN_SECONDS ends it by itself.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

from nautilus_trader.config import InstrumentProviderConfig, LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.examples.strategies.ema_cross import EMACross, EMACrossConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId, TraderId

from runner.alpaca import (
    AlpacaDataClientConfig,
    AlpacaExecClientConfig,
    AlpacaLiveDataClientFactory,
    AlpacaLiveExecClientFactory,
    use_direct_delivery,
)

KEYS = ("ALPACA_API_KEY", "ALPACA_API_SECRET")


def build(symbol: str) -> TradingNode:
    """A node that trades ten shares of `symbol` by the cross of two averages of its one-minute bars."""
    instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
    provider = InstrumentProviderConfig(load_ids=frozenset({instrument_id}))
    urls = {name: os.environ.get(f"ALPACA_{name.upper()}") for name in ("trading_url", "data_url", "stream_url")}
    node = TradingNode(
        TradingNodeConfig(
            trader_id=TraderId("EXAMPLE-001"),
            logging=LoggingConfig(log_level="INFO", log_colors=sys.stdout.isatty()),
            data_clients={"ALPACA": AlpacaDataClientConfig(instrument_provider=provider, **urls)},
            exec_clients={"ALPACA": AlpacaExecClientConfig(instrument_provider=provider, **urls)},
            # The adapter settles orders by itself; Nautilus's own check would reject one whose fill is on its way.
            exec_engine=LiveExecEngineConfig(inflight_check_interval_ms=0),
            timeout_connection=20.0,
            timeout_post_stop=2.0,
        )
    )
    node.add_data_client_factory("ALPACA", AlpacaLiveDataClientFactory)
    node.add_exec_client_factory("ALPACA", AlpacaLiveExecClientFactory)
    node.trader.add_strategy(
        EMACross(
            EMACrossConfig(
                instrument_id=instrument_id,
                bar_type=BarType.from_str(f"{instrument_id}-1-MINUTE-LAST-EXTERNAL"),
                trade_size=Decimal(10),
                fast_ema_period=5,
                slow_ema_period=10,
            )
        )
    )
    node.build()
    use_direct_delivery(node.kernel.data_engine)
    return node


def main() -> int:
    """Run until it is interrupted. 78 where the keys are missing."""
    missing = [name for name in KEYS if not os.environ.get(name)]
    if missing:
        print(
            f"error: {' and '.join(missing)} not set. Make paper keys at https://app.alpaca.markets, or point "
            "ALPACA_TRADING_URL, ALPACA_DATA_URL and ALPACA_STREAM_URL at `runner exchange`, which takes any keys.",
            file=sys.stderr,
        )
        return 78
    node = build(sys.argv[1] if len(sys.argv) > 1 else "AAPL")
    seconds = os.environ.get("ALPACA_RUN_SECONDS")
    if seconds:
        node.get_event_loop().call_later(float(seconds), lambda: node.get_event_loop().create_task(node.stop_async()))
    try:
        node.run()
    finally:
        node.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
