"""The state of the simulated market: venue time, the newest prices of each symbol, and who hears of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from runner.exchange.assets import Asset, asset_class_of, make_asset
from runner.exchange.calendar import Calendar, Session
from runner.exchange.contracts import ContractFilter, OptionContract, contract_of, sorted_contracts


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and offer. A side that is missing has price 0 and size 0. `ts_ns` is UNIX ns.

    Sizes are shares, contracts, or units of a pair's base currency (those have fractions).
    """

    symbol: str
    bid: Decimal
    bid_size: Decimal | int
    ask: Decimal
    ask_size: Decimal | int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One print. `raw` is the message as it stood on the wire, numbers with a point as Decimal."""

    symbol: str
    price: Decimal
    size: Decimal
    ts_ns: int
    raw: dict[str, Any]


class Market:
    """Venue time and the newest prices.

    Callbacks run in the order of registration, on the event loop, before the message reaches any data stream: an order
    that a client sends in answer to a quote finds that quote.
    """

    def __init__(self, symbols: Iterable[str] = (), *, now_ns: int = 0, calendar: Calendar | None = None) -> None:
        self.now_ns = now_ns
        self.calendar = calendar or Calendar()
        self._assets: dict[str, Asset] = {}
        self._contracts: dict[str, OptionContract] = {}
        self._aliases: dict[str, str] = {}
        """Ids of assets and contracts, and pairs without their slash."""
        self._quotes: dict[str, Quote] = {}
        self._trades: dict[str, Trade] = {}
        self._halted: set[str] = set()
        self._on_quote: list[Callable[[Quote], None]] = []
        self._on_trade: list[Callable[[Trade], None]] = []
        self._on_clock: list[Callable[[int], None]] = []
        self.add_symbols(symbols)

    def add_symbols(self, symbols: Iterable[str]) -> None:
        """Make assets of stocks and pairs, and contracts of option symbols, that are not known yet."""
        contracts = []
        for symbol in symbols:
            if symbol in self._assets or symbol in self._contracts:
                continue
            if asset_class_of(symbol) == "us_option":
                contracts.append(contract_of(symbol))
                continue
            asset = self._assets[symbol] = make_asset(symbol)
            self._aliases[asset.id] = symbol
            if asset.asset_class == "crypto":
                self._aliases[symbol.replace("/", "")] = symbol
        self.add_contracts(contracts)

    def add_contracts(self, contracts: Iterable[OptionContract]) -> None:
        """Take in option contracts, in place of what was known of them; their underlyings become assets too."""
        for contract in contracts:
            self._contracts[contract.symbol] = contract
            self._aliases[contract.id] = contract.symbol
            underlying = contract.underlying_symbol
            if underlying not in self._assets:
                self.add_symbols([underlying])
            if not self._assets[underlying].has_options:
                self._assets[underlying] = replace(self._assets[underlying], has_options=True)

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote of a stock, a pair (in either spelling) or a contract; None before the first."""
        return self._quotes.get(symbol) or self._quotes.get(self._aliases.get(symbol, ""))

    def last_trade(self, symbol: str) -> Trade | None:
        """The newest print of a stock, a pair (in either spelling) or a contract; None before the first."""
        return self._trades.get(symbol) or self._trades.get(self._aliases.get(symbol, ""))

    def symbols(self) -> list[str]:
        """Every stock and pair that can be traded here, sorted; option contracts are `contracts`."""
        return sorted(self._assets)

    def asset(self, symbol_or_id: str) -> Asset | None:
        """The asset by its symbol or its id, None where there is none. `BTC/USD` and `BTCUSD` are the same pair.

        An option contract is an asset of the class us_option.
        """
        name = self._aliases.get(symbol_or_id, symbol_or_id)
        found = self._assets.get(name)
        if found is not None:
            return found
        contract = self.contract(name)
        return None if contract is None else contract.asset()

    def contract(self, symbol_or_id: str) -> OptionContract | None:
        """The option contract by its symbol or its id, as it stands at venue time; None where there is none."""
        found = self._contracts.get(self._aliases.get(symbol_or_id, symbol_or_id))
        return None if found is None else self._as_of_now(found)

    def contracts(self, wanted: ContractFilter | None = None) -> list[OptionContract]:
        """The option contracts that `wanted` lets through (none: all), sorted by symbol."""
        now = map(self._as_of_now, self._contracts.values())
        return sorted_contracts(contract for contract in now if wanted is None or wanted.fits(contract))

    def _as_of_now(self, contract: OptionContract) -> OptionContract:
        """Past its expiry a contract is inactive."""
        if contract.status == "active" and self.now_ns >= self.expiry_ns(contract):
            return replace(contract, status="inactive", tradable=False)
        return contract

    def expiry_ns(self, contract: OptionContract) -> int:
        """When trading in the contract ends: the close of its last trading day, UNIX ns."""
        day = contract.expiration_date
        if not self.calendar.is_trading_day(day):
            day = self.calendar.previous_trading_day(day)
        return self.calendar.close_ns(day)

    def session(self, symbol: str | None = None) -> Session:
        """The session at venue time: of stocks, or of what `symbol` is.

        A crypto pair is always in its core session; options trade while the stocks' core session is on and are closed
        otherwise.
        """
        name = "" if symbol is None else self._aliases.get(symbol, symbol)
        if "/" in name:
            return "core"
        session = self.calendar.session(self.now_ns)
        # Asked for each quote of a symbol with orders: the form is looked at only where it matters.
        return "closed" if session in {"pre", "post"} and asset_class_of(name) == "us_option" else session

    def halted(self, symbol: str) -> bool:
        """Whether trading in the symbol is halted, or in its underlying's where it is an option."""
        if not self._halted:
            return False
        contract = self._contracts.get(symbol)
        return symbol in self._halted or (contract is not None and contract.underlying_symbol in self._halted)

    def on_quote(self, callback: Callable[[Quote], None]) -> None:
        """Call `callback` with each new quote."""
        self._on_quote.append(callback)

    def on_trade(self, callback: Callable[[Trade], None]) -> None:
        """Call `callback` with each new print."""
        self._on_trade.append(callback)

    def on_clock(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with venue time (ns) whenever it has moved, before anything that happens at that time."""
        self._on_clock.append(callback)

    def set_clock(self, now_ns: int) -> None:
        """Move venue time on. It never goes back: an earlier time is ignored."""
        if now_ns <= self.now_ns:
            return
        self.now_ns = now_ns
        for callback in self._on_clock:
            callback(now_ns)

    def set_quote(self, quote: Quote) -> None:
        """Take a new quote, and tell those who asked."""
        self._quotes[quote.symbol] = quote
        for callback in self._on_quote:
            callback(quote)

    def set_trade(self, trade: Trade) -> None:
        """Take a new print, and tell those who asked."""
        self._trades[trade.symbol] = trade
        for callback in self._on_trade:
            callback(trade)

    def split(self, symbol: str, factor: Decimal) -> None:
        """`factor` new shares for one: the newest quote and print are of the new shares from now on."""
        if (quote := self._quotes.get(symbol)) is not None:
            self._quotes[symbol] = replace(quote, bid=quote.bid / factor, ask=quote.ask / factor)
        if (trade := self._trades.get(symbol)) is not None:
            self._trades[symbol] = replace(trade, price=trade.price / factor)

    def set_halted(self, symbol: str, *, halted: bool) -> None:
        """A halt begins or ends."""
        if halted:
            self._halted.add(symbol)
        else:
            self._halted.discard(symbol)
