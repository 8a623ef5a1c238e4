"""The engine's book of book, told by Nautilus's ids: what it keeps is what adding everything up would give."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.enums import ContingencyType, OrderSide, OrderType
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from runner._engine import RiskBook, RiskFault, RiskOrder, RiskRules
from runner.risk.book import Book
from runner.risk.candidate import Subject
from runner.risk.exposure import ZERO, Leg, atto
from runner.risk.limits import Limits, LimitsBook
from runner.risk.prices import Prices
from tests.risk.plain import candidate as candidate_of
from tests.risk.plain import leg, parts, worst_notional

D = Decimal
USD = 10**18
NAMES = "abcdef"
IBM, OPT = InstrumentId.from_str("IBM.ALPACA"), InstrumentId.from_str("IBM250117C00190000.ALPACA")
INSTRUMENTS = {IBM: 1, OPT: 100}


class Cache:
    """Quotes, positions and orders."""

    def __init__(self) -> None:
        self.quotes: dict[Any, Any] = {}
        self.positions: dict[tuple[Any, str], Decimal] = {}
        self.orders: dict[Any, Any] = {}
        self.known = dict(INSTRUMENTS)

    def instrument(self, name: Any) -> Any:
        if name not in self.known:
            return None
        return SimpleNamespace(id=name, multiplier=Quantity.from_int(self.known[name]), margin_init=0, margin_maint=0)

    def quote_tick(self, name: Any) -> Any:
        return self.quotes.get(name)

    def price(self, _name: Any, _kind: Any) -> Any:
        return None

    def bar_types(self, _name: Any) -> list[Any]:
        return []

    def order(self, client_order_id: Any) -> Any:
        return self.orders.get(client_order_id)

    def accounts(self) -> list[Any]:
        return [SimpleNamespace(id="A")]

    def positions_open(self, instrument_id: Any = None) -> list[Any]:
        return [
            SimpleNamespace(
                instrument_id=name, account_id="A", strategy_id=strategy, avg_px_open=3.0,
                signed_decimal_qty=lambda qty=qty: qty,
            )
            for (name, strategy), qty in self.positions.items()
            if qty and instrument_id in (None, name)
        ]  # fmt: skip

    def quote(self, name: Any, bid: int, ask: int) -> None:
        price = [Price.from_str(f"{each}.00") for each in (bid, ask)]
        self.quotes[name] = SimpleNamespace(bid_price=price[0], ask_price=price[1], ts_event=0)


def order(name: str, *, buy: bool = True, instrument: Any = IBM, strategy: str = "S", **more: Any) -> Any:
    made = SimpleNamespace(
        client_order_id=ClientOrderId(name),
        instrument_id=instrument,
        strategy_id=strategy,
        side=OrderSide.BUY if buy else OrderSide.SELL,
        order_type=OrderType.MARKET,
        has_price=False,
        parent_order_id=None,
        linked_order_ids=None,
        order_list_id=None,
        contingency_type=ContingencyType.NO_CONTINGENCY,
        quantity=Quantity.from_int(10),
        filled_qty=Quantity.from_int(0),
        is_quote_quantity=False,
    )
    vars(made).update(more)
    return made


def oco(*names: str) -> dict[str, Any]:
    linked = [ClientOrderId(name) for name in names]
    return {"contingency_type": ContingencyType.OCO, "order_list_id": "L-1", "linked_order_ids": linked}


@pytest.fixture
def cache() -> Cache:
    return Cache()


def fresh(cache: Cache) -> Book:
    return Book(cache, Prices(cache), SimpleNamespace(equities=lambda _ids: None))  # type: ignore[arg-type]


prices = st.none() | st.integers(1, 5)
orders = st.builds(
    lambda name, buy, instrument, strategy, qty, price, one_of_two: leg(
        order(name, buy=buy, instrument=instrument, strategy=strategy, **(oco("z") if one_of_two else {})),
        D(qty),
        None if price is None else D(price),
    ),
    st.sampled_from(NAMES), st.booleans(), st.sampled_from([*INSTRUMENTS]), st.sampled_from("ST"), st.integers(1, 9),
    prices, st.booleans(),
)  # fmt: skip
moves = st.tuples(st.sampled_from([*INSTRUMENTS]), st.sampled_from("ST"), st.integers(-9, 9))
quotes = st.tuples(st.sampled_from([*INSTRUMENTS]), st.integers(1, 5), st.integers(1, 5))


steps = st.lists(orders | st.sampled_from(NAMES) | moves | quotes.map(list), max_size=25)


def followed(steps: list[Any]) -> tuple[Cache, Book, dict[str, Leg]]:
    """A book that was told of all that, and the orders that work then."""
    cache = Cache()
    book, working = fresh(cache), {}
    for step in steps:
        if isinstance(step, str):
            book.drop(ClientOrderId(step))
            working.pop(step, None)
        elif isinstance(step, Leg):
            book.put(step, "A")
            working[step.order.client_order_id.value] = step
        elif isinstance(step, list):
            cache.quote(*step)
        else:
            cache.positions[step[:2]] = D(step[2])
            book.touch(step[0])
    book.mark()
    return cache, book, working


def held(cache: Cache, instrument: Any, strategy: str | None = None) -> Decimal:
    return sum((q for (i, s), q in cache.positions.items() if i == instrument and strategy in (None, s)), ZERO)


def worst(
    cache: Cache, instrument: Any, strategy: str | None, buy: bool, legs: Any, *, opened: bool = True
) -> Decimal | None:
    """What a position could become by its orders of one side, in USD; None where that can't be told."""
    qty = held(cache, instrument, strategy)
    side = parts(
        leg for leg in legs
        if leg.buy == buy and leg.instrument_id == instrument and strategy in (None, leg.order.strategy_id)
    )  # fmt: skip
    if not qty and not side:
        return ZERO
    quote = cache.quotes.get(instrument)
    mark = None if quote is None else (quote.ask_price if buy else quote.bid_price).as_decimal()
    if mark is None and qty and opened:
        mark = D(3)
    found = worst_notional(qty, side, mark, buy=buy)
    return None if found is None else found * INSTRUMENTS[instrument]


