"""Faults on demand: the exchange misbehaves when a test, or a curious user, tells it to.

Each kind is either armed for the next few occasions or a seeded probability. `POST /control/faults` and
`Faults.arm` take the same document, and so do tests in the same process:

    {"next": [{"method": "POST", "path": "/v2/orders", "status": 500, "after": true, "count": 1, "delay_s": 0.2}],
     "cut": "data" | "trading" | "all",           close those sockets at once
     "refuse": {"trading": 2},                    the next upgrades of that kind are answered 429
     "mute": "data" | "trading" | "all" | null,   keep the sockets open and send nothing; null: speak again
     "updates": {"duplicate": 1, "drop": 1, "swap": 1,
                 "duplicate_rate": 0.1, "drop_rate": 0, "swap_rate": 0},
     "races": {"cancel": 1, "replace": 1},        decided at the symbol's next quote: the fill may win
     "rejects": 1,                                the venue rejects the next orders after they were taken
     "events_first": true,                        a reply leaves only after the updates that it caused
     "reset": true}                               forget everything that was armed before

`after: false` (the default) answers in place of the venue, which then never saw the request; `after: true` lets the
venue act and loses its reply. `status` 0 breaks the connection instead of answering. Without a `status` there is
only the delay.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.exchange.errors import INTERNAL, TOO_MANY, invalid

type SocketKind = Literal["data", "trading"]
type Race = Literal["cancel", "replace"]

KINDS: Final[tuple[SocketKind, ...]] = ("data", "trading")
UPDATE_FAULTS: Final = ("duplicate", "drop", "swap")
_TEXTS: Final = {429: (TOO_MANY, "rate limit exceeded"), 500: (INTERNAL, "internal server error occurred")}
_RULE_KEYS: Final = frozenset({"method", "path", "status", "after", "count", "delay_s"})


@dataclass(slots=True)
class RequestFault:
    """What happens to the next `count` requests whose method and path start are these."""

    method: str = "*"
    path: str = "/"
    status: int | None = None
    after: bool = False
    count: int = 1
    delay_s: float = 0.0

    def fits(self, method: str, path: str) -> bool:
        return self.count > 0 and self.method in {"*", method} and path.startswith(self.path)


@dataclass(slots=True)
class Faults:
    """What is armed. Methods are called on the event loop only."""

    seed: int = 0
    requests: list[RequestFault] = field(default_factory=list)
    updates: dict[str, int] = field(default_factory=dict)
    update_rates: dict[str, float] = field(default_factory=dict)
    races: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    muted: set[SocketKind] = field(default_factory=set)
    rejects: int = 0
    events_first: bool = False
    on_cut: list[Callable[[SocketKind], None]] = field(default_factory=list)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"faults:{self.seed}")  # noqa: S311  # reproducible, not secret

    def arm(self, document: dict[str, Any]) -> None:
        """Take a document as described above; AlpacaError 422 names what is wrong with it, and nothing of it
        applies.
        """
        checked = _check(document)
        if checked.pop("reset", False):
            self.reset()
        self.requests += checked.get("next", [])
        for name, value in checked.get("updates", {}).items():
            if name.endswith("_rate"):
                self.update_rates[name.removesuffix("_rate")] = value
            else:
                self.updates[name] = value
        self.races.update(checked.get("races", {}))
        self.refusals.update(checked.get("refuse", {}))
        self.rejects = checked.get("rejects", self.rejects)
        if "events_first" in checked:
            self.events_first = checked["events_first"]
        if "mute" in checked:
            self.muted = set(_kinds(checked["mute"]))
        if "cut" in checked:
            self.cut(checked["cut"])

    def reset(self) -> None:
        """Behave from now on. Sockets that were cut stay cut."""
        for armed in (self.requests, self.updates, self.update_rates, self.races, self.refusals, self.muted):
            armed.clear()
        self.rejects = 0
        self.events_first = False

    def cut(self, which: str | None) -> None:
        """Close the sockets of that kind (`data`, `trading`, `all`)."""
        for kind in _kinds(which):
            for callback in self.on_cut:
                callback(kind)

    def is_muted(self, kind: SocketKind) -> bool:
        """Whether sockets of that kind swallow what they should send."""
        return kind in self.muted

    def take_refusal(self, kind: SocketKind) -> bool:
        """Whether this upgrade is answered 429."""
        return _take(self.refusals, kind)

    def take_request(self, method: str, path: str) -> RequestFault | None:
        """The first fault that fits this request, used up by one."""
        for fault in self.requests:
            if fault.fits(method, path):
                fault.count -= 1
                if fault.count == 0:
                    self.requests.remove(fault)
                return fault
        return None

    def take_race(self, what: Race) -> bool:
        """Whether this cancel or replace is decided only at the next quote."""
        return _take(self.races, what)

    def take_reject(self) -> bool:
        """Whether this order, which was taken, is rejected by the venue."""
        if self.rejects <= 0:
            return False
        self.rejects -= 1
        return True

    def take_update(self) -> str | None:
        """What befalls the next trade update: `duplicate`, `drop`, `swap` (it comes after the one behind it), or
        nothing.
        """
        for name in UPDATE_FAULTS:
            if _take(self.updates, name):
                return name
        for name in UPDATE_FAULTS:
            rate = self.update_rates.get(name, 0.0)
            if rate and self._random.random() < rate:
                return name
        return None


class FaultMiddleware:
    """Applies `next` faults to HTTP requests; everything under /control is exempt."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path.startswith("/control"):
            await self._app(scope, receive, send)
            return
        fault = self._faults.take_request(scope["method"], path)
        if fault is None:
            await self._app(scope, receive, send)
            return
        if fault.after:

            async def swallow(_message: Message) -> None:
                """The venue's own reply is lost on the way."""

            await self._app(scope, receive, send if fault.status is None else swallow)
        await asyncio.sleep(fault.delay_s)
        if fault.status is None:
            if not fault.after:
                await self._app(scope, receive, send)
            return
        if fault.status == 0:
            # Without a response the server drops the connection, which is what a broken pipe looks like to the
            # client.
            raise ConnectionAbortedError("a fault breaks this connection")
        code, text = _TEXTS.get(fault.status, (fault.status * 100_000, "fault injected"))
        reply = JSONResponse({"code": code, "message": text}, status_code=fault.status)
        await reply(scope, receive, send)


