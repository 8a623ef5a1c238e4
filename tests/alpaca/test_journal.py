"""An order is in the journal before it leaves; one that can't be kept is not sent; cancels go on."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Price


class Book:
    """A journal that notes what it is asked, and fails on demand."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.error: OSError | None = None
        self.asked: list[str] = []
        self.wait: asyncio.Event | None = None

    async def before_submit(self, orders: Any, **row: Any) -> None:
        await self._note(row["client_order_id"])

    async def before_replace(self, **row: Any) -> None:
        await self._note(row["client_order_id"])

    async def _note(self, client_order_id: str) -> None:
        self.asked.append(client_order_id)
        if self.wait is not None:
            await self.wait.wait()
        if self.error is not None:
            raise self.error

    def booked(self, *row: Any, **more: Any) -> None: ...


def test_nothing_leaves_before_the_journal_has_it(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            book = Book()
            rig.client.set_journal(book)
            book.wait = asyncio.Event()
            order = rig.limit("buy", 5, "170.00")
            await rig.until(lambda: book.asked == [order.client_order_id.value])
            assert not rig.account.orders
            book.wait.set()
            await rig.status(order, OrderStatus.ACCEPTED)
            rig.strategy.modify_order(order, price=Price.from_str("171.00"))
            await rig.until(lambda: order.price == Price.from_str("171.00"))
            assert book.asked == [order.client_order_id.value, f"{order.client_order_id.value}-r1"]

    play(scenario())


def test_an_order_that_cant_be_kept_is_not_sent_and_cancels_go_on(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            book = Book()
            rig.client.set_journal(book)
            resting = rig.limit("buy", 5, "170.00")
            await rig.status(resting, OrderStatus.ACCEPTED)
            book.error = OSError("the disk is full")
            lost = rig.limit("buy", 5, "169.00")
            await rig.status(lost, OrderStatus.REJECTED)
            assert "JOURNAL: never sent" in rig.strategy.events[-1].reason
            rig.strategy.modify_order(resting, price=Price.from_str("171.00"))
            await rig.until(lambda: "ModifyRejected" in rig.strategy.names(resting))
            book.problem = "the disk is full"
            denied = rig.limit("buy", 5, "169.00")
            await rig.status(denied, OrderStatus.DENIED)
            rig.strategy.cancel_order(resting)
            await rig.status(resting, OrderStatus.CANCELED)
            assert len(rig.account.orders) == 1

    play(scenario())


def test_an_order_that_is_canceled_while_the_journal_writes_is_not_sent(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running() as rig:
            book = Book()
            rig.client.set_journal(book)
            book.wait = asyncio.Event()
            order = rig.limit("buy", 5, "170.00")
            await rig.until(lambda: book.asked)
            rig.strategy.cancel_order(order)
            await rig.status(order, OrderStatus.CANCELED)
            book.wait.set()
            await rig.client.settle()
            assert not rig.account.orders

    play(scenario())
