"""Margin, worked by hand. Unless it says otherwise an account has 1,000,000 dollars and IBM is at 100.00.

Figures: equity 1,000,000, buying power 2,000,000. A purchase costs its full price; held, it takes half as initial
margin, which twice the excess gives back as its full price: so 20,000 shares may be held.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity

from runner.risk.exposure import usd
from runner.risk.gate import RiskGate
from runner.risk.ledger import Ledger
from runner.risk.limits import Limits, LimitsBook, Rate
from tests.risk.conftest import IBM, equity, quote

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ALL = Limits(headroom=Decimal(0))
KEPT = Limits(headroom=Decimal("0.1"))


def stop(s: Any, side: Any, qty: int, trigger: str) -> None:
    s.submit_order(s.order_factory.stop_market(IBM, side, Quantity.from_int(qty), Price.from_str(trigger)))


ROWS = [
    # what one order may cost: allowed at the first quantity, denied at the second
    (ALL, lambda s, qty: s.market(BUY, qty), 20_000, 20_001),
    (KEPT, lambda s, qty: s.market(BUY, qty), 18_000, 18_001),  # 10% of 2,000,000 is kept
    (ALL, lambda s, qty: s.limit(BUY, qty, "80.00"), 25_000, 25_001),
    (ALL, lambda s, qty: stop(s, BUY, qty, "160.00"), 12_195, 12_196),  # its protective limit: 164.00
    (ALL, lambda s, qty: s.market(SELL, qty), 19_417, 19_418),  # 1.03 × 100
    (ALL, lambda s, qty: s.limit(SELL, qty, "125.00"), 16_000, 16_001),
    (ALL, lambda s, qty: s.bracket(BUY, qty, "100.00", "90.00", "110.00"), 20_000, 20_001),  # exits cost nothing
]


@pytest.mark.parametrize(("limits", "order", "most", "more"), ROWS)
def test_an_order_may_cost_what_is_available_and_no_more(bench, limits, order, most, more):
    ours, gate, _ = bench.run(lambda s: order(s, most), limits=limits)
    assert ours.denials() == []
    ours, gate, _ = bench.run(lambda s: order(s, more), limits=limits)
    assert set(ours.codes()) == {"MARGIN_INSUFFICIENT"}
    assert gate.errors == 0


@pytest.mark.parametrize("where", ["top", "accounts", "strategies"])
def test_the_largest_headroom_of_all_levels_is_kept_and_named(bench, where):
    levels = {name: KEPT if name == where else Limits() for name in ("top", "accounts", "strategies")}
    book = LimitsBook(levels["top"], {"ALPACA": levels["accounts"]}, {"main": levels["strategies"]})
    ours, _, _ = bench.run(lambda s: s.market(BUY, 18_000), lambda s: s.market(BUY, 1), limits=book)
    (reason,) = ours.denials()
    assert reason.startswith(
        "MARGIN_INSUFFICIENT: to buy 1 IBM.ALPACA costs 100 of buying power; "
        "available are 200,000 by our own computation and 10% (200,000) is kept by "
    )
    assert reason.endswith(".headroom")


def test_two_orders_of_one_turn_can_not_spend_the_same_dollar(bench):
    def two(s: Any) -> None:
        s.limit(BUY, 15_000, "100.00")
        s.limit(BUY, 5_001, "100.00")
        s.limit(BUY, 5_000, "99.00")

    ours, _, _ = bench.run(two, limits=ALL)
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]


def test_a_canceled_order_gives_back_what_it_held_and_a_filled_one_becomes_margin(bench):
    orders: list[Any] = []
    ours, gate, engine = bench.run(
        lambda s: orders.append(s.limit(BUY, 20_000, "99.00")),
        lambda s: s.limit(BUY, 300, "90.00"),  # 27,000, and 20,000 are left
        lambda s: s.cancel_order(orders[0]),
        lambda s: s.limit(BUY, 300, "90.00"),
        lambda s: s.market(BUY, 10_000),
        lambda s: s.market(BUY, 9_731),  # 2,000,000 - 1,000,000 - 27,000 = 973,000 pays for 9,730
        lambda s: s.market(BUY, 9_730),
        limits=ALL,
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"] * 2
    account = engine.cache.accounts()[0].id
    assert gate.margin.reserved(account) == 27_000
    assert usd(gate.collateral.burden(account)) == Decimal(19_730) * 50


def test_prices_move_what_is_left(bench):
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 10_000),
        lambda s: None,
        # At 90: equity 900,000, initial 450,000, left 900,000.
        lambda s: s.market(BUY, 10_001),
        lambda s: s.market(BUY, 10_000),
        limits=ALL,
        quotes=[quote(p, p, 1 + 2 * i) for i, p in enumerate(("100.00", "100.00", "90.00", "90.00", "90.00"))],
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]


def test_what_closes_passes_with_nothing_left_and_a_reversal_pays_for_what_it_opens(bench):
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 20_000),
        lambda s: s.market(SELL, 20_001),  # one is sold short with nothing left
        lambda s: s.market(SELL, 10_000),
        # 10,000 held: 1,000,000 left, of which 103 a share pay for 9,708 shorts.
        lambda s: s.market(SELL, 19_709),
        lambda s: s.market(SELL, 19_708),
        limits=ALL,
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"] * 2
    assert engine.portfolio.net_position(IBM) == -9_708


# -- lists of independent orders ---------------------------------------------------------------------------------------

#: What is held first, what is left then, the list, and whether it is denied. A share sold short costs 103.
LISTS = [
    (100, 0, [(SELL, 100)], False),
    (100, 0, [(SELL, 100), (SELL, 1)], True),
    (100, 0, [(SELL, 1), (SELL, 100)], True),
    (100, 0, [(SELL, 100), (SELL, 100)], True),
    (100, 0, [(SELL, 60), (SELL, 40)], False),
    (100, 0, [(SELL, 60), (SELL, 41)], True),
    (100, 0, [(SELL, 100), (BUY, 1)], True),  # what is sold buys nothing before it is filled
    (100, 0, [(BUY, 1), (SELL, 100)], True),
    (120, 0, [(SELL, 100), (SELL, 50)], True),
    (120, 0, [(SELL, 50), (SELL, 100)], True),
    (120, 0, [(SELL, 100), (SELL, 20)], False),
    # 30 shares that are sold short cost 3,090.
    (120, 3_090, [(SELL, 100), (SELL, 50)], False),
    (120, 3_090, [(SELL, 50), (SELL, 100)], False),
    (120, 3_000, [(SELL, 100), (SELL, 50)], True),
    (120, 3_000, [(SELL, 50), (SELL, 100)], True),
    # The member that opens is paid at its own price: at a limit of 110, or at 103.
    (120, 3_300, [(SELL, 100), (SELL, 50, "110.00")], False),
    (120, 3_290, [(SELL, 100), (SELL, 50, "110.00")], True),
    (120, 3_100, [(SELL, 50, "110.00"), (SELL, 100)], False),
    # A sale that closes costs nothing beside a purchase, and gives it nothing.
    (100, 5_000, [(SELL, 100), (BUY, 50)], False),
    (100, 5_000, [(SELL, 100), (BUY, 51)], True),
    (100, 5_000, [(BUY, 51), (SELL, 100)], True),
    # Nor does a purchase add to what a sale may close.
    (100, 5_000, [(BUY, 50), (SELL, 101)], True),
    (100, 5_103, [(BUY, 50), (SELL, 101)], False),
    (100, 5_000, [(BUY, 20), (SELL, 100), (BUY, 30)], False),
    (100, 5_000, [(BUY, 20), (SELL, 100), (BUY, 31)], True),
    # A short is bought back once too.
    (-100, 0, [(BUY, 60), (BUY, 40)], False),
    (-100, 0, [(BUY, 60), (BUY, 41)], True),
    (-100, 100, [(BUY, 60), (BUY, 41)], False),
]


def only(held: int, left: int) -> Limits:
    """Whoever holds that has so much left: the rest is kept as headroom. A share held takes 100 of 2,000,000."""
    return Limits(headroom=1 - Decimal(100 * abs(held) + left) / 2_000_000)


def first(s: Any, held: int) -> None:
    s.market(BUY if held > 0 else SELL, abs(held))


@pytest.mark.parametrize(("held", "left", "orders", "denied"), LISTS)
def test_a_list_is_paid_as_its_orders_one_after_the_other(bench, held, left, orders, denied):
    gates: list[Any] = []
    ours, gate, engine = bench.run(
        lambda s: first(s, held),
        lambda s: gates[0].set_limits(LimitsBook(only(held, left))),
        lambda s: s.several(*orders),
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"] * len(orders) if denied else [], 0)
    if denied:
        assert engine.portfolio.net_position(IBM) == held


@pytest.mark.parametrize(
    ("orders", "denied"),
    [
        ([(SELL, 60), (SELL, 40)], False),
        ([(SELL, 60), (SELL, 41)], True),
        ([(SELL, 100), (SELL, 100)], True),
        ([(SELL, 100), (BUY, 10)], False),
    ],
)
def test_where_nothing_is_lent_a_list_opens_no_short(bench, orders, denied):
    """With the cash for it."""
    told: list[Told] = []
    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: (told[0].says(900_000, multiplier="1"), s.several(*orders)),
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"] * len(orders) if denied else [], 0)
    if denied:
        assert any("opens a short, which needs a margin account" in reason for reason in ours.denials())


def test_what_works_already_closes_before_a_list_does(bench):
    gates: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 120),
        lambda s: gates[0].set_limits(LimitsBook(only(120, 0))),
        lambda s: s.limit(SELL, 50, "120.00"),
        lambda s: s.several((SELL, 40), (SELL, 31)),
        lambda s: s.several((SELL, 40, "110.00"), (SELL, 30, "110.00")),
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"] * 2


COIN = InstrumentId.from_str("COIN.ALPACA")  # nothing is lent on it, and it is at 100.00 too


@pytest.mark.parametrize(
    ("orders", "denied"),
    [
        # They reach the venue in any order: where the stock is the first, 500,000 of it leave as much of the cash.
        ([(BUY, 5_000, "100.00"), (BUY, 5_000, "100.00", COIN)], False),
        ([(BUY, 5_000, "100.00"), (BUY, 5_001, "100.00", COIN)], True),
        ([(BUY, 5_000, "100.00", COIN), (BUY, 5_000, "100.00")], False),
        ([(BUY, 5_000, "100.00", COIN), (BUY, 5_001, "100.00")], True),
        ([(BUY, 20_000, "100.00"), (BUY, 10_000, "100.00", COIN)], True),
    ],
)
def test_what_one_order_of_a_list_is_paid_from_is_not_there_for_another(bench, orders, denied):
    ours, gate, _ = bench.run(
        lambda s: None,
        lambda s: s.several(*orders),
        limits=ALL,
        instruments=[Equity.from_dict({**Equity.to_dict(equity(COIN)), "info": {"marginable": False}})],
        quotes=[quote("100.00", "100.00", n, each) for n in range(1, 5) for each in (COIN, IBM)],
    )
    assert (ours.codes(), gate.errors) == (["MARGIN_INSUFFICIENT"] * 2 if denied else [], 0)


def test_exits_that_close_what_is_not_there_to_be_closed_twice_hold_nothing(bench):
    """A pair of which one cancels the other closes once; those of an entry that is not filled close nothing yet."""
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 200),
        lambda s: s.pair(SELL, 100, "110.00", "90.00"),
        lambda s: s.bracket(BUY, 10, "80.00", "70.00", "120.00"),
        lambda s: s.limit(SELL, 100, "130.00"),
        limits=ALL,
    )
    account = engine.cache.accounts()[0].id
    assert (ours.denials(), gate.errors, gate.margin.reserved(account)) == ([], 0, 800)
    gate.uninstall()
    kernel = engine.kernel
    again = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(ALL))
    again.install(kernel.exec_engine)
    again.begin()
    assert (again.errors, again.margin.reserved(account)) == (0, 800)


@pytest.mark.parametrize(("qty", "denied"), [(20_000, False), (20_001, True)])
def test_a_modification_pays_for_what_it_adds(bench, qty, denied):
    orders: list[Any] = []
    _, gate, _ = bench.run(
        lambda s: orders.append(s.limit(BUY, 15_000, "99.00")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(qty), Price.from_str("99.99")),
        lambda s: s.modify_order(orders[0], Quantity.from_int(qty), Price.from_str("100.00")),
        limits=ALL,
        quotes=[quote("101.00", "101.00", second) for second in range(1, 6)],
    )
    assert gate.denied == ({"MARGIN_INSUFFICIENT": 1} if denied else {})


def test_a_stop_that_is_moved_pays_for_where_it_is_then(bench):
    """12,195 shares at the protective limit of 164.00 are paid by 2,000,000; at that of 164.01 they are not."""
    orders: list[Any] = []

    def to(trigger: str) -> Any:
        return lambda s: s.modify_order(orders[0], trigger_price=Price.from_str(trigger))

    def send(s: Any) -> None:
        stop(s, BUY, 12_195, "120.00")
        orders.extend(s.cache.orders())

    _, gate, engine = bench.run(send, to("160.01"), to("160.00"), lambda s: None, limits=ALL)
    assert (gate.denied, gate.errors) == ({"MARGIN_INSUFFICIENT": 1}, 0)
    assert gate.margin.reserved(engine.cache.accounts()[0].id) == Decimal(12_195) * 164


def test_what_is_not_marginable_is_paid_in_cash(bench):
    def prepare(engine: Any, _gate: Any) -> None:
        engine.cache.add_instrument(Equity.from_dict({**Equity.to_dict(equity()), "info": {"marginable": False}}))

    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 10_001), lambda s: s.market(BUY, 10_000), limits=ALL, prepare=prepare
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert gate.errors == 0


def test_an_asset_that_is_no_longer_marginable_is_paid_in_cash_though_the_instrument_stays(bench):
    """What is said of an instrument may change in its place: where its precisions are others now."""
    stays = Equity.from_dict({**Equity.to_dict(equity()), "info": {"marginable": True}})

    def changed(s: Any) -> None:
        stays.info["marginable"] = False
        s.market(BUY, 10_000)

    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 1),
        changed,
        limits=ALL,
        prepare=lambda engine, _gate: engine.cache.add_instrument(stays),
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]


def test_room_that_can_not_be_reserved_denies_the_order_and_never_raises(bench, monkeypatch):
    def broken(s: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(gates[0].margin, "whole", fails)
            s.market(SELL, 100)

    def fails(*_args: Any) -> None:
        raise RuntimeError("a bug")

    gates: list[Any] = []
    ours, gate, engine = bench.run(
        lambda s: s.market(BUY, 100),
        broken,
        lambda s: s.market(SELL, 100),
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.denials() == ["GATE_ERROR: the gate could not reserve its room (RuntimeError: a bug)"]
    assert engine.portfolio.net_position(IBM) == 0
    assert len(gate.reservations) == 0
    assert gate.margin.reserved(engine.cache.accounts()[0].id) == 0


# -- the broker's last word --------------------------------------------------------------------------------------------


class Told:
    """A gate that hears an account's figures as a live one does."""

    def __init__(self, engine: Any, gate: Any) -> None:
        self.engine, self.gate = engine, gate
        self.at = 1_000_000_000
        gate.margin._clock = SimpleNamespace(timestamp_ns=lambda: self.at)

    def says(self, power: int, *, at: int = 0, **more: Any) -> None:
        self.at += at
        account = self.engine.cache.accounts()[0]
        info = {"buying_power": str(power), "multiplier": "2", **more}
        money = Money(1_000_000, USD)
        event = AccountState(
            account.id, account.type, USD, True, [AccountBalance(money, Money(0, USD), money)], [], info,
            UUID4(), self.at, self.at,
        )  # fmt: skip
        self.gate._follower.on_account(event)


