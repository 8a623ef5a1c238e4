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


async def close_books(clients: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Agreement], dict[str, Any]]:
    """Per account, whether the books agree, and the broker's last snapshot (absent where it could not be asked)."""
    results = await asyncio.gather(*(_one(name, client, timeout_s) for name, client in clients.items()))
    books = {name: agreement for name, agreement, _ in results}
    closing = {name: snapshot for name, _, snapshot in results if snapshot is not None}
    return books, closing


async def _one(name: str, client: Any, timeout_s: float) -> tuple[str, Agreement, Any]:
    try:
        agreement, snapshot = await bounded(_compare(client), timeout_s)
    except StageTimeout:
        return name, Agreement(None, reason=f"the broker did not answer within {timeout_s:.1f} s"), None
    except Exception as error:  # not being able to ask is an answer of its own
        log.debug("books of %s", name, exc_info=True)
        return name, Agreement(None, reason=f"the broker could not be asked: {redact(str(error))}"), None
    for difference in agreement.differences:
        log.error("account %s: the books disagree: %s", name, difference)
    return name, agreement, snapshot


async def _compare(client: Any) -> tuple[Agreement, Any]:
    """A fill between the settling and the snapshot looks like a difference, so one is looked at again."""
    for attempt in range(_ATTEMPTS):
        await client.settle()
        snapshot = await client.broker_snapshot()
        opening = client.opening
        activities = await client.non_trade_activities(opening) if opening is not None else []
        agreement = compare(opening, list(client.fills), activities, snapshot, unsettled=len(client.unsettled()))
        if agreement.agree is not False or attempt == _ATTEMPTS - 1:
            break
        await asyncio.sleep(0.05 * (attempt + 1))
    return agreement, snapshot
