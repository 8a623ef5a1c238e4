"""Open orders by symbol, and what the market does to them: sessions, expiry, stops, fills."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from runner.exchange.broker.accounts import Account
from runner.exchange.broker.groups import take_place
from runner.exchange.broker.lifecycle import Lifecycle
from runner.exchange.broker.matching import (
    Portions,
    counts_as_last,
    elected_by_print,
    elected_by_quote,
    may_trade,
    price_at,
    price_in_auction,
    prices_of_legs,
    shares_of,
    trail,
)
from runner.exchange.broker.orders import EXITS, Order
from runner.exchange.broker.sessions import Sessions
from runner.exchange.broker.wire import SECOND_NS
from runner.exchange.calendar import Session
from runner.exchange.market import Market, Quote, Trade

# How long the opening auction waits for a print; after that the quote decides.
OPENING_PATIENCE_NS = 60 * SECOND_NS
ALL_AT_ONCE = frozenset({"ioc", "fok"})


class Book:
    """Every open order of every account. Each market callback is cheap where a symbol has no order."""

    def __init__(
        self,
        market: Market,
        sessions: Sessions,
        life: Lifecycle,
        portions: Portions,
        revalue: Callable[[Account, Order], None],
    ) -> None:
        self._market = market
        self._sessions = sessions
        self._life = life
        self._portions = portions
        self._revalue = revalue
        self._orders: dict[str, dict[str, tuple[Account, Order]]] = {}
        # Cancels and replaces that the venue has yet to decide (a fault asks for it): old order id → the new order,
        # or None.
        self._undecided: dict[str, Order | None] = {}
        self._session: Session = "closed"
        self._next_expiry_ns: int | None = None
        life.after.append(self._ended)

    def add(self, account: Account, order: Order) -> None:
        """Take an order that was accepted; `start` puts it to work."""
        for symbol in order.symbols:
            self._orders.setdefault(symbol, {})[order.id] = (account, order)
        if self._next_expiry_ns is None or order.expires_ns < self._next_expiry_ns:
            self._next_expiry_ns = order.expires_ns

    def decide_later(self, order: Order, replacement: Order | None) -> None:
        """Leave a cancel or replace to the next quote: if the order is marketable there, the fill wins."""
        self._undecided[order.id] = replacement

    def start(self, account: Account, order: Order) -> None:
        """Route an order whose session is on, and match it against the quote that stands."""
        self._route(account, order)
        if order.several:
            self._match_several(account, order)
            return
        self._match_standing(account, order)
        order.maker = order.type == "limit" and not order.filled_qty

    def on_quote(self, quote: Quote) -> None:
        """A new best bid and offer."""
        self.on_clock(self._market.now_ns)
        orders = self._orders.get(quote.symbol)
        if not orders or (session := self._live_session(quote)) is None:
            return
        for account, order in list(orders.values()):
            if order.several:
                self._match_several(account, order)
            else:
                self._match(account, order, quote, session)
            if order.id in self._undecided:
                self._decide(account, order)
        self._sweep(quote.symbol)

    def on_trade(self, trade: Trade) -> None:
        """A print: it elects stops and moves trailing ones."""
        self.on_clock(self._market.now_ns)
        orders = self._orders.get(trade.symbol)
        if not orders or self._market.session(trade.symbol) != "core" or not counts_as_last(trade.raw):
            return
        for account, order in list(orders.values()):
            if not order.working or order.triggered:
                continue
            if order.time_in_force == "opg":
                self._auction(account, order, trade.price)
                continue
            if elected_by_print(order, trade.price):
                order.triggered = True
                self._match_standing(account, order)
            else:
                trail(order, trade.price)
        self._sweep(trade.symbol)

    def on_clock(self, now_ns: int) -> None:
        """Venue time moved: orders expire, and a session that opened puts its orders to work."""
        if self._next_expiry_ns is not None and now_ns >= self._next_expiry_ns:
            self._expire(now_ns)
        session = self._market.session()
        if session == self._session:
            return
        self._session = session
        for orders in list(self._orders.values()):
            for account, order in list(orders.values()):
                if order.status == "accepted" and may_trade(order, session):
                    self._route(account, order)

    def now_or_never(self, account: Account, order: Order) -> None:
        """IOC and FOK: what did not trade at the quote that stands is cancelled."""
        if order.time_in_force in ALL_AT_ONCE and order.working:
            self._life.simple(account, order, "canceled")

    def end(self, account: Account, order: Order, status: str) -> None:
        """A cancel or replace: the order leaves the book."""
        self._life.simple(account, order, status)
        for symbol in order.symbols:
            self._sweep(symbol)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _ended(self, account: Account, order: Order) -> None:
        """Another of its family ended it before the venue had decided: nothing takes its place any more."""
        if order.open:
            return
        replacement = self._undecided.pop(order.id, None)
        if replacement is not None and replacement.open:
            self._life.simple(account, replacement, "rejected")

    def _route(self, account: Account, order: Order) -> None:
        """To the venue; with an order that is an exit itself goes the other one."""
        if order.status == "accepted":
            self._life.simple(account, order, "pending_new")
        self._revalue(account, order)
        self._life.simple(account, order, "new")
        if order.role in EXITS:
            for leg in order.legs:
                if leg.status == "held" and order.open:
                    self._route(account, leg)

    def _live_session(self, quote: Quote) -> Session | None:
        """The session that the quote belongs to, where it is still on."""
        session = self._market.session(quote.symbol)
        if "/" in quote.symbol:  # a pair's day has no beginning
            return session
        live = session != "closed" and quote.ts_ns >= self._sessions.start_of(session, self._market.now_ns)
        return session if live else None

    def _match_standing(self, account: Account, order: Order) -> None:
        quote = self._market.quote(order.symbol)
        if quote is not None and (session := self._live_session(quote)) is not None:
            self._match(account, order, quote, session)

    def _match(self, account: Account, order: Order, quote: Quote, session: Session) -> None:
        if not order.working or not may_trade(order, session):
            return
        if order.in_auction:
            opened_ns = self._sessions.start_of(session, self._market.now_ns)
            near = quote.ask if order.is_buy else quote.bid
            if order.time_in_force == "opg" and quote.ts_ns >= opened_ns + OPENING_PATIENCE_NS and near > 0:
                self._auction(account, order, near)
            return
        if session == "core" and not order.triggered:
            near = quote.ask if order.is_buy else quote.bid
            if elected_by_quote(order, quote):
                order.triggered = True
            elif near > 0:
                trail(order, near)
        price = price_at(order, quote)
        if price is not None:
            if order.id in self._undecided:
                self._fill_wins(account, order)
            qty = shares_of(order.notional, price) if order.notional is not None else self._portions.of(order)
            if qty > 0:
                self._life.fill(account, order, qty, price)
        self.now_or_never(account, order)

    def _match_several(self, account: Account, order: Order) -> None:
        """A multi-leg order trades in its ratio or not at all, each leg at its far side."""
        if not order.working or not may_trade(order, self._market.session()):
            return
        quotes = {leg.symbol: self._market.quote(leg.symbol) for leg in order.legs}
        live = {name: q for name, q in quotes.items() if q is not None and self._live_session(q) is not None}
        found = prices_of_legs(order, live)
        if found is None:
            return
        if order.id in self._undecided:
            self._fill_wins(account, order)
        net, prices = found
        self._life.fill_several(account, order, self._portions.of(order), net, prices)

    def _auction(self, account: Account, order: Order, price: Decimal) -> None:
        """The auction's price is known: the order trades there, whole, or ends."""
        if order.id in self._undecided:
            self._fill_wins(account, order)
        if price_in_auction(order, price) is None:
            self._life.simple(account, order, "expired")
        else:
            self._life.fill(account, order, order.leaves, price)

    def _fill_wins(self, account: Account, order: Order) -> None:
        replacement = self._undecided.pop(order.id)
        if replacement is None:
            self._life.refused_change(account, order, "order_cancel_rejected")
            return
        self._life.refused_change(account, order, "order_replace_rejected")
        self._life.simple(account, replacement, "rejected")

    def _decide(self, account: Account, order: Order) -> None:
        """The quote went by without a fill: the change goes through."""
        replacement = self._undecided.pop(order.id)
        if replacement is None:
            self._life.simple(account, order, "canceled")
            return
        order.replaced_by = replacement.id
        self._life.simple(account, order, "replaced")
        take_place(order, replacement)
        replacement.maker = replacement.type == "limit"
        self._life.simple(account, replacement, "new")

    def _expire(self, now_ns: int) -> None:
        due = [
            (order.expires_ns, account, order)
            for orders in self._orders.values()
            for account, order in orders.values()
            if order.open and order.expires_ns <= now_ns
        ]
        for expires_ns, account, order in sorted(due, key=lambda row: row[0]):
            if not order.open:  # it ended with another of its family
                continue
            last = self._market.last_trade(order.symbol) if order.time_in_force == "cls" and order.working else None
            if last is not None:  # what printed last as the core session ended is the closing auction's price
                self._auction(account, order, last.price)
                continue
            replacement = self._undecided.pop(order.id, None)
            if replacement is not None and replacement.open:
                self._life.simple(account, replacement, "rejected")
            # A GTC order is cancelled when its 90 days are over, a DAY order expires.
            ending = "canceled" if order.time_in_force == "gtc" else "expired"
            self._life.simple(account, order, ending, at_ns=expires_ns)
        for symbol in list(self._orders):
            self._sweep(symbol)
        self._next_expiry_ns = min(
            (order.expires_ns for orders in self._orders.values() for _, order in orders.values()), default=None
        )

    def _sweep(self, symbol: str) -> None:
        orders = self._orders.get(symbol)
        if orders is None:
            return
        for order_id in [key for key, (_, order) in orders.items() if not order.open]:
            del orders[order_id]
        if not orders:
            del self._orders[symbol]