def fault_routes(faults: Faults) -> list[Route]:
    """`POST /control/faults`, for a client on the same machine."""

    async def post(request: Request) -> Response:
        try:
            document = await request.json()
        except ValueError:
            raise invalid("the body is not JSON") from None
        faults.arm(document)
        return JSONResponse({"armed": sorted(document)})

    return [Route("/control/faults", post, methods=["POST"])]


def _take(armed: dict[str, int], name: str) -> bool:
    left = armed.get(name, 0)
    if left <= 0:
        return False
    armed[name] = left - 1
    return True


def _kinds(which: str | None) -> tuple[SocketKind, ...]:
    if which is None:
        return ()
    return KINDS if which == "all" else tuple(kind for kind in KINDS if kind == which)


def _check(document: object) -> dict[str, Any]:
    """The document with its rules as objects."""
    if not isinstance(document, dict):
        raise invalid("faults must be a JSON object")
    known = {"next", "cut", "refuse", "mute", "updates", "races", "rejects", "events_first", "reset"}
    if unknown := sorted(set(document) - known):
        raise invalid(f"unknown fault {unknown[0]}, known are {', '.join(sorted(known))}")
    checked = dict(document)
    for name in ("cut", "mute"):
        if checked.get(name) not in {None, "all", *KINDS}:
            raise invalid(f"{name} must be data, trading or all, not {checked[name]}")
    rejects = checked.get("rejects", 0)
    if not isinstance(rejects, int) or rejects < 0:
        raise invalid("rejects must be a count")
    counted: dict[str, tuple[str, ...]] = {"updates": UPDATE_FAULTS, "races": ("cancel", "replace"), "refuse": KINDS}
    for name, allowed in counted.items():
        for key, value in _object(checked.get(name, {}), name).items():
            is_rate = name == "updates" and key.removesuffix("_rate") in allowed and key.endswith("_rate")
            if not is_rate and (key not in allowed or not isinstance(value, int) or value < 0):
                raise invalid(f"{name}.{key} must be one of {', '.join(allowed)} with a count")
            if is_rate and (not isinstance(value, int | float) or not 0 <= value <= 1):
                raise invalid(f"{name}.{key} must be a probability from 0 to 1")
    rules = checked.get("next", [])
    if not isinstance(rules, list):
        raise invalid("next must be a list")
    checked["next"] = [_rule(rule) for rule in rules]
    return checked


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object")
    return value


def _rule(rule: object) -> RequestFault:
    members = _object(rule, "next[]")
    if unknown := sorted(set(members) - _RULE_KEYS):
        raise invalid(f"next[]: unknown key {unknown[0]}, known are {', '.join(sorted(_RULE_KEYS))}")
    fault = RequestFault(**members)
    if not isinstance(fault.count, int) or fault.count < 1:
        raise invalid("next[].count must be a positive integer")
    if fault.status is not None and fault.status != 0 and not 400 <= fault.status <= 599:
        raise invalid("next[].status must be 0 or from 400 to 599")
    if not isinstance(fault.delay_s, int | float) or fault.delay_s < 0:
        raise invalid("next[].delay_s must be a number of seconds")
    return fault
