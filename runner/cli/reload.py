"""`runner plan` and `runner reload`: what has changed in the file of a running node, and have the node take it over."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
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
    ask,
    fail,
    is_file,
)

#: Of `plan`: there is something to do.
EXIT_CHANGES = 3
# A user's module may take long to import, and an order long to be canceled.
_TIMEOUT_S = 120.0
_HERE = Reach()
_Files = Annotated[
    str,
    Parameter(
        help="The node's name, or files to read in place of its own, by which it then runs; with neither, the one node "
        "that runs, by its own files."
    ),
]


def plan(*files: _Files, reach: Reach = _HERE) -> int:
    """Say what `runner reload` would do: strategies added, replaced, removed, limits changed, what needs a restart.

    The node makes every check that a reload makes, and changes nothing. Exit codes: 0 nothing to do, 3 there are
    changes, and they can be reloaded, 1 they can't (mistakes in the files, or a restart is needed), 2 usage, 69 no
    node.
    """
    try:
        answer = _ask("plan", files, reach, "no reason given")
    except NoNodeError as error:
        code = fail(error)
        print("  `runner check FILE` says what is wrong with a file, `runner FILE` starts it", file=sys.stderr)
        return code
    except ClientError as error:
        return fail(error)
    if reach.json:
        print(json.dumps(answer, indent=2))
    else:
        _show(answer, done=False)
    return {"applied": EXIT_CHANGES, "unchanged": EXIT_OK}.get(answer["result"], EXIT_REFUSED)


def reload(*files: _Files, why: str = "no reason given", reach: Reach = _HERE) -> int:
    """Have a running node take its changed file over. Strategies that are not touched trade on, with their orders.

    Every check comes first; where one fails, all stays as it was. Exit codes: 0 done or nothing to do, 1 not done, or
    a strategy is down by it, 2 usage, 69 no node.

    Parameters
    ----------
    why
        Kept in the log.
    """
    try:
        answer = _ask("reload", files, reach, why)
    except ClientError as error:
        return fail(error)
    if reach.json:
        print(json.dumps(answer, indent=2))
    else:
        _show(answer, done=True)
    return EXIT_OK if answer["result"] in ("applied", "unchanged") else EXIT_REFUSED


def _ask(verb: str, words: Sequence[str], reach: Reach, why: str) -> dict[str, Any]:
    """The node's answer. Raises ClientError."""
    files = [Path(word) for word in words if is_file(word)]
    names = [word for word in words if not is_file(word)]
    if names and (files or len(names) > 1):
        raise ClientError(EXIT_USAGE, f"runner {verb}: the name of one node, or files; {names[0]} is no file")
    target = names[0] if names else None
    if target is None and files and reach.socket is None and reach.url is None:
        target = _named(files)
    body = {"why": why, "files": [str(path.absolute()) for path in files]}
    return ask(target, reach, f"/v1/{verb}", body, timeout_s=_TIMEOUT_S)


def _named(files: Sequence[Path]) -> str:
    """The file that says the node's name: the last one that has it."""
    for path in reversed(files):
        if any(line.startswith("name:") for line in _lines(path)):
            return str(path)
    return str(files[-1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _show(answer: dict[str, Any], *, done: bool) -> None:
    result, changes = answer["result"], answer["changes"]
    if result in ("failed", "refused"):
        print(f"{'not reloaded' if done else 'it could not be reloaded'}: {answer['outcome']}", file=sys.stderr)
        for problem in answer["problems"]:
            print("\n".join(f"  {line}" for line in problem.splitlines()), file=sys.stderr)
        if done:
            print("everything is as it was", file=sys.stderr)
        return
    if result == "unchanged":
        print("nothing to do: the node runs by what the files say")
        return
    for line in lines(changes, done=done):
        print(line)
    for problem in answer["problems"] if done else ():
        print(problem, file=sys.stderr)


def lines(changes: dict[str, Any], *, done: bool) -> list[str]:
    """What is done, or would be, for people."""
    verbs = ("added", "replaced", "removed", "changed") if done else ("add", "replace", "remove", "change")
    add, replace, remove, change = verbs
    told = [f"files: {', '.join(changes['files'])}"] if changes["files"] else []
    told += [f"+ {add} strategy {name}" for name in changes["add"]]
    for row in changes["change"]:
        why = " (its code has changed)" if row["code"] else ""
        told.append(f"~ {replace} strategy {row['name']}{why}{_leaving(row, done=done)}")
        told += [f"    {_key(key)}" for key in row["keys"]]
    told += [f"- {remove} strategy {row['name']}{_leaving(row, done=done, gone=True)}" for row in changes["remove"]]
    actors = changes["actors"]
    told += [f"+ {add} actor {name}" for name in actors["add"]]
    for row in actors["change"]:
        why = " (its code has changed)" if row["code"] else ""
        told.append(f"~ {replace} actor {row['name']}{why}{', which had failed' if row['failed'] else ''}")
        told += [f"    {_key(key)}" for key in row["keys"]]
    for row in actors["remove"]:
        told.append(f"- {remove} actor {row['name']}{', which had failed' if row['failed'] else ''}")
    told += [f"~ {change} {_key(key)}" for key in changes["in_place"]]
    unchanged = [*changes["unchanged"], *(f"actor {name}" for name in actors["unchanged"])]
    told += [f"  unchanged: {', '.join(unchanged)}"] if unchanged else []
    return told


def _leaving(row: dict[str, Any], *, done: bool, gone: bool = False) -> str:
    """What it has, and what becomes of that."""
    if row["failed"]:
        return ", which had failed"
    was = "were" if done else "are"
    orders = f"{row['orders']} working orders {was} {'kept' if row['on_stop'] == 'keep' else 'canceled'}"
    positions = f"{', '.join(row['positions'])} {'closed' if row['on_stop'] == 'flatten' else 'kept'}"
    words = [orders] if row["orders"] else []
    words += [positions] if row["positions"] else []
    stays = (row["orders"] and row["on_stop"] == "keep") or (row["positions"] and row["on_stop"] != "flatten")
    if gone and stays:
        words.append("nobody looks after what it leaves")
    return f": {'; '.join(words)}" if words else ""


def _key(key: dict[str, str | None]) -> str:
    old, new = ("(none)" if key[side] is None else key[side] for side in ("old", "new"))
    return f"{key['path']}: {old} → {new}"
