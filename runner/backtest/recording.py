"""A recording (Alpaca stream messages, one a line) into a catalog.

The simulated exchange's own player reads it, so that the minute bars of a recording without any are those that the
exchange would have sent: a backtest and a simulated run of one recording see the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model.data import Bar, BarType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId

from runner.alpaca.derived import contract, pair
from runner.alpaca.instruments import equity
from runner.alpaca.models import Asset, OptionContractRow, decode
from runner.alpaca.symbols import instrument_id
from runner.backtest.catalog import History, raw
from runner.backtest.errors import DataError
from runner.exchange.assets import asset_class_of, make_asset
from runner.exchange.bars import MINUTE_NS
from runner.exchange.contracts import OptionContract, contract_of, read_contracts
from runner.exchange.history import History as Played
from runner.exchange.market import Market
from runner.exchange.player import Player
from runner.exchange.tape import Tape, TapeError
from runner.exchange.wire import Message, dumps, fields_of, parse_ns

#: Rows of one instrument and kind that are held before they are written.
HOLD = 250_000
#: Decimals that a row is read with; what an instrument has fewer of is rounded when it is written.
_FINE = 9
_SIDES = {"B": AggressorSide.BUYER, "S": AggressorSide.SELLER}
Told = Callable[[int, int], None]


def import_recording(
    history: History, files: Sequence[Path], *, contracts: Sequence[Path] = (), told: Told = lambda _done, _total: None
) -> dict[tuple[str, str], int]:
    """Write what is not there yet; rows written by (kind, identifier). `told` hears of messages done and their total.

    Raises DataError for a file that can't be read.
    """
    try:
        known = {each.symbol: each for path in contracts for each in read_contracts(path)}
        importer = _Importer(history, known)
        player = Player(Tape(files), Market(), _Nothing(), importer.take)
        while player.next_ns is not None:
            player.advance(player.next_ns + MINUTE_NS)
            told(player.done, player.info.total)
    except (TapeError, ValueError) as error:
        raise DataError(
            str(error), "a recording is made by `runner record`: one Alpaca stream message a line, gzipped or not"
        ) from error
    importer.flush()
    return importer.written


class _Nothing(Played):
    """Keeps nothing of what is played: it all goes to the catalog."""

    def add(self, *_: Any) -> None: ...
    def add_bar(self, *_: Any) -> None: ...
    def set_day(self, *_: Any) -> None: ...
    def amend(self, *_: Any) -> None: ...


class _Importer:
    def __init__(self, history: History, contracts: dict[str, OptionContract]) -> None:
        self.written: dict[tuple[str, str], int] = {}
        self._history = history
        self._contracts = contracts
        self._held: dict[tuple[str, str], list[Any]] = {}
        self._instruments: dict[str, Any] = {}
        self._prices: dict[str, Decimal] = {}
        self._bar_types: dict[str, Any] = {}
        self._make = {"q": self._quote, "t": self._trade, "b": self._bar}

    def take(self, message: Message) -> None:
        """One message of the exchange's stream, its own bars among them."""
        make = self._make.get(message.kind)
        if make is None:
            return
        key, row = make(message.symbol, fields_of(message.raw), message.ts_ns)
        rows = self._held.setdefault(key, [])
        # Two files must not share an instant: their spans would overlap.
        if len(rows) >= HOLD and row.ts_init > rows[-1].ts_init:
            self._write(key, rows)
            rows.clear()
        rows.append(row)

    def flush(self) -> None:
        for key, rows in self._held.items():
            self._write(key, rows)
        self._held.clear()

    def _write(self, key: tuple[str, str], rows: list[Any]) -> None:
        kind, identifier = key
        instrument = self._instrument(rows[0])
        start_ns, end_ns = rows[0].ts_init, rows[-1].ts_init
        for gap_start, gap_end in self._history.missing(kind, identifier, start_ns, end_ns):
            part = [row for row in rows if gap_start <= row.ts_init <= gap_end]
            if part:
                self._history.put(kind, identifier, part, instrument, gap_start, gap_end)
                self.written[key] = self.written.get(key, 0) + len(part)

    def _instrument(self, row: Any) -> Any:
        which = row.bar_type.instrument_id if isinstance(row, Bar) else row.instrument_id
        symbol = which.symbol.value
        found = self._instruments.get(symbol)
        if found is None:
            # What Alpaca itself said of it, from an earlier fetch, is better than what is made up here.
            found = self._history.instrument(which.value)
            if found is None:
                found = made_up(symbol, self._prices.get(symbol), self._contracts.get(symbol))
                self._history.put_instrument(found)
            self._instruments[symbol] = found
        return found

    def _quote(self, symbol: str, fields: dict[str, Any], ts_ns: int) -> tuple[tuple[str, str], Any]:
        which = instrument_id(symbol)
        bid, ask = Decimal(fields.get("bp", 0)), Decimal(fields.get("ap", 0))
        sizes = (Decimal(fields.get("bs", 0)), Decimal(fields.get("as", 0)))
        row = QuoteTick.from_raw(
            which, raw(bid), raw(ask), _FINE, _FINE, raw(sizes[0]), raw(sizes[1]), _FINE, _FINE,
            parse_ns(fields["t"]), ts_ns,
        )  # fmt: skip
        return ("quotes", which.value), row

    def _trade(self, symbol: str, fields: dict[str, Any], ts_ns: int) -> tuple[tuple[str, str], Any]:
        which, price = instrument_id(symbol), Decimal(fields["p"])
        self._prices[symbol] = price
        at_ns = parse_ns(fields["t"])
        trade_id = TradeId(str(fields.get("i", f"T{at_ns}")))
        side = _SIDES.get(str(fields.get("tks", "")), AggressorSide.NO_AGGRESSOR)
        size = Decimal(fields["s"])
        row = TradeTick.from_raw(which, raw(price), _FINE, raw(size), _FINE, side, trade_id, at_ns, ts_ns)
        return ("trades", which.value), row

    def _bar(self, symbol: str, fields: dict[str, Any], ts_ns: int) -> tuple[tuple[str, str], Any]:
        self._prices[symbol] = Decimal(fields["c"])
        bar_type = self._bar_types.get(symbol)
        if bar_type is None:
            bar_type = BarType.from_str(f"{instrument_id(symbol)}-1-MINUTE-LAST-EXTERNAL")
            self._bar_types[symbol] = bar_type
        prices = (raw(Decimal(fields[each])) for each in "ohlc")
        # The wire stamps a bar with its start; it is known when it closes.
        closes_ns = parse_ns(fields["t"]) + MINUTE_NS
        row = Bar.from_raw(bar_type, *prices, _FINE, raw(Decimal(fields["v"])), _FINE, closes_ns, ts_ns)
        return ("bars", str(bar_type)), row


def made_up(symbol: str, last_price: Decimal | None, known: OptionContract | None = None) -> Any:
    """The instrument that the simulated exchange has for a symbol: a recording says nothing of its own."""
    kind = asset_class_of(symbol)
    if kind == "us_option":
        body = dumps((known or contract_of(symbol)).to_json()).encode()
        return contract(decode(OptionContractRow, body, f"the contract {symbol}"))
    asset = decode(Asset, dumps(make_asset(symbol).to_json()).encode(), f"the asset {symbol}")
    return pair(asset) if kind == "crypto" else equity(asset, last_price=last_price)
