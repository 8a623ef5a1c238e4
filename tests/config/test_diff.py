"""What differs between two files, and what each difference takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import SecretStr

from runner.config.diff import Change, diff, digest
from runner.config.models import RunnerConfig

FILE: dict[str, Any] = {
    "name": "test",
    "environment": "paper",
    "feeds": {"stocks": {"market": "stocks"}},
    "accounts": {"main": {"broker": "alpaca", "key": {"env": "A_KEY"}, "secret": {"file": "secret"}}},
    "strategies": {
        name: {
            "class": "mine:Some",
            "account": "main",
            "feed": "stocks",
            "params": {"period": "10", "api_key": "abcdefgh"},
        }
        for name in ("one", "two", "three")
    },
    "risk": {"max_order_notional": "100"},
}


def config(**at: Any) -> RunnerConfig:
    """The file with values put at places such as `strategies__one__on_stop`; None removes."""
    tree = copy.deepcopy(FILE)
    for path, value in at.items():
        *above, last = path.split("__")
        node = tree
        for step in above:
            node = node.setdefault(step, {})
        if value is None:
            del node[last]
        else:
            node[last] = value
    return RunnerConfig.model_validate(tree)


def test_the_same_file_differs_in_nothing() -> None:
    found = diff(config(), config())
    assert found.sections["strategies"].unchanged == ("one", "two", "three")
    assert (found.in_place, found.restart) == ((), ())
    assert digest(config()) == digest(config())


def test_entries_are_added_changed_and_removed_by_name() -> None:
    four = dict(FILE["strategies"]["one"])
    new = config(strategies__two=None, strategies__four=four, strategies__three__params__period="20")
    named = diff(config(), new).sections["strategies"]
    assert (named.add, named.remove, named.unchanged) == (("four",), ("two",), ("one",))
    assert named.change == {"three": (Change("strategies.three.params.period", "10", "20"),)}
    assert digest(config()) != digest(new)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("risk__max_order_notional", "200", "risk.max_order_notional: 100 → 200"),
        ("risk__universe", {"deny": ["IBM", "BAC"]}, "risk.universe: (none) → {deny: [IBM, BAC], shorting: true}"),
        ("accounts__main__limits", {"state": "halted"}, "accounts.main.limits: (none) → {"),
        ("accounts__main__on_stream_down", "wait", "accounts.main.on_stream_down: deny → wait"),
        ("strategies__one__limits", {"max_order_qty": "1"}, "strategies.one.limits: (none) → {max_order_qty: 1,"),
        ("strategies__one__on_stop", "keep", "strategies.one.on_stop: cancel → keep"),
        (
            "strategies__one__schedule",
            {"stop": "15:30"},
            "strategies.one.schedule: (none) → {stop: 15:30,",
        ),
        ("reload", {"watch": True}, "reload.watch: false → true"),
    ],
)
def test_what_takes_effect_in_place_touches_no_strategy(path: str, value: Any, told: str) -> None:
    found = diff(config(), config(**{path: value}))
    assert [str(each)[: len(told)] for each in found.in_place] == [told]
    assert found.restart == ()
    assert found.sections["strategies"].unchanged == ("one", "two", "three")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("environment", "live"),
        ("feeds__stocks__feed", "sip"),
        ("feeds__coins", {"market": "crypto"}),
        ("accounts__main__url", "http://127.0.0.1:1"),
        ("accounts__main__key", {"env": "B_KEY"}),
        ("accounts__spare", {"broker": "alpaca", "key": {"env": "B_KEY"}, "secret": {"env": "B_SECRET"}}),
        ("metrics", {"listen": "127.0.0.1:1"}),
        ("control", {"listen": "127.0.0.1:1", "token": {"env": "T"}}),
        ("state", {"dir": "/tmp/x"}),
        ("node", {"stop_timeout": "1s"}),
        ("log", {"level": "debug"}),
    ],
)
def test_what_can_t_change_in_a_running_node_needs_a_restart(path: str, value: Any) -> None:
    found = diff(config(), config(**{path: value}))
    assert found.restart
    assert all(each.path.startswith(path.replace("__", ".")) for each in found.restart)
    assert found.in_place == ()


def test_a_secret_with_another_value_needs_a_restart_and_is_never_shown() -> None:
    old, new = config(), config()
    old.accounts["main"].secret.set_value(SecretStr("first-secret"))
    new.accounts["main"].secret.set_value(SecretStr("second-secret"))
    (change,) = diff(old, new).restart
    assert change.path == "accounts.main.secret"
    assert "secret" not in str(change).removeprefix("accounts.main.secret")


def test_a_parameter_that_may_be_a_secret_is_masked() -> None:
    (change,) = diff(config(), config(strategies__one__params__api_key="ijklmnop")).sections["strategies"].change["one"]
    assert (change.old, change.new) == ("**********", "**********")
