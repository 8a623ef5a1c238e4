"""What `runner plan` and `runner reload` tell of a node's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.cli import reload as module
from runner.cli._client import ClientError, NoNodeError, Reach

CHANGES: dict[str, Any] = {
    "add": ["four"],
    "change": [
        {
            "name": "two",
            "keys": [{"path": "strategies.two.params.period", "old": None, "new": "20"}],
            "code": True,
            "on_stop": "cancel",
            "orders": 2,
            "positions": ["10 IBM"],
            "failed": False,
        }
    ],
    "remove": [{"name": "one", "on_stop": "keep", "orders": 1, "positions": [], "failed": False}],
    "unchanged": ["three"],
    "actors": {
        "add": ["ears"],
        "change": [
            {
                "name": "eyes",
                "keys": [{"path": "actors.eyes.params.every", "old": "1", "new": "2"}],
                "code": False,
                "failed": True,
            }
        ],
        "remove": [{"name": "nose", "failed": False}],
        "unchanged": ["skin"],
    },
    "in_place": [{"path": "risk.max_order_qty", "old": "5", "new": None}],
    "restart": [],
    "files": [],
}


def answering(monkeypatch: pytest.MonkeyPatch, result: str, **more: Any) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def ask(target: Any, reach: Any, path: str, body: Any, *, timeout_s: float) -> dict[str, Any]:
        asked.append((target, path, body))
        return {"result": result, "outcome": "so it is", "changes": CHANGES, "problems": [], "left": {}} | more

    monkeypatch.setattr(module, "ask", ask)
    return asked


def test_a_plan_says_what_would_be_done_and_what_becomes_of_orders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, "applied")
    assert module.plan() == 3
    assert capsys.readouterr().out.splitlines() == [
        "+ add strategy four",
        "~ replace strategy two (its code has changed): 2 working orders are canceled; 10 IBM kept",
        "    strategies.two.params.period: (none) → 20",
        "- remove strategy one: 1 working orders are kept; nobody looks after what it leaves",
        "+ add actor ears",
        "~ replace actor eyes, which had failed",
        "    actors.eyes.params.every: 1 → 2",
        "- remove actor nose",
        "~ change risk.max_order_qty: 5 → (none)",
        "  unchanged: three, actor skin",
    ]


@pytest.mark.parametrize(
    ("result", "plan", "reload"),
    [("unchanged", 0, 0), ("applied", 3, 0), ("failed", 1, 1), ("refused", 1, 1), ("incomplete", 1, 1)],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, result: str, plan: int, reload: int) -> None:
    answering(monkeypatch, result)
    assert (module.plan(), module.reload()) == (plan, reload)
    assert module.plan(reach=Reach(json=True)) == plan


def test_files_go_as_absolute_paths_and_the_one_with_the_name_finds_the_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("name: test\n")
    Path("over.yaml").write_text("risk: {}\n")
    asked = answering(monkeypatch, "applied")
    module.reload("base.yaml", "over.yaml", why="a test")
    module.reload("test")
    files = [str(tmp_path / "base.yaml"), str(tmp_path / "over.yaml")]
    assert asked == [
        ("base.yaml", "/v1/reload", {"why": "a test", "files": files}),
        ("test", "/v1/reload", {"why": "no reason given", "files": []}),
    ]


def test_a_name_beside_files_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert module.reload("test", "base.yaml") == 2
    assert "the name of one node, or files" in capsys.readouterr().err


def test_without_a_node_a_plan_says_so_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*words: Any, **more: Any) -> dict[str, Any]:
        raise NoNodeError(69, "no node of yours runs")

    monkeypatch.setattr(module, "ask", ask)
    assert module.plan() == 69
    assert "runner check" in capsys.readouterr().err
    monkeypatch.setattr(module, "ask", lambda *words, **more: (_ for _ in ()).throw(ClientError(1, "refuses")))
    assert module.plan() == module.reload() == 1


def test_mistakes_are_told_whole_and_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, "failed", changes=None, problems=["a.yaml:1:1 wrong\n  ^"])
    module.reload()
    assert capsys.readouterr().err.splitlines() == [
        "not reloaded: so it is",
        "  a.yaml:1:1 wrong",
        "    ^",
        "everything is as it was",
    ]
