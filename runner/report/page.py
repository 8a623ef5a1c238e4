"""The report: one HTML file that needs nothing from elsewhere, for a browser of any size.

Charts are Plotly's, whose script is part of the page; a policy in its head keeps the page from asking for anything.
What is printed is decimal text; charts are drawn from floats, as they must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runner.report.recorder import Fill, Recorder

_NEW_YORK = ZoneInfo("America/New_York")
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
#: Instruments that get a chart, those with the most fills first.
_SHOWN = 40
_INK, _GOOD, _BAD, _LINE = "#2563a8", "#18794e", "#c0362c", "#e4e9ee"
_CENT = Decimal("0.01")


def write_report(
    path: Path, recorder: Recorder, summary: Mapping[str, Any], *, title: str, facts: Sequence[str] = ()
) -> None:
    """Write the page. `summary` is the object of `--json`; `facts` are sentences under the title. Raises OSError."""
    text = page(recorder, summary, title=title, facts=facts)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def page(recorder: Recorder, summary: Mapping[str, Any], *, title: str, facts: Sequence[str] = ()) -> str:
    """The page as text."""
    charts = dict(_charts(recorder))
    figures = json.dumps({f"chart{n}": figure for n, figure in enumerate(charts.values())}, separators=(",", ":"))
    # `</` would end the script.
    figures = figures.replace("</", "<\\/")
    script = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    style = (files("runner.report") / "page.css").read_text(encoding="utf-8")
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(fact)}</p>" for fact in facts),
        _cards(recorder, summary),
        *(_chart(n, name) for n, name in enumerate(charts)),
        *_tables(summary),
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{chr(10).join(body)}
</main>
<script>{script}</script>
<script>
for (const [id, figure] of Object.entries({figures})) {{
  Plotly.newPlot(id, figure.data, figure.layout, {{responsive: true, displayModeBar: false}});
}}
</script>
</body>
</html>
"""


# -- the parts of the page ---------------------------------------------------------------------------------------------


def _cards(recorder: Recorder, summary: Mapping[str, Any]) -> str:
    first, last = recorder.first, recorder.last
    made = last.equity - first.equity if first is not None and last is not None else None
    orders = summary["orders"]
    cards = [
        ("equity", _money(None if last is None else last.equity), ""),
        ("profit and loss", _money(made), _tone(made)),
        ("in per cent", "–" if made is None or not first or not first.equity else f"{made / first.equity:.2%}", ""),
        ("deepest drawdown", f"{_money(-recorder.drawdown)} ({recorder.drawdown_ratio:.2%})", ""),
        ("fees", _money(recorder.fees), ""),
        ("fills", f"{summary['fills']:,}", ""),
        ("orders", f"{orders['submitted']:,}", ""),
        ("denied", f"{orders['denied']:,}", "bad" if orders["denied"] else ""),
    ]
    shown = "".join(
        f'<div class="card"><span>{name}</span><b class="{tone}">{value}</b></div>' for name, value, tone in cards
    )
    return f'<div class="cards">{shown}</div>'


def _chart(number: int, name: str) -> str:
    low = " low" if name == "Drawdown" else ""
    return f'<h2>{escape(name)}</h2><div class="chart{low}" id="chart{number}"></div>'


def _tables(summary: Mapping[str, Any]) -> Iterable[str]:
    strategies = summary.get("strategies") or {}
    if strategies:
        columns = ("submitted", "filled", "canceled", "rejected", "denied", "fills")
        rows = [(name, *(str(counts.get(column, 0)) for column in columns)) for name, counts in strategies.items()]
        yield "<h2>Strategies</h2>" + _table(("strategy", *columns), rows)
    if summary["denials"]:
        rows = [(code, f"{count:,}") for code, count in summary["denials"].items()]
        yield "<h2>Orders denied, by reason</h2>" + _table(("reason", "orders"), rows)
    if summary["positions"]:
        keys = ("symbol", "strategy", "quantity", "avg_price", "unrealized_pnl")
        rows = [tuple("–" if row[key] is None else str(row[key]) for key in keys) for row in summary["positions"]]
        yield "<h2>Positions at the end</h2>" + _table(
            ("position", "strategy", "quantity", "average price", "unrealized"), rows
        )
    sections = summary.get("statistics") or {}
    if sections:
        made = [
            _table((name, ""), [(key, "–" if value is None else value) for key, value in section.items()])
            for name, section in sections.items()
            if section
        ]
        yield f'<h2>Statistics</h2><div class="tables">{"".join(made)}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><tr>{top}</tr>{body}</table></div>'


