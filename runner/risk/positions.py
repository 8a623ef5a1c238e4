"""What is held, by instrument: looked up in Nautilus's cache once, and again after an event says that it moved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from runner.risk.exposure import ZERO


class Positions:
    """Signed positions in base units, of an account or of a strategy on it."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._held: dict[Any, dict[tuple[Any, Any], Decimal]] = {}
        self._instruments: dict[Any, set[Any]] = {}

    def qty(self, instrument_id: Any, account_id: Any, strategy_id: Any = None) -> Decimal:
        """The account's net position, or one strategy's share of it."""
        of_instrument = self._held.get(instrument_id)
        if of_instrument is None:
            of_instrument = self._held[instrument_id] = {}
        key = (account_id, strategy_id)
        held = of_instrument.get(key)
        if held is None:
            held = ZERO
            for position in self._cache.positions_open(
                instrument_id=instrument_id, strategy_id=strategy_id, account_id=account_id
            ):
                held += position.signed_decimal_qty()
            of_instrument[key] = held
        return held

    def instruments(self, account_id: Any) -> set[Any]:
        """Every instrument that the account has held since the gate began, those that are flat again included."""
        known = self._instruments.get(account_id)
        if known is None:
            held = self._cache.positions_open(account_id=account_id)
            known = self._instruments[account_id] = {position.instrument_id for position in held}
        return known

    def clear(self) -> None:
        """Look everything up anew."""
        self._held.clear()
        self._instruments.clear()

    def on_event(self, event: Any) -> None:
        """Forget what was known of the event's instrument (a fill, or a position that opened, changed or closed)."""
        instrument_id = event.instrument_id
        self._held.pop(instrument_id, None)
        known = self._instruments.get(event.account_id)
        if known is not None:
            known.add(instrument_id)
