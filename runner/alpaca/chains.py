"""Slices of option chains at intervals, in a replay.

Nautilus's data engine ends a chain once this machine's clock is past its expiry: a replayed chain would end at its
first slice. Here the venue's clock decides; all else is as in the engine's own `_option_chain_snapshot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.data.messages import (
    SubscribeOptionGreeks,
    SubscribeQuoteTicks,
    UnsubscribeOptionGreeks,
    UnsubscribeQuoteTicks,
)
from nautilus_trader.model.identifiers import InstrumentId

if TYPE_CHECKING:
    from runner.alpaca.data import AlpacaDataClient


class ReplayedChains:
    """Stands in for the engine's callback of its timers. In a replay the venue's clock counts, else nothing changes."""

    def __init__(self, engine: Any, client: AlpacaDataClient) -> None:
        self._engine = engine
        self._client = client
        self._own = engine._option_chain_snapshot

    @classmethod
    def install(cls, engine: Any, client: AlpacaDataClient) -> None:
        """Let an engine's chains be judged by the venue's clock; the first client that says so does it."""
        if not isinstance(engine._option_chain_snapshot, cls):
            engine._option_chain_snapshot = cls(engine, client)

    def __call__(self, event: Any) -> None:
        timers, chains = self._engine._option_chain_timer_names, self._engine._option_chain_managers
        key = next((key for key, name in timers.items() if name == event.name), None)
        manager = chains.get(key)
        clock = self._client.venue_clock
        if manager is None or not clock.is_replay or clock.now_ns() >= manager.series_id.expiration_ns:
            self._own(event)
            return
        now_ns = clock.now_ns()
        for added, ids in zip((True, False), manager.check_rebalance(now_ns) or ((), ()), strict=True):
            for each in ids:
                self._follow(InstrumentId.from_str(str(each)), str(key), added=added)
        chain = manager.snapshot(now_ns)
        if chain is not None:
            self._client.msgbus.publish(topic=f"data.option_chain.{key}", msg=chain)

    def _follow(self, instrument_id: InstrumentId, key: str, *, added: bool) -> None:
        """The price has moved: a contract's quotes and greeks are wanted from now on, or no more."""
        client, index = self._client, self._engine._option_chain_instrument_index
        about = {"instrument_id": instrument_id, "client_id": client.id, "venue": client.venue}
        about |= {"command_id": UUID4(), "ts_init": self._engine._clock.timestamp_ns()}
        if added:
            index[instrument_id] = key
            client.subscribe_quote_ticks(SubscribeQuoteTicks(**about))
            client.subscribe_option_greeks(SubscribeOptionGreeks(**about))
        else:
            index.pop(instrument_id, None)
            client.unsubscribe_quote_ticks(UnsubscribeQuoteTicks(**about))
            client.unsubscribe_option_greeks(UnsubscribeOptionGreeks(**about))
