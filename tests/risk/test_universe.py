"""Symbols, sessions, short sales and the venue's own table."""

from __future__ import annotations

from typing import Any

import pytest
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity

from runner.risk.limits import Limits, LimitsBook, UniverseLimits
from runner.risk.universe import listed
from tests.risk.conftest import IBM, equity

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def universe(**keys: Any) -> Limits:
    return Limits(universe=UniverseLimits(**keys))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (universe(allow=("IBM",)), None),
        (universe(allow=("I*", "MSFT")), None),
        (universe(allow=("MSFT",)), "IBM is not in risk.universe.allow"),
        (universe(deny=("MSFT",)), None),
        (universe(deny=("IB?",)), "IBM is denied by `IB?` of risk.universe.deny"),
        (universe(allow=("IBM",), deny=("IBM",)), "IBM is denied by `IBM` of risk.universe.deny"),
    ],
)
def test_a_symbol_is_opened_where_the_lists_allow_it(bench, limits, says):
    ours, gate, _ = bench.run(lambda s: s.market(BUY, 1), limits=limits)
    assert ours.denials() == ([] if says is None else [f"SYMBOL_DENIED: {says}"])
    assert gate.errors == 0


def test_every_levels_lists_hold(bench):
    book = LimitsBook(universe(allow=("IBM",)), strategies={"main": universe(deny=("IBM",))})
    ours, _, _ = bench.run(lambda s: s.market(BUY, 1), limits=book)
    assert "strategies.main.limits.universe.deny" in ours.denials()[0]


def test_patterns_take_the_case_as_it_is_written():
    assert listed("BTC/USD", ("BTC/*",)) == "BTC/*"
    assert listed("ibm", ("IBM",)) is None


@pytest.mark.parametrize(
    ("session", "code"), [("core", []), ("post", ["SESSION_CLOSED"]), ("closed", ["SESSION_CLOSED"])]
)
def test_a_stock_is_opened_in_the_sessions_of_the_file_and_closed_in_any(bench, session, code):
    now = ["core"]

    def later(s: Any) -> None:
        now[0] = session
        s.market(BUY, 1)
        s.market(SELL, 1)

    ours, _, _ = bench.run(
        lambda s: s.market(BUY, 2), later, limits=universe(sessions=("core",)), session=lambda _ns: now[0]
    )
    assert ours.codes() == ([] if session == "core" else ["SESSION_CLOSED"])


@pytest.mark.parametrize(
    ("now", "sessions", "tif", "says"),
    [
        ("core", ("core",), TimeInForce.DAY, "post"),
        ("core", ("core", "post"), TimeInForce.DAY, None),
        ("core", ("core", "post"), TimeInForce.GTC, "pre"),
        ("core", ("pre", "core", "post"), TimeInForce.GTC, None),
        ("pre", ("pre",), TimeInForce.DAY, "core"),
        ("pre", ("pre", "core"), TimeInForce.DAY, "post"),
        ("overnight", ("overnight", "core", "post"), TimeInForce.DAY, "pre"),
        ("post", ("post",), TimeInForce.DAY, None),
        ("post", ("post",), TimeInForce.GTC, "pre"),
    ],
)
def test_an_order_for_extended_hours_needs_each_session_that_it_may_be_filled_in(bench, now, sessions, tif, says):
    def send(s: Any, side: Any, **more: Any) -> None:
        order = s.order_factory.limit(IBM, side, Quantity.from_int(1), Price.from_str("100.00"), time_in_force=tif)
        s.submit_order(order, **more)

    ours, gate, _ = bench.run(
        lambda s: send(s, BUY),
        lambda s: (send(s, BUY, params={"extended_hours": True}), send(s, SELL, params={"extended_hours": True})),
        limits=universe(sessions=sessions),
        session=lambda _ns: now,
    )
    reason = (
        f"SESSION_CLOSED: IBM with extended_hours can be filled in {says} too, and is opened in the sessions "
        f"{', '.join(sessions)} of risk.universe.sessions only"
    )
    assert ours.denials() == ([] if says is None else [reason])
    assert gate.errors == 0


