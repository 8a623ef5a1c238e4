"""The Alpaca clients of a node, made by the adapter's own factories."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId

from runner.alpaca import (
    AlpacaDataClientConfig,
    AlpacaDataFeed,
    AlpacaExecClientConfig,
    AlpacaLiveDataClientFactory,
    AlpacaLiveExecClientFactory,
)
from runner.alpaca.config import endpoints
from runner.config.models import GREEKS_INTERVAL, PLANS, FeedConfig
from runner.node.build import Endpoint, NodePlan

# The real venue's sockets come back slowly for a reason; a simulated day at high speed can't wait that long.
_SIM_STREAM: Mapping[str, float] = {"backoff_min_s": 0.02, "backoff_max_s": 1.0, "busy_backoff_s": 0.1}
# Quotes that may wait in a replay: more than any second of venue time has.
_KEEP_ALL = 1_000_000


class AlpacaAdapter:
    """`quota_per_min` is the venue's allowance of requests (the simulated one's grows with its speed)."""

    def __init__(self, *, quota_per_min: int = 200, simulated: bool = False) -> None:
        self._quota = quota_per_min
        self._stream = _SIM_STREAM if simulated else {}

    def data_client(
        self, name: str, feed: FeedConfig, endpoint: Endpoint, instruments: Sequence[str], plan: NodePlan, kernel: Any
    ) -> Any:
        config = AlpacaDataClientConfig(
            feed=AlpacaDataFeed(feed.feed),
            adjustment=feed.adjustment,
            updated_bars=feed.updated_bars,
            max_symbols=PLANS.get(feed.feed, 0) if feed.max_symbols is None else feed.max_symbols,
            greeks_interval_s=(
                GREEKS_INTERVAL if feed.greeks_interval is None else feed.greeks_interval
            ).total_seconds(),
            # A fast replay comes in slices that would never wait together in real time.
            conflate_above=feed.conflate_above if plan.real_time else _KEEP_ALL,
            # News are of no instrument: what they name need not be loaded.
            **self._common(endpoint, () if feed.market == "news" else instruments, plan),
        )
        client = AlpacaLiveDataClientFactory.create(
            asyncio.get_running_loop(), name, config, kernel.msgbus, kernel.cache, kernel.clock
        )
        client.use_engine(kernel.data_engine)
        return client

    def exec_client(
        self, name: str, endpoint: Endpoint, instruments: Sequence[str], plan: NodePlan, kernel: Any
    ) -> Any:
        config = AlpacaExecClientConfig(
            unknown_timeout_s=plan.config.node.unknown_order_timeout.total_seconds(),
            # In lock-step the account is read at once, so that it is known before the replay goes on.
            account_refresh_s=0.0 if plan.serial else 0.5,
            settle_timeout_s=plan.config.node.stop_timeout.total_seconds(),
            assets_interval_s=plan.config.node.assets_refresh.total_seconds(),
            **self._common(endpoint, instruments, plan),
        )
        return AlpacaLiveExecClientFactory.create(
            asyncio.get_running_loop(), name, config, kernel.msgbus, kernel.cache, kernel.clock
        )

    def _common(self, endpoint: Endpoint, instruments: Sequence[str], plan: NodePlan) -> dict[str, Any]:
        times = plan.config.node
        return {
            "api_key": endpoint.key,
            "api_secret": endpoint.secret,
            "paper": endpoint.paper,
            "trading_url": endpoint.trading_url,
            "data_url": endpoint.data_url,
            "stream_url": endpoint.stream_url,
            "serial": plan.serial,
            "http_timeout_s": times.http_timeout.total_seconds(),
            "connect_timeout_s": times.connect_timeout.total_seconds(),
            "trading_per_min": self._quota,
            "data_per_min": self._quota,
            "instrument_provider": InstrumentProviderConfig(
                load_ids=frozenset(InstrumentId.from_str(each) for each in instruments)
            ),
            **self._stream,
        }


def trading_url(client: Any) -> str:
    """The REST host of an execution client, without a trailing slash."""
    return str(endpoints(client.config).trading)
