"""What a run came to: one object for machines, a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from runner.node.books import all_agree
from runner.node.node import BaseHook, Node
from runner.report.statistics import positions_of


class SummaryHook(BaseHook):
    """Takes the summary while Nautilus's cache is still there. None where nothing was traded."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] | None = None

    async def stopped(self, node: Node) -> None:
        if node.traded:
            self.summary = summarize(node)


def summarize(node: Node) -> dict[str, Any]:
    """The object of `--json`. Money and quantities are decimal text in USD and shares, null where unknown."""
    parts = node.parts
    ticks = {"quotes": 0, "trades": 0, "bars": 0}
    accounts: dict[str, Any] = {}
    positions: list[dict[str, Any]] = []
    if parts is not None:
        for client in parts.data_clients.values():
            stats = client.stream_stats()
            for kind in ticks:
                ticks[kind] += int(stats.get(kind, 0))
        for name, client in parts.exec_clients.items():
            accounts[name] = _account(node, name, client)
            positions += _positions(node, name, client)
    return {
        "orders": node.tally.orders(),
        "denials": dict(node.tally.denials.most_common()),
        "fills": node.tally.fills,
        "ticks": ticks,
        "accounts": accounts,
        "positions": positions,
        "books_agree": all_agree(node.books),
        "books": {name: agreement.to_dict() for name, agreement in node.books.items()},
    }


def _account(node: Node, name: str, client: Any) -> dict[str, str | None]:
    closing = node.closing.get(name) or client.opening
    assert node.parts is not None
    positions = positions_of(node.parts.kernel.cache, [client.account_id])
    realized = sum((money(p.realized_pnl) for p in positions), Decimal(0))
    unrealized = None
    if closing is not None:
        # By the broker's own marks, so that it explains the broker's equity.
        cost = sum((p.signed_decimal_qty() * price(p.avg_px_open) for p in positions if p.is_open), Decimal(0))
        unrealized = closing.equity - closing.cash - cost
    return {
        "cash": str(closing.cash) if closing is not None else None,
        "equity": str(closing.equity) if closing is not None else None,
        "realized_pnl": plain(realized),
        "unrealized_pnl": None if unrealized is None else plain(unrealized),
    }


def _positions(node: Node, name: str, client: Any) -> list[dict[str, Any]]:
    assert node.parts is not None
    rows = []
    marks = getattr(node.closing.get(name), "marks", {})
    for position in node.parts.kernel.cache.positions_open():
        if position.account_id != client.account_id:
            continue
        mark = marks.get(str(position.instrument_id.symbol))
        unrealized = _unrealized(node, position, mark)
        rows.append(
            {
                "account": name,
                "strategy": node.parts.names.get(position.strategy_id.value, position.strategy_id.value),
                "symbol": str(position.instrument_id.symbol),
                "quantity": plain(position.signed_decimal_qty()),
                "avg_price": plain(price(position.avg_px_open)),
                "unrealized_pnl": None if unrealized is None else plain(unrealized),
            }
        )
    return rows


def price(average: float) -> Decimal:
    """Nautilus keeps average prices as floats: what lies beyond the ninth decimal is noise of their making."""
    return Decimal(average).quantize(Decimal("1e-9")).normalize()


def plain(value: Decimal) -> str:
    """Without exponent and needless zeros."""
    return f"{value.normalize():f}"


def _unrealized(node: Node, position: Any, mark: Decimal | None) -> Decimal | None:
    """At the broker's own price, else the last quote's closing side, else the last trade; None where there is none."""
    if position.is_closed:
        return Decimal(0)
    if mark is not None:
        multiplier: Decimal = position.multiplier.as_decimal()
        quantity: Decimal = position.signed_decimal_qty()
        return quantity * multiplier * (mark - price(position.avg_px_open))
    assert node.parts is not None
    cache = node.parts.kernel.cache
    quote = cache.quote_tick(position.instrument_id)
    if quote is not None:
        return money(position.unrealized_pnl(quote.bid_price if position.is_long else quote.ask_price))
    trade = cache.trade_tick(position.instrument_id)
    if trade is not None:
        return money(position.unrealized_pnl(trade.price))
    for bar_type in cache.bar_types(instrument_id=position.instrument_id):
        bar = cache.bar(bar_type)
        if bar is not None:
            return money(position.unrealized_pnl(bar.close))
    return None


def money(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value.as_decimal()))


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """The table, on the real standard output."""
    orders = summary["orders"]
    ticks = summary["ticks"]
    accounts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("account", "cash", "equity", "realized", "unrealized", "books"):
        accounts.add_column(column, justify="left" if column in ("account", "books") else "right", overflow="fold")
    for name, row in summary["accounts"].items():
        accounts.add_row(
            name,
            shown(row["cash"]),
            shown(row["equity"]),
            shown(row["realized_pnl"]),
            shown(row["unrealized_pnl"]),
            _books(summary["books"].get(name)),
        )
    lines: list[Any] = [
        Text(
            "orders  "
            + ", ".join(f"{count} {state}" for state, count in orders.items() if count or state == "submitted")
        ),
        *([Text(f"denied  {denied_by(summary['denials'])}")] if summary["denials"] else []),
        Text(f"fills   {summary['fills']}"),
        Text(f"ticks   {ticks['quotes']:,} quotes, {ticks['trades']:,} trades, {ticks['bars']:,} bars"),
        Text(""),
        accounts,
    ]
    if summary["positions"]:
        held = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("position", "strategy", "quantity", "average price", "unrealized"):
            held.add_column(column, justify="left" if column in ("position", "strategy") else "right", overflow="fold")
        for row in summary["positions"]:
            held.add_row(
                row["symbol"], row["strategy"], row["quantity"], shown(row["avg_price"]), shown(row["unrealized_pnl"])
            )
        lines += [Text(""), held]
    console.print(Group(*lines))


def denied_by(denials: Mapping[str, int]) -> str:
    """`3 MAX_ORDER_QTY, 1 NO_PRICE`."""
    return ", ".join(f"{count} {code}" for code, count in denials.items())


def shown(text: str | None) -> str:
    """Money for people: cents, and commas between thousands."""
    return "unknown" if text is None else f"{Decimal(text):,.2f}"


def _books(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not compared"
    if row["agree"]:
        return "agree with the broker's"
    if row["agree"] is None:
        return f"could not be compared: {row['reason']}"
    differences = "; ".join(f"{d['what']}: ours {d['ours']}, broker's {d['broker']}" for d in row["differences"])
    return f"DISAGREE: {'; '.join(filter(None, (differences, row['reason'])))}"
