"""`runner halt`, `resume`, `flatten`, `cancel`: commands to a running node."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runner.cli._client import EXIT_NO_NODE, EXIT_OK, EXIT_REFUSED, EXIT_USAGE, ClientError, ask, fail

_Json = Annotated[bool, Parameter(name="--json", negative=())]
_Cancel = Annotated[bool, Parameter(name="--cancel", negative=())]


def halt(
    target: str | None = None,
    *,
    account: str | None = None,
    strategy: str | None = None,
    why: str = "by command",
    cancel_: _Cancel = False,
    timeout: float = 30.0,
    socket: Path | None = None,
    url: str | None = None,
    json_: _Json = False,
) -> int:
    """Deny every order that opens, of the node, an account or a strategy, until `runner resume`, over restarts too.

    What closes passes, and what works already works on unless --cancel is given. Exit codes: 0 done, 1 refused or not
    finished in time, 2 usage, 69 no node.

    Parameters
    ----------
    target
        The node's name, or its file; needed where several run.
    account
        Only this account of the file.
    strategy
        Only this strategy of the file.
    why
        Kept with the state, and in the log.
    cancel_
        Cancel all that works, too.
    timeout
        Seconds that the cancels may take.
    socket
        The node's socket, instead of a name.
    url
        The node's control.listen, as http://host:port; the token is read from RUNNER_CONTROL_TOKEN.
    json_
        Print one JSON object on stdout.
    """
    body = {"account": account, "strategy": strategy, "why": why, "timeout_s": timeout, "cancel": cancel_}
    return _do("halt", target, socket, url, body, as_json=json_)


def resume(
    target: str | None = None,
    *,
    account: str | None = None,
    strategy: str | None = None,
    why: str = "by command",
    socket: Path | None = None,
    url: str | None = None,
    json_: _Json = False,
) -> int:
    """Let a halted or reducing node, account or strategy open positions again.

    Each scope is resumed by itself. What it lost until now is accepted: limits on losses count anew from here. Exit
    codes: 0 done, 1 refused, 2 usage, 69 no node.

    Parameters
    ----------
    target
        The node's name, or its file; needed where several run.
    account
        Only this account of the file.
    strategy
        Only this strategy of the file.
    why
        Kept with the state, and in the log.
    socket
        The node's socket, instead of a name.
    url
        The node's control.listen, as http://host:port; the token is read from RUNNER_CONTROL_TOKEN.
    json_
        Print one JSON object on stdout.
    """
    body = {"account": account, "strategy": strategy, "why": why}
    code = _do("resume", target, socket, url, body, as_json=json_)
    if code == EXIT_NO_NODE and url is None:
        print(
            "  what was latched is kept in its journal: start the node, it begins in that state and opens nothing; "
            "then resume it",
            file=sys.stderr,
        )
    return code


def flatten(
    target: str | None = None,
    *,
    account: str | None = None,
    strategy: str | None = None,
    why: str = "by command",
    timeout: float = 30.0,
    socket: Path | None = None,
    url: str | None = None,
    json_: _Json = False,
) -> int:
    """Cancel all orders and close all positions, of the node, an account or a strategy; then only closing is allowed.

    `runner resume` ends that. Orders and positions that no strategy of the file has are left alone. Exit codes: 0
    flat, 1 refused or not finished in time, 2 usage, 69 no node.

    Parameters
    ----------
    target
        The node's name, or its file; needed where several run.
    account
        Only this account of the file.
    strategy
        Only this strategy of the file.
    why
        Kept with the state, and in the log.
    timeout
        Seconds that it may take.
    socket
        The node's socket, instead of a name.
    url
        The node's control.listen, as http://host:port; the token is read from RUNNER_CONTROL_TOKEN.
    json_
        Print one JSON object on stdout.
    """
    body = {"account": account, "strategy": strategy, "why": why, "timeout_s": timeout}
    return _do("flatten", target, socket, url, body, as_json=json_)


def cancel(
    target: str | None = None,
    *,
    account: str | None = None,
    strategy: str | None = None,
    why: str = "by command",
    timeout: float = 30.0,
    socket: Path | None = None,
    url: str | None = None,
    json_: _Json = False,
) -> int:
    """Cancel what works now, of the node, an account or a strategy. Strategies trade on: see `runner halt --cancel`.

    Exit codes: 0 done, 1 refused or not finished in time, 2 usage, 69 no node.

    Parameters
    ----------
    target
        The node's name, or its file; needed where several run.
    account
        Only this account of the file.
    strategy
        Only this strategy of the file.
    why
        Kept in the log.
    timeout
        Seconds that it may take.
    socket
        The node's socket, instead of a name.
    url
        The node's control.listen, as http://host:port; the token is read from RUNNER_CONTROL_TOKEN.
    json_
        Print one JSON object on stdout.
    """
    body = {"account": account, "strategy": strategy, "why": why, "timeout_s": timeout}
    return _do("cancel", target, socket, url, body, as_json=json_)


def _do(
    verb: str, target: str | None, socket: Path | None, url: str | None, body: dict[str, Any], *, as_json: bool
) -> int:
    if body["account"] is not None and body["strategy"] is not None:
        return fail(ClientError(EXIT_USAGE, f"runner {verb}: --account or --strategy, not both"))
    given = {key: value for key, value in body.items() if value is not None}
    try:
        answer = ask(target, socket, url, f"/v1/{verb}", given, timeout_s=body.get("timeout_s", 0.0))
    except ClientError as error:
        return fail(error)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print(answer["outcome"])
        for row in answer["left"].get("positions", ()):
            print(f"  {row['strategy']}: {row['quantity']} {row['symbol']} is not closed")
        for order in answer["left"].get("orders", ()):
            print(f"  order {order} is not canceled")
        for row in answer.get("states", ()):
            scope = "" if row["kind"] == "node" else f" --{row['kind']} {row['name']}"
            print(f"  still {row['state']}: {row['kind']} {row['name']}".rstrip() + f", {row['why']}")
            print(f"    runner resume{scope}")
    return EXIT_REFUSED if answer["left"] else EXIT_OK
