"""What a backtest came to: the object of `--json`, and a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from runner.backtest.engine import ACCOUNT, Backtest
from runner.backtest.feed import moment
from runner.node.summary import denied_by, money, plain, price, shown
from runner.node.tally import STATES
from runner.report.recorder import Recorder
from runner.report.statistics import positions_of, statistics

_COLUMNS = ("submitted", "filled", "canceled", "denied", "fills")


def summarize(backtest: Backtest, recorder: Recorder) -> dict[str, Any]:
    """Money and quantities are decimal text in USD and shares; statistics are text, null where undefined."""
    feed, tally, kernel = backtest.feed, backtest.tally, backtest.engine.kernel
    names = backtest.parts.names
    return {
        "data": {
            "from": None if feed.first_ns is None else moment(feed.first_ns),
            "to": None if feed.last_ns is None else moment(feed.last_ns),
            "fills_by": {each.instrument: each.kind for each in feed.played if each.moves},
        },
        "seed": backtest.terms.seed,
        "orders": tally.orders(),
        "denials": dict(tally.denials.most_common()),
        "fills": tally.fills,
        "ticks": dict(feed.counts),
        "strategies": {
            name: {
                **{column: tally.strategies.get(name, Counter())[column] for column in (*STATES, "fills")},
                "error": None if (fault := backtest.faults.get(name)) is None else f"{fault.error} in {fault.where}",
            }
            for name in backtest.parts.strategies
        },
        "accounts": {backtest.account: _account(kernel, recorder)},
        "positions": [
            {
                "account": backtest.account,
                "strategy": names.get(position.strategy_id.value, position.strategy_id.value),
                "symbol": position.instrument_id.symbol.value,
                "quantity": plain(position.signed_decimal_qty()),
                "avg_price": plain(price(position.avg_px_open)),
                "unrealized_pnl": _unrealized(recorder, position),
            }
            for position in kernel.cache.positions_open()
        ],
        "statistics": statistics(kernel, recorder),
        "notes": _notes(backtest, recorder),
    }


def _notes(backtest: Backtest, recorder: Recorder) -> list[str]:
    """Where this is not what the broker would have done, and which actors and algorithms did not come to the end."""
    notes = [
        f"{fault.kind.word} {fault.name} was stopped: {fault.error} in {fault.where}" for fault in backtest.other_faults
    ]
    late = sum("/" not in fill.symbol and not backtest.session.is_core(fill.ts_ns) for fill in recorder.fills)
    if late:
        notes.append(
            f"{late} of {len(recorder.fills)} fills lie outside the core session, of orders that were good for longer "
            "or asked for extended hours"
        )
    if any(kind == "bars" for kind in {each.kind for each in backtest.feed.played if each.moves}):
        notes.append("orders were filled by bars, without a spread: `runner fetch --quotes` makes fills more like real")
    return notes


def _account(kernel: Any, recorder: Recorder) -> dict[str, str | None]:
    last = recorder.last
    realized = sum((money(p.realized_pnl) for p in positions_of(kernel.cache, [ACCOUNT])), Decimal(0))
    made = None if last is None or recorder.first is None else last.equity - recorder.first.equity
    return {
        "cash": None if last is None else plain(last.cash),
        "equity": None if last is None else plain(last.equity),
        "realized_pnl": plain(realized),
        "unrealized_pnl": None if made is None else plain(made - realized),
    }


def _unrealized(recorder: Recorder, position: Any) -> str | None:
    mark = recorder.price(position.instrument_id)
    if mark is None:
        return None
    quantity: Decimal = position.signed_decimal_qty() * position.multiplier.as_decimal()
    return plain(quantity * (mark - price(position.avg_px_open)))


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """The table, on the real standard output."""
    orders, ticks, data = summary["orders"], summary["ticks"], summary["data"]
    states = ", ".join(f"{count} {state}" for state, count in orders.items() if count or state == "submitted")
    lines: list[Any] = [
        Text(f"data    {data['from']} to {data['to']} (New York)"),
        Text(f"ticks   {ticks['quotes']:,} quotes, {ticks['trades']:,} trades, {ticks['bars']:,} bars"),
        Text(f"orders  {states}"),
        *([Text(f"denied  {denied_by(summary['denials'])}")] if summary["denials"] else []),
        Text(f"fills   {summary['fills']}"),
        Text(""),
    ]
    strategies = _table("strategy", *_COLUMNS)
    for name, counts in summary["strategies"].items():
        strategies.add_row(name, *(f"{counts[column]:,}" for column in _COLUMNS))
    accounts = _table("account", "cash", "equity", "realized", "unrealized")
    for name, row in summary["accounts"].items():
        accounts.add_row(name, *(shown(row[key]) for key in ("cash", "equity", "realized_pnl", "unrealized_pnl")))
    lines += [strategies, Text(""), accounts]
    if summary["positions"]:
        held = _table("position", "strategy", "quantity", "average price", "unrealized")
        for row in summary["positions"]:
            held.add_row(
                row["symbol"], row["strategy"], row["quantity"], shown(row["avg_price"]), shown(row["unrealized_pnl"])
            )
        lines += [Text(""), held]
    for section, values in summary["statistics"].items():
        table = _table(section, "")
        for name, value in values.items():
            table.add_row(name, "–" if value is None else value)
        lines += [Text(""), table]
    lines += [Text(f"\nnote: {note}") for note in summary["notes"]]
    console.print(Group(*lines), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if not number or column == "strategy" else "right")
    return table
