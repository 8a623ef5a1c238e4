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
    ("policy", "ready", "says"),
    [
        ("deny", True, None),
        ("deny", False, "the trade updates of account main are not arriving"),
        ("wait", False, None),
    ],
)
def test_a_stream_that_is_down_holds_openings_back_as_the_file_says(policy, ready, says):
    assert outage(config(policy), {"main": SimpleNamespace(ready=ready)}, "main") == says
