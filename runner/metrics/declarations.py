"""Every metric of the node, declared once: the registry, docs/metrics.md and the tests are all made from this table.

Names follow https://prometheus.io/docs/practices/naming/: prefix `runner_`, base units, `_total` for counters. Labels
have few values; an order's or a trade's id is never one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["stream", "http", "journal", "alerts"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """One metric.

    `source` and `key`: the value is read at each scrape from the attached statistics of that kind. `extra` are labels
    whose value is fixed for this row, so that several rows can make up one metric.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    source: Source | None = None
    key: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    only: str = ""  # for streams: the one protocol that has it

    @property
    def family(self) -> str:
        """The name without a counter's suffix, as the client library wants it."""
        return self.name.removesuffix("_total")


ORDER_STATES = ("submitted", "accepted", "filled", "canceled", "rejected", "denied", "expired")
DENIAL_CODES = (
    "MAX_ORDER_QTY",
    "MAX_ORDER_NOTIONAL",
    "PRICE_COLLAR",
    "QUOTE_MISSING",
    "QUOTE_CROSSED",
    "QUOTE_STALE",
    "MAX_POSITION_NOTIONAL",
    "MAX_GROSS_EXPOSURE",
    "MAX_OPEN_ORDERS",
    "MAX_ORDERS",
    "MAX_CANCELS",
    "MAX_FILLS",
    "MAX_DAILY_LOSS",
    "MAX_DRAWDOWN",
    "MARGIN_INSUFFICIENT",
    "MARGIN_UNCOVERED",
    "OPTION_REFUSED",
    "DUPLICATE_ORDER",
    "SELF_MATCH",
    "SYMBOL_DENIED",
    "NOT_SHORTABLE",
    "SESSION_CLOSED",
    "SCHEDULE_CLOSED",
    "ORDER_ILLEGAL",
    "STATE_HALTED",
    "STATE_REDUCING",
    "STREAM_DOWN",
    "NO_PRICE",
    "NO_ACCOUNT",
    "GATE_ERROR",
    "GATE_BYPASSED",
    "STRATEGY_DOWN",
    "OTHER",
)
STEPS = ("tick_to_decision", "decision_to_ack", "ack_to_fill")
RELOAD_RESULTS = ("applied", "unchanged", "failed", "refused", "incomplete")
RISK_STATES = ("active", "reducing", "halted")
# From ten microseconds (a handler's own work) to minutes (a resting order's fill).
LATENCY_BUCKETS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

_STREAM = ("stream", "protocol")
_ACCOUNT = ("account",)
_BY_STRATEGY = ("strategy", "account")
_POSITION = ("account", "instrument")
_COMPONENT = ("kind", "component")
COMPONENT_KINDS = ("actor", "exec_algorithm")


def _stream(name: str, kind: Kind, key: str, help_: str, **more: object) -> Declaration:
    return Declaration(name, kind, help_, _STREAM, source="stream", key=key, **more)  # type: ignore[arg-type]


def _http(name: str, kind: Kind, key: str, help_: str) -> Declaration:
    return Declaration(name, kind, help_, ("client",), source="http", key=key)


def _journal(name: str, kind: Kind, key: str, help_: str) -> Declaration:
    return Declaration(name, kind, help_, source="journal", key=key)


def _alerts(outcome: str, key: str) -> Declaration:
    help_ = "Messages for the webhook of alerts, by what became of them."
    return Declaration(
        "runner_alerts_total", "counter", help_, ("outcome",), source="alerts", key=key, extra=(("outcome", outcome),)
    )


def _messages(type_: str, key: str) -> Declaration:
    return Declaration(
        "runner_stream_messages_total",
        "counter",
        "Messages received, by type.",
        (*_STREAM, "type"),
        source="stream",
        key=key,
        extra=(("type", type_),),
    )


