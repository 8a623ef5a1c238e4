"""`runner halt`, `resume`, `flatten`, `cancel`: commands to a running node."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runner.cli._client import (
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_USAGE,
    ClientError,
    NoNodeError,
    Reach,
    Target,
    ask,
    fail,
    is_file,
)

_Cancel = Annotated[bool, Parameter(name="--cancel", negative=())]
_Timeout = Annotated[float, Parameter(help="Seconds that it may take.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What of the node is meant, all of it where neither is named, and the reason."""

    account: Annotated[str | None, Parameter(help="Only this account of the file.")] = None
    strategy: Annotated[str | None, Parameter(help="Only this strategy of the file.")] = None
    why: Annotated[str, Parameter(help="Kept with the state, and in the log.")] = "no reason given"


_NODE = Scope()
_HERE = Reach()


def halt(
    target: Target = None,
    *,
    scope: Scope = _NODE,
    cancel_: _Cancel = False,
    timeout: _Timeout = 30.0,
    reach: Reach = _HERE,
) -> int:
    """Deny every order that opens, of the node, an account or a strategy, until `runner resume`, over restarts too.

    What closes passes, and what works already works on unless --cancel is given. Exit codes: 0 done, 1 refused or not
    finished in time, 2 usage, 69 no node.

    Parameters
    ----------
    cancel_
        Cancel all that works, too.
    """
    return _do("halt", target, reach, scope, timeout_s=timeout, cancel=cancel_)


def resume(target: Target = None, *, scope: Scope = _NODE, reach: Reach = _HERE) -> int:
    """Let a halted or reducing node, account or strategy open positions again.

    Each scope is resumed by itself. What it lost until now is accepted: limits on losses count anew from here. With a
    file whose node does not run, what its journal has latched is lifted there. Exit codes: 0 done, 1 refused, 2 usage,
    69 no node, 78 mistakes in the file.
    """
    return _do("resume", target, reach, scope)


def flatten(target: Target = None, *, scope: Scope = _NODE, timeout: _Timeout = 30.0, reach: Reach = _HERE) -> int:
    """Cancel all orders and close all positions, of the node, an account or a strategy; then only closing is allowed.

    `runner resume` ends that. Of the node and of an account all is ended that is there, also what was placed elsewhere;
    of a strategy only its own. What became of each position is told. Exit codes: 0 flat, 1 refused or not finished in
    time, 2 usage, 69 no node.
    """
    return _do("flatten", target, reach, scope, timeout_s=timeout)


def cancel(target: Target = None, *, scope: Scope = _NODE, timeout: _Timeout = 30.0, reach: Reach = _HERE) -> int:
    """Cancel what works now, of the node, an account or a strategy. Strategies trade on: see `runner halt --cancel`.

    Of the node and of an account all orders are canceled that work there, also those that were placed elsewhere; of a
    strategy only its own. Exit codes: 0 done, 1 refused or not finished in time, 2 usage, 69 no node.
    """
    return _do("cancel", target, reach, scope, timeout_s=timeout)


def _do(verb: str, target: str | None, reach: Reach, scope: Scope, **more: Any) -> int:
    if scope.account is not None and scope.strategy is not None:
        return fail(ClientError(EXIT_USAGE, f"runner {verb}: --account or --strategy, not both"))
    body = {"account": scope.account, "strategy": scope.strategy, "why": scope.why, **more}
    given = {key: value for key, value in body.items() if value is not None}
    try:
        answer = ask(target, reach, f"/v1/{verb}", given, timeout_s=more.get("timeout_s", 0.0))
    except NoNodeError as error:
        if verb != "resume":
            return fail(error)
        if target is None or not is_file(target):
            hint = "what was latched is kept in its journal: name the node's file to lift it there"
            print(f"{error}\n  {hint}", file=sys.stderr)
            return error.code
        return _resume_offline(Path(target), scope, as_json=reach.json)
    except ClientError as error:
        return fail(error)
    return _tell(answer, as_json=reach.json)


def _resume_offline(file: Path, scope: Scope, *, as_json: bool) -> int:
    """Lift in the journal what the node would begin with."""
    from runner.cli._files import report
    from runner.config.errors import ConfigErrors
    from runner.config.load import load
    from runner.node.exit_codes import NodeError
    from runner.node.logs import set_up
    from runner.node.remote.offline import resume_journal

    try:
        config = load([file], environ=os.environ, need_secrets=False).config
        set_up("warning", config.log.file, config.log.format, config.name)
        answer = resume_journal(config, account=scope.account, strategy=scope.strategy, why=scope.why)
    except ConfigErrors as errors:
        return report(errors, as_json=as_json)
    except NodeError as error:
        print(error.text(), file=sys.stderr)
        return EXIT_REFUSED
    return _tell(answer, as_json=as_json)


def _tell(answer: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print(answer["outcome"])
        for row in (*answer.get("closed", ()), *answer["left"].get("positions", ())):
            print(f"  {row['text']}")
        for order in answer["left"].get("orders", ()):
            print(f"  order {order} is not canceled")
        for row in answer.get("states", ()):
            scope = "" if row["kind"] == "node" else f" --{row['kind']} {row['name']}"
            print(f"  still {row['state']}: {row['kind']} {row['name']}".rstrip() + f", {row['why']}")
            print(f"    runner resume{scope}")
    return EXIT_REFUSED if answer["left"] else EXIT_OK
