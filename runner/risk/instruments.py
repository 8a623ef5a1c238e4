"""What a decision needs to know of an instrument, looked up once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nautilus_trader.model.enums import AssetClass, InstrumentClass
from nautilus_trader.model.identifiers import is_generic_spread_id

from runner.risk.collateral import marginable
from runner.risk.prices import whole_multiplier

_OPTIONS = (InstrumentClass.OPTION, InstrumentClass.OPTION_SPREAD)


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one instrument as the cache has it."""

    instrument: Any
    symbol: str
    size: int
    """How many units of the underlying one contract is of."""
    option: bool
    """One contract, or several at once."""
    spread: bool
    crypto: bool

    @property
    def lent_on(self) -> bool:
        """Whether the broker lends on it: marginable stock. What an instrument's info says may change in its place."""
        return marginable(self.instrument)


class Instruments:
    """Follows the cache: an instrument that is put there anew is looked at anew."""

    def __init__(self, cache: Any) -> None:
        self._instrument = cache.instrument
        self._known: dict[Any, Facts] = {}

    def get(self, instrument_id: Any) -> Facts | None:
        """None where the cache does not have it, or its multiplier is no whole number."""
        instrument = self._instrument(instrument_id)
        known = self._known.get(instrument_id)
        if known is not None and known.instrument is instrument:
            return known
        if instrument is None:
            return None
        try:
            known = self._known[instrument_id] = _facts(instrument)
        except ValueError:
            return None
        return known

    def of(self, instrument_id: Any) -> Facts:
        """Raises LookupError for one that is not in the cache, ValueError for a multiplier that is no whole number."""
        facts = self.get(instrument_id)
        if facts is not None:
            return facts
        instrument = self._instrument(instrument_id)
        if instrument is None:
            raise LookupError(f"{instrument_id} is not in the cache")
        return _facts(instrument)


def _facts(instrument: Any) -> Facts:
    return Facts(
        instrument=instrument,
        symbol=instrument.id.symbol.value,
        size=whole_multiplier(instrument),
        option=instrument.instrument_class in _OPTIONS,
        spread=is_generic_spread_id(instrument.id),
        crypto=instrument.asset_class == AssetClass.CRYPTOCURRENCY,
    )
