"""What an account has made: from its own fills; shares that come, go or change without a trade are not won or lost."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.identifiers import AccountId, InstrumentId, StrategyId
from nautilus_trader.model.objects import Money, Price, Quantity

from runner.risk.ledger import Ledger
from tests.alpaca.scripted import pair

IBM, META = InstrumentId.from_str("IBM.ALPACA"), InstrumentId.from_str("META.ALPACA")
MAIN, OTHER = AccountId("MAIN-1"), AccountId("OTHER-1")
ONE, TWO = StrategyId("S-ONE"), StrategyId("S-TWO")


class Book:
    """A ledger, and the prices that it is shown."""

    def __init__(self, **prices: str) -> None:
        self.prices = {InstrumentId.from_str(f"{each}.ALPACA"): Decimal(price) for each, price in prices.items()}
        cache = SimpleNamespace(positions_open=lambda **_: [], accounts=list, instrument=lambda _: None)
        self.ledger = Ledger(cache, SimpleNamespace(middle=self.prices.get))
        self.ledger.begin()

    def fill(
        self, qty: int, price: str, *, of: Any = IBM, account: Any = MAIN, strategy: Any = ONE, **info: str
    ) -> None:
        fill = SimpleNamespace(
            instrument_id=of,
            account_id=account,
            strategy_id=strategy,
            last_px=Price.from_str(price),
            last_qty=Quantity.from_int(abs(qty)),
            is_buy=qty > 0,
            commission=None,
            currency=USD,
            info=info,
        )
        assert self.ledger.on_fill(fill)

    def split(self, held: int, cost: str, ratio: str, *, id: str = "1", **whose: Any) -> list[Decimal]:
        """The adapter's two fills of a position of so many shares; the value after each."""
        values = []
        after = int(held * Decimal(ratio))
        for qty, price in ((-held, cost), (after, f"{Decimal(cost) / Decimal(ratio):.4f}")):
            self.fill(qty, price, activity="SPLIT", id=id, ratio=ratio, **whose)
            values.append(self.ledger.value())
        return values

    def at(self, price: str, of: Any = IBM) -> Decimal:
        self.prices[of] = Decimal(price)
        self.ledger.mark()
        return self.ledger.value()


def test_a_split_before_the_price_has_changed_wins_and_loses_nothing_on_the_way():
    book = Book(IBM="90")
    book.fill(100, "100.00")  # a loss of 1000 on paper
    assert book.split(100, "100.00", "4") == [-1000, -1000]
    assert book.at("90") == -1000  # the quote of before
    assert book.at("22.40") == -1040


def test_a_split_after_the_price_has_changed_ends_what_looked_like_a_loss():
    book = Book(IBM="100")
    book.fill(100, "100.00")
    assert book.at("24.90") == -7510
    assert book.ledger.jumps() == ["IBM went from 100 to 24.9 at once"]
    assert book.split(100, "100.00", "4") == [-40, -40]
    assert book.ledger.jumps() == []
    assert book.at("25") == 0


def test_a_reverse_split():
    book = Book(IBM="2")
    book.fill(100, "2.00")
    assert book.split(100, "2.00", "0.1") == [0, 0]
    assert book.at("19") == -10


def test_a_split_reaches_all_strategies_and_accounts_at_once_and_none_twice():
    book = Book(IBM="100")
    book.fill(100, "100.00")
    book.fill(50, "100.00", strategy=TWO)
    book.fill(10, "100.00", account=OTHER)
    assert book.split(100, "100.00", "2") == [0, 0]
    assert book.split(50, "100.00", "2", strategy=TWO) == [0, 0]
    assert book.split(10, "100.00", "2", id="2", account=OTHER) == [0, 0]
    assert book.at("51") == 320
    assert book.split(20, "50.00", "2", id="3", account=OTHER) == [320, 320]  # another split
    assert book.at("26") == 640 - 0


def test_a_price_that_was_the_new_shares_already_when_the_node_began_wins_nothing_later():
    book = Book(IBM="50")
    book.fill(100, "50.00")
    book.split(100, "100.00", "2")
    assert book.at("50.10") == 0
    assert book.at("50.20") == 20


def test_a_crash_of_a_day_after_a_split_is_a_loss():
    book = Book(IBM="100")
    book.fill(100, "100.00")
    book.split(100, "100.00", "2")
    assert book.at("50.01") == 2
    assert book.at("25") == -5000


@pytest.mark.parametrize("kind", ["ACATS", "FOPT", "JNLS", "NC", "MA", "REORG"])
def test_shares_that_come_or_go_unpaid_are_neither_won_nor_lost(kind):
    book = Book(IBM="100")
    book.fill(100, "100.00")
    book.at("90")
    book.fill(-60, "100.00", activity=kind, id="1")
    assert book.ledger.value() == -1000
    book.fill(10, "0.00", of=META, activity=kind, id="2")  # no price is known yet
    assert book.ledger.value() == -1000
    assert book.at("500", META) == -1000
    assert book.at("490", META) == -1100


def test_a_spun_off_company_makes_up_for_what_its_parent_lost():
    book = Book(IBM="100")
    book.fill(100, "100.00")
    book.fill(10, "0.00", of=META, activity="SPIN", id="1")
    assert book.at("90") == -1000
    assert book.at("100", META) == 0


def test_a_jump_is_forgotten_with_the_day():
    book = Book(IBM="100")
    book.fill(100, "100.00")
    book.at("60")
    book.ledger.new_day()
    assert book.ledger.jumps() == []


BTC = pair()
COIN = BTC.base_currency


def coins(side: str, qty: str, price: str, commission: Money) -> Any:
    return SimpleNamespace(
        instrument_id=BTC.id, account_id="a", strategy_id="s", is_buy=side == "buy", currency=USD,
        last_qty=Quantity.from_str(qty), last_px=Price.from_str(price), commission=commission,
    )  # fmt: skip


@pytest.fixture
def ledger() -> Ledger:
    cache = SimpleNamespace(instrument=lambda _id: BTC)
    return Ledger(cache, SimpleNamespace(middle=lambda _id: Decimal(30_000)))  # type: ignore[arg-type]


def test_a_fee_in_coins_is_lost_as_one_in_dollars_is(ledger: Ledger) -> None:
    ledger.on_fill(coins("buy", "1.000000000", "30000.00", Money(Decimal("0.0025"), COIN)))
    assert ledger.value() == -75
    ledger.on_fill(coins("sell", "0.997500000", "30000.00", Money(75, USD)))
    assert ledger.value() == -150
