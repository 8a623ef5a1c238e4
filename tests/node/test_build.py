"""Nautilus's configuration of a node."""

from __future__ import annotations

import dataclasses

from runner.node.build import kernel_config
from tests.node.fake_venue import Quiet, make_plan


def test_nautiluss_own_bound_on_orders_a_second_counts_only_where_the_clocks_agree() -> None:
    plan = make_plan({"a": Quiet})
    assert kernel_config(plan).risk_engine.max_order_submit_rate == "100/00:00:01"
    faster = kernel_config(dataclasses.replace(plan, real_time=False)).risk_engine
    assert faster.max_order_submit_rate == faster.max_order_modify_rate == "1000000/00:00:01"
