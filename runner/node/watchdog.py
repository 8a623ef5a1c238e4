"""Notices a stuck event loop from outside it: a thread of the engine's, which needs neither the loop nor the GIL."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

from runner.config.secrets import redact
from runner.node.exit_codes import ExitCode
from runner.node.node import BaseHook, Node

log = logging.getLogger("runner.node")
# `kill -USR1 PID` has a node write where each of its threads stands, and so does the watchdog before it ends one.
_TRACE = signal.SIGUSR1
_REQUEST_S = 3.0

Request = tuple[str, str, Sequence[tuple[str, str]]]


class Watchdog(Protocol):
    def start(self) -> None: ...
    def beat(self) -> None: ...
    def set_cancel_requests(self, cancel_requests: Sequence[Request]) -> None: ...
    def stop(self) -> None: ...
    @property
    def healthy(self) -> bool: ...


def engine_watchdog(unhealthy_s: float, limit_s: float) -> Watchdog:
    from runner._engine import LoopWatchdog

    try:
        # Descriptor 2 leads to a thread of ours that masks secrets, and that can't run when a strategy holds the GIL.
        stderr_fd = sys.stderr.fileno()
    except (OSError, ValueError):
        stderr_fd = 2
    faulthandler.register(_TRACE, file=stderr_fd)
    watchdog: Watchdog = LoopWatchdog(
        unhealthy_s=unhealthy_s,
        limit_s=limit_s,
        exit_code=int(ExitCode.HUNG),
        stderr_fd=stderr_fd,
        trace_signal=int(_TRACE),
    )
    return watchdog


class WatchdogHook(BaseHook):
    """Beats while the loop turns, and keeps the list of what must be cancelled if it never turns again."""

    def __init__(
        self,
        trading_url: Callable[[Any], str],
        make: Callable[[float, float], Watchdog] = engine_watchdog,
    ) -> None:
        self._make = make
        self._trading_url = trading_url
        self._watchdog: Watchdog | None = None
        self._interval_s = 0.5
        self._unhealthy_s = 2.0
        self._beaten_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._dirty = False
        self._node: Node | None = None

    def healthy(self) -> tuple[bool, str]:
        """For `/-/healthy`; may be asked from any thread."""
        if self._watchdog is None or self._watchdog.healthy:
            return True, "the event loop turns"
        return False, "the event loop is stuck: a strategy's handler may hang"

    def built(self, node: Node) -> None:
        times = node.plan.config.node
        unhealthy_s = times.unhealthy_after.total_seconds()
        self._node = node
        self._unhealthy_s, self._beaten_s = unhealthy_s, time.monotonic()
        self._interval_s = min(unhealthy_s / 4, 0.5)
        self._watchdog = self._make(unhealthy_s, times.hang_limit.total_seconds())
        node.tally.listeners.append(self._on_order)
        self._watchdog.start()
        self._beat()

    def take_back(self) -> int:
        """Cancel, from another thread than the loop's, what could open a position; how many the venue took back.

        What a strategy is to keep at the end (`on_stop: keep`) works on. Takes some seconds at most.
        """
        if self._node is None:
            return 0
        keep = {name for name, each in self._node.plan.strategies.items() if each.spec.on_stop == "keep"}
        return send_all(opening_orders(self._node, self._trading_url, spare=keep))

    def stop(self) -> None:
        """Only when nothing of the node runs any more: winding down can hang too."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None

    def _on_order(self, event: Any, strategy: str) -> None:
        self._dirty = True

    def _beat(self) -> None:
        if self._watchdog is None:
            return
        self._watchdog.beat()
        now_s = time.monotonic()
        stood_s, self._beaten_s = now_s - self._beaten_s - self._interval_s, now_s
        if stood_s > self._unhealthy_s:
            log.warning(
                "the event loop stood still for %.1f s: a handler of a strategy took so long, or the machine did; "
                "no order left and no fill was seen meanwhile",
                stood_s,
            )
        if self._dirty and self._node is not None:
            self._dirty = False
            self._watchdog.set_cancel_requests(opening_orders(self._node, self._trading_url))
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._beat)


def send_all(requests: Sequence[Request]) -> int:
    """Send these at once, without the loop; how many were taken, within `_REQUEST_S`."""
    # A proxy of the environment is no way to a broker, and Rust's client takes none either.
    opener = build_opener(ProxyHandler({}))

    def one(request: Request) -> bool:
        method, url, headers = request
        try:
            with opener.open(HttpRequest(url, method=method, headers=dict(headers)), timeout=_REQUEST_S):  # noqa: S310
                return True
        except OSError as error:
            log.error("%s %s: %s", method, url, redact(str(error)))  # noqa: TRY400 (its text says it all)
            return False

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(one, requests))


def opening_orders(
    node: Node, trading_url: Callable[[Any], str], *, spare: Collection[str] = frozenset()
) -> list[Request]:
    """A DELETE for each working order that could open or enlarge a position; those that close one are left to work.

    Orders of the strategies `spare` are left alone.
    """
    parts = node.parts
    if parts is None:
        return []
    requests: list[Request] = []
    for name, client in parts.exec_clients.items():
        endpoint = node.plan.accounts[name]
        headers = (("APCA-API-KEY-ID", endpoint.key), ("APCA-API-SECRET-KEY", endpoint.secret))
        for order in parts.kernel.cache.orders_open(account_id=client.account_id):
            if order.venue_order_id is None or parts.names.get(order.strategy_id.value) in spare:
                continue
            held = sum(
                p.signed_decimal_qty()
                for p in parts.kernel.cache.positions_open(instrument_id=order.instrument_id)
                if p.account_id == client.account_id
            )
            left = order.leaves_qty.as_decimal() * (1 if order.is_buy else -1)
            closes = held * left < 0 and abs(left) <= abs(held)
            if not closes:
                requests.append(("DELETE", f"{trading_url(client)}/v2/orders/{order.venue_order_id}", headers))
    return requests
