"""Lives of a position are added up: the portfolio's profit stays to the cent, and few copies are left."""

from __future__ import annotations

import itertools
import pickle
import random
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import ClientId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from runner.alpaca.instruments import equity
from runner.alpaca.models import Asset
from runner.report.lives import MOST, Lives

SYMBOLS = ("IBM", "BAC")
ROUNDS = 60


class InAndOut(Strategy):
    """Turns round, or closes and opens again, with each quote; of both instruments in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = random.Random(7)

    def on_start(self) -> None:
        for instrument in self.cache.instruments():
            self.subscribe_quote_ticks(instrument.id)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        held = self.portfolio.net_position(tick.instrument_id)
        wanted = 0 if held and self.chance.random() < 0.3 else self.chance.choice((-7, -2, 3, 8))
        change = Decimal(wanted) - held
        if change:
            side = OrderSide.BUY if change > 0 else OrderSide.SELL
            qty = Quantity.from_str(f"{abs(change):.9f}")
            self.submit_order(self.order_factory.market(tick.instrument_id, side, qty))


def traded(lives: bool, *, keep: bool = False) -> tuple[BacktestEngine, Lives | None]:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(Venue("ALPACA"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)], base_currency=USD)
    chance, ticks = random.Random(1), []
    for symbol in SYMBOLS:
        engine.add_instrument(equity(Asset(id=symbol, symbol=symbol, fractionable=True)))
    for number, instrument in itertools.product(range(ROUNDS), engine.cache.instruments()):
        price = chance.randint(9_000, 11_000) / 100
        size = Quantity(1000, instrument.size_precision)
        ts_ns = (number * 2 + SYMBOLS.index(instrument.id.symbol.value)) * 1_000_000_000
        ticks.append(QuoteTick(instrument.id, Price(price, 2), Price(price + 0.01, 2), size, size, ts_ns, ts_ns))
    engine.add_strategy(InAndOut())
    engine.add_data(ticks, client_id=ClientId("ALPACA"))
    made = Lives(engine.kernel.cache, keep=keep) if lives else None
    if made is not None:
        made.listen(engine.kernel.msgbus)
    engine.run()
    return engine, made


def profits(engine: BacktestEngine) -> list[Any]:
    ids = sorted(each.id for each in engine.cache.instruments())
    return [engine.portfolio.realized_pnl(each) for each in ids] + [engine.portfolio.realized_pnls(Venue("ALPACA"))]


def lives_of(engine: BacktestEngine) -> list[int]:
    return [len(engine.cache.position_snapshot_bytes(each.id)) for each in engine.cache.positions()]


def test_the_portfolio_says_the_same_and_few_lives_are_left() -> None:
    plain, _ = traded(lives=False)
    ours, made = traded(lives=True)
    assert made is not None
    assert min(lives_of(plain)) > 3 * MOST  # there was something to add up
    assert made.folded > 2 * MOST
    assert max(lives_of(ours)) <= MOST
    assert profits(ours) == profits(plain)
    both = [
        sum(p.realized_pnl.as_decimal() for p in [*each.cache.positions(), *each.cache.position_snapshots()])
        for each in (ours, plain)
    ]
    assert both[0] == both[1]
    for engine in (plain, ours):
        engine.dispose()


def test_adding_up_between_two_questions_changes_no_answer() -> None:
    engine, _ = traded(lives=False)
    lives, before = Lives(engine.cache, keep=False), profits(engine)
    for position in engine.cache.positions():
        lives.fold(position.id)
        lives.fold(position.id)
        assert len(engine.cache.position_snapshot_bytes(position.id)) == 2
    assert profits(engine) == before
    engine.dispose()


def test_what_was_put_aside_comes_back_one_by_one() -> None:
    plain, _ = traded(lives=False)
    ours, made = traded(lives=True, keep=True)
    assert made is not None
    made.restore()
    assert lives_of(ours) == lives_of(plain)
    for mine, theirs in zip(ours.cache.positions(), plain.cache.positions(), strict=True):
        rows = [
            [pickle.loads(each).to_dict() for each in engine.cache.position_snapshot_bytes(position.id)]
            for engine, position in ((ours, mine), (plain, theirs))
        ]
        shown = [
            [(row["realized_pnl"], row["ts_opened"], row["ts_closed"], row["peak_qty"]) for row in each]
            for each in rows
        ]
        assert shown[0] == shown[1]
    assert profits(ours) == profits(plain)
    for engine in (plain, ours):
        engine.dispose()


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_lives_are_left_as_they_are(count: int) -> None:
    engine, _ = traded(lives=False)
    position = engine.cache.positions()[0]
    held = engine.cache.position_snapshot_bytes(position.id)
    del held[count:]
    before = list(held)
    Lives(engine.cache, keep=False).fold(position.id)
    assert held == before
    engine.dispose()
