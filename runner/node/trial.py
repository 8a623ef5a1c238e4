"""Runs a file's own tests of its limits: the real gate over a made-up account, with nothing connected.

Each test has a bus, a cache and an execution engine of Nautilus's of its own, in which the account, its positions, its
working orders and the quotes are what the test says. What passes the gate goes nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import (
    AccountType,
    AssetClass,
    LiquiditySide,
    OmsType,
    OptionKind,
    OrderSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    InstrumentId,
    StrategyId,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
    new_generic_spread_id,
)
from nautilus_trader.model.instruments import CurrencyPair, OptionContract
from nautilus_trader.model.objects import AccountBalance, Currency, Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

from runner.alpaca.calendar import TradingCalendar
from runner.alpaca.derived import spread
from runner.alpaca.instruments import equity
from runner.alpaca.models import Asset, CalendarDay
from runner.alpaca.symbols import instrument_id as id_of
from runner.config.errors import instead
from runner.config.models import RunnerConfig
from runner.config.trials import ALLOWED, Trial, TrialLeg, TrialOrder
from runner.margin.options import OCC, parse_symbol
from runner.margin.symbols import plain_symbol
from runner.node.gate import illegal, limits_book
from runner.node.schedule.schedules import Schedules
from runner.risk.codes import BREACHES, Code
from runner.risk.gate import RiskGate
from runner.risk.latches import MemoryLatches
from runner.risk.state import NODE
from runner.risk.trading_day import NEW_YORK, TradingDay

DEFAULT_TIME = datetime(2026, 1, 5, 10, 0, tzinfo=NEW_YORK)
VENUE = Venue("ALPACA")
TRADER = TraderId("TEST-001")
_SIZE = Quantity.from_int(1_000_000)
_TIMES = {
    "day": TimeInForce.DAY,
    "gtc": TimeInForce.GTC,
    "ioc": TimeInForce.IOC,
    "fok": TimeInForce.FOK,
}


class TrialError(Exception):
    """A test that can't be set up; says why. `path` leads to the culprit within the test."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate said: `allowed`, or a code, with the whole reason."""

    code: str
    reason: str = ""


def weekdays(around: datetime) -> TradingCalendar:
    """Every weekday a whole trading day: nobody is asked here."""
    calendar, first, last = TradingCalendar(), around.date() - timedelta(days=7), around.date() + timedelta(days=7)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    rows = [CalendarDay(date=day.isoformat(), open="09:30", close="16:00") for day in days if day.weekday() < 5]
    calendar.fill(rows, first, last)
    return calendar


class _Client(ExecutionClient):
    """Takes everything and says nothing, save what it is told to."""

    _trades = 0

    def submit_order(self, command: Any) -> None: ...

    def accept(self, order: Any) -> VenueOrderId:
        ids, number = (
            (order.strategy_id, order.instrument_id, order.client_order_id),
            VenueOrderId(f"V-{order.client_order_id}"),
        )
        self.generate_order_submitted(*ids, 0)
        self.generate_order_accepted(*ids, number, 0)
        return number

    def fill(self, order: Any, price: Any) -> None:
        ids = (order.strategy_id, order.instrument_id, order.client_order_id, self.accept(order))
        self._trades += 1
        trade = TradeId(f"T-{self._trades}")
        what = (order.side, order.order_type, order.quantity, price, USD, Money(0, USD), LiquiditySide.TAKER, 0)
        self.generate_order_filled(*ids, None, trade, *what)