def gross(cache: Cache, strategy: str | None, legs: Any) -> Decimal | None:
    both = [[worst(cache, each, strategy, buy, legs) for buy in (True, False)] for each in INSTRUMENTS]
    return None if any(None in each for each in both) else sum((max(each) for each in both), ZERO)  # type: ignore[type-var]


@settings(max_examples=200)
@given(steps, orders)
def test_what_is_kept_is_what_adding_everything_up_gives(steps: list[Any], wanted: Leg) -> None:
    cache, book, working = followed(steps)
    for strategy in (None, "S", "T"):
        total = gross(cache, strategy, working.values())
        if total is None:
            with pytest.raises(LookupError, match="no price of"):
                book.total("A", strategy)
        else:
            assert book.total("A", strategy) == total
        mine = [leg for leg in working.values() if strategy in (None, leg.order.strategy_id)]
        assert book.count("A", strategy) == len(mine)

    if (known := working.get(wanted.order.client_order_id.value)) is not None:
        wanted = leg(known.order, wanted.qty, wanted.price)  # as a modification of it
    candidate = candidate_of(wanted.order, wanted.qty, wanted.price)
    limits = LimitsBook(top=Limits(max_position_notional=D(20)))
    own = leg(wanted.order, max(wanted.qty, known.qty) if known is not None else wanted.qty, wanted.price)
    after = [*(leg for name, leg in working.items() if name != wanted.order.client_order_id.value), own]
    subject = Subject("A", own.order.strategy_id, "A", "S", limits.rules("A", "S"))
    look = book.look([candidate], subject, 0)
    assert not look.reduces or look.opening is None
    side = parts(leg for leg in after if leg.buy == own.buy and leg.instrument_id == own.instrument_id)
    assert book.side(own.instrument_id, "A", buy=own.buy, orders=look.orders) == sum((part.qty for part in side), ZERO)
    if look.reduces:
        return
    becomes = worst(cache, own.instrument_id, None, own.buy, after, opened=False)
    if becomes is None:
        assert isinstance(look.opening, RiskFault.PositionUnpriced)
    else:
        assert isinstance(look.opening, RiskFault.Position) == (becomes > 20)


members = st.lists(
    st.tuples(st.booleans(), st.sampled_from([*INSTRUMENTS]), st.integers(1, 9), prices, st.booleans()),
    min_size=2,
    max_size=4,
)