DECLARATIONS: tuple[Declaration, ...] = (
    # Is it alive
    Declaration("runner_up", "gauge", "1 while the node runs."),
    Declaration("runner_ready", "gauge", "1 while /-/ready answers 200."),
    Declaration(
        "runner_build_info", "gauge", "Always 1; the versions are in the labels.", ("version", "nautilus", "python")
    ),
    Declaration("runner_start_time_seconds", "gauge", "When the node was started, UNIX time.", unit="seconds"),
    Declaration("runner_loop_lag_seconds", "gauge", "How late the event loop woke up last.", unit="seconds"),
    Declaration(
        "runner_python_blocks",
        "gauge",
        "Blocks of memory that Python's objects hold: what the node keeps, where resident memory also has what its "
        "allocator keeps.",
    ),
    Declaration("runner_scrape_errors_total", "counter", "Statistics that could not be read during a scrape."),
    Declaration("runner_sample_errors_total", "counter", "Values of the node that could not be sampled."),
    Declaration(
        "runner_strategy_up", "gauge", "1 while the strategy runs, 0 before, after a stop or a fault.", ("strategy",)
    ),
    Declaration("runner_strategy_faults_total", "counter", "Exceptions that escaped the strategy.", ("strategy",)),
    Declaration(
        "runner_component_up",
        "gauge",
        "1 while the actor or execution algorithm runs, 0 before, after a stop or a fault.",
        _COMPONENT,
    ),
    Declaration(
        "runner_component_faults_total",
        "counter",
        "Exceptions that escaped the actor or execution algorithm.",
        _COMPONENT,
    ),
    Declaration(
        "runner_schedule_open",
        "gauge",
        "1 while the strategy's schedule lets it open positions (or it has none), 0 outside of it.",
        ("strategy",),
    ),
    Declaration(
        "runner_schedule_positions_left",
        "gauge",
        "Positions still open that the strategy's schedule was to have closed, until it may open some again.",
        ("strategy",),
    ),
    # The file
    Declaration(
        "runner_config_last_reload_successful",
        "gauge",
        "1 if the last reload of the file was carried out whole, or none was tried yet.",
    ),
    Declaration(
        "runner_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the file was last loaded or reloaded successfully, UNIX time.",
        unit="seconds",
    ),
    Declaration("runner_config_reloads_total", "counter", "Reloads by what came of them.", ("result",)),
    Declaration("runner_config_info", "gauge", "Always 1; the label is a fingerprint of the file in force.", ("hash",)),
    # Feeds and other streams; market data feeds have protocol="market", trade updates protocol="trading"
    _messages("quote", "quotes"),
    _messages("trade", "trades"),
    _messages("bar", "bars"),
    _messages("other", "other"),
    _stream("runner_stream_frames_total", "counter", "frames", "WebSocket frames received."),
    _stream("runner_stream_bytes_total", "counter", "bytes", "Bytes received.", unit="bytes"),
    _stream("runner_stream_ready", "gauge", "state", "1 while the stream is subscribed or listening."),
    _stream("runner_stream_reconnects_total", "counter", "reconnects", "Connections made after the first one."),
    _stream("runner_stream_backlog", "gauge", "backlog", "Items received and not handed over yet."),
    _stream("runner_stream_conflated_total", "counter", "conflated", "Quotes replaced by newer ones before delivery."),
    _stream("runner_stream_dropped_total", "counter", "dropped", "Items lost for want of room."),
    _stream("runner_stream_gaps_total", "counter", "gaps", "Times the feed was marked as having a gap."),
    _stream("runner_stream_parse_errors_total", "counter", "parse_errors", "Messages that could not be read."),
    _stream(
        "runner_stream_handler_errors_total", "counter", "handler_errors", "Items whose handling raised an exception."
    ),
    _stream(
        "runner_stream_last_event_age_seconds",
        "gauge",
        "last_event_ns",
        "Age of the newest event by venue time; NaN before the first.",
        unit="seconds",
    ),
    # Orders
    Declaration("runner_orders_total", "counter", "Orders that came to this state.", ("strategy", "account", "state")),
    Declaration("runner_orders_working", "gauge", "Orders under way or open at the venue.", _BY_STRATEGY),
    Declaration(
        "runner_fills_total",
        "counter",
        "Fills, partial ones included; positions set off against each other are none.",
        _BY_STRATEGY,
    ),
    Declaration(
        "runner_denials_total",
        "counter",
        "Orders and modifications denied before they left the node, by the code their reason begins with.",
        ("code", "strategy", "account"),
    ),
    Declaration(
        "runner_order_latency_seconds",
        "histogram",
        "Time by the node's clock from the newest tick to the order, from the order to the venue's answer, "
        "and from that to the first fill.",
        ("step",),
        unit="seconds",
    ),
    # Fills that the stream did not bring
    _stream(
        "runner_fills_inferred_total", "counter", "inferred_fills", "Fills worked out, not reported.", only="trading"
    ),
    _stream(
        "runner_fills_duplicate_total",
        "counter",
        "duplicate_fills",
        "Fills reported twice, booked once.",
        only="trading",
    ),
    _stream("runner_fills_lost_total", "counter", "lost_fills", "Fills that could not be booked.", only="trading"),
    _stream(
        "runner_gap_fills_total", "counter", "gap_fills", "Catch-ups with the broker after a connect.", only="trading"
    ),
    _stream("runner_gap_repairs_total", "counter", "repairs", "Events that catch-ups found missing.", only="trading"),
    _stream(
        "runner_position_differences_total",
        "counter",
        "position_differences",
        "Positions that differed from the broker's after a catch-up.",
        only="trading",
    ),
    _stream(
        "runner_adjustments_total",
        "counter",
        "adjustments",
        "Positions put right after what is never streamed: exercise, assignment, expiry, splits, others' trades.",
        only="trading",
    ),
    _stream(
        "runner_untold_ends_total",
        "counter",
        "untold_ends",
        "Ends and replacements of orders found by asking.",
        only="trading",
    ),
    _stream(
        "runner_unknown_updates_total",
        "counter",
        "unknown_events",
        "Trade updates of a kind that is not known.",
        only="trading",
    ),
    # Data that the stream lost
    _stream("runner_refills_total", "counter", "refills", "Times lost data was read again by REST.", only="market"),
    _stream(
        "runner_refilled_items_total",
        "counter",
        "refilled",
        "Lost trades and bars that REST brought back.",
        only="market",
    ),
    # Greeks of options, which are asked for
    _stream("runner_greeks_polls_total", "counter", "greeks_polls", "Polls of option greeks answered.", only="market"),
    _stream(
        "runner_greeks_failed_total", "counter", "greeks_failed", "Polls of option greeks that failed.", only="market"
    ),
    _stream(
        "runner_amended_trades_total",
        "counter",
        "amended",
        "Trades that the venue corrected or canceled after they were delivered.",
        only="market",
    ),
    # Risk
    Declaration("runner_gate_errors_total", "counter", "Exceptions inside the risk gate."),
    Declaration(
        "runner_risk_state",
        "gauge",
        "1 for the state that a scope is in, 0 for the others.",
        ("scope", "name", "state"),
    ),
    Declaration(
        "runner_limit_used_ratio",
        "gauge",
        "How much of a limit is used: 1 is all of it.",
        ("limit", "scope", "name"),
    ),
    # Money
    Declaration("runner_account_cash_usd", "gauge", "Cash.", _ACCOUNT, "USD"),
    Declaration("runner_account_equity_usd", "gauge", "Cash and the positions' market value.", _ACCOUNT, "USD"),
    Declaration("runner_account_buying_power_usd", "gauge", "Buying power as the broker last told.", _ACCOUNT, "USD"),
    Declaration("runner_account_realized_pnl_usd", "gauge", "Realized profit since the start.", _ACCOUNT, "USD"),
    Declaration("runner_account_unrealized_pnl_usd", "gauge", "Unrealized profit.", _ACCOUNT, "USD"),
    Declaration("runner_position_quantity", "gauge", "Signed position.", _POSITION),
    Declaration(
        "runner_position_market_value_usd", "gauge", "The position at the last price, signed.", _POSITION, "USD"
    ),
    # REST
    _http("runner_http_requests_total", "counter", "requests", "Requests sent, repeated ones included."),
    _http("runner_http_retries_total", "counter", "retries", "Requests repeated."),
    _http("runner_http_throttled_total", "counter", "throttled", "Requests that waited for the broker's quota."),
    _http("runner_http_unknown_total", "counter", "unknown", "Orders sent whose outcome the reply did not tell."),
    _http("runner_http_in_flight", "gauge", "in_flight", "Requests without a reply yet."),
    _http("runner_http_quota", "gauge", "rate_limit", "Requests that the broker allows a minute."),
    _http("runner_http_quota_remaining", "gauge", "rate_remaining", "Requests left of the quota."),
    # What outlives the process; a simulated run has neither
    _journal("runner_journal_writable", "gauge", "writable", "1 while the journal can be written; else orders wait."),
    _journal("runner_journal_commits_total", "counter", "commits", "Times the journal was written."),
    _journal(
        "runner_journal_dropped_total", "counter", "dropped", "Events given up as the journal could not be written."
    ),
    _alerts("sent", "sent"),
    _alerts("failed", "failed"),
)
