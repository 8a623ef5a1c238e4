"""`runner status`: a running node on one screen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from runner.cli._client import EXIT_OK, EXIT_USAGE, ClientError, Reach, Target, ask, fail

if TYPE_CHECKING:
    from rich.console import Group

#: Orders and limits beyond these are counted, so that it fits a screen; --json has them.
_ROWS = 8
_EVERY_S = 1.0
_NEW_YORK = ZoneInfo("America/New_York")
_HERE = Reach()
_COLORS = {"active": "green", "reducing": "yellow", "halted": "bold red"}


def status(
    target: Target = None,
    *,
    watch: Annotated[bool, Parameter(negative=())] = False,
    reach: Reach = _HERE,
) -> int:
    """Say how a running node stands: feeds, accounts, strategies, states and why, limits used, open orders.

    Exit codes: 0 it answered, 1 refused, 2 usage, 69 no node.

    Parameters
    ----------
    watch
        Keep it on the screen, as of now, until Ctrl-C or the node's end.
    """
    if watch and reach.json:
        return fail(ClientError(EXIT_USAGE, "runner status: --watch or --json, not both"))
    try:
        answer = ask(target, reach, "/v1/status")
        if watch:
            _watch(answer, lambda: ask(target, reach, "/v1/status"))
    except ClientError as error:
        return fail(error)
    except KeyboardInterrupt:
        return EXIT_OK
    if reach.json:
        print(json.dumps(answer, indent=2))
        return EXIT_OK
    from rich.console import Console

    Console(highlight=False).print(screen(answer))
    return EXIT_OK


def _watch(answer: dict[str, Any], again: Callable[[], dict[str, Any]]) -> None:
    """Ends by KeyboardInterrupt, or by the ClientError of a node that has ended."""
    from rich.console import Console
    from rich.live import Live

    with Live(screen(answer), console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            live.update(screen(again()), refresh=True)


def screen(answer: dict[str, Any]) -> Group:
    """What a terminal shows of it."""
    from rich.console import Group
    from rich.text import Text

    since = datetime.now(UTC) - datetime.fromisoformat(answer["started"])
    up = str(since).partition(".")[0]
    parts: list[Any] = [
        Text.assemble(
            (answer["name"], "bold"),
            f"  {answer['environment']}  process {answer['pid']}  up {up}  ",
            ("trading", "green") if answer["ready"] else (_waits(answer), "yellow"),
            "  ",
            _state(answer),
            f"  {answer['fills']} fills  {answer['denied']} denied",
        )
    ]
    for who, row in _held(answer):
        # Reasons are other people's text: never markup.
        words = f"{who} is {row['state']} since {row['since']}, by {row['by']}: {row['why']}"
        parts.append(Text(words, style=_COLORS.get(row["state"], "")))
    for name, row in answer["accounts"].items():
        if row.get("journal"):
            parts.append(Text(f"account {name}: every order is denied: {row['journal']}", style="bold red"))
    last = (answer.get("file") or {}).get("last_reload")
    if last is not None and last["result"] not in ("applied", "unchanged"):
        how = "done in part" if last["result"] == "incomplete" else "not done"
        words = f"the last reload was {how}: {last['outcome']} ({last['at']})"
        parts.append(Text(words, style="bold red"))
    parts += [_table(title, columns, rows) for title, columns, rows in _tables(answer) if rows]
    return Group(*parts)


def _waits(answer: dict[str, Any]) -> str:
    """Why it is not ready."""
    down = [name for name, row in answer["accounts"].items() if not row["trade_updates"]]
    if answer["stage"] == "trade" and down:
        return f"opens nothing: no trade updates of {', '.join(down)}"
    return f"not trading: {answer['stage']}"


def _held(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What is not active."""
    rows = [("the node", answer)]
    rows += [(f"account {name}", row) for name, row in answer["accounts"].items()]
    rows += [(f"strategy {name}", row) for name, row in answer["strategies"].items()]
    return [(who, row) for who, row in rows if row["state"] != "active"]


