"""What a run came to, for programs and for people."""

from __future__ import annotations

import io
from decimal import Decimal

from rich.console import Console

from runner.node.summary import SummaryHook, print_summary
from tests.node.fake_venue import Behaviour, Quiet, Run, make_plan


async def test_the_object_has_what_it_promises_and_money_is_text(behaviour: Behaviour) -> None:
    hook = SummaryHook()
    behaviour.marks["IBM"] = Decimal("101.5")
    async with Run(make_plan({"a": Quiet}), behaviour, hooks=(hook,)) as run:
        run.strategy("a").market()
        await run.until(lambda: run.exec.held)
        run.exec.held["BAC"] = run.exec.held["IBM"]
        await run.end()
    summary = hook.summary
    assert summary is not None
    assert summary["orders"] == {
        "submitted": 1,
        "accepted": 1,
        "filled": 1,
        "canceled": 0,
        "rejected": 0,
        "denied": 0,
    }
    assert summary["fills"] == 1
    assert summary["ticks"] == {"quotes": 3, "trades": 2, "bars": 1}
    assert summary["accounts"]["main"]["cash"] == "99000.00"
    shown = [(p["symbol"], p["quantity"], p["avg_price"], p["unrealized_pnl"]) for p in summary["positions"]]
    assert shown == [("IBM", "10", "100", "15")], "at the broker's mark, without needless zeros"
    assert summary["books_agree"] is False
    assert summary["books"]["main"]["differences"] == [{"what": "BAC", "ours": "0", "broker": "10"}]
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=200))
    assert "1 submitted, 1 accepted, 1 filled" in out.getvalue()
    assert "DISAGREE: BAC: ours 0, broker's 10" in out.getvalue()
    narrow = io.StringIO()
    print_summary(summary, Console(file=narrow, width=30))
    assert "…" not in narrow.getvalue(), "no figure is cut off"


async def test_a_run_that_never_traded_has_none(behaviour: Behaviour) -> None:
    hook = SummaryHook()
    behaviour.exec_connect = RuntimeError("no")
    await Run(make_plan({"a": Quiet}), behaviour, hooks=(hook,)).node.run()
    assert hook.summary is None
