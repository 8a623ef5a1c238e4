"""The last look at each account: everything settled, then our books against the broker's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from runner.config.secrets import redact
from runner.node.books import Agreement, compare
from runner.node.stages import StageTimeout, bounded

log = logging.getLogger("runner.node")
_ATTEMPTS = 3
# Bookings are dated, in New York; two days are more than any time zone makes of one.
_BEFORE_NS = 2 * 86_400 * 1_000_000_000


async def activities_before(clients: Mapping[str, Any], timeout_s: float) -> dict[str, frozenset[str]]:
    """Ids of the bookings that the opening balance of each account contains already; absent where it can't be asked.

    A booking carries a day, not a time, so that only its id tells whether it came before or after.
    """
    known: dict[str, frozenset[str]] = {}
    for name, client in clients.items():
        try:
            rows = await bounded(client.non_trade_activities(_since(client)), timeout_s)
        except Exception:
            log.warning("account %s: its bookings could not be read, so its books can't be compared", name)
            log.debug("bookings", exc_info=True)
        else:
            known[name] = frozenset(row.id for row in rows)
    return known


async def close_books(
    clients: Mapping[str, Any], before: Mapping[str, frozenset[str]], timeout_s: float
) -> tuple[dict[str, Agreement], dict[str, Any]]:
    """Per account, whether the books agree, and the broker's last snapshot (absent where it could not be asked)."""
    results = await asyncio.gather(
        *(_one(name, client, before.get(name), timeout_s) for name, client in clients.items())
    )
    books = {name: agreement for name, agreement, _ in results}
    closing = {name: snapshot for name, _, snapshot in results if snapshot is not None}
    return books, closing


async def _one(name: str, client: Any, before: frozenset[str] | None, timeout_s: float) -> tuple[str, Agreement, Any]:
    if before is None:
        return name, Agreement(None, reason="what the opening balance contained could not be read"), None
    try:
        agreement, snapshot = await bounded(_compare(client, before), timeout_s)
    except StageTimeout:
        return name, Agreement(None, reason=f"the broker did not answer within {timeout_s:.1f} s"), None
    except Exception as error:  # not being able to ask is an answer of its own
        log.debug("books of %s", name, exc_info=True)
        return name, Agreement(None, reason=f"the broker could not be asked: {redact(str(error))}"), None
    for difference in agreement.differences:
        if agreement.agree is None:
            log.warning("account %s: not to be judged yet: %s; %s", name, difference, agreement.reason)
        else:
            log.error("account %s: the books disagree: %s", name, difference)
    return name, agreement, snapshot


async def _compare(client: Any, before: frozenset[str]) -> tuple[Agreement, Any]:
    """A fill between the settling and the snapshot looks like a difference, so one is looked at again."""
    for attempt in range(_ATTEMPTS):
        await client.settle()
        snapshot = await client.broker_snapshot()
        rows = await client.non_trade_activities(_since(client))
        activities = [row for row in rows if row.id not in before]
        agreement = compare(
            client.opening,
            list(client.fills),
            activities,
            snapshot,
            unsettled=len(client.unsettled()),
            awaited=client.awaited_activities(),
            earlier=client.fills.earlier,
        )
        if agreement.agree is not False or attempt == _ATTEMPTS - 1:
            break
        await asyncio.sleep(0.05 * (attempt + 1))
    return agreement, snapshot


def _since(client: Any) -> int:
    return int(client.opening.ts_ns) - _BEFORE_NS
