"""Whether the market data of strategies that are to come can be had: asked before anything is changed for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId

from runner.alpaca.bars import UnsupportedBarsError, bar_source
from runner.alpaca.symbols import symbol_of

if TYPE_CHECKING:
    from runner.alpaca.data import AlpacaDataClient


async def look_up(
    client: AlpacaDataClient, instruments: Sequence[str], bars: Sequence[str], quotes: Sequence[str]
) -> list[str]:
    """Load what is missing of these instruments; what is not to be had of them and of their data, in words.

    `quotes` are those whose quotes the gate will ask for, too. Raises HttpError or Unavailable where the venue can't
    be asked.
    """
    problems: list[str] = []
    bar_types = [BarType.from_str(each) for each in bars]
    by_bars = {each.instrument_id for each in bar_types}
    ticks: dict[AlpacaDataClient, set[str]] = {}
    quoted: dict[AlpacaDataClient, set[str]] = {}
    for text in instruments:
        instrument_id = InstrumentId.from_str(text)
        try:
            own = client._for(instrument_id)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not await own.load(instrument_id):
            problems.append(f"Alpaca has no instrument {instrument_id}; check the symbol")
            continue
        symbol = symbol_of(instrument_id)
        # What a strategy names without bars of it, it will ask quotes or trades of.
        ticks.setdefault(own, set()).update([] if instrument_id in by_bars else [symbol])
        quoted.setdefault(own, set()).update([symbol] if text in quotes else [])
    for own, symbols in ticks.items():
        if (short := own.short_of_room(symbols, quoted[own])) is not None:
            problems.append(short)
    for bar_type in bar_types:
        try:
            # Whether they are streamed can't be told from here: they may only be requested.
            if bar_type.is_externally_aggregated():
                bar_source(bar_type)
        except UnsupportedBarsError as error:
            problems.append(str(error))
    return problems
