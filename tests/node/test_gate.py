"""When orders that open are held back by a stream."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runner.config.models import RunnerConfig
from runner.node.gate import outage


def config(on_stream_down: str) -> RunnerConfig:
    keys = {"key": {"env": "A_KEY"}, "secret": {"env": "A_SECRET"}}
    return RunnerConfig.model_validate(
        {
            "name": "n",
            "environment": "paper",
            "feeds": {"stocks": {"market": "stocks"}},
            "accounts": {"main": {"broker": "alpaca", **keys, "on_stream_down": on_stream_down}},
            "strategies": {"s": {"class": "m:C", "account": "main", "feed": "stocks"}},
        }
    )


@pytest.mark.parametrize(
    ("policy", "ready", "gapped", "says"),
    [
        ("deny", True, False, None),
        ("deny", False, False, "the trade updates of account main are not arriving"),
        ("deny", True, True, "feed stocks has lost trades or bars that are not read again yet"),
        ("wait", False, True, None),
    ],
)
def test_a_stream_that_is_down_holds_openings_back_as_the_file_says(policy, ready, gapped, says):
    exec_clients = {"main": SimpleNamespace(ready=ready)}
    data_clients = {"stocks": SimpleNamespace(gapped=gapped)}
    assert outage(config(policy), exec_clients, data_clients, "main", "s") == says


def test_an_order_of_no_strategy_of_the_file_is_judged_by_its_account_alone():
    exec_clients = {"main": SimpleNamespace(ready=True)}
    data_clients = {"stocks": SimpleNamespace(gapped=True)}
    assert outage(config("deny"), exec_clients, data_clients, "main", "EXTERNAL") is None
