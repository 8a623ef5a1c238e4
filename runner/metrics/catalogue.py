"""docs/metrics.md, written from the declarations: `python -m runner.metrics.catalogue > docs/metrics.md`."""

from __future__ import annotations

import sys

from runner.metrics.declarations import (
    COMPONENT_KINDS,
    DECLARATIONS,
    DENIAL_CODES,
    LATENCY_BUCKETS,
    ORDER_STATES,
    RELOAD_RESULTS,
    RISK_STATES,
    STEPS,
)

_VALUES = {
    "runner_orders_total": ("state", ORDER_STATES),
    "runner_denials_total": ("code", DENIAL_CODES),
    "runner_order_latency_seconds": ("step", STEPS),
    "runner_config_reloads_total": ("result", RELOAD_RESULTS),
    "runner_risk_state": ("state", RISK_STATES),
    "runner_component_up": ("kind", COMPONENT_KINDS),
}


def catalogue() -> str:
    """The page, in Markdown."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `python -m runner.metrics.catalogue`; a test compares the two. Don't edit. -->",
        "",
        "`metrics: {listen: 127.0.0.1:9464}` in the file serves them at `/metrics`, as Prometheus text or OpenMetrics.",
        "`/-/healthy` answers 200 while the node's loop turns, `/-/ready` while it trades; otherwise both answer 503",
        "with the reason. Series of strategies, accounts and codes exist at 0 from the start. `strategy`, `account`,",
        "`component`, `stream` and `client` are names from the file; a stream's `protocol` is `market` or `trading`.",
        "Beside these there are the usual `process_*` metrics.",
        "",
        "| name | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for declaration in {each.name: each for each in DECLARATIONS}.values():
        labels = ", ".join(f"`{label}`" for label in declaration.labels) or "–"
        lines.append(f"| `{declaration.name}` | {declaration.kind} | {labels} | {declaration.help} |")
    lines += ["", "## Values of labels", ""]
    types = [value for each in DECLARATIONS for _, value in each.extra]
    lines.append(f"- `runner_stream_messages_total`, `type`: {_listed(tuple(types))}")
    lines += [f"- `{name}`, `{label}`: {_listed(values)}" for name, (label, values) in _VALUES.items()]
    buckets = ", ".join(f"{bound:g}" for bound in LATENCY_BUCKETS)
    lines += ["", f"Bounds of `runner_order_latency_seconds`, in seconds: {buckets}.", ""]
    return "\n".join(lines)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    sys.stdout.write(catalogue())