def _tables(answer: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
    feeds = [
        (
            name,
            row["market"],
            row["feed"],
            _up(row["connected"], "connected", "not connected"),
            "gap" if row["gap"] else "",
        )
        for name, row in answer["feeds"].items()
    ]
    accounts = [
        (
            name,
            _up(row["trade_updates"], "trade updates", "no trade updates"),
            row["equity"],
            row["buying_power"],
            _state(row),
        )
        for name, row in answer["accounts"].items()
    ]
    scheduled = any(row.get("schedule") is not None for row in answer["strategies"].values())
    strategies = [
        (
            name,
            row["account"],
            _running(row),
            f"{row['orders']} orders",
            f"{row['positions']} positions",
            _state(row),
            *([_schedule(row)] if scheduled else []),
        )
        for name, row in answer["strategies"].items()
    ]
    components = [
        (name, kind, row["class"], _running(row), f"{row['orders']} orders" if "orders" in row else "")
        for kind, section in (("actor", "actors"), ("execution algorithm", "exec_algorithms"))
        for name, row in answer[section].items()
    ]
    limits = sorted(answer["limits"], key=lambda row: Decimal(row["used"]), reverse=True)
    used = [(row["limit"], row["name"] or row["kind"], f"{Decimal(row['used']):.0%}") for row in limits]
    positions = [(r["strategy"], r["quantity"], r["symbol"], r["avg_price"]) for r in answer["positions"]["rows"]]
    orders = [
        (
            row["strategy"],
            row["side"],
            f"{row['filled']}/{row['quantity']}",
            row["symbol"],
            row["type"],
            row["price"] or row["trigger"],
            row["status"],
            row["sent"],
        )
        for row in answer["orders"]["rows"]
    ]
    return [
        ("feeds", ("feed", "market", "", "", ""), feeds),
        ("accounts", ("account", "", "equity", "buying power", "state"), accounts),
        ("strategies", ("strategy", "account", "", "", "", "state", *(["schedule"] if scheduled else [])), strategies),
        ("actors and execution algorithms", ("name", "", "class", "", ""), components),
        *(
            (_counted(title, total), columns, rows[:_ROWS])
            for title, total, columns, rows in (
                ("limits used", len(used), ("limit", "of", "used"), used),
                ("positions", answer["positions"]["total"], ("strategy", "qty", "symbol", "avg price"), positions),
                (
                    "open orders",
                    answer["orders"]["total"],
                    ("strategy", "side", "filled", "symbol", "type", "price", "status", "sent"),
                    orders,
                ),
            )
        ),
    ]


def _counted(title: str, total: int) -> str:
    return title if total <= _ROWS else f"{title} ({_ROWS} of {total})"


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, header_style="dim", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("–" if cell is None else str(cell)) for cell in row))
    return table


def _state(row: dict[str, Any]) -> Any:
    from rich.text import Text

    return Text(row["state"], style=_COLORS.get(row["state"], ""))


def _up(yes: bool, what: str, otherwise: str) -> Any:
    from rich.text import Text

    return Text(what, style="green") if yes else Text(otherwise, style="bold red")


def _schedule(row: dict[str, Any]) -> Any:
    from rich.text import Text

    schedule = row.get("schedule")
    if schedule is None:
        return ""
    until = ""
    if schedule["until"] is not None:
        until = f" until {datetime.fromisoformat(schedule['until']).astimezone(_NEW_YORK):%a %H:%M}"
    if schedule["open"]:
        return Text(f"open{until}")
    left = f", {schedule['left']} positions not closed" if schedule["left"] else ""
    return Text(f"{'flat' if schedule['flat'] else 'closes only'}{until}{left}", style="yellow")


def _running(row: dict[str, Any]) -> Any:
    from rich.text import Text

    if row["failed"]:
        return Text("failed", style="bold red")
    return Text("running", style="green") if row["running"] else Text("stopped", style="yellow")