def judge(config: RunnerConfig, trial: Trial) -> Outcome:
    """What the file's limits say of a test's last order. Raises TrialError for what can't be set up."""
    name = trial.strategy or next(iter(config.strategies))
    if trial.expect != ALLOWED and trial.expect not in Code.__members__:
        raise TrialError(f"there is no code {trial.expect}, {instead(trial.expect, list(Code.__members__))}", "expect")
    if trial.expect in BREACHES:
        raise TrialError(f"{trial.expect} denies no order: expect the state that it makes, as STATE_REDUCING", "expect")
    bench = Bench(config, trial, name)
    orders = trial.sequence()
    for n, wanted in enumerate(orders):
        where: tuple[str | int, ...] = ("order",) if trial.order is not None else ("orders", n)
        outcome = bench.submit(wanted, where)
        if outcome.code != ALLOWED and n < len(orders) - 1:
            raise TrialError(f"denied before the last one was judged: {outcome.reason}", *where)
    if bench.gate.errors:
        raise TrialError(f"the gate failed: {outcome.reason or 'see the log'}")
    return outcome


class Bench:
    """The gate over the account of a test; orders that pass it stay working there."""

    def __init__(self, config: RunnerConfig, trial: Trial, strategy: str) -> None:
        self._trial = trial
        account = config.strategies[strategy].account
        at = DEFAULT_TIME if trial.at is None else trial.at.replace(tzinfo=NEW_YORK)
        self._now_ns = int(at.timestamp()) * 1_000_000_000
        self._clock = TestClock()
        self._clock.set_time(self._now_ns)
        self._cache = Cache()
        self._bus = MessageBus(TRADER, self._clock)
        Portfolio(self._bus, self._cache, self._clock)
        engine = ExecutionEngine(self._bus, self._cache, self._clock)
        self._client = _Client(
            ClientId("ALPACA"), VENUE, OmsType.NETTING, AccountType.MARGIN, USD, self._bus, self._cache, self._clock
        )
        self._client._set_account_id(AccountId("ALPACA-001"))
        engine.register_client(self._client)
        self._strategy_id = StrategyId(f"Trial-{strategy}")
        self._factory = OrderFactory(TRADER, self._strategy_id, self._clock)
        self._engine = engine
        self._passed: list[Any] = []
        self._quotes()
        self._account()
        self.gate = RiskGate(
            msgbus=self._bus,
            cache=self._cache,
            clock=self._clock,
            limits=limits_book(config),
            schedule=None if trial.at is None else Schedules(config, weekdays(at), lambda: self._now_ns),
            legality=lambda order, instrument, params: illegal(order, instrument, params, self._now_ns),
            latches=self._latches(account, strategy),
            account_name=lambda _id: account,
            strategy_name=lambda _id: strategy,
        )
        self.gate.install(engine, self._passed.append)
        self.gate.begin()
        self.gate.margin.on_account(self._told)
        if trial.state != "active":
            self.gate.set_state(trial.state, scope=NODE, why="the test says so")

    def submit(self, wanted: TrialOrder, where: tuple[str | int, ...]) -> Outcome:
        order = self._order(wanted, where)
        self._cache.add_order(order, None, None)
        before = len(self._passed)
        self._bus.send("ExecEngine.execute", SubmitOrder(TRADER, self._strategy_id, order, UUID4(), self._now_ns))
        if len(self._passed) > before:
            return Outcome(ALLOWED)
        reason: str = order.last_event.reason
        return Outcome(reason.partition(":")[0], reason)

    # -- what the test says ------------------------------------------------------------------------------------------

    def _quotes(self) -> None:
        for symbol, quote in self._trial.quotes.items():
            where = ("quotes", symbol)
            instrument = self._instrument(symbol, where)
            at = self._now_ns - (0 if quote.age is None else quote.age // timedelta(microseconds=1) * 1000)
            bid, ask = (
                instrument.make_price(0) if price is None else exact(instrument.make_price(price), price, symbol, where)
                for price in (quote.bid, quote.ask)
            )
            self._cache.add_quote_tick(QuoteTick(instrument.id, bid, ask, _SIZE, _SIZE, at, at))

    def _account(self) -> None:
        account = self._trial.account
        worth = Decimal(0)
        opened: list[tuple[Any, Any]] = []
        for symbol, position in account.positions.items():
            where = ("account", "positions", symbol)
            instrument = self._instrument(symbol, where)
            mark = self._middle(instrument.id)
            price = position.price if position.price is not None else mark
            if price is None:
                raise TrialError(f"what {symbol} was opened at is not known, give it a price or a quote", *where)
            if not position.qty:
                raise TrialError("a position of nothing, leave it out", *where)
            side = OrderSide.BUY if position.qty > 0 else OrderSide.SELL
            qty = exact(instrument.make_qty(abs(position.qty)), abs(position.qty), symbol, where)
            order = self._factory.market(instrument.id, side, qty)
            opened.append((order, instrument.make_price(price)))
            worth += position.qty * (mark if mark is not None else price) * instrument.multiplier.as_decimal()
        money = Money(account.cash, USD)
        info = {
            "cash": str(account.cash),
            "equity": str(account.cash + worth),
            "multiplier": "2",
            "options_trading_level": str(account.options_level),
        }
        state: tuple[Any, ...] = ([AccountBalance(money, Money(0, USD), money)], [], True, self._now_ns)
        self._client.generate_account_state(*state, info=info)
        for order, price in opened:
            self._cache.add_order(order, None, None)
            self._client.fill(order, price)
        for n, wanted in enumerate(account.working):
            order = self._order(wanted, ("account", "working", n))
            self._cache.add_order(order, None, None)
            self._client.accept(order)
        # Nautilus works the account out anew at each fill where a backtest of the venue ran in this process before.
        self._client.generate_account_state(*state, info=info)
        self._told = self._cache.account_for_venue(VENUE).last_event

    def _latches(self, account: str, strategy: str) -> MemoryLatches:
        if self._trial.account.lost_today is None:
            return MemoryLatches()
        lost = str(self._trial.account.lost_today)
        record = json.dumps({"day": TradingDay().day(self._now_ns), "lost": lost, "below": lost, "forgiven": "0"})
        return MemoryLatches(
            {f"loss/{each}": record for each in ("node/", f"account/{account}", f"strategy/{strategy}")}
        )

    def _order(self, wanted: TrialOrder, where: tuple[str | int, ...]) -> Any:
        if wanted.legs is not None:
            instrument = self._spread(wanted.legs, (*where, "legs"))
        else:
            instrument = self._instrument(wanted.symbol or "", (*where, "symbol"))
        side = OrderSide.SELL if wanted.side == "sell" else OrderSide.BUY
        money = wanted.notional is not None
        try:
            made = [
                None if value is None else exact(make(value), value, wanted.symbol or "a spread", where)
                for make, value in (
                    (instrument.make_qty, wanted.notional if money else wanted.qty),
                    (instrument.make_price, wanted.limit),
                    (instrument.make_price, wanted.stop),
                )
            ]
        except ValueError as error:
            raise TrialError(str(error), *where) from error
        qty, price, trigger = made
        more: dict[str, Any] = {"time_in_force": _TIMES[wanted.time_in_force], "quote_quantity": money}
        factory = self._factory
        if price is not None and trigger is not None:
            return factory.stop_limit(instrument.id, side, qty, price, trigger, **more)
        if price is not None:
            return factory.limit(instrument.id, side, qty, price, **more)
        if trigger is not None:
            return factory.stop_market(instrument.id, side, qty, trigger, **more)
        return factory.market(instrument.id, side, qty, **more)

    def _middle(self, instrument_id: Any) -> Decimal | None:
        quote = self._cache.quote_tick(instrument_id)
        if quote is None:
            return None
        both: Decimal = quote.bid_price.as_decimal() + quote.ask_price.as_decimal()
        return both / 2 or None

    def _spread(self, legs: Sequence[TrialLeg], where: tuple[str | int, ...]) -> Any:
        found = [(self._instrument(leg.symbol, (*where, n, "symbol")), leg) for n, leg in enumerate(legs)]
        if not_options := [leg.symbol for contract, leg in found if not isinstance(contract, OptionContract)]:
            raise TrialError(f"the legs of an order are options, which {not_options[0]} is not", *where)
        try:
            signed = [(contract, leg.ratio if leg.side == "buy" else -leg.ratio) for contract, leg in found]
            instrument_id = new_generic_spread_id([(contract.id, ratio) for contract, ratio in signed])
            made = spread(instrument_id, signed)
        except ValueError as error:
            raise TrialError(str(error), *where) from error
        self._cache.add_instrument(made)
        return made

    def _instrument(self, symbol: str, where: tuple[str | int, ...]) -> Any:
        try:
            name = plain_symbol(symbol)
            instrument_id = id_of(name)
            expiry = parse_symbol(name)[1] if OCC.fullmatch(name) else None
        except ValueError as error:
            raise TrialError(str(error), *where) from error
        at = datetime.fromtimestamp(self._now_ns / 1e9, NEW_YORK).date()
        if expiry is not None and expiry < at:
            raise TrialError(f"{name} expired on {expiry}, and the test is of {at} (`at:` says when it is)", *where)
        known = self._cache.instrument(instrument_id)
        if known is None:
            known = make_instrument(instrument_id, self._price(name))
            self._cache.add_instrument(known)
        return known

    def _price(self, symbol: str) -> Decimal | None:
        """The lowest that the test gives: below a dollar a share's have more decimals."""
        trial = self._trial
        named = [(name, price) for name, row in trial.quotes.items() for price in (row.bid, row.ask)]
        named += [(name, row.price) for name, row in trial.account.positions.items()]
        for order in (*trial.account.working, *trial.sequence()):
            named += [(order.symbol, price) for price in (order.limit, order.stop) if order.symbol is not None]
        return min((price for name, price in named if price and plain_symbol(name) == symbol), default=None)


def exact(made: Any, said: Decimal, symbol: str, where: tuple[str | int, ...]) -> Any:
    """What Nautilus made of a number, unless it was rounded: the test would be of another order then."""
    if made.as_decimal() != said:
        raise TrialError(f"{said:f} has more decimals than {symbol} has there, which would make it {made}", *where)
    return made


def make_instrument(instrument_id: InstrumentId, price: Decimal | None = None) -> Any:
    """A stock that can be split, borrowed and bought on margin; an OCC symbol's option; a pair."""
    symbol = instrument_id.symbol.value
    cent = Price.from_str("0.01")
    if (occ := OCC.fullmatch(symbol)) is not None:
        day = datetime.strptime(occ[2], "%y%m%d").replace(hour=16, tzinfo=NEW_YORK)
        strike = f"{Decimal(occ[4]) / 1000:.3f}"
        return OptionContract(
            instrument_id=instrument_id,
            raw_symbol=instrument_id.symbol,
            asset_class=AssetClass.EQUITY,
            currency=USD,
            price_precision=2,
            price_increment=cent,
            multiplier=Quantity.from_int(100),
            lot_size=Quantity.from_int(1),
            underlying=occ[1],
            option_kind=OptionKind.CALL if occ[3] == "C" else OptionKind.PUT,
            strike_price=Price.from_str(strike),
            activation_ns=0,
            expiration_ns=int(day.timestamp()) * 1_000_000_000,
            ts_event=0,
            ts_init=0,
        )
    if "/" in symbol:
        base, quote = symbol.split("/", 1)
        return CurrencyPair(
            instrument_id,
            instrument_id.symbol,
            Currency.from_str(base),
            Currency.from_str(quote),
            9,
            9,
            Price.from_str("0.000000001"),
            Quantity.from_str("0.000000001"),
            0,
            0,
        )
    return equity(Asset(id="", symbol=symbol, fractionable=True), last_price=price)


def outcomes(config: RunnerConfig, trials: Mapping[int, Trial]) -> dict[int, Outcome | TrialError]:
    """Of each test by its number."""
    found: dict[int, Outcome | TrialError] = {}
    for number, trial in trials.items():
        try:
            found[number] = judge(config, trial)
        except TrialError as error:
            found[number] = error
        except ValueError as error:  # a number that Nautilus does not take
            found[number] = TrialError(str(error))
    return found
