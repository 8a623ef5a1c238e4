"""The sums kept up by events are those that adding everything up would give."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model.enums import ContingencyType, OrderSide
from nautilus_trader.model.identifiers import ClientOrderId

from runner.risk.exposure import Leg, parts, summed
from runner.risk.reservations import Reservations
from runner.risk.working import Side, Working

NAMES = "abcdef"
OCO = {"contingency_type": ContingencyType.OCO, "order_list_id": "L-1"}


def order(name: str, **more: Any) -> Any:
    made = SimpleNamespace(
        client_order_id=ClientOrderId(name),
        instrument_id="IBM",
        strategy_id="S",
        account_id="A",
        side=OrderSide.BUY,
        parent_order_id=None,
        linked_order_ids=None,
        order_list_id=None,
        contingency_type=ContingencyType.NO_CONTINGENCY,
        is_closed=False,
        is_open=True,
        is_inflight=False,
    )
    vars(made).update(more)
    return made


legs = st.builds(
    lambda name, qty, price, one_of_two: Leg(
        order(name, **(OCO | {"linked_order_ids": [ClientOrderId("z")]} if one_of_two else {})),
        Decimal(qty),
        None if price is None else Decimal(price),
    ),
    st.sampled_from(NAMES),
    st.integers(1, 9),
    st.none() | st.integers(1, 5),
    st.booleans(),
)


@given(st.lists(legs | st.sampled_from(NAMES), max_size=25), st.lists(legs, max_size=3))
def test_a_sides_sums_are_those_of_its_orders_whatever_came_and_went(steps: list[Leg | str], asked: list[Leg]) -> None:
    side, known = Side(), {}
    for step in steps:
        if isinstance(step, str):
            side.drop(ClientOrderId(step))
            known.pop(ClientOrderId(step), None)
        else:
            side.put(step.order.client_order_id, step)
            known[step.order.client_order_id] = step
    own = {leg.order.client_order_id: leg for leg in asked}
    assert side.with_candidates(own, {}) == summed(parts((known | own).values(), orders={}))
    assert side.with_candidates({}, {}) == summed(parts(known.values(), orders={}))


class Cache:
    def __init__(self, *orders: Any) -> None:
        self.all = {each.client_order_id: each for each in orders}

    def order(self, client_order_id: Any) -> Any:
        return self.all.get(client_order_id)


def test_orders_that_the_gate_never_saw_count_from_the_start_until_they_close() -> None:
    mine, closed = order("mine"), order("closed", is_closed=True)
    working = Working(Reservations(), Cache(mine, closed), lambda each: Leg(each, Decimal(7), Decimal(2)))
    for each in (mine, closed):
        working.note(each.client_order_id)
    assert [leg.order for leg in working.legs("IBM", "A")] == [mine]
    assert working.side("IBM", "A", "S", buy=True).with_candidates({}, {}).value == 14
    assert working.side("IBM", "A", "another", buy=True).with_candidates({}, {}).qty == 0
    mine.is_closed = True
    working.note(mine.client_order_id)
    assert list(working.legs("IBM", "A")) == []


def test_a_reservation_counts_before_the_cache_knows_its_order() -> None:
    reservations = Reservations()
    working = Working(reservations, Cache(), lambda each: Leg(each, Decimal(0), None))
    reservations.on_change = working.note
    asked = order("new", is_quote_quantity=False, leaves_qty=SimpleNamespace(as_decimal=lambda: Decimal(3)))
    reservations.reserve(asked, "A", Decimal(10))
    assert working.side("IBM", "A", None, buy=True).with_candidates({}, {}).value == 30
    reservations.release(asked.client_order_id)
    assert list(working.legs("IBM", "A")) == []


def test_the_dearest_price_is_right_whatever_comes_and_goes():
    random = Random(5)
    side, working = Side(), {}
    for _ in range(3000):
        if working and random.random() < 0.5:
            side.drop(gone := random.choice(list(working)))
            del working[gone]
        else:
            name, price = random.randrange(50), random.choice([None, *map(Decimal, range(1, 12))])
            order = SimpleNamespace(side=OrderSide.BUY, parent_order_id=None, contingency_type=0)
            side.put(name, Leg(order, Decimal(1), price))
            working[name] = price
        priced = [price for price in working.values() if price is not None]
        found = side.sum({})
        assert (found.dearest, found.value, found.qty) == (max(priced, default=None), sum(priced), len(working))
    assert len(side._heap) < 200