# -- the charts --------------------------------------------------------------------------------------------------------


def _charts(recorder: Recorder) -> Iterable[tuple[str, dict[str, Any]]]:
    points = recorder.points.values
    if points:
        times = [wall(point.ts_ns) for point in points]
        equity = [float(point.equity) for point in points]
        yield "Equity (cash and positions at their prices)", _figure([_line(times, equity, "equity")])
        peak, falls = points[0].equity, []
        for point in points:
            peak = max(peak, point.equity)
            falls.append(float(point.equity - peak))
        yield "Drawdown", _figure([{**_line(times, falls, "below the peak", _BAD), "fill": "tozeroy"}])
    by_symbol: dict[str, list[Fill]] = {}
    for fill in recorder.fills:
        by_symbol.setdefault(fill.symbol, []).append(fill)
    order = sorted(recorder.prices, key=lambda symbol: -len(by_symbol.get(symbol, ())))
    for symbol in order[:_SHOWN]:
        prices, fills = recorder.prices[symbol].values, by_symbol.get(symbol, [])
        traces = [_line([wall(at) for at, _ in prices], [float(price) for _, price in prices], symbol)]
        traces += [
            _marks([fill for fill in fills if fill.quantity > 0], "bought", "triangle-up", _GOOD),
            _marks([fill for fill in fills if fill.quantity < 0], "sold", "triangle-down", _BAD),
        ]
        yield symbol, _figure(traces)


def _line(times: list[str], values: list[float], name: str, color: str = _INK) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": times,
        "y": values,
        "line": {"color": color, "width": 1.5},
        "hovertemplate": "%{x}<br>%{y:,.4~f}<extra></extra>",
    }


def _marks(fills: Sequence[Fill], name: str, symbol: str, color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [wall(fill.ts_ns) for fill in fills],
        "y": [float(fill.price) for fill in fills],
        "text": [
            f"{escape(fill.strategy)} {'buys' if fill.quantity > 0 else 'sells'} "
            f"{abs(fill.quantity).normalize():f} at {fill.price}"
            for fill in fills
        ],
        "marker": {"symbol": symbol, "size": 10, "color": color, "line": {"color": "#fff", "width": 1}},
        "hovertemplate": "%{x}<br>%{text}<extra></extra>",
    }


def _figure(traces: list[dict[str, Any]]) -> dict[str, Any]:
    axis = {"gridcolor": _LINE, "zeroline": False, "automargin": True}
    layout = {
        "margin": {"l": 12, "r": 12, "t": 10, "b": 30},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": "zoom",
        "font": {"size": 11, "color": "#1c2733"},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "xaxis": {**axis, "type": "date", "nticks": 6},
        "yaxis": {**axis, "nticks": 6, "exponentformat": "none", "separatethousands": True},
    }
    return {"data": traces, "layout": layout}


def wall(ts_ns: int) -> str:
    """New York's wall time, which is what the axis shows."""
    moment = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).astimezone(_NEW_YORK)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ts_ns % 1_000_000_000 // 1_000_000:03d}"


def _money(value: Decimal | None) -> str:
    return "–" if value is None else f"{value.quantize(_CENT):,}"


def _tone(value: Decimal | None) -> str:
    return "" if not value else "good" if value > 0 else "bad"
