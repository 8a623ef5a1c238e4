"""Margin of options, worked by hand: the spread rule, cover, and what closes or hedges.

The account has 1,000,000 dollars, so as much options buying power. Contracts are of 100 shares; IBM's calls of 100 and
110 are quoted at 8.00 and 3.00, its put of 90 at 2.00.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AssetClass, OptionKind, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, StrategyId, new_generic_spread_id
from nautilus_trader.model.instruments import OptionContract
from nautilus_trader.model.objects import Price, Quantity

from runner.alpaca.derived import spread
from runner.risk.candidate import Subject
from runner.risk.collateral import legs_of, root_of
from runner.risk.exposure import nano, usd
from runner.risk.gate import RiskGate
from runner.risk.limits import Limits, LimitsBook, Portion
from runner.risk.prices import Prices
from tests.risk.conftest import IBM, quote
from tests.risk.test_margin import Told

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ALL = Limits(headroom=Decimal(0))
C100, C110, P90 = "IBM280121C00100000", "IBM280121C00110000", "IBM280121P00090000"
EXPIRY = 1_832_000_000 * 10**9


def contract(symbol: str) -> Any:
    instrument_id = InstrumentId.from_str(f"{symbol}.ALPACA")
    return OptionContract(
        instrument_id=instrument_id,
        raw_symbol=instrument_id.symbol,
        asset_class=AssetClass.EQUITY,
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        multiplier=Quantity.from_int(100),
        lot_size=Quantity.from_int(1),
        underlying="IBM",
        option_kind=OptionKind.CALL if symbol[9] == "C" else OptionKind.PUT,
        strike_price=Price.from_str(f"{int(symbol[10:]) // 1000}.00"),
        activation_ns=0,
        expiration_ns=EXPIRY,
        ts_event=0,
        ts_init=0,
    )


CONTRACTS = [contract(symbol) for symbol in (C100, C110, P90)]
LEGS = [(CONTRACTS[0], 1), (CONTRACTS[1], -1)]
SPREAD = spread(new_generic_spread_id([(leg.id, ratio) for leg, ratio in LEGS]), LEGS)


def quotes(seconds: int) -> list[Any]:
    found = []
    for second in range(1, seconds + 1):
        for each, price in zip(CONTRACTS, ("8.00", "3.00", "2.00"), strict=True):
            found.append(quote(price, price, second, each.id))
        found.append(quote("100.00", "100.00", second))
    return found


def trade(s: Any, symbol: str, side: Any, qty: int, price: str | None = None) -> Any:
    instrument_id, size = InstrumentId.from_str(f"{symbol}.ALPACA"), Quantity.from_int(qty)
    factory, day = s.order_factory, TimeInForce.DAY
    if price is None:
        order = factory.market(instrument_id, side, size, time_in_force=day)
    else:
        order = factory.limit(instrument_id, side, size, Price.from_str(price), time_in_force=day)
    s.submit_order(order)
    return order


@pytest.fixture
def options(bench):
    def run(*steps: Any, limits: Any = ALL, **more: Any) -> Any:
        loaded = [*CONTRACTS, SPREAD]
        return bench.run(*steps, limits=limits, quotes=quotes(len(steps) + 1), instruments=loaded, **more)

    return run


def test_a_bought_option_costs_its_premium(options):
    ours, gate, engine = options(
        lambda s: trade(s, C100, BUY, 1_251),  # 1,000,800
        lambda s: trade(s, C100, BUY, 1_250),
        lambda s: trade(s, P90, BUY, 1),  # what was bought is paid, and nothing is lent on it
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"] * 2
    assert gate.errors == 0
    assert usd(gate.collateral.burden(engine.cache.accounts()[0].id)) == 1_000_000


def test_a_contract_that_is_put_anew_counts_for_what_it_is_of_now(options):
    adjusted = OptionContract.from_dict({**OptionContract.to_dict(CONTRACTS[0]), "multiplier": "150"})
    caches: list[Any] = []
    ours, _, _ = options(
        lambda s: trade(s, C100, BUY, 1, "7.00"),
        lambda s: caches[0].add_instrument(adjusted),
        lambda s: trade(s, C100, BUY, 1, "7.00"),  # 1,050
        limits=Limits(max_order_notional=Decimal(1_000)),
        prepare=lambda engine, _gate: caches.append(engine.cache),
    )
    assert ours.codes() == ["MAX_ORDER_NOTIONAL"]


def test_what_is_held_of_a_contract_that_is_put_anew_counts_for_what_it_is_of_now(options):
    """One is held and one ordered, of 100 each: 800 and 700. Of 150 they are 2,250, so that no share is bought."""
    adjusted = OptionContract.from_dict({**OptionContract.to_dict(CONTRACTS[0]), "multiplier": "150"})
    caches: list[Any] = []
    ours, gate, _ = options(
        lambda s: trade(s, C100, BUY, 1),
        lambda s: trade(s, C100, BUY, 1, "7.00"),
        lambda s: caches[0].add_instrument(adjusted),
        lambda s: s.market(BUY, 1),
        limits=Limits(max_gross_exposure=Portion(amount=Decimal(1_600))),
        prepare=lambda engine, _gate: caches.append(engine.cache),
    )
    assert (ours.codes(), gate.errors) == (["MAX_GROSS_EXPOSURE"], 0)


def test_a_sold_put_is_secured_by_cash_less_its_premium(options):
    # Of a put of 90, sold for 2.00, one needs 8,800: 113 fit.
    ours, gate, _ = options(lambda s: trade(s, P90, SELL, 114, "2.00"), lambda s: trade(s, P90, SELL, 113, "2.00"))
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert gate.errors == 0


def test_a_call_is_sold_only_against_shares_or_another_call(options):
    ours, gate, _ = options(
        lambda s: trade(s, C110, SELL, 1),
        lambda s: s.market(BUY, 100),
        lambda s: trade(s, C110, SELL, 2),
        lambda s: trade(s, C110, SELL, 1),
    )
    assert set(ours.codes()) <= {"MARGIN_UNCOVERED", "OPTION_REFUSED"}
    assert len(ours.codes()) == 2
    assert gate.errors == 0


def test_a_call_is_covered_by_another_within_one_order_only(options):
    """Alpaca takes a single short call against shares; against a long call it is a leg of a spread."""
    ours, gate, _ = options(
        lambda s: trade(s, C100, BUY, 1),
        lambda s: trade(s, C110, SELL, 1, "4.00"),
        lambda s: trade(s, P90, SELL, 1, "3.00"),  # a put needs no call
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"]
    assert gate.errors == 0


def test_two_sales_can_not_both_lean_on_the_same_shares(options):
    ours, gate, _ = options(
        lambda s: s.market(BUY, 199),
        lambda s: trade(s, C110, SELL, 1, "4.00"),
        lambda s: trade(s, C110, SELL, 1, "5.00"),
        lambda s: s.market(SELL, 100),  # 99 are free
        lambda s: s.market(SELL, 99),
    )
    assert ours.codes() == ["MARGIN_UNCOVERED"] * 2
    assert gate.errors == 0


def test_who_holds_the_shares_buys_options_too(options):
    ours, gate, _ = options(lambda s: s.market(BUY, 100), lambda s: trade(s, P90, BUY, 1))
    assert (ours.codes(), gate.errors) == ([], 0)


def test_a_sold_put_is_secured_whole_whatever_is_held_beside_it(options):
    """By the spread rule a put of 90 beside a bought one asks for nothing; by itself it is secured by its strike."""
    ours, _, engine = options(
        lambda s: trade(s, C100, BUY, 1_200),  # leaves 40,000
        lambda s: trade(s, P90, BUY, 2),  # 400
        lambda s: trade(s, P90, SELL, 2),
        lambda s: trade(s, P90, SELL, 5, "2.00"),  # needs 44,000
        lambda s: trade(s, P90, SELL, 4, "2.00"),
        lambda s: None,
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert engine.portfolio.net_position(InstrumentId.from_str(f"{P90}.ALPACA")) == -4


def test_a_put_sold_for_less_is_secured_with_more(options):
    """113 puts of 90 at 2.00 need 994,400 of 1,000,000; each cent less needs 113 more."""
    made: list[Any] = []

    def to(price: str) -> Any:
        return lambda s: s.modify_order(made[0], price=Price.from_str(price))

    ours, gate, _ = options(
        lambda s: made.append(trade(s, P90, SELL, 113, "2.50")),  # 988,750
        to("1.50"),  # 1,000,050
        to("1.51"),  # 999,937
    )
    assert [type(event).__name__ for event in ours.events].count("OrderModifyRejected") == 1
    assert (gate.denied, gate.errors) == ({"MARGIN_INSUFFICIENT": 1}, 0)


@pytest.mark.parametrize("repriced_first", [True, False])
@pytest.mark.parametrize(
    ("symbol", "before", "less", "least", "qty"),
    [
        (P90, "50.00", "10.00", "9.99", 125),  # at 10.00 a put needs 8,000
        (SPREAD.id.symbol.value, "6.00", "2.00", "1.99", 1_250),  # of 10 points, at 2.00 it needs 800
    ],
)
def test_a_sale_that_may_come_to_bring_less_is_not_made_larger_than_can_be_secured(
    options, repriced_first, symbol, before, less, least, qty
):
    """A venue may take both: of the million nothing is left then."""
    made: list[Any] = []
    held: list[Decimal] = []
    gates: list[Any] = []

    def both(s: Any) -> None:
        price, size = Price.from_str(less), Quantity.from_int(qty)
        if repriced_first:
            s.modify_order(made[0], price=price)
            s.modify_order(made[0], Quantity.from_int(qty + 1))  # too many
            s.modify_order(made[0], size)
        else:
            s.modify_order(made[0], size)
            s.modify_order(made[0], price=Price.from_str(least))  # too little
            s.modify_order(made[0], price=price)
        look()

    def look(_s: Any = None) -> None:
        held.append(gates[0].margin.reserved(made[0].account_id))

    _, gate, _ = options(
        lambda s: made.append(trade(s, symbol, SELL, 100, before)),
        both,
        look,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (gate.denied, gate.errors) == ({"MARGIN_INSUFFICIENT": 1}, 0)
    assert held == [1_000_000] * 2
    assert (made[0].quantity, made[0].price) == (qty, Price.from_str(less))


def test_a_modified_order_holds_what_it_costs_from_then_on(options):
    made: list[Any] = []
    held: list[Decimal] = []

    def to(qty: int, price: str) -> Any:
        return lambda s: (look(), s.modify_order(made[0], Quantity.from_int(qty), Price.from_str(price)))

    def look() -> None:
        held.append(gates[0].margin.reserved(made[0].account_id))

    gates: list[Any] = []
    options(
        lambda s: made.append(trade(s, C100, BUY, 10, "5.00")),
        to(20, "5.00"),
        to(20, "6.00"),
        to(10, "6.00"),
        to(10, "5.00"),
        lambda s: look(),
        lambda s: s.cancel_order(made[0]),
        lambda s: look(),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert held == [5_000, 10_000, 12_000, 6_000, 5_000, 0]


def test_a_modification_that_only_shrinks_passes_whatever_is_not_known(options, monkeypatch):
    orders: list[Any] = []
    gates: list[Any] = []

    def unknown(*_: Any) -> Any:
        raise LookupError("no price of it is known")

    def shrink(s: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(gates[0].collateral, "account", unknown)
            s.modify_order(orders[0], Quantity.from_int(1))

    _, gate, _ = options(
        lambda s: trade(s, C100, BUY, 4),
        lambda s: orders.append(trade(s, C100, SELL, 2, "9.00")),
        shrink,
        lambda s: None,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (gate.denied, orders[0].quantity) == ({}, 1)


def test_after_a_restart_working_orders_hold_what_they_held_before(options):
    _, gate, engine = options(
        lambda s: (trade(s, P90, SELL, 2, "2.50"), trade(s, C100, BUY, 1, "5.00")),
        lambda s: None,
    )
    account = engine.cache.accounts()[0].id
    assert gate.margin.reserved(account) == 17_500 + 500
    gate.uninstall()
    kernel = engine.kernel
    again = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(ALL))
    again.install(kernel.exec_engine)
    again.begin()
    assert (again.margin.reserved(account), again.errors) == (18_000, 0)


def test_what_closes_and_what_hedges_passes_in_every_state(options):
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        trade(s, P90, BUY, 1)  # closes one of the two
        trade(s, C100, BUY, 1)  # opens, and helps nothing
        trade(s, P90, BUY, 2)  # one too many to close

    ours, gate, engine = options(
        lambda s: trade(s, P90, SELL, 2), halted, prepare=lambda _engine, gate: gates.append(gate)
    )
    assert ours.codes() == ["STATE_HALTED"] * 2
    assert engine.portfolio.net_position(InstrumentId.from_str(f"{P90}.ALPACA")) == -1
    assert gate.errors == 0


#: Three calls are short, covered by shares at first and by calls then, and what is left of the million is 700.
WRITTEN = [
    lambda s: s.market(BUY, 300),
    lambda s: trade(s, C110, SELL, 3),  # the 900 that they bring are owed: 985,000
    lambda s: trade(s, C100, BUY, 1_231),  # 984,800: these cover them, and the 900 are there
    lambda s: trade(s, P90, BUY, 2),  # 400
    lambda s: None,
]


@pytest.mark.parametrize("state", ["active", "halted"])
def test_what_is_bought_back_is_paid_where_it_frees_too_little(options, state):
    gates: list[Any] = []

    def buy_back(s: Any) -> None:
        gates[0].set_state(state, why="a test") if state != "active" else None
        trade(s, C110, BUY, 2, "3.51")
        trade(s, C110, BUY, 1, "2.00")  # 200 that the next can't spend
        trade(s, C110, BUY, 2, "2.51")
        trade(s, C110, BUY, 2, "2.50")

    ours, gate, engine = options(*WRITTEN, buy_back, prepare=lambda _engine, gate: gates.append(gate))
    assert ours.codes() == ["MARGIN_INSUFFICIENT"] * 2
    assert "costs 702 of buying power; available are 700" in ours.denials()[0]
    assert gate.margin.reserved(engine.cache.accounts()[0].id) == 700
    assert gate.errors == 0


def test_shares_lend_no_more_than_the_strike_of_the_call_that_is_written_on_them(bench):
    """At 200 a call of 100 brings 10,000 for shares of 20,000: what it brings is no room for others."""
    found = (
        quote(*price)
        for n in range(1, 6)
        for price in (("100.00", "100.00", n, CONTRACTS[0].id), ("200.00", "200.00", n))
    )
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 10_000),  # 2,000,000: all that can be bought
        lambda s: trade(s, C100, SELL, 100),
        lambda s: s.market(BUY, 1),
        lambda s: trade(s, C100, BUY, 100),  # what it costs is owed no more
        limits=ALL,
        quotes=list(found),
        instruments=[CONTRACTS[0]],
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)
    assert engine.portfolio.net_position(CONTRACTS[0].id) == 0


def test_where_nothing_is_lent_options_are_paid_in_cash(options):
    told: list[Told] = []
    ours, gate, _ = options(
        lambda s: s.market(BUY, 6_000),  # 400,000 are left, and an excess of 700,000
        lambda s: told[0].says(9_000_000, multiplier="1"),
        lambda s: trade(s, C100, BUY, 501),  # 400,800
        lambda s: trade(s, C100, BUY, 500),
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)
    assert "available are 400,000 by our own computation" in ours.denials()[0]


@pytest.mark.parametrize("price", [None, "2.00"])
def test_where_nothing_is_lent_a_call_on_shares_is_bought_back_in_cash(options, price):
    told: list[Told] = []
    ours, gate, engine = options(
        lambda s: s.market(BUY, 10_000),  # no cash is left
        lambda s: trade(s, C100, SELL, 1),  # 700 come
        lambda s: told[0].says(9_000_000, multiplier="1"),
        lambda s: s.market(BUY, 7),
        lambda s: trade(s, C100, BUY, 1, price),
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)
    assert engine.portfolio.net_position(IBM) == 10_007


def test_where_nothing_is_lent_the_cash_that_secures_a_put_is_not_spent(options):
    told: list[Told] = []
    ours, gate, _ = options(
        lambda s: s.market(BUY, 6_000),  # 400,000 are left
        lambda s: trade(s, P90, SELL, 10),  # 2,000 come, and 90,000 secure them
        lambda s: told[0].says(9_000_000, multiplier="1"),
        lambda s: s.market(BUY, 3_121),
        lambda s: s.market(BUY, 3_120),  # 312,000
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"], 0)


def test_a_put_that_is_bought_back_frees_more_than_it_costs(options):
    ours, gate, engine = options(
        lambda s: trade(s, P90, SELL, 113, "2.00"),  # leaves 5,600
        lambda s: trade(s, C100, BUY, 7),
        lambda s: trade(s, P90, BUY, 113),
        lambda s: None,
    )
    assert (ours.denials(), gate.errors) == ([], 0)
    assert engine.portfolio.net_position(InstrumentId.from_str(f"{P90}.ALPACA")) == 0


def test_a_missing_price_holds_nothing_back_that_closes(options, monkeypatch):
    def blind(s: Any) -> None:
        monkeypatch.setattr(Prices, "quote", lambda _self, _id: (None, None, 0))
        monkeypatch.setattr(Prices, "market", lambda _self, _id, *, buy: None)
        trade(s, C110, BUY, 1)
        trade(s, C100, SELL, 1)
        trade(s, C100, BUY, 1)
        monkeypatch.undo()

    ours, _, engine = options(*WRITTEN, blind, lambda s: None)
    assert ours.codes() == ["NO_PRICE"]
    assert engine.portfolio.net_position(InstrumentId.from_str(f"{C110}.ALPACA")) == -2


def test_an_option_that_lowers_what_short_ones_ask_for_is_a_hedge(options):
    _, gate, engine = options(lambda s: trade(s, P90, SELL, 2))
    account = engine.cache.accounts()[0].id
    p80 = "IBM280121P00080000"
    assert gate.collateral.hedges(account, p80, 2)
    assert not gate.collateral.hedges(account, p80, 3)  # the third hedges nothing
    assert not gate.collateral.hedges(account, C100, 1)


PUTS = [contract(f"IBM280121P000{strike}000") for strike in (80, 84, 87, 85)]


def puts(seconds: int) -> list[Any]:
    shown = [quote("1.00", "1.00", second, each.id) for second in range(1, seconds + 1) for each in PUTS]
    return quotes(seconds) + shown


@pytest.mark.parametrize("resting", [False, True])
def test_a_short_option_is_hedged_once(bench, resting):
    """Ever higher puts each lower what a short one asks for: the first hedges it, the others would be bets."""
    gates: list[Any] = []

    def halted(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        trade(s, PUTS[0].id.symbol.value, BUY, 1, "0.50" if resting else None)

    def again(s: Any) -> None:
        for each in PUTS[1:3]:
            trade(s, each.id.symbol.value, BUY, 1)
        trade(s, PUTS[3].id.symbol.value, BUY, 2)

    steps = [lambda s: trade(s, P90, SELL, 1), halted, again, lambda s: trade(s, P90, BUY, 1)]
    ours, gate, engine = bench.run(
        *(steps if not resting else steps[:3]), limits=ALL, quotes=puts(6), instruments=[*CONTRACTS, *PUTS],
        prepare=lambda _engine, gate: gates.append(gate),
    )  # fmt: skip
    assert ours.codes() == ["STATE_HALTED"] * 3
    assert engine.portfolio.net_position(PUTS[0].id) == (0 if resting else 1)
    assert gate.errors == 0


def test_a_working_spread_that_buys_a_put_hedges_too(bench):
    gates: list[Any] = []
    legs = [(PUTS[0], 1), (PUTS[1], -1)]
    spread_of = spread(new_generic_spread_id([(each.id, ratio) for each, ratio in legs]), legs)

    def halted(s: Any) -> None:
        gates[0].set_state("halted", why="a test")
        trade(s, PUTS[2].id.symbol.value, BUY, 1)

    ours, gate, _ = bench.run(
        lambda s: trade(s, P90, SELL, 1),
        lambda s: trade(s, spread_of.id.symbol.value, BUY, 1, "-3.00"),
        halted,
        limits=ALL, quotes=puts(5), instruments=[*CONTRACTS, *PUTS, spread_of],
        prepare=lambda _engine, gate: gates.append(gate),
    )  # fmt: skip
    assert ours.codes() == ["STATE_HALTED"]
    assert gate.errors == 0


def test_symbols_and_units():
    assert root_of(C100) == root_of("IBM") == "IBM"
    assert legs_of(IBM) == [(IBM, 1)]
    assert (nano(Decimal("1.0000000001")), nano(Decimal("-1.0000000001"))) == (1_000_000_001, -1_000_000_001)


def only_reduces(gate: Any, engine: Any, side: Any, qty: int) -> bool:
    """Whether a spread of a put of 90 that is bought and a call of 100 that is sold would."""
    put, call = CONTRACTS[2], CONTRACTS[0]
    legs = [(put, 1), (call, -1)]
    made = spread(new_generic_spread_id([(each.id, ratio) for each, ratio in legs]), legs)
    engine.cache.add_instrument(made)
    factory = OrderFactory(engine.kernel.trader_id, StrategyId("Scripted-main"), engine.kernel.clock)
    order = factory.limit(made.id, side, Quantity.from_int(qty), Price.from_str("1.00"))
    account_id, rules = engine.cache.accounts()[0].id, gate.limits.rules("ALPACA", "main")
    subject = Subject(account_id, order.strategy_id, "ALPACA", "main", rules)
    return bool(gate.judge.reduces([gate.judge.candidate(order)], subject))


@pytest.mark.parametrize(("side", "qty", "reduces"), [(BUY, 2, True), (BUY, 3, False), (SELL, 1, False)])
def test_a_spread_reduces_where_every_leg_closes_what_is_held(options, side, qty, reduces):
    """Two puts of 90 are held short and two calls of 100 long; the spread buys the one and sells the other."""
    _, gate, engine = options(lambda s: trade(s, P90, SELL, 2), lambda s: trade(s, C100, BUY, 2))
    assert only_reduces(gate, engine, side, qty) is reduces


def test_a_spreads_legs_that_another_order_closes_already_are_not_closed_twice(options):
    _, gate, engine = options(
        lambda s: trade(s, P90, SELL, 2),
        lambda s: trade(s, C100, BUY, 2),
        lambda s: trade(s, P90, BUY, 1, "1.00"),
    )
    assert only_reduces(gate, engine, BUY, 1)
    assert not only_reduces(gate, engine, BUY, 2)


OTHER = OptionContract.from_dict(
    {**OptionContract.to_dict(CONTRACTS[0]), "id": "IBMC100.ALPACA", "raw_symbol": "IBMC100"}
)


def test_a_contract_whose_symbol_is_not_occs_is_paid_for_closed_and_never_sold_short(bench):
    """As a backtest may have it."""
    told = [*(quote("5.00", "5.00", second, OTHER.id) for second in range(1, 8))]
    told += [quote("100.00", "100.00", second) for second in range(1, 8)]
    ours, gate, engine = bench.run(
        lambda s: trade(s, "IBMC100", BUY, 2_001),  # 1,000,500
        lambda s: trade(s, "IBMC100", BUY, 2_000),
        lambda s: trade(s, "IBMC100", SELL, 1_999),
        lambda s: trade(s, "IBMC100", SELL, 2),
        lambda s: trade(s, "IBMC100", SELL, 1),
        limits=ALL,
        quotes=sorted(told, key=lambda each: each.ts_event),
        instruments=[OTHER],
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT", "MARGIN_UNCOVERED"]
    assert (engine.portfolio.net_position(OTHER.id), gate.errors) == (0, 0)


def test_what_is_more_than_can_be_added_up_is_denied_by_a_bound_of_the_equity(options):
    limits = Limits(max_gross_exposure=Portion(fraction=Decimal("0.5")))
    ours, gate, _ = options(lambda s: trade(s, C100, BUY, 10**10, "1000000000.00"), limits=limits)
    assert (ours.codes(), gate.errors) == (["GATE_ERROR"], 1)


# -- lists: independent orders, unless they say that they are one ------------------------------------------------------

CALL_100, CALL_110, PUT_90 = (each.id for each in CONTRACTS)
ONE_ORDER = {"order_class": "mleg"}


@pytest.mark.parametrize(
    ("orders", "params", "code"),
    [
        # One order of two legs covers itself; of two orders the sale may be filled alone.
        ([(BUY, 1, "8.00", CALL_100), (SELL, 1, "3.00", CALL_110)], ONE_ORDER, None),
        ([(BUY, 1, "8.00", CALL_100), (SELL, 1, "4.00", CALL_110)], None, "MARGIN_UNCOVERED"),
        ([(SELL, 1, "4.00", CALL_110), (BUY, 1, "8.00", CALL_100)], None, "MARGIN_UNCOVERED"),
        # Both puts are secured by cash: 8,800 each.
        ([(SELL, 57, "2.00", PUT_90), (SELL, 56, "2.00", PUT_90)], None, None),
        ([(SELL, 57, "2.00", PUT_90), (SELL, 57, "2.00", PUT_90)], None, "MARGIN_INSUFFICIENT"),
        ([(BUY, 625, "8.00", CALL_100), (BUY, 625, "8.00", CALL_100)], None, None),
        ([(BUY, 625, "8.00", CALL_100), (BUY, 626, "8.00", CALL_100)], None, "MARGIN_INSUFFICIENT"),
        # Stock for 1,000,000 on margin leaves 500,000 for contracts, and the reverse.
        ([(BUY, 10_000, "100.00"), (BUY, 625, "8.00", CALL_100)], None, None),
        ([(BUY, 10_000, "100.00"), (BUY, 626, "8.00", CALL_100)], None, "MARGIN_INSUFFICIENT"),
        ([(BUY, 625, "8.00", CALL_100), (BUY, 10_000, "100.00")], None, None),
        ([(BUY, 625, "8.00", CALL_100), (BUY, 10_001, "100.00")], None, "MARGIN_INSUFFICIENT"),
        # Shares that are bought with it cover no call yet.
        ([(BUY, 100, "100.00"), (SELL, 1, "4.00", CALL_110)], None, "MARGIN_UNCOVERED"),
    ],
)
def test_contracts_of_a_list_are_judged_as_they_are_sent(options, orders, params, code):
    ours, gate, _ = options(lambda s: None, lambda s: s.several(*orders, params=params))
    assert (ours.codes(), gate.errors) == ([] if code is None else [code] * len(orders), 0)


def test_a_list_may_close_the_same_contract_in_parts(options):
    ours, gate, engine = options(
        lambda s: trade(s, P90, BUY, 2),
        lambda s: s.several((SELL, 1, None, PUT_90), (SELL, 1, None, PUT_90)),
        lambda s: None,
    )
    assert (ours.codes(), gate.errors) == ([], 0)
    assert engine.portfolio.net_position(PUT_90) == 0


@pytest.mark.parametrize(
    ("held", "exits", "price", "costs"),
    [
        (BUY, SELL, "2.50", 87_500),  # ten puts of 90 that would be short
        (SELL, BUY, "1.50", 1_500),  # ten that would be long
    ],
)
def test_an_exit_whose_contracts_are_closed_otherwise_costs_what_it_would_open(options, held, exits, price, costs):
    gates: list[Any] = []
    reserved: list[Decimal] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    ours, gate, _ = options(
        lambda s: trade(s, P90, held, 10),
        lambda s: trade(s, P90, exits, 10, price),
        lambda s: (look(s), trade(s, P90, exits, 10)),
        lambda s: (look(s), trade(s, P90, held, 4)),  # of which it closes four again
        lambda s: (look(s), s.cancel_all_orders(CONTRACTS[2].id)),
        look,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (ours.codes(), gate.errors) == ([], 0)
    assert reserved == [0, costs, costs * 6 // 10, 0]


def test_a_spread_whose_contracts_are_closed_otherwise_costs_what_it_would_open(options):
    """A call of 100 is held and one of 110 is short. The spread, sold, closes both and costs nothing; once they are
    closed otherwise it is a short one, ten wide and sold for 5.50.
    """
    gates: list[Any] = []
    reserved: list[Decimal] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    options(
        lambda s: s.market(BUY, 100),
        lambda s: trade(s, C100, BUY, 1),
        lambda s: trade(s, C110, SELL, 1),
        lambda s: s.submit_order(s.order_factory.limit(SPREAD.id, SELL, Quantity.from_int(1), Price.from_str("5.50"))),
        lambda s: (look(s), trade(s, C110, BUY, 1)),
        lambda s: trade(s, C100, SELL, 1),
        look,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert reserved == [0, 450]


def test_the_first_exit_closes_also_once_it_was_moved_and_the_next_where_it_ends(options):
    gates: list[Any] = []
    reserved: list[Decimal] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    orders: list[Any] = []
    options(
        lambda s: trade(s, P90, BUY, 10),
        lambda s: orders.extend(trade(s, P90, SELL, 10, price) for price in ("2.50", "2.60")),
        lambda s: (look(s), s.modify_order(orders[0], price=Price.from_str("2.40"))),
        lambda s: (look(s), s.cancel_order(orders[0])),
        look,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert reserved == [87_400, 87_400, 0]