def test_the_smaller_of_our_own_and_the_brokers_figure_is_available(bench):
    told: list[Told] = []
    ours, _, _ = bench.run(
        lambda s: (told[0].says(500_000), s.limit(BUY, 5_001, "100.00")),
        lambda s: s.limit(BUY, 5_000, "99.99"),
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert "500,000 by the broker's figures" in ours.denials()[0]


def test_a_figure_that_is_no_number_holds_back_what_needs_it_and_nothing_that_closes(bench):
    told: list[Told] = []
    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: (told[0].says("n/a"), s.market(BUY, 1)),  # type: ignore[arg-type]
        lambda s: s.market(SELL, 100),
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert ours.codes() == ["GATE_ERROR"]
    assert engine.portfolio.net_position(IBM) == 0


def test_a_figure_that_is_too_large_to_be_counted_with_leaves_the_others_in_force(bench):
    told: list[Told] = []
    ours, _, _ = bench.run(
        lambda s: (told[0].says(500_000), told[0].says(1_000, options_buying_power="1e40"), s.market(BUY, 11)),
        lambda s: s.market(BUY, 10),
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert "1,000 by the broker's figures" in ours.denials()[0]


@pytest.mark.parametrize("opening", [BUY, SELL])
def test_an_equity_that_is_no_number_holds_back_what_opens_and_lets_nothing_else_slip(bench, monkeypatch, opening):
    def unreadable(_account_id: Any) -> Any:
        raise InvalidOperation("n/a")

    gates: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: monkeypatch.setattr(gates[0].ledger, "attos", unreadable),
        lambda s: s.market(opening, 101),
        lambda s: s.market(SELL, 10),
        lambda s: s.market(SELL, 10),  # a double, though it closes
        limits=replace(ALL, duplicate_window_ns=60 * SECOND),
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["GATE_ERROR", "DUPLICATE_ORDER"]


@pytest.mark.parametrize("equity", [10**40, -(10**40)])
def test_an_equity_that_is_too_large_to_be_counted_with_is_not_known(bench, monkeypatch, equity):
    gates: list[Any] = []
    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: monkeypatch.setattr(gates[0].ledger, "attos", lambda _account_id: (equity, 0)),
        lambda s: (s.market(BUY, 1), s.market(SELL, 100)),
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["NO_ACCOUNT"]


SECOND = 1_000_000_000


def test_an_order_is_taken_off_the_brokers_figure_until_a_report_must_have_seen_it(bench):
    told: list[Told] = []
    left: list[Decimal] = []

    def power() -> None:
        gate = told[0].gate
        account = told[0].engine.cache.accounts()[0].id
        left.append(usd(gate.margin.power(account, "regt").broker))

    def step(s: Any) -> None:
        hears = told[0].says
        hears(500_000)
        s.limit(BUY, 1_000, "90.00")
        power()  # 90,000 that the broker can't have seen
        hears(410_000, at=SECOND)
        power()  # this report may have been asked for before the order came
        hears(410_000, at=SECOND)
        power()  # this one was asked for after that one

    ours, _, _ = bench.run(
        lambda s: None, step, lambda s: None, limits=ALL, prepare=lambda engine, gate: told.append(Told(engine, gate))
    )
    assert ours.denials() == []
    # The venue accepts once the step is over: until then no report can be told to have seen it.
    assert left == [410_000, 320_000, 320_000]
    told[0].says(410_000, at=SECOND)
    told[0].says(410_000, at=SECOND)
    power()
    assert left[-1] == 410_000


def test_a_report_that_was_asked_for_before_a_fill_is_not_gone_by(bench, monkeypatch):
    told: list[Told] = []
    gone_by: list[int] = []
    monkeypatch.setattr(Ledger, "rebase", lambda _self, _account_id: gone_by.append(told[0].at // SECOND))

    def hears(at: int) -> None:
        told[0].says(1_000_000, at=at * SECOND)

    bench.run(
        lambda s: s.market(BUY, 1_000),
        lambda s: s.market(SELL, 1_000),  # closes, and so has cost no buying power
        # At 2 s: may have been asked for while something was held. At 3 s: was asked for after that one.
        lambda s: (hears(1), hears(1)),
        lambda s: s.market(BUY, 1_000),
        lambda s: s.market(SELL, 1_000),
        lambda s: hears(10),  # no request is waited for that long
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert gone_by == [3, 13]


def test_a_report_that_comes_long_after_the_orders_answer_has_seen_it(bench):
    told: list[Told] = []
    bench.run(
        lambda s: (told[0].says(500_000), s.limit(BUY, 1_000, "90.00")),
        lambda s: None,
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    account = told[0].engine.cache.accounts()[0].id
    assert usd(told[0].gate.margin.unseen(account)) == 90_000
    told[0].says(410_000, at=10 * SECOND)
    assert usd(told[0].gate.margin.unseen(account)) == 0


def test_a_report_that_nautilus_publishes_again_is_no_new_one(bench):
    """It does so with every event of an order or a position."""
    unseen: list[Decimal] = []
    told: list[Any] = []

    def report(engine: Any) -> None:
        account = engine.cache.accounts()[0]
        money, info = Money(1_000_000, USD), {"buying_power": "500000", "multiplier": "2"}
        event = AccountState(
            account.id, account.type, USD, True, [AccountBalance(money, Money(0, USD), money)], [], info, UUID4(), 0, 0
        )  # fmt: skip
        engine.kernel.msgbus.publish(f"events.account.{account.id}", event)
        told.append(event)

    def again(s: Any) -> None:
        engine = engines[0]
        for at in (1, 2, 3):
            gates[0].margin._clock = SimpleNamespace(timestamp_ns=lambda at=at: at * 10 * SECOND)
            engine.kernel.msgbus.publish(f"events.account.{told[0].account_id}", told[0])
        unseen.append(usd(gates[0].margin.unseen(told[0].account_id)))

    engines: list[Any] = []
    gates: list[Any] = []
    bench.run(
        lambda s: (report(engines[0]), s.limit(BUY, 1_000, "90.00")),
        again,
        limits=ALL,
        prepare=lambda engine, gate: (engines.append(engine), gates.append(gate)),
    )
    assert unseen == [90_000]


def test_what_was_filled_stays_missing_in_the_brokers_figure_until_it_is_seen(bench):
    told: list[Told] = []
    bench.run(
        lambda s: (told[0].says(500_000), s.market(BUY, 1_000)),
        lambda s: None,
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    account = told[0].engine.cache.accounts()[0].id
    assert told[0].gate.margin.reserved(account) == 0
    assert usd(told[0].gate.margin.unseen(account)) == 100_000


def test_what_a_modification_adds_is_taken_off_the_brokers_figure_too(bench):
    told: list[Told] = []
    orders: list[Any] = []
    left: list[Decimal] = []

    def unseen() -> None:
        left.append(usd(told[0].gate.margin.unseen(told[0].engine.cache.accounts()[0].id)))

    def more(s: Any) -> None:
        s.modify_order(orders[0], Quantity.from_int(1_500))

    bench.run(
        lambda s: (told[0].says(500_000), orders.append(s.limit(BUY, 1_000, "90.00"))),
        lambda s: (
            told[0].says(410_000, at=10 * SECOND),
            unseen(),
            s.modify_order(orders[0], Quantity.from_int(1_500)),
        ),
        lambda s: (unseen(), told[0].says(365_000, at=10 * SECOND), unseen()),
        limits=ALL,
        prepare=lambda engine, gate: told.append(Told(engine, gate)),
    )
    assert left == [0, 45_000, 0]


def test_after_a_restart_reservations_are_made_of_the_open_orders_and_positions(bench):
    """A second gate over the same cache finds what the first had reserved."""
    _, gate, engine = bench.run(
        lambda s: s.market(BUY, 1_000),
        lambda s: s.limit(SELL, 600, "110.00"),
        lambda s: s.limit(SELL, 500, "111.00"),  # 400 close, 100 open a short
        lambda s: s.limit(BUY, 10, "95.00"),
        limits=ALL,
    )
    account = engine.cache.accounts()[0].id
    assert gate.margin.reserved(account) == 100 * 111 + 950
    gate.uninstall()
    kernel = engine.kernel
    again = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(ALL))
    again.install(kernel.exec_engine)
    again.begin()
    assert again.errors == 0
    assert usd(again.collateral.burden(account)) == 50_000
    # Which of the two sales comes first is not known any more: the dearest is taken for what opens.
    assert again.margin.reserved(account) >= 100 * 110 + 950


def test_after_a_restart_an_exit_that_works_still_holds_nothing(bench):
    _, gate, engine = bench.run(
        lambda s: s.market(BUY, 1_000),
        lambda s: s.limit(SELL, 1_000, "110.00"),
        limits=ALL,
    )
    account = engine.cache.accounts()[0].id
    assert gate.margin.reserved(account) == 0
    gate.uninstall()
    kernel = engine.kernel
    again = RiskGate(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, limits=LimitsBook(ALL))
    again.install(kernel.exec_engine)
    again.begin()
    assert (again.errors, again.margin.reserved(account)) == (0, 0)


@pytest.mark.parametrize(("exits", "held"), [(10, 800), (11, 800 + 11 * 103)])
def test_an_exit_larger_than_its_entry_is_paid_for_as_any_sale(bench, exits, held):
    _, gate, engine = bench.run(lambda s: s.entry_and_exit(10, exits, "80.00", "100.00"), limits=ALL)
    assert gate.margin.reserved(engine.cache.accounts()[0].id) == held


@pytest.mark.parametrize("part", ["reservations.reserve", "margin.whole", "book.take"])
def test_a_list_whose_room_can_not_be_taken_counts_for_nothing(bench, part):
    gates: list[Any] = []
    limits = Limits(headroom=Decimal(0), max_orders=Rate(2, 3600 * SECOND), duplicate_window_ns=3600 * SECOND)

    def fail(s: Any) -> None:
        gate, calls = gates[0], []
        owner, name = part.split(".")
        own = getattr(getattr(gate, owner), name)

        def broken(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            if name == "take":  # only the first of the two has taken its room
                candidates, wholes, *rest = args
                own(candidates[:1], wholes[:1], *rest, counted=0)
            if name == "take" or len(calls) == 2:
                raise RuntimeError("a bug")
            return own(*args, **kwargs)

        setattr(getattr(gate, owner), name, broken)
        s.several((BUY, 1, "90.00"), (BUY, 2, "91.00"))
        setattr(getattr(gate, owner), name, own)
        assert len(calls) == (1 if name == "take" else 2)

    ours, gate, engine = bench.run(
        fail,
        lambda s: s.several((BUY, 1, "90.00"), (BUY, 2, "91.00")),
        limits=limits,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["GATE_ERROR"] * 2
    assert len(engine.cache.orders_open()) == 2
    assert (gate.errors, gate.margin.reserved(engine.cache.accounts()[0].id)) == (1, 90 + 182)


def test_a_list_is_held_against_itself(bench):
    """As if its orders came one by one: the same twice, and two that could trade with each other."""
    limits = Limits(duplicate_window_ns=SECOND, self_match=True)
    ours, gate, _ = bench.run(
        lambda s: s.several((BUY, 1, "90.00"), (BUY, 1, "90.00")),
        lambda s: s.several((BUY, 1, "90.00"), (SELL, 1, "90.00")),
        lambda s: s.several((BUY, 1, "90.00"), (SELL, 1, "90.01")),
        limits=limits,
    )
    assert ours.codes() == ["DUPLICATE_ORDER"] * 2 + ["SELF_MATCH"] * 2
    assert "is in the list twice, within the 1 s of risk.duplicate_window" in ours.denials()[0]
    assert gate.errors == 0


def test_a_burden_that_is_too_large_holds_back_what_opens_and_is_not_mistaken_for_the_one_before(bench):
    gates: list[Any] = []
    huge = 2**127

    def too_large(s: Any) -> None:
        own = gates[0].ledger.attos(s.cache.accounts()[0].id)
        gates[0].ledger.attos = lambda _account_id: own  # nothing else changes
        gates[0].collateral.burden = lambda _account_id: huge
        s.market(BUY, 1)
        s.market(BUY, 2)
        s.market(SELL, 3)

    ours, _, engine = bench.run(
        lambda s: s.market(BUY, 10),
        too_large,
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["GATE_ERROR"] * 2
    assert engine.portfolio.net_position(IBM) == 7


class Without:
    """A cache that has lost an instrument."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self.lost = IBM

    def instrument(self, instrument_id: Any) -> Any:
        return None if instrument_id == self.lost else self._cache.instrument(instrument_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def test_an_exit_of_an_instrument_that_is_not_in_the_cache_passes_and_is_followed(bench):
    _, gate, engine = bench.run(lambda s: s.market(BUY, 1_000), limits=ALL)
    gate.uninstall()
    kernel, cache = engine.kernel, Without(engine.kernel.cache)
    again = RiskGate(msgbus=kernel.msgbus, cache=cache, clock=kernel.clock, limits=LimitsBook(ALL))
    passed: list[Any] = []
    again.install(kernel.exec_engine, passed.append)
    again.begin()
    (ours,) = kernel.trader.strategies()
    ours.market(SELL, 400)
    ours.limit(SELL, 600, "110.00")
    assert ([command.order.side for command in passed], again.denied) == ([SELL, SELL], {})
    ours.market(BUY, 1)
    assert (len(passed), again.denied) == (2, {"GATE_ERROR": 1})
    cache.lost = None
    ours.market(BUY, 1)
    assert (len(passed), again.denied) == (3, {"GATE_ERROR": 1})


def test_an_exit_whose_position_is_closed_otherwise_costs_the_short_that_it_would_open(bench):
    """5,000 at 110 of 2,000,000: 1,450,000 are left to buy with. Bought back, it closes again."""
    gates: list[Any] = []
    reserved: list[Decimal] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 5_000),
        lambda s: s.limit(SELL, 5_000, "110.00"),
        lambda s: (look(s), s.market(SELL, 5_000)),
        lambda s: (look(s), s.limit(BUY, 14_501, "99.99"), s.limit(BUY, 14_502, "99.99")),
        lambda s: s.cancel_all_orders(IBM, order_side=BUY),
        lambda s: (look(s), s.market(BUY, 3_000)),
        look,
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert ours.codes() == ["MARGIN_INSUFFICIENT"]
    assert reserved == [0, 550_000, 550_000, 220_000]


def test_a_position_is_there_to_close_for_the_orders_in_which_they_came_and_for_a_pair_once(bench):
    gates: list[Any] = []
    reserved: list[Decimal] = []
    first: list[Any] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    bench.run(
        lambda s: s.market(BUY, 300),
        lambda s: first.append(s.limit(SELL, 100, "110.00")),
        lambda s: s.pair(SELL, 150, "120.00", "90.00"),
        lambda s: s.limit(SELL, 60, "130.00"),  # opens 10
        lambda s: (look(s), s.market(SELL, 30)),  # closes nothing that others don't
        look,  # 40 of the last, as the first and the pair came before
        lambda s: s.cancel_order(first[0]),
        look,
        limits=ALL,
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert reserved == [1_300, 5_200, 0]


def test_what_an_exit_has_to_close_is_known_after_its_own_fills(bench):
    """A sale through zero: what closes is filled first, and what is left opens as before."""
    gates: list[Any] = []
    reserved: list[Decimal] = []

    def look(s: Any) -> None:
        reserved.append(gates[0].margin.reserved(s.cache.accounts()[0].id))

    size = Quantity.from_int(100)
    price = Price.from_str("110.00")
    bench.run(
        lambda s: s.market(BUY, 100),
        lambda s: s.limit(SELL, 150, "110.00"),
        look,
        look,
        look,
        limits=ALL,
        quotes=[
            *(quote("100.00", "100.00", second) for second in (1, 2, 3)),
            QuoteTick(IBM, price, price, size, size, 4 * SECOND, 4 * SECOND),
            *(quote("100.00", "100.00", second) for second in (5, 6)),
        ],
        prepare=lambda _engine, gate: gates.append(gate),
    )
    assert reserved == [5_500, 5_500, 5_500]
