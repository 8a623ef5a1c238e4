"""Opposite positions of one account and instrument that are all to be closed: they are set off against each other.

The broker holds their sum alone. Strategies with +100 and -60 shares can't both close at the venue: there are 40 to be
sold, and anything more would open. So 60 of the one go to the other, at one price and without an order, as fills that
belong to none (Nautilus books such fills where their ids say `-LEG-`). The account's position stays what it is, from
the first moment to the last; what is left of them is all on its side, and closes like any other position.

Whoever hears of the first fill sees positions that the account does not have: orders that are sent there wait at the
gate until the second is booked. Both are given to the journal, as one write, before anybody hears of either. It has
them from then on, or soon, where it can't be written at once (`Store.write_whole`): a restart finds all of it or
nothing, and either adds up to what the account holds. What Nautilus did not take of it is taken out again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from decimal import Decimal
from itertools import product
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import ClientOrderId, TradeId, VenueOrderId
from nautilus_trader.model.objects import Money

from runner.alpaca.adjust import EXTERNAL
from runner.alpaca.emit import exact_price, exact_quantity
from runner.node.build import Parts
from runner.risk.collateral import legs_of
from runner.risk.halves import HALF
from runner.risk.prices import Prices

log = logging.getLogger("runner.node")
NETTED = "NETTED"
ZERO = Decimal(0)


def net(parts: Parts, position: Any) -> Decimal:
    """What the position's account holds of its instrument in all, signed."""
    held = parts.kernel.cache.positions_open(instrument_id=position.instrument_id, account_id=position.account_id)
    return sum((each.signed_decimal_qty() for each in held), ZERO)


def set_off(parts: Parts, positions: Sequence[Any], *, told: set[Any] | None = None) -> bool:
    """Set these open positions off against each other as far as they are opposite; whether any changed.

    Those of an owner that has an order of the instrument under way are left alone: its fill may be on its way. So are
    all of an account of which nothing can be kept, and pairs that were tried in vain (`refusal`). `told`: where it has
    been said already that nothing can be kept, for who asks again and again.
    """
    told = set() if told is None else told
    by_place: dict[tuple[Any, Any], list[Any]] = defaultdict(list)
    for position in positions:
        by_place[position.account_id, position.instrument_id].append(position)
    changed = False
    for (account_id, instrument_id), held in by_place.items():
        if all(each.is_long for each in held) or all(each.is_short for each in held):
            continue
        instrument = parts.kernel.cache.instrument(instrument_id)
        if instrument is None or instrument.is_spread():
            continue
        if (why := _unkept(parts, account_id)) is not None:
            if (account_id, instrument_id) not in told:
                told.add((account_id, instrument_id))
                log.error("opposite positions in %s are not set off against each other: %s", instrument_id, why)
            continue
        while True:
            # Anew each time: whoever hears of a change may send an order.
            still = [each for each in held if each.is_open and not _is_under_way(parts, each)]
            pairs = product((each for each in still if each.is_long), (each for each in still if each.is_short))
            pair = next(((long, short) for long, short in pairs if {long.id, short.id} not in parts.apart), None)
            if pair is None:
                break
            with parts.gate.held() if parts.gate is not None else nullcontext():
                _pair(parts, instrument, *pair)
            changed |= {each.id for each in pair} not in parts.apart
    return changed


def refusal(parts: Parts, position: Any) -> str | None:
    """Why a position can't be set off at the moment; None where it can."""
    if any(position.id in pair for pair in parts.apart):
        return "Nautilus did not take the fills by which they were to be set off; restart the runner, and flatten again"
    return _unkept(parts, position.account_id)


def _unkept(parts: Parts, account_id: Any) -> str | None:
    """Why nothing of an account can be kept."""
    journal = _journal(parts, account_id)
    problem: str | None = None if journal is None else journal.problem
    return problem


def _journal(parts: Parts, account_id: Any) -> Any:
    clients = [each for each in parts.exec_clients.values() if each.account_id == account_id]
    return getattr(clients[0], "journal", None) if clients else None