@pytest.mark.parametrize("sessions", [("core",), ("core", "post")])
def test_an_order_for_extended_hours_that_works_is_moved_only_where_it_could_be_sent(bench, sessions):
    orders: dict[bool, Any] = {}

    def send(s: Any, *, extended: bool) -> None:
        day = {"time_in_force": TimeInForce.DAY}
        orders[extended] = order = s.order_factory.limit(IBM, BUY, Quantity.from_int(1), Price.from_str("90.00"), **day)
        s.submit_order(order, params={"extended_hours": extended})

    def move(s: Any) -> None:
        for order in orders.values():
            s.modify_order(order, price=Price.from_str("91.00"))

    def narrow(gate: Any) -> None:
        gate.set_limits(LimitsBook(universe(sessions=sessions)))

    gates: list[Any] = []
    ours, gate, _ = bench.run(
        lambda s: (send(s, extended=False), send(s, extended=True)),
        lambda _s: narrow(gates[0]),
        move,
        session=lambda _ns: "core",
        extended=lambda order: order is orders[True],
        prepare=lambda _engine, gate: gates.append(gate),
    )
    refused = [event for event in ours.events if type(event).__name__ == "OrderModifyRejected"]
    assert [event.client_order_id for event in refused] == (
        [orders[True].client_order_id] if sessions == ("core",) else []
    )
    assert all("SESSION_CLOSED: IBM with extended_hours can be filled in post too" in each.reason for each in refused)
    assert gate.errors == 0


@pytest.mark.parametrize(
    ("info", "shorting", "says"),
    [
        (None, True, None),
        ({"shortable": True, "easy_to_borrow": True}, True, None),
        (None, False, "it could leave -1 of IBM, and risk.universe.shorting is false"),
        ({"shortable": False}, True, "it could leave -1 of IBM, and the broker does not lend it"),
        (
            {"shortable": True, "easy_to_borrow": False},
            True,
            "it could leave -1 of IBM, and it is not easy to borrow",
        ),
    ],
)
def test_a_short_sale_needs_an_asset_that_is_lent(bench, info, shorting, says):
    def prepare(engine: Any, _gate: Any) -> None:
        values = {**Equity.to_dict(equity()), "info": info}
        engine.cache.add_instrument(Equity.from_dict(values))

    def through_zero(s: Any) -> None:
        s.limit(SELL, 1, "101.00")  # from here on one may be sold
        s.limit(SELL, 2, "101.00")

    ours, gate, _ = bench.run(
        lambda s: s.market(BUY, 2), through_zero, limits=universe(shorting=shorting), prepare=prepare
    )
    assert ours.denials() == ([] if says is None else [f"NOT_SHORTABLE: {says}"])
    assert gate.errors == 0


def test_what_the_venue_does_not_take_is_denied_even_when_it_reduces(bench):
    def legality(order: Any, instrument: Any, params: Any) -> str | None:
        assert instrument.id == IBM
        return "a market order of 7 is illegal" if order.quantity == 7 else None

    ours, _, _ = bench.run(lambda s: s.market(BUY, 10), lambda s: s.market(SELL, 7), legality=legality)
    assert ours.denials() == ["ORDER_ILLEGAL: a market order of 7 is illegal"]


def test_a_fault_in_the_venues_table_denies(bench):
    ours, gate, _ = bench.run(lambda s: s.market(BUY, 10), legality=lambda *_args: 1 / 0)
    assert ours.codes() == ["GATE_ERROR"]
    assert gate.errors == 1


def test_an_instrument_that_is_not_known_is_not_opened_though_no_limit_asks_for_it(bench):
    def prepare(_engine: Any, gate: Any) -> None:
        gate.judge._instruments._instrument = lambda _instrument_id: None

    ours, gate, engine = bench.run(lambda s: s.market(BUY, 1), limits=Limits(), prepare=prepare)
    assert ours.denials() == ["GATE_ERROR: the gate could not judge it (LookupError: IBM.ALPACA is not in the cache)"]
    assert gate.errors == 1
    assert engine.cache.positions() == []