@settings(max_examples=200)
@given(steps, members, st.integers(1, 60))
def test_a_list_is_held_against_what_all_of_it_could_become(steps: list[Any], members: list[Any], most: int) -> None:
    """Several instruments, both sides, and some of one group of which only one can be filled."""
    cache, book, working = followed(steps)
    legs = [
        leg(order(f"n{n}", buy=buy, instrument=instrument, **(oco("n0") if one_of_some else {})), D(qty), price)
        for n, (buy, instrument, qty, price, one_of_some) in enumerate(members)
    ]
    after = [*working.values(), *legs]
    candidates = [candidate_of(each.order, each.qty, each.price) for each in legs]

    def fault(**limits: Any) -> tuple[bool, Any]:
        rules = LimitsBook(top=Limits(**limits)).rules("A", "S")
        look = book.look(candidates, Subject("A", "S", "A", "S", rules), 0)
        return look.reduces, look.opening

    def shrinks(instrument: Any) -> bool:
        qty = held(cache, instrument)
        sides = {each.buy for each in legs if each.instrument_id == instrument}
        own = parts(each for each in after if each.instrument_id == instrument and each.buy == (qty < 0))
        return sides == {qty < 0} and 0 < sum((part.qty for part in own), ZERO) <= abs(qty)

    reduces = all(shrinks(each.instrument_id) for each in legs)
    found, position = fault(max_position_notional=D(most))
    assert found == reduces
    opens = {(each.instrument_id, each.buy): None for each in legs if not shrinks(each.instrument_id)}
    expected = None
    for instrument, buy in opens:
        becomes = worst(cache, instrument, None, buy, after, opened=False)
        if becomes is None or becomes > most:
            expected = RiskFault.PositionUnpriced if becomes is None else RiskFault.Position
            break
    assert type(position) is (expected or type(None))

    _, breach = fault(max_gross_exposure=SimpleNamespace(amount=D(most), fraction=None))
    was, would = gross(cache, None, working.values()), gross(cache, None, after)
    if reduces:
        assert breach is None
    elif was is None or would is None:
        assert isinstance(breach, RiskFault.GrossUnpriced)
    else:
        assert isinstance(breach, RiskFault.Gross) == (would > was and would > most)


@pytest.mark.parametrize(
    ("position", "side", "mark", "buy", "worth"),
    [
        ("0", [("10", "99")], "100", True, "990"),
        ("0", [("10", "99")], None, True, "990"),
        ("5", [("10", "99")], "100", True, "1490"),
        ("-5", [("10", "99")], "100", False, "1490"),
        ("5", [("10", "99")], None, True, "1485"),
        ("-5", [("10", "99")], "100", True, "495"),  # turned round: what remains is 5
        ("-5", [("3", "99"), ("4", "101")], "100", True, "202"),
        ("-5", [("3", "99")], "100", True, "200"),  # still short
        ("5", [("15", "100")], "100", False, "1000"),
        ("0.5", [("0.000000001", "100")], "100", True, "50.0000001"),
    ],
)
def test_the_worst_case_in_money(position, side, mark, buy, worth):
    book = RiskBook()
    book.declare(0, 1)
    mark = None if mark is None else int(D(mark) * 10**9)
    book.hold(0, None, 0, int(D(position) * 10**9), None)
    wanted = [
        RiskOrder(
            str(n), 0, buy, 2, 1, qty, qty, qty, price, price, price, mark, 2, money=True
        )  # judged, be it that it closes
        for n, (qty, price) in enumerate((int(D(qty) * 10**9), int(D(price) * 10**9)) for qty, price in side)
    ]
    at = atto(D(worth))
    for most, expected in ((at, None), (at - 1, (True, at))):
        fault = book.look(0, 0, RiskRules(position_of_account=most), wanted, 0).opening
        assert (None if fault is None else (fault.account, fault.worst)) == expected


def test_of_orders_that_cancel_each_other_the_largest_counts(cache):
    book = fresh(cache)
    for name, other, qty, price in (("a", "b", 10, 110), ("b", "a", 8, 120)):
        book.put(leg(order(name, buy=False, **oco(other)), D(qty), D(price)), "A")
    book.put(leg(order("c", buy=False), D(1), D(100)), "A")
    assert book.side(IBM, "A", buy=False) == 11
    assert book.total("A") == 10 * 120 + 100


def test_an_order_in_money_without_a_price_is_held_against_no_limit_and_denied(cache):
    book = fresh(cache)
    candidate = candidate_of(order("new"), None, None)
    for limit in (
        {"max_position_notional": D(10)},
        {"max_gross_exposure": SimpleNamespace(amount=D(10), fraction=None)},
    ):
        rules = LimitsBook(top=Limits(**limit)).rules("A", "S")
        subject = Subject("A", "S", "A", "S", rules)
        fault = book.look([candidate], subject, 0).opening
        assert isinstance(fault, RiskFault.PositionUnpriced | RiskFault.GrossUnpriced)


def test_a_price_that_arrives_later_is_seen_when_it_is_needed(cache):
    book = fresh(cache)
    book.put(leg(order("a"), D(2), None), "A")
    with pytest.raises(LookupError, match=r"no price of IBM\.ALPACA"):
        book.total("A")
    book.put(leg(order("a"), D(2), D(5)), "A")
    assert book.total("A") == 10


