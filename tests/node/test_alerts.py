from __future__ import annotations

from types import SimpleNamespace as Space
from typing import Any

import pytest
from pydantic import SecretStr

from runner.config.alerts import AlertsConfig
from runner.config.classes import EXEC_ALGORITHM
from runner.node.alerts import AlertsHook
from runner.node.books import Agreement
from runner.node.exit_codes import NodeError
from runner.node.guard import Fault


class Sink:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, kind: str, line: str) -> None:
        self.sent.append((kind, line))

    def close(self, timeout_s: float) -> bool:
        return True


def make() -> tuple[AlertsHook, Sink, Any]:
    hook, sink = AlertsHook(AlertsConfig(denials_in_row=2)), Sink()
    hook._sink = sink  # type: ignore[assignment]
    account = Space(ready=True, stats={"inferred_fills": 0})
    account.stream_stats = lambda: account.stats
    feed = Space(stats={"state": 3})
    feed.stream_stats = lambda: feed.stats
    states: list[Any] = []
    node = Space(
        parts=Space(exec_clients={"a": account}, data_clients={"f": feed}),
        gate=Space(errors=0, states=Space(all=lambda: states)),
        books={"a": Agreement(False, reason="why")},
        plan=Space(config=Space(node=Space(stop_timeout=Space(total_seconds=lambda: 10.0)))),
        standings=states,
    )
    return hook, sink, node


async def test_each_change_is_told_once() -> None:
    hook, sink, node = make()
    hook._look(node)
    assert sink.sent == []
    node.gate.errors = 2
    node.standings.append(Space(scope="the node", state="halted", why="loss"))
    node.parts.exec_clients["a"].ready = False
    node.parts.exec_clients["a"].stats["inferred_fills"] = 1
    node.parts.data_clients["f"].stats["state"] = 0
    hook._look(node)
    hook._look(node)
    assert sink.sent == [
        ("gate fault", "the risk gate failed 2 times: see the log"),
        ("state", "the node is halted: loss"),
        ("inferred fills", "account a: 1 fills were inferred, not reported"),
        ("streams", "trade updates of account a: down"),
        ("streams", "feed f: down"),
    ]
    node.parts.data_clients["f"].stats["state"] = 3
    hook._look(node)
    assert sink.sent[-1] == ("streams", "feed f: back")
    await hook.stopped(node)
    assert sink.sent[-1] == ("books disagree", "account a: why")


def test_denials_in_a_row_and_faults() -> None:
    hook, sink, node = make()
    denied = type("OrderDenied", (), {"reason": "MAX"})()
    submitted = type("OrderSubmitted", (), {})()
    off_hours = type("OrderDenied", (), {"reason": "SCHEDULE_CLOSED: …"})()
    for event in (denied, submitted, denied, *[off_hours] * 9):
        hook._order(event, "s")
    assert sink.sent == []
    hook._order(denied, "s")
    hook.faulted(node, Fault("s", "on_bar", "boom", ""))
    hook.faulted(node, Fault("TWAP", "on_order", "boom", "", EXEC_ALGORITHM))
    assert sink.sent == [
        ("denials", "strategy s: 2 denials in a row, the last: MAX"),
        ("strategy fault", "strategy s is stopped: boom in on_bar"),
        ("execution algorithm fault", "execution algorithm TWAP is stopped: boom in on_order"),
    ]


def test_an_address_that_is_none_ends_the_start_and_is_not_shown() -> None:
    config = AlertsConfig.model_validate({"webhook": {"url": {"env": "HOOK"}}})
    assert config.webhook is not None
    config.webhook.url.set_value(SecretStr("planted-secret"))
    with pytest.raises(NodeError) as caught:
        AlertsHook(config).built(make()[2])
    assert "HOOK" in str(caught.value)
    assert "planted" not in caught.value.text()
