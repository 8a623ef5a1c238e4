"""What a scrape holds: from the start, and after the node has set values."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from runner.metrics.declarations import DECLARATIONS, DENIAL_CODES, ORDER_STATES
from runner.metrics.registry import Metrics
from runner.risk.codes import Code
from tests.metrics.conftest import counts


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_declared_metric_is_in_a_scrape_and_nothing_else_but_the_process(metrics):
    metrics.attach_stream("stocks", "market", counts())
    metrics.attach_http("main", counts())
    metrics.attach("journal", counts())
    metrics.attach("alerts", counts())
    declared = {declaration.family for declaration in DECLARATIONS}
    assert {f.name for f in metrics.registry.collect() if not f.name.startswith("process_")} == declared


def test_types_labels_and_help_are_as_declared(metrics):
    metrics.attach_stream("stocks", "market", counts())
    metrics.attach_stream("main", "trading", counts())
    metrics.attach_http("main", counts())
    metrics.attach("journal", counts())
    metrics.attach("alerts", counts())
    metrics.set_position("main", "IBM.ALPACA", Decimal(1), Decimal(100))
    metrics.set_limit_used("max_order_qty", "node", "", Decimal("0.5"))
    metrics.component_up("actor", "a", True)
    metrics.loaded("0123456789ab")
    families = {family.name: family for family in metrics.registry.collect()}
    for declaration in DECLARATIONS:
        family = families[declaration.family]
        assert (family.type, family.documentation) == (declaration.kind, declaration.help)
        assert {tuple(k for k in sample.labels if k != "le") for sample in family.samples} == {declaration.labels}, (
            family
        )


def test_counters_end_with_total_and_names_with_their_base_unit():
    for declaration in DECLARATIONS:
        assert declaration.name.startswith("runner_")
        assert declaration.name.endswith("_total") == (declaration.kind == "counter")
        if declaration.unit:
            assert declaration.family.endswith(f"_{declaration.unit.lower()}")


def test_every_code_of_the_gate_has_its_series():
    assert {str(code) for code in Code} <= set(DENIAL_CODES)


def test_series_whose_labels_are_known_exist_at_zero_from_the_start(metrics):
    for strategy, account in (("ema_ibm", "main"), ("revert", "spare")):
        assert value(metrics, "runner_strategy_up", strategy=strategy) == 0
        assert value(metrics, "runner_fills_total", strategy=strategy, account=account) == 0
        for state in ORDER_STATES:
            assert value(metrics, "runner_orders_total", strategy=strategy, account=account, state=state) == 0
        for code in DENIAL_CODES:
            assert value(metrics, "runner_denials_total", code=code, strategy=strategy, account=account) == 0
        assert value(metrics, "runner_account_cash_usd", account=account) == 0
        assert value(metrics, "runner_risk_state", scope="account", name=account, state="active") == 1
        assert value(metrics, "runner_risk_state", scope="account", name=account, state="halted") == 0
    assert value(metrics, "runner_order_latency_seconds_count", step="ack_to_fill") == 0
    assert value(metrics, "runner_up") == 0


def test_a_streams_counters_are_read_at_each_scrape(metrics):
    stats = {"quotes": 5, "state": 3, "last_event_ns": 1_000_000_000, "backlog": 2}
    metrics.attach_stream("stocks", "market", counts(stats), venue_now_ns=lambda: 3_500_000_000)
    where = {"stream": "stocks", "protocol": "market"}
    assert value(metrics, "runner_stream_messages_total", **where, type="quote") == 5
    assert value(metrics, "runner_stream_messages_total", **where, type="bar") == 0
    assert value(metrics, "runner_stream_ready", **where) == 1
    assert value(metrics, "runner_stream_backlog", **where) == 2
    assert value(metrics, "runner_stream_last_event_age_seconds", **where) == 2.5
    stats.update(quotes=6, state=1)
    assert value(metrics, "runner_stream_messages_total", **where, type="quote") == 6
    assert value(metrics, "runner_stream_ready", **where) == 0


def test_before_the_first_event_its_age_is_not_a_number(metrics):
    metrics.attach_stream("stocks", "market", counts())
    age = value(metrics, "runner_stream_last_event_age_seconds", stream="stocks", protocol="market")
    assert age is not None
    assert math.isnan(age)


def test_only_trade_updates_have_fills_to_infer(metrics):
    metrics.attach_stream("stocks", "market", counts())
    metrics.attach_stream("main", "trading", counts({"inferred_fills": 2}))
    assert value(metrics, "runner_fills_inferred_total", stream="main", protocol="trading") == 2
    assert value(metrics, "runner_fills_inferred_total", stream="stocks", protocol="market") is None


def test_statistics_that_can_not_be_read_are_counted_and_spoil_nothing_else(metrics):
    def broken() -> dict[str, int]:
        raise RuntimeError("closed")

    metrics.attach_stream("stocks", "market", broken)
    metrics.attach_http("main", counts({"requests": 7}))
    assert value(metrics, "runner_http_requests_total", client="main") == 7
    list(metrics.registry.collect())
    assert (value(metrics, "runner_scrape_errors_total") or 0) >= 1


def test_a_position_that_is_gone_is_zero(metrics):
    metrics.set_positions("main", {"IBM.ALPACA": (Decimal(10), Decimal("1820.50"))})
    where = {"account": "main", "instrument": "IBM.ALPACA"}
    assert value(metrics, "runner_position_market_value_usd", **where) == 1820.5
    metrics.set_positions("main", {})
    assert value(metrics, "runner_position_quantity", **where) == 0
    assert value(metrics, "runner_position_market_value_usd", **where) == 0


def test_an_account_keeps_the_values_that_are_not_told(metrics):
    metrics.set_account("main", cash=Decimal("100.25"), equity=Decimal(200))
    metrics.set_account("main", cash=None, equity=Decimal(201))
    assert value(metrics, "runner_account_cash_usd", account="main") == 100.25
    assert value(metrics, "runner_account_equity_usd", account="main") == 201


def test_an_unknown_code_is_counted_as_other(metrics):
    metrics.denied("SOMETHING_NEW", "ema_ibm", "main")
    assert value(metrics, "runner_denials_total", code="OTHER", strategy="ema_ibm", account="main") == 1


def test_the_gates_errors_are_taken_over_as_a_running_total(metrics):
    for total in (0, 2, 2, 3):
        metrics.gate_errors(total)
    assert value(metrics, "runner_gate_errors_total") == 3


def test_a_clock_that_steps_back_gives_no_negative_latency(metrics):
    metrics.observe_latency("ack_to_fill", -1.0)
    assert value(metrics, "runner_order_latency_seconds_sum", step="ack_to_fill") == 0


def test_a_step_that_is_not_declared_is_an_error_of_the_caller(metrics):
    with pytest.raises(KeyError):
        metrics.set_account("main", nonsense=Decimal(1))


def test_what_the_stream_lost_is_told_under_the_protocol_that_has_it(metrics):
    metrics.attach_stream("stocks", "market", counts({"refills": 2, "refilled": 70, "amended": 4}))
    metrics.attach_stream("main", "trading", counts({"untold_ends": 1, "unknown_events": 3}))
    market, trading = {"stream": "stocks", "protocol": "market"}, {"stream": "main", "protocol": "trading"}
    assert value(metrics, "runner_refills_total", **market) == 2
    assert value(metrics, "runner_refilled_items_total", **market) == 70
    assert value(metrics, "runner_amended_trades_total", **market) == 4
    assert value(metrics, "runner_untold_ends_total", **trading) == 1
    assert value(metrics, "runner_unknown_updates_total", **trading) == 3
    assert value(metrics, "runner_refills_total", **trading) is None
    assert value(metrics, "runner_untold_ends_total", **market) is None


def test_statistics_without_a_declared_counter_are_a_mistake_that_shows(metrics):
    metrics.attach_http("main", lambda: {"requests": 7})
    assert value(metrics, "runner_http_requests_total", client="main") == 7
    assert value(metrics, "runner_http_retries_total", client="main") is None
    assert (value(metrics, "runner_scrape_errors_total") or 0) >= 1


def test_the_journal_and_the_alerts_are_read_at_each_scrape(metrics):
    metrics.attach("journal", lambda: {"writable": 0, "commits": 5, "dropped": 2})
    metrics.attach("alerts", lambda: {"sent": 3, "failed": 1})
    assert value(metrics, "runner_journal_writable") == 0
    assert value(metrics, "runner_journal_dropped_total") == 2
    assert value(metrics, "runner_alerts_total", outcome="failed") == 1