def test_an_instrument_that_is_not_in_the_cache_yet_is_asked_for_again(cache):
    del cache.known[IBM]
    book = fresh(cache)
    book.put(leg(order("a"), D(2), D(5)), "A")
    with pytest.raises(LookupError, match=r"IBM\.ALPACA is not in the cache"):
        book.total("A")
    candidate = candidate_of(order("new"), D(1), D(1))
    rules = LimitsBook(top=Limits(max_position_notional=D(100))).rules("A", "S")
    subject = Subject("A", "S", "A", "S", rules)
    assert isinstance(book.look([candidate], subject, 0).opening, RiskFault.PositionUnpriced)
    cache.known[IBM] = 1
    assert book.look([candidate], subject, 0).opening is None
    assert book.total("A") == 10


def test_strategies_that_hold_opposite_positions_are_marked_though_the_account_is_flat(cache):
    book = fresh(cache)
    cache.positions[IBM, "S"], cache.positions[IBM, "T"] = D(4), D(-4)
    book.take_up()
    book.mark()
    cache.quote(IBM, 7, 7)
    book.mark()
    assert (book.total("A"), book.total("A", "S"), book.total("A", "T")) == (0, 28, 28)


def test_a_position_that_closes_counts_for_nothing_any_more(cache):
    book = fresh(cache)
    cache.positions[IBM, "S"] = D(4)
    book.take_up()
    assert (book.total("A"), book.total("A", "S"), book.total("A", "T")) == (12, 12, 0)
    cache.quote(IBM, 7, 7)
    book.mark()
    assert book.largest("A") == 28
    cache.positions.clear()
    book.touch(IBM)
    assert (book.total("A"), book.total("A", "S")) == (0, 0)


def test_an_instrument_that_was_unknown_is_declared_once_the_cache_has_it(cache):
    del cache.known[IBM]
    book = fresh(cache)
    cache.positions[IBM, "S"] = D(4)
    book.take_up()
    book.sync()
    number = book.instrument(IBM)
    rules = RiskRules(notional=(10**30, "risk"))
    row = RiskOrder("O-1", number, True, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2)
    assert isinstance(book.engine.look(0, 0, rules, [row], 0).at_all, RiskFault.Unsized)
    cache.known[IBM] = 1
    assert book.instrument(IBM) == number
    assert book.engine.look(0, 0, rules, [row], 0).at_all is None


def test_a_position_whose_multiplier_is_no_whole_number_holds_back_no_other_instrument(cache):
    cache.instrument = lambda name: SimpleNamespace(
        id=name, multiplier=Quantity.from_str("0.5" if name == IBM else "1"), margin_init=0, margin_maint=0
    )
    book = fresh(cache)
    cache.positions[IBM, "S"] = D(4)
    book.take_up()
    look = book.look([candidate_of(order("new", instrument=OPT), D(1), D(1))], subject_of(Limits()), 0)
    assert (look.at_all, look.opening) == (None, None)
    with pytest.raises(LookupError, match=r"IBM\.ALPACA has a multiplier of 0\.5, which is no whole number"):
        book.total("A")


@pytest.mark.parametrize("kind", ["NoEquity", "Unreadable", "Burden", "Overflow"])
def test_a_fault_is_true_also_where_it_says_nothing_more(kind):
    assert getattr(RiskFault, kind)()


def subject_of(limits: Limits) -> Subject:
    return Subject("A", "S", "A", "S", LimitsBook(top=limits).rules("A", "S"))


def test_of_orders_that_are_taken_as_one_none_counts_where_one_can_not_be():
    book, rules = RiskBook(), RiskRules(rates=[("risk", 9, 10**9)])
    book.declare(0, 1)
    rows = [RiskOrder(str(n), n, True, 2, 1, 10, 10, 10, 1, 1, 1, 1, 2) for n in range(2)]
    book.follow_margin()
    with pytest.raises(ValueError):  # the second's instrument is not known
        book.take(0, 0, rules, rows, [None, None], 2, 0)
    assert book.passed("risk", 10**9, 0) == 0
    book.declare(1, 1)
    for counted in (0, 1):  # the others take their room only
        book.take(0, 0, rules, rows, [None, None], counted, 0)
        assert (book.passed("risk", 10**9, 0), book.orders()) == (counted, 2)
    for wholes, counted in (([None], 1), ([None, None], 3)):
        with pytest.raises(ValueError, match="counts no more"):
            book.take(0, 0, rules, rows, wholes, counted, 0)
