"""Nautilus's configuration of a node."""

from __future__ import annotations

import dataclasses

from nautilus_trader.model.data import Bar, QuoteTick, TradeTick

from runner.alpaca.custom import AlpacaCorporateAction, AlpacaNews, AlpacaPriceBand
from runner.config.models import RedisConfig, StateConfig
from runner.node.build import direct, kernel_config
from tests.node.fake_venue import Quiet, make_plan


def test_nautiluss_own_bound_on_orders_a_second_counts_only_where_the_clocks_agree() -> None:
    plan = make_plan({"a": Quiet})
    assert kernel_config(plan).risk_engine.max_order_submit_rate == "100/00:00:01"
    faster = kernel_config(dataclasses.replace(plan, real_time=False)).risk_engine
    assert faster.max_order_submit_rate == faster.max_order_modify_rate == "1000000/00:00:01"


def test_market_data_stays_out_of_redis_whatever_its_type() -> None:
    plan = make_plan({"a": Quiet})
    redis = RedisConfig(streams=True)  # type: ignore[call-arg]
    config = plan.config.model_copy(update={"state": StateConfig(redis=redis)})  # type: ignore[call-arg]
    bus = kernel_config(dataclasses.replace(plan, config=config, streams=True)).message_bus
    assert bus is not None
    assert set(bus.types_filter) >= {QuoteTick, TradeTick, Bar, AlpacaNews, AlpacaPriceBand, AlpacaCorporateAction}


class Engine:
    """A base engine that carries commands out at once, or fails."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def execute(self, command: str) -> None:
        if command == "bad":
            raise RuntimeError("a bug")
        self.done.append(command)


class LiveEngine(Engine):
    def execute(self, command: str) -> None:
        raise AssertionError("it would be queued")

    def _handle_queue_exception(self, error: Exception, queue: str) -> None:
        self.failures.append((str(error), queue))


def test_a_command_is_carried_out_where_it_is_given() -> None:
    engine = LiveEngine()
    direct(engine, Engine)("a command")
    assert engine.done == ["a command"]


def test_a_fault_of_the_engine_ends_it_as_its_queue_would_and_spares_the_caller() -> None:
    engine = LiveEngine()
    direct(engine, Engine)("bad")
    assert engine.failures == [("a bug", "command")]
