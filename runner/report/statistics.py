"""Nautilus's statistics of what was traded. Money is taken from exact books where Nautilus has it from floats."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model.currencies import USD

from runner.report.recorder import Recorder

Section = dict[str, str | None]
_MONEY = ("Winner", "Loser", "Expectancy")
_CENT = Decimal("0.01")


def positions_of(cache: Any, account_ids: Collection[Any]) -> list[Any]:
    """All positions that accounts have and had: one that was closed and opened again leaves earlier lives behind."""
    return [p for p in [*cache.positions(), *cache.position_snapshots()] if p.account_id in account_ids]


def statistics(kernel: Any, recorder: Recorder) -> dict[str, Section]:
    """By section (PnL in USD, returns, general): the name of each statistic and its value as text, None if undefined.

    Of the accounts of the node, the first one's; Nautilus analyses one account at a time.
    """
    cache, analyzer = kernel.cache, kernel.portfolio.analyzer
    accounts = cache.accounts()
    if not accounts:
        return {}
    analyzer.calculate_statistics(accounts[0], positions_of(cache, [accounts[0].id]))
    pnl: Section = dict(_exact(recorder))
    for name, value in analyzer.get_performance_stats_pnls(USD).items():
        # Nautilus takes the first two from balances, which on a margin account lack what is still open.
        if not name.startswith(("PnL (total)", "PnL% (total)")):
            pnl[name] = _text(value, money=any(word in name for word in _MONEY))
    return {
        "PnL (USD)": pnl,
        "Returns": _section(analyzer.get_performance_stats_returns()),
        "General": _section(analyzer.get_performance_stats_general()),
    }


def _exact(recorder: Recorder) -> Section:
    first, last = recorder.first, recorder.last
    if first is None or last is None:
        return {"PnL (total)": None}
    made = last.equity - first.equity
    return {
        "PnL (total)": f"{made.quantize(_CENT)}",
        "PnL% (total)": f"{made / first.equity * 100:.4f}" if first.equity else None,
        "Fees": f"{recorder.fees.quantize(_CENT)}",
        "Max Drawdown": f"{recorder.drawdown.quantize(_CENT)}",
        "Max Drawdown %": f"{recorder.drawdown_ratio * 100:.4f}",
    }


def _section(values: Mapping[str, Any]) -> Section:
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any, *, money: bool = False) -> str | None:
    if isinstance(value, float | int) and not isinstance(value, bool):
        if not math.isfinite(value):
            return None
        return f"{Decimal(str(value)).quantize(_CENT)}" if money else f"{value:.4f}".rstrip("0").rstrip(".")
    return None if value is None else str(value)