def _is_under_way(parts: Parts, position: Any) -> bool:
    """Whether its owner has an order under way that may change it: of its contract, or a spread with that as a leg."""
    contract = position.instrument_id
    orders = (each for each in parts.kernel.cache.orders(strategy_id=position.strategy_id) if not each.is_closed)
    return any(contract == leg for order in orders for leg, _ in legs_of(order.instrument_id))


def _pair(parts: Parts, instrument: Any, long: Any, short: Any) -> None:
    """Both halves in one go: neither a task nor a queued event comes between them."""
    quantity = min(long.quantity, short.quantity)
    price = Prices(parts.kernel.cache).middle(instrument.id)
    if price is None:  # no market is known: what the larger one was opened at moves the least between the two
        larger = max(long, short, key=lambda each: each.quantity)
        price = Decimal(str(larger.avg_px_open)).quantize(Decimal("1e-9")).normalize()
    log.warning(
        "%s %s of %s are set off against as many short of %s at %s: the account holds their difference alone",
        quantity,
        instrument.id.symbol,
        long.strategy_id,
        short.strategy_id,
        f"{price:f}",
    )
    # From the account's own side on: to who looks between the two it holds less, where that can be.
    halves = [(long, OrderSide.SELL), (short, OrderSide.BUY)]
    if net(parts, long) < 0:
        halves.reverse()
    fills = first, second = [
        _fill(parts, instrument, position, side, quantity.as_decimal(), price, half=half)
        for half, (position, side) in enumerate(halves, 1)
    ]
    # What others hold is the broker's to tell, as the sum of all less what the strategies hold.
    kept = [fill for fill in fills if fill.strategy_id != EXTERNAL]
    if (journal := _journal(parts, long.account_id)) is not None:
        journal.book(kept)
    try:
        ExecutionEngine.process(parts.kernel.exec_engine, first)
    finally:  # whoever heard of the first and failed: one half alone would be a position that the account does not have
        try:
            ExecutionEngine.process(parts.kernel.exec_engine, second)
        finally:
            taken = [fill.trade_id in position.trade_ids for fill, (position, _) in zip(fills, halves, strict=True)]
            if not all(taken):
                parts.apart.append(frozenset((long.id, short.id)))
                _tell_untaken(instrument, long, short, any(taken))
            # One that was taken adds up with the other alone: a restart finds both.
            if not any(taken) and journal is not None:
                journal.unbook(kept)


def _tell_untaken(instrument: Any, long: Any, short: Any, one: bool) -> None:
    log.error(
        "%s of %s and %s can't be set off: Nautilus took %s of the two fills; it is not tried again before a restart%s",
        instrument.id.symbol,
        long.strategy_id,
        short.strategy_id,
        "one" if one else "none",
        ", which books the other, too" if one else "",
    )


def _fill(
    parts: Parts, instrument: Any, position: Any, side: OrderSide, quantity: Decimal, price: Decimal, *, half: int
) -> OrderFilled:
    kernel, name = parts.kernel, str(UUID4())
    client_order_id = ClientOrderId(f"{NETTED}-LEG-{name}")
    now_ns = kernel.clock.timestamp_ns()
    return OrderFilled(
        trader_id=kernel.trader_id,
        strategy_id=position.strategy_id,
        instrument_id=instrument.id,
        client_order_id=client_order_id,
        venue_order_id=VenueOrderId(client_order_id.value),
        account_id=position.account_id,
        trade_id=TradeId(name),
        position_id=position.id,
        order_side=side,
        order_type=OrderType.MARKET,
        last_qty=exact_quantity(quantity, instrument.size_precision),
        last_px=exact_price(price, instrument.price_precision),
        currency=instrument.quote_currency,
        commission=Money(0, instrument.quote_currency),
        liquidity_side=LiquiditySide.NO_LIQUIDITY_SIDE,
        event_id=UUID4(),
        ts_event=now_ns,
        ts_init=now_ns,
        info={"activity": NETTED, "id": name, HALF: half},
    )
