"""What a node does when it is told to: halt, resume, flatten, cancel, reload. Each ends in one line of the log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from runner.node.closer import Closing, Left
from runner.node.node import Node
from runner.node.orders import cancel, flatten, halt, strategies_of
from runner.node.reload.report import Busy
from runner.risk.state import NODE, Scope, State

# Who told the node to do what, and what came of it.
audit = logging.getLogger("runner.audit")

Verb = Literal["halt", "resume", "flatten", "cancel", "plan", "reload"]
_FILES: tuple[Verb, ...] = ("plan", "reload")
_Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
_Name = Annotated[str, msgspec.Meta(max_length=64)]


class Command(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a command. Without account and strategy it is for the whole node; `cancel` is for `halt`.

    `files` are for `plan` and `reload`: absolute paths, in place of those that the node runs by.
    """

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    account: _Name | None = None
    strategy: _Name | None = None
    cancel: bool = False
    files: Annotated[tuple[_Path, ...], msgspec.Meta(max_length=16)] = ()
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 30.0

    @property
    def scope(self) -> Scope:
        if self.account is not None:
            return Scope("account", self.account)
        return NODE if self.strategy is None else Scope("strategy", self.strategy)


class Refused(Exception):
    """The command is not carried out; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def parse(body: bytes) -> Command:
    """Raises Refused."""
    try:
        command = msgspec.json.decode(body, type=Command)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the command can't be read: {error}") from None
    if not command.why.isprintable():
        raise Refused(400, "`why` is one line of printable text")
    if any("\0" in each or not each.isprintable() for each in command.files):
        raise Refused(400, "`files` are paths of printable text")
    if command.account is not None and command.strategy is not None:
        raise Refused(400, "an account or a strategy, not both")
    return command


class Commands:
    """Carries commands out, on the node's loop."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def do(self, verb: Verb, command: Command, who: str) -> dict[str, Any]:
        """What came of it. Raises Refused."""
        what = f"{verb} {' '.join(command.files) or 'its files' if verb in _FILES else command.scope}"
        try:
            if verb in _FILES:
                answer = await self._files(verb, command)
            else:
                answer = await self._do(verb, command, who)
        except Refused as error:
            audit.warning("%s: %s (%s): refused: %s", who, what, command.why, error)
            raise
        except BaseException as error:
            audit.error("%s: %s (%s): failed: %s", who, what, command.why, type(error).__name__)
            raise
        result = f"{answer['result']}: " if answer.get("result") in ("failed", "refused", "incomplete") else ""
        level = logging.INFO if verb == "plan" else logging.WARNING
        audit.log(level, "%s: %s (%s): %s%s", who, what, command.why, result, answer["outcome"])
        return answer

    async def _files(self, verb: Verb, command: Command) -> dict[str, Any]:
        node = self._node
        if node.reloader is None:
            raise Refused(409, "this node was not started from files")
        if node.stage != "trade":
            raise Refused(409, f"the node does not trade, and can't be reloaded: its stage is `{node.stage}`")
        if command.account is not None or command.strategy is not None:
            raise Refused(400, f"{verb} is for the whole node")
        if not all(each.startswith("/") for each in command.files):
            raise Refused(400, "`files` are absolute paths")
        files = [Path(each) for each in command.files]
        try:
            return await (node.reloader.plan(files) if verb == "plan" else node.reloader.reload(files))
        except Busy:
            raise Refused(409, "a reload is under way, try again when it is through") from None

    async def _do(self, verb: Verb, command: Command, who: str) -> dict[str, Any]:
        node, scope = self._node, command.scope
        parts, gate, plan = node.parts, node.gate, node.plan
        if parts is None or gate is None:
            raise Refused(409, "the node is not built yet, try again")
        # Halting is possible at any time; the rest needs accounts that are known, and clients that are connected.
        if node.stage == "stop" or (node.stage != "trade" and verb != "halt"):
            raise Refused(409, f"the node does not trade: its stage is `{node.stage}`")
        try:
            strategies_of(plan, scope)
        except KeyError:
            known = plan.config.accounts if scope.kind == "account" else plan.strategies
            raise Refused(404, f"there is no {scope}; the node has {', '.join(known)}") from None
        why = f"{command.why} ({who})"
        if verb == "halt":
            before = gate.states.get(scope).state
            takes_back = command.cancel and node.stage == "trade"
            left = await halt(plan, parts, gate, scope, why=why, cancel=takes_back, timeout_s=command.timeout_s)
            outcome = f"{scope} {'was halted already' if before is State.HALTED else 'is halted'}"
            if takes_back:
                outcome += f", its orders are canceled{_elsewhere(left)}"
            return self._kept(scope, _with(left, outcome))
        if verb == "resume":
            return self._kept(scope, self._resume(scope, why))
        if verb == "cancel":
            left = await cancel(plan, parts, scope, timeout_s=command.timeout_s)
            return _with(left, f"the orders of {scope} are canceled{_elsewhere(left)}")
        if node.flattening.locked():
            raise Refused(409, "the node is already flattening, see `runner status`")
        async with node.flattening:
            left = await flatten(plan, parts, gate, scope, why=why, timeout_s=command.timeout_s)
        flat = f"{scope} is flat, and {gate.states.get(scope).state} until it is resumed"
        return self._kept(scope, _with(left, flat))

    def _kept(self, scope: Scope, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer, and that a restart does not know of it where the journal could not take the state."""
        if (why := self._node.gate.states.unkept.get(scope)) is not None:
            answer["outcome"] += f"; a restart before this is mended won't know of it: {why}"
        return answer

    def _resume(self, scope: Scope, why: str) -> dict[str, Any]:
        node = self._node
        assert node.parts is not None
        if scope.kind == "strategy" and node.parts.guards[scope.name].down:
            raise Refused(
                409, f"{scope} has failed and does not run; mend it, then `runner reload` or restart the node"
            )
        changed = node.gate.resume(scope=scope, why=why)
        rest = [
            {"kind": each.scope.kind, "name": each.scope.name, "state": str(each.state), "why": each.why}
            for each in node.gate.states.all()
            if each.state is not State.ACTIVE
        ]
        return {"outcome": f"{scope} is active again" if changed else f"{scope} was active", "left": {}, "states": rest}


def _elsewhere(left: Left) -> str:
    """An account's orders are also those that its strategies did not send."""
    return f", {left.elsewhere} of them placed elsewhere" if left.elsewhere else ""


def _with(left: Left, outcome: str) -> dict[str, Any]:
    if left:
        counted = {"orders": len(left.orders), "positions": len(left.positions)}
        told = " and ".join(_count(number, what) for what, number in counted.items() if number)
        outcome = f"not finished: {'; '.join([*([f'{told} left'] if told else []), *left.unread])}"
    closed = [_row(each) for each in left.closed]
    positions = [_row(each) for each in left.positions]
    return {
        "outcome": outcome,
        "closed": closed,
        "left": {"orders": list(left.orders), "positions": positions, "unread": list(left.unread)} if left else {},
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what if number != 1 else what.removesuffix('s')}"


def _row(closing: Closing) -> dict[str, str]:
    return {
        "strategy": closing.owner,
        "quantity": closing.quantity,
        "symbol": closing.symbol,
        "result": closing.result,
        "why": closing.why,
        "text": str(closing),
    }
