"""Writes deploy/grafana/runner.json, the dashboard of a node: `.venv/bin/python tools/dashboards.py`.

Built with Grafana's own SDK, so that the JSON has Grafana's form. A test compares the file with what this makes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

TARGET = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "runner.json"
WIDTH, HEIGHT = 8, 7


@dataclass(frozen=True)
class Panel:
    """One graph: `queries` are (expression, legend), `unit` is Grafana's word for it."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""


ACCOUNT = '{account=~"$account"}'
STRATEGY = '{strategy=~"$strategy"}'
ROWS: dict[str, tuple[Panel, ...]] = {
    "Is it alive": (
        Panel("Ready", (
            ("runner_ready", "ready"), ("runner_up", "up"), ("runner_config_last_reload_successful", "file taken over"),
        ), about="1 while it trades, while it runs, and while the last reload of its file was carried out."),
        Panel("Streams", (("runner_stream_ready", "{{stream}} {{protocol}}"),), about="1 while subscribed."),
        Panel("Strategies, actors and algorithms", (
            (f"runner_strategy_up{STRATEGY}", "{{strategy}}"), ("runner_component_up", "{{component}}"),
        ), about="0 after a fault or a stop."),
        Panel("Schedules", (
            (f"runner_schedule_open{STRATEGY}", "{{strategy}} may open"),
            (f"runner_schedule_positions_left{STRATEGY}", "{{strategy}} still to be closed"),
        ), about="1 while a strategy may open positions; positions that were to be closed by now."),
        Panel("Loop lag", (("runner_loop_lag_seconds", "lag"),), "s", "How late the event loop wakes up."),
        Panel("Age of the newest data", (("runner_stream_last_event_age_seconds", "{{stream}} {{protocol}}"),), "s"),
        Panel("Messages", (("rate(runner_stream_messages_total[1m])", "{{stream}} {{type}}"),), "cps"),
    ),
    "Money": (
        Panel("Equity", ((f"runner_account_equity_usd{ACCOUNT}", "{{account}}"),), "currencyUSD"),
        Panel("Cash and buying power", (
            (f"runner_account_cash_usd{ACCOUNT}", "cash {{account}}"),
            (f"runner_account_buying_power_usd{ACCOUNT}", "buying power {{account}}"),
        ), "currencyUSD"),
        Panel("Profit since the start", (
            (f"runner_account_realized_pnl_usd{ACCOUNT}", "realized {{account}}"),
            (f"runner_account_unrealized_pnl_usd{ACCOUNT}", "unrealized {{account}}"),
        ), "currencyUSD"),
    ),
    "Orders and denials": (
        Panel("Orders", ((f"sum by (state) (increase(runner_orders_total{STRATEGY}[5m]))", "{{state}}"),),
              about="In five minutes, by what became of them."),
        Panel("Denials", ((f"sum by (code) (increase(runner_denials_total{STRATEGY}[5m]))", "{{code}}"),),
              about="In five minutes, by code: docs/risk.md."),
        Panel("Fills", ((f"sum by (strategy) (increase(runner_fills_total{STRATEGY}[5m]))", "{{strategy}}"),)),
    ),
    "Latency": tuple(
        Panel(title, tuple(
            (f'histogram_quantile({q}, sum by (le) (rate(runner_order_latency_seconds_bucket{{step="{step}"}}[5m])))',
             f"p{round(q * 100)}")
            for q in (0.5, 0.99)
        ), "s")
        for title, step in (("Tick to decision", "tick_to_decision"), ("Decision to answer", "decision_to_ack"),
                            ("Answer to fill", "ack_to_fill"))
    ),
    "Positions": (
        Panel("Quantity", ((f"runner_position_quantity{ACCOUNT}", "{{account}} {{instrument}}"),)),
        Panel("Market value", ((f"runner_position_market_value_usd{ACCOUNT}", "{{account}} {{instrument}}"),),
              "currencyUSD"),
        Panel("Working orders", ((f"runner_orders_working{STRATEGY}", "{{strategy}}"),)),
    ),
    "Limits": (
        Panel("Used of each limit", (("runner_limit_used_ratio", "{{limit}} {{scope}} {{name}}"),), "percentunit"),
        Panel("States", (("runner_risk_state == 1", "{{scope}} {{name}} {{state}}"),),
              about="active, reducing or halted, of the node, accounts and strategies."),
        Panel("Gate errors", (("increase(runner_gate_errors_total[10m])", "errors"),)),
    ),
    "Process": (
        Panel("Memory", (("process_resident_memory_bytes", "resident"),), "bytes"),
        Panel("CPU", (("rate(process_cpu_seconds_total[1m])", "cores"),)),
        Panel("Requests", (("rate(runner_http_requests_total[1m])", "{{client}}"),
                           ("rate(runner_http_throttled_total[1m])", "waited {{client}}")), "reqps"),
    ),
}  # fmt: skip


def build() -> str:
    """The dashboard as JSON."""
    source = DataSourceRef(type_val="prometheus", uid="${datasource}")
    made = (
        dashboard.Dashboard("Runner: a trading node")
        .uid("runner")
        .tags(["runner"])
        .refresh("5s")
        .time("now-1h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for name, metric in (("account", "runner_account_equity_usd"), ("strategy", "runner_strategy_up")):
        made.with_variable(
            dashboard.QueryVariable(name)
            .datasource(source)
            .query(f"label_values({metric}, {name})")
            .include_all(True)
            .multi(True)
        )
    ids = iter(range(1, 1000))
    for title, panels in ROWS.items():
        made.with_row(dashboard.Row(title).id(next(ids)))
        for panel in panels:
            graph = (
                timeseries.Panel()
                .id(next(ids))
                .title(panel.title)
                .description(panel.about)
                .datasource(source)
                .unit(panel.unit)
                .span(WIDTH)
                .height(HEIGHT)
                .legend(common.VizLegendOptions().show_legend(True))
            )
            for number, (expression, legend) in enumerate(panel.queries):
                graph.with_target(prometheus.Dataquery().expr(expression).legend_format(legend).ref_id("ABC"[number]))
            made.with_panel(graph)
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(made.build())), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(build())
