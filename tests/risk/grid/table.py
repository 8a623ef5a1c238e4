"""The grid: every limit in every way that an order can come. A cell is a test, or the reason why there is none.

In each cell an order comes up to the bound, which passes, and one unit past it, which is denied with its code. Each is
run twice: in a backtest on a margin account, and by a live node against the simulated exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from nautilus_trader.model.enums import OrderSide, TimeInForce

from runner.config.risk import Portion
from runner.risk.limits import Limits, Rate, UniverseLimits
from tests.risk.conftest import IBM
from tests.risk.grid.hand import BAC, CALLS, HOUR, RATIO, SECOND, Cell, Do, Hand, Step

BUY, SELL = OrderSide.BUY, OrderSide.SELL
D = Decimal
WAYS = {
    "order": "a single order",
    "list": "a bracket, judged as a whole",
    "modify": "a modification, judged by what it adds",
    "emulate": "an order that the emulator releases",
    "reverse": "an order through zero",
    "spread": "one order of several contracts",
    "unknown account": "nobody can tell the account",
}
#: What is held or works before, so that something can be opened in this way.
FIRST: dict[str, tuple[Do, ...]] = {
    "order": (),
    "list": (),
    "modify": (Hand.rest,),
    "emulate": (),
    "reverse": (lambda h: h.buy(10),),
    "spread": (),
}
#: Opens a little more, as often as it is called, and the market stays where it is.
OPEN: dict[str, Do] = {
    "order": lambda h: h.buy(1, "90.00"),
    "list": lambda h: h.bracket(1),
    "modify": Hand.grow,
    "emulate": lambda h: h.emulate(BUY, 1),
    "reverse": Hand.cross,
    "spread": lambda h: h.spread(1),
}
#: Orders that each of these counts for.
COUNT = {"order": 1, "list": 3, "modify": 1, "emulate": 1, "reverse": 1, "spread": 1}
FILLS = {"emulate", "reverse"}


@dataclass(frozen=True)
class Row:
    """A control of the gate, the keys of the file that it is about, and the codes that it denies with."""

    name: str
    keys: tuple[str, ...]
    codes: tuple[str, ...]
    cells: dict[str, Cell | str]


def passes(*does: Do) -> list[Step]:
    return [Step(do) for do in does]


def to_and_past(limits: Limits, code: str, first: Sequence[Do], past: Do, at: Do) -> Cell:
    """One unit past the bound is denied, and leaves room for what comes up to it."""
    return Cell(limits, [*passes(*first), Step(past, code), Step(at)])


def gated(
    way: str,
    limits: Limits,
    code: str,
    *breach: Step,
    before: Sequence[Do | Step] = (),
    after: Sequence[Step] = (),
) -> Cell:
    """What opens passes until something happens, and is denied from then on."""
    first = [each if isinstance(each, Step) else Step(each) for each in before]
    return Cell(limits, [*passes(*FIRST[way]), *first, Step(OPEN[way]), *breach, Step(OPEN[way], code), *after])


def each_way(make: Callable[[str], Cell], **reasons: str) -> dict[str, Cell | str]:
    return {way: reasons.get(way) or make(way) for way in OPEN}


def row(name: str, keys: str, codes: str, cells: dict[str, Cell | str], at: Limits | None = None) -> Row:
    """`at`: the limits that an order of an unknown account comes under."""
    some = next(cell for cell in cells.values() if isinstance(cell, Cell))
    tries = ("order", "list", "emulate", "spread")
    unknown = Cell(at or some.limits, [Step(OPEN[way], "NO_ACCOUNT") for way in tries], stranger=True)
    return Row(name, tuple(keys.split()), tuple(codes.split()), {**cells, "unknown account": unknown})


# -- limits on one order, on what is held and on money -----------------------------------------------------------------


def sized(
    limits: Limits,
    code: str,
    *,
    reverse: tuple[int, int, int],
    of_entry: Limits | None = None,
    of_spreads: Limits | None = None,
) -> dict[str, Cell | str]:
    """A hundred shares come up to the bound, by their value at 100.00; the entry of a list and a resting order are at
    99.00, two spreads are worth 2,200. `reverse`: what is held, what may be sold, and what not.
    """
    entry, spreads = of_entry or limits, of_spreads or limits
    held, most, more = reverse
    return {
        "order": to_and_past(limits, code, (), lambda h: h.buy(101), lambda h: h.buy(100)),
        "list": to_and_past(
            entry, code, (), lambda h: h.bracket(101, "99.00", "90.00", "100.00"),
            lambda h: h.bracket(100, "99.00", "90.00", "100.00"),
        ),
        "modify": to_and_past(
            entry, code, [lambda h: h.rest(50, "99.00")], lambda h: h.modify(101), lambda h: h.modify(100)
        ),
        "emulate": to_and_past(limits, code, (), lambda h: h.emulate(BUY, 101), lambda h: h.emulate(BUY, 100)),
        "reverse": to_and_past(
            limits, code, [lambda h: h.buy(held)], lambda h: h.sell(more), lambda h: h.sell(most)
        ),
        "spread": to_and_past(spreads, code, (), lambda h: h.spread(3), lambda h: h.spread(2)),
    }  # fmt: skip


SIZES = [
    row(
        "size of an order", "max_order_qty", "MAX_ORDER_QTY",
        sized(
            Limits(max_order_qty=D(100)), "MAX_ORDER_QTY", reverse=(60, 100, 101),
            of_spreads=Limits(max_order_qty=D(2)),
        ),
    ),
    row(
        "value of an order", "max_order_notional", "MAX_ORDER_NOTIONAL",
        sized(
            Limits(max_order_notional=D(10_000)), "MAX_ORDER_NOTIONAL", reverse=(60, 100, 101),
            of_spreads=Limits(max_order_notional=D(2_200)),
        )
        # Of a list the dearest order counts; an order that works counts at the market where that is more.
        | {"modify": to_and_past(
            Limits(max_order_notional=D(9_900)), "MAX_ORDER_NOTIONAL", [lambda h: h.rest(50, "99.00")],
            lambda h: h.modify(101), lambda h: h.modify(100),
        )},
    ),
    row(
        "position with its working orders", "max_position_notional", "MAX_POSITION_NOTIONAL",
        sized(
            Limits(max_position_notional=D(10_000)), "MAX_POSITION_NOTIONAL", reverse=(100, 200, 201),
            of_entry=Limits(max_position_notional=D(9_900)), of_spreads=Limits(max_position_notional=D(2_200)),
        ),
    ),
    row(
        "gross exposure", "max_gross_exposure", "MAX_GROSS_EXPOSURE",
        sized(
            Limits(max_gross_exposure=Portion(fraction=D("0.01"))), "MAX_GROSS_EXPOSURE", reverse=(100, 200, 201),
            of_entry=Limits(max_gross_exposure=Portion(amount=D(9_900))),
            of_spreads=Limits(max_gross_exposure=Portion(amount=D(2_200))),
        ),
    ),
    row(
        # Of a million, lent twice: 10,000 are left, or 9,900. Two shares held leave 9,800, for 95 shorts at 1.03 x 100.
        # A spread costs its width of 1,000 less the 550 that it brings, and 900 are left for two.
        "buying power", "margin.headroom", "MARGIN_INSUFFICIENT",
        sized(
            Limits(headroom=D("0.995")), "MARGIN_INSUFFICIENT", reverse=(2, 97, 98),
            of_entry=Limits(headroom=D("0.99505")), of_spreads=Limits(headroom=D("0.9991")),
        ),
    ),
]  # fmt: skip


def write_call(qty: int, price: str = "9.00") -> Do:
    """A call of 110 for sale by itself, at more than anybody pays: it needs a hundred shares."""
    return lambda h: h.sell(qty, price, of=CALLS[1].id)


def rest_call(h: Hand) -> None:
    h.resting = h.sell(1, "9.00", of=CALLS[1].id)


COVER = Limits(headroom=D(0))
HUNDRED: Do = lambda h: h.buy(100 - int(h.held()))  # noqa: E731
OPTIONS = [
    row(
        "cover of short options", "margin.headroom", "MARGIN_UNCOVERED",
        {
            "order": to_and_past(COVER, "MARGIN_UNCOVERED", [HUNDRED], write_call(2), write_call(1)),
            "list": to_and_past(
                COVER, "MARGIN_UNCOVERED", [lambda h: h.buy(101), write_call(1)],
                lambda h: h.bracket(2, "110.00", "115.00", "105.00", side=SELL),
                lambda h: h.bracket(1),
            ),
            "modify": to_and_past(
                COVER, "MARGIN_UNCOVERED", [lambda h: h.buy(199), rest_call], lambda h: h.modify(2),
                lambda h: h.modify(1, "9.50"),
            ),
            "emulate": to_and_past(
                COVER, "MARGIN_UNCOVERED", [lambda h: h.buy(101), write_call(1)],
                lambda h: h.emulate(SELL, 2), lambda h: h.emulate(SELL, 1),
            ),
            "reverse": to_and_past(
                COVER, "MARGIN_UNCOVERED", [HUNDRED, write_call(1)], lambda h: h.sell(101), lambda h: h.buy(1)
            ),
            "spread": "a spread is covered inside the order or not at all: the next row",
        },
    ),
    row(
        "shape of an order of options", "margin.headroom", "OPTION_REFUSED",
        {
            "spread": to_and_past(COVER, "OPTION_REFUSED", (), lambda h: h.spread(1, of=RATIO), lambda h: h.spread(1)),
        }
        | dict.fromkeys(
            ("order", "list", "modify", "emulate", "reverse"),
            "a single contract has no shape; levels are in tests/risk/test_agreement_options.py",
        ),
    ),
]  # fmt: skip


# -- the market --------------------------------------------------------------------------------------------------------


def collar(limits: Limits, past: str, at: str, spread_past: str, spread_at: str) -> dict[str, Cell | str]:
    """So far above 100.00 a buy may be filled. A market order is held to the far side of a quote around it. The spread
    is at -5.00, its legs are worth 11.00.
    """
    below = f"{200 - D(at)}"
    too_low = f"{200 - D(past)}"
    wide, at_bound = (too_low, past), (below, at)
    code = "PRICE_COLLAR"
    return {
        "order": Cell(limits, [
            Step(lambda h: h.buy(1, past), code),
            Step(lambda h: h.sell(1, too_low), code),
            Step(lambda h: h.buy(1), code, market=wide),
            Step(lambda h: h.buy(1), market=at_bound),
        ]),
        "list": to_and_past(
            limits, code, (), lambda h: h.bracket(1, past, "90.00", "110.00"),
            lambda h: h.bracket(1, at, "90.00", "110.00"),
        ),
        "modify": to_and_past(limits, code, [Hand.rest], lambda h: h.modify(1, past), lambda h: h.modify(1, at)),
        "emulate": Cell(limits, [
            Step(lambda h: h.emulate(BUY, 1), code, market=wide), Step(lambda h: h.emulate(BUY, 1), market=at_bound),
        ]),
        "reverse": Cell(limits, [
            Step(lambda h: h.buy(10)), Step(lambda h: h.sell(20, too_low), code), Step(lambda h: h.sell(20, below)),
        ]),
        "spread": to_and_past(
            limits, code, (), lambda h: h.spread(1, spread_past), lambda h: h.spread(1, spread_at)
        ),
    }  # fmt: skip


#: What is quoted first of all that is looked at.
AGED = {"spread": CALLS[0].id}
WIDE = Limits(collar_absolute=D(50))
MARKET = [
    row(
        "price far from the market, by a fraction", "price_collar.percent", "PRICE_COLLAR",
        collar(Limits(collar_percent=D("0.01")), "101.01", "101.00", "-4.88", "-4.89"),
    ),
    row(
        "price far from the market, by an amount", "price_collar.absolute", "PRICE_COLLAR",
        collar(Limits(collar_absolute=D("0.50")), "100.51", "100.50", "-4.49", "-4.50"),
    ),
    row(
        "a quote with one side", "price_collar.percent price_collar.absolute", "QUOTE_MISSING",
        each_way(
            lambda way: gated(
                way, WIDE, "QUOTE_MISSING", Step(Hand.nothing, market=("0.00", "100.00"), call=("0.00", "8.00"))
            ),
        ),
    ),
    row(
        "a crossed quote", "price_collar.percent price_collar.absolute", "QUOTE_CROSSED",
        each_way(
            lambda way: gated(
                way, WIDE, "QUOTE_CROSSED", Step(Hand.nothing, market=("100.01", "100.00"), call=("8.01", "8.00"))
            ),
        ),
    ),
    row(
        "an old quote", "max_quote_age", "QUOTE_STALE",
        each_way(
            lambda way: gated(
                way, Limits(max_quote_age_ns=2 * SECOND), "QUOTE_STALE",
                Step(lambda h: h.age(2 * SECOND + 1, AGED.get(way, IBM))),
                before=[lambda h: h.age(2 * SECOND, AGED.get(way, IBM))],
            ),
        ),
    ),
    row(
        "no price at all", "max_order_notional", "NO_PRICE",
        {
            "order": to_and_past(
                Limits(max_order_notional=D(10_000)), "NO_PRICE", (), lambda h: h.buy(1, of=BAC), lambda h: h.buy(1)
            ),
            "list": "the orders of a bracket have prices of their own",
            "modify": "an order that can be modified has a price",
            "emulate": "the emulator releases nothing before it has seen a quote",
            "reverse": "what was filled has a price",
            "spread": "legs without prices: test_a_spread_whose_legs_have_no_price_can_not_be_judged",
        },
    ),
]  # fmt: skip


# -- losses and rates --------------------------------------------------------------------------------------------------


def loses(limits: Limits, *, after: Sequence[Step] = ()) -> dict[str, Cell | str]:
    """Of 100 shares 5.00 each are lost, which is the limit; then a cent more."""

    def make(way: str) -> Cell:
        # Once it is turned over, a rising price loses.
        price = "95.01" if way == "reverse" else "94.99"
        before = [Step(HUNDRED), Step(Hand.second, market=("95.00", "95.00"))]
        return gated(
            way, limits, "STATE_REDUCING", Step(Hand.second, market=(price, price)), before=before, after=after
        )

    return each_way(make)


def counted(limits: Callable[[Rate], Limits], code: str) -> dict[str, Cell | str]:
    """As many orders as the rate allows, one more, and again when the window has moved on."""

    def make(way: str) -> Cell:
        rate = Rate(COUNT[way] + len(FIRST[way]), HOUR)
        return gated(
            way, limits(rate), code,
            after=[
                Step(lambda h: h.later(HOUR - 1)), Step(OPEN[way], code), Step(lambda h: h.later(1)), Step(OPEN[way]),
            ],
        )  # fmt: skip

    return each_way(make)


def cancels(way: str) -> Cell:
    """Two cancels are allowed; the third passes as well, and the node is reducing."""
    bid: Do = lambda h: setattr(h, "other", h.buy(1, "80.00"))  # noqa: E731
    return gated(
        way, Limits(max_cancels=Rate(2, HOUR)), "STATE_REDUCING", Step(bid), Step(gone), before=[bid, gone, bid, gone]
    )


def gone(h: Hand) -> None:
    h.cancel(h.other)


def fills(way: str) -> Cell:
    """One fill is allowed; where what opens is not filled itself, one more order is."""
    first = [] if way == "reverse" else [Step(lambda h: h.buy(10))]
    one_more = [] if way in FILLS else [Step(lambda h: h.buy(1))]
    return gated(way, Limits(max_fills=Rate(1, HOUR)), "STATE_REDUCING", *one_more, before=first)


MIDNIGHT = 14 * HOUR
LOSSES = [
    row("loss of the trading day", "max_daily_loss", "MAX_DAILY_LOSS STATE_REDUCING",
        loses(Limits(max_daily_loss=Portion(amount=D(500))))),
    row("loss since the best point", "max_drawdown", "MAX_DRAWDOWN STATE_REDUCING",
        loses(Limits(max_drawdown=Portion(amount=D(500))))),
    row(
        "end of a day's loss", "daily_loss_rearms", "STATE_REDUCING",
        each_way(lambda way: loses(  # type: ignore[return-value]
            Limits(max_daily_loss=Portion(amount=D(500)), daily_loss_rearms="next_day"),
            after=[
                Step(lambda h: h.later(MIDNIGHT - 3 * SECOND)), Step(OPEN[way], "STATE_REDUCING"),
                Step(lambda h: h.later(2 * SECOND)), Step(OPEN[way]),
            ],
        )[way]),
    ),
    row("rate of orders", "max_orders", "MAX_ORDERS", counted(lambda rate: Limits(max_orders=rate), "MAX_ORDERS")),
    row("rate of cancels", "max_cancels", "MAX_CANCELS STATE_REDUCING", each_way(cancels)),
    row("repeated fills", "max_fills", "MAX_FILLS STATE_REDUCING", each_way(fills)),
]  # fmt: skip


# -- orders beside others ----------------------------------------------------------------------------------------------


def twice(do: Do, first: Sequence[Do] = (), between: Sequence[Do] = ()) -> Cell:
    """The same again, a nanosecond before the window ends, and at its end."""
    return Cell(Limits(duplicate_window_ns=2 * SECOND), [
        *passes(*first), Step(do), *passes(*between), Step(lambda h: h.later(2 * SECOND - 1)),
        Step(do, "DUPLICATE_ORDER"), Step(lambda h: h.later(1)), Step(do),
    ])  # fmt: skip


def open_orders(way: str) -> Cell:
    """One order works, and there is room for what opens; then one more works, and there is none."""
    take = Step(lambda h: setattr(h, "other", h.buy(1, "80.00")))
    most = Limits(max_open_orders=COUNT[way] + len(FIRST[way]))
    if way in FILLS:  # what opens is filled at once: one more would be one too many
        most = Limits(max_open_orders=1)
    if way == "reverse":
        return Cell(most, [Step(lambda h: h.buy(10)), take, Step(Hand.cross, "MAX_OPEN_ORDERS"),
                           Step(lambda h: h.cancel(h.other)), Step(Hand.cross)])  # fmt: skip
    return Cell(most, [take, Step(OPEN[way], "MAX_OPEN_ORDERS"), Step(lambda h: h.cancel(h.other)), Step(OPEN[way])])


MATCH = Limits(self_match=True)
ASK: Do = lambda h: setattr(h, "other", h.sell(1, "101.00"))  # noqa: E731
BID: Do = lambda h: setattr(h, "other", h.buy(1, "99.00"))  # noqa: E731
ORDERS = [
    row(
        "orders that work at once", "max_open_orders", "MAX_OPEN_ORDERS",
        each_way(open_orders)
        | {"modify": Cell(Limits(max_open_orders=1), [
            Step(Hand.rest), Step(Hand.grow), Step(lambda h: h.buy(1, "80.00"), "MAX_OPEN_ORDERS"), Step(Hand.grow),
        ])},
    ),
    row(
        "the same order twice", "duplicate_window", "DUPLICATE_ORDER",
        {
            "order": twice(lambda h: h.buy(1, "90.00")),
            "list": twice(lambda h: h.bracket(1)),
            "modify": "a modification is asked of an order that is known: asked twice it changes nothing",
            "emulate": twice(lambda h: h.emulate(BUY, 1)),
            "reverse": twice(lambda h: h.sell(20), [lambda h: h.buy(10)], [lambda h: h.buy(15)]),
            "spread": twice(lambda h: h.spread(1)),
        },
    ),
    row(
        "our own order on the other side", "self_match", "SELF_MATCH",
        {
            "order": to_and_past(
                MATCH, "SELF_MATCH", [lambda h: h.buy(10), ASK], lambda h: h.buy(1, "101.00"),
                lambda h: h.buy(1, "100.99"),
            ),
            "list": Cell(MATCH, passes(lambda h: h.buy(10), ASK, lambda h: h.bracket(1, "90.00"))),
            "modify": to_and_past(
                MATCH, "SELF_MATCH", [lambda h: h.buy(10), ASK, Hand.rest], lambda h: h.modify(1, "101.00"),
                lambda h: h.modify(1, "100.99"),
            ),
            "emulate": Cell(MATCH, [
                *passes(lambda h: h.buy(10), ASK), Step(lambda h: h.emulate(BUY, 1), "SELF_MATCH"),
                Step(gone), Step(lambda h: h.emulate(BUY, 1)),
            ]),
            "reverse": Cell(MATCH, [
                *passes(lambda h: h.buy(10), BID), Step(lambda h: h.sell(20, "99.00"), "SELF_MATCH"),
                Step(gone), Step(lambda h: h.sell(20, "99.00")),
            ]),
            "spread": Cell(MATCH, [
                Step(lambda h: setattr(h, "other", h.spread(1))),
                Step(lambda h: h.spread(1, "-5.50", side=SELL), "SELF_MATCH"),
                Step(gone), Step(lambda h: h.spread(1, "-4.50", side=SELL)),
            ]),
        },
    ),
]  # fmt: skip


# -- what may be opened at all -----------------------------------------------------------------------------------------


def limited(past: Limits, code: str, at: Limits | None = None, **reasons: str) -> dict[str, Cell | str]:
    """The file is changed: other limits are in force from then on."""
    return each_way(
        lambda way: gated(way, at or Limits(), code, Step(lambda h: h.limit_to(past))),
        **reasons,
    )


def universe(**more: object) -> Limits:
    return Limits(universe=UniverseLimits(**more))  # type: ignore[arg-type]


AFTERNOON = 6 * HOUR
UNIVERSE = [
    row("symbols that are allowed", "universe.allow", "SYMBOL_DENIED",
        limited(universe(allow=("BAC", "GE*")), "SYMBOL_DENIED", universe(allow=("BAC", "IBM*")))),
    row("symbols that are denied", "universe.deny", "SYMBOL_DENIED",
        limited(universe(deny=("IBM*",)), "SYMBOL_DENIED", universe(deny=("GME*",)))),
    row(
        "when", "universe.sessions", "SESSION_CLOSED",
        each_way(lambda way: gated(
            way, universe(sessions=("core",)), "SESSION_CLOSED", Step(lambda h: h.later(1)),
            before=[lambda h: h.later(AFTERNOON - 1)],
        )),
    ),
    row(
        "short sales", "universe.shorting", "NOT_SHORTABLE",
        {
            "order": to_and_past(
                universe(shorting=False), "NOT_SHORTABLE", (), lambda h: h.sell(1), lambda h: h.buy(1)
            ),
            "list": to_and_past(
                universe(shorting=False), "NOT_SHORTABLE", (),
                lambda h: h.bracket(1, "110.00", "120.00", "90.00", side=SELL), lambda h: h.bracket(1),
            ),
            "modify": to_and_past(
                universe(shorting=False), "NOT_SHORTABLE",
                [lambda h: h.buy(10), lambda h: setattr(h, "resting", h.sell(5, "110.00"))],
                lambda h: h.modify(11), lambda h: h.modify(10),
            ),
            "emulate": to_and_past(
                universe(shorting=False), "NOT_SHORTABLE", [lambda h: h.buy(10)],
                lambda h: h.emulate(SELL, 11), lambda h: h.emulate(SELL, 10),
            ),
            "reverse": to_and_past(
                universe(shorting=False), "NOT_SHORTABLE", [lambda h: h.buy(10)], Hand.cross, lambda h: h.sell(10)
            ),
            "spread": "contracts are not borrowed",
        },
    ),
    row("state: reducing", "state", "STATE_REDUCING", limited(Limits(state="reducing"), "STATE_REDUCING")),
    row("state: halted", "state", "STATE_HALTED", limited(Limits(state="halted"), "STATE_HALTED")),
]  # fmt: skip


# -- always on ---------------------------------------------------------------------------------------------------------

FOK = TimeInForce.FOK
ALWAYS = [
    row("trade updates or data missing", "", "STREAM_DOWN", each_way(
        lambda way: gated(way, Limits(), "STREAM_DOWN", Step(lambda h: setattr(h, "outage", "a stream is down"))))),
    row("a strategy's hours", "", "SCHEDULE_CLOSED", each_way(lambda way: gated(
        way, Limits(), "SCHEDULE_CLOSED", Step(lambda h: setattr(h.schedule, "over", "its schedule is over"))))),
    row("no account", "", "NO_ACCOUNT", each_way(
        lambda way: gated(way, Limits(), "NO_ACCOUNT", Step(lambda h: setattr(h, "stranger", True))))),
    row("a fault in the gate", "", "GATE_ERROR", each_way(
        lambda way: gated(way, Limits(), "GATE_ERROR", Step(Hand.break_gate)))),
    row(
        "what the venue takes", "", "ORDER_ILLEGAL",
        {
            "order": to_and_past(
                Limits(), "ORDER_ILLEGAL", (), lambda h: h.stop(1, tif=FOK), lambda h: h.stop(1)
            ),
            "list": to_and_past(
                Limits(), "ORDER_ILLEGAL", (), lambda h: h.bracket(1, tif=FOK), lambda h: h.bracket(1)
            ),
            "modify": "a replacement is checked by the adapter: tests/alpaca/test_legality.py",
            "emulate": "what is released is a market order, which Alpaca takes with every time in force",
            "reverse": to_and_past(
                Limits(), "ORDER_ILLEGAL", [lambda h: h.buy(10)], lambda h: h.stop(20, side=SELL, tif=FOK),
                lambda h: h.sell(20),
            ),
            "spread": to_and_past(
                Limits(), "ORDER_ILLEGAL", (), lambda h: h.spread(1, tif=FOK), lambda h: h.spread(1)
            ),
        },
    ),
]  # fmt: skip

ROWS = [*SIZES, *OPTIONS, *MARKET, *LOSSES, *ORDERS, *UNIVERSE, *ALWAYS]
CELLS = [(f"{each.name}: {way}", cell) for each in ROWS for way, cell in each.cells.items() if isinstance(cell, Cell)]
