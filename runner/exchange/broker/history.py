"""GET /v2/account/portfolio/history: equity sampled on venue time ([OAS-T] PortfolioHistory; numbers, not strings)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runner.exchange.broker.queries import choice, flag, moment, words
from runner.exchange.broker.wire import SECOND_NS, day_of
from runner.exchange.errors import invalid

if TYPE_CHECKING:
    from runner.exchange.broker.accounts import Account
    from runner.exchange.broker.desk import Desk

MINUTE_NS: Final = 60 * SECOND_NS
DAY_NS: Final = 24 * 60 * MINUTE_NS
STEPS_NS: Final = {
    "1Min": MINUTE_NS,
    "5Min": 5 * MINUTE_NS,
    "15Min": 15 * MINUTE_NS,
    "1H": 60 * MINUTE_NS,
    "1D": DAY_NS,
}
UNITS_DAYS: Final = {"D": 1, "W": 7, "M": 30, "A": 365}
REPORTING: Final = ("market_hours", "extended_hours", "continuous")
MOST_INTRADAY_DAYS: Final = 30

type Sample = tuple[int, Decimal]


def portfolio_history(desk: Desk, account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """The last equity of each step within `start` and `end`, or within a `period` that ends there or begins there.

    Samples are taken each minute in which venue time moved. Profits of steps shorter than a day start anew each day
    (`pnl_reset`); those of days are against `base_value`.
    """
    start_ns, end_ns = _span(desk, query)
    timeframe = _timeframe(query, (end_ns - start_ns) / DAY_NS)
    step = STEPS_NS[timeframe]
    intraday = step < DAY_NS
    samples = [*account.equity_samples, (desk.now_ns, desk.figures(account).equity)]
    earlier = [equity for ts_ns, equity in samples if ts_ns < start_ns]
    base = earlier[-1] if earlier else account.opening_cash
    wanted = [s for s in samples if start_ns <= s[0] <= end_ns and (not intraday or _reported(desk, s[0], query))]
    last = {_slot(ts_ns, step): equity for ts_ns, equity in wanted}
    resets = intraday and choice(query, "pnl_reset", ("per_day", "no_reset")) == "per_day"
    bases = _daily_bases(samples, base) if resets else {}
    rows = [(equity, bases.get(day_of(slot), base)) for slot, equity in last.items()]
    return {
        "timestamp": [slot // SECOND_NS for slot in last],
        "equity": [float(equity) for equity, _ in rows],
        "profit_loss": [float(equity - against) for equity, against in rows],
        "profit_loss_pct": [float((equity - against) / against) if against else 0.0 for equity, against in rows],
        "base_value": float(base),
        "base_value_asof": day_of(max(account.created_ns, min(start_ns, desk.now_ns))).isoformat(),
        "timeframe": timeframe,
        "cashflow": _cashflow(account, query, list(last), step),
    }


def _span(desk: Desk, query: Mapping[str, str]) -> tuple[int, int]:
    start, end = moment(query, "start"), moment(query, "end")
    given = query.get("period")
    if given and start is not None and end is not None:
        raise invalid("only two of start, end and period can be specified at the same time")
    found = re.fullmatch(r"([1-9]\d{0,3})([DWMA])", given or "1M")
    if found is None:
        raise invalid(f"invalid period: {given}")
    period_ns = int(found[1]) * UNITS_DAYS[found[2]] * DAY_NS
    if start is not None and end is None and given:
        end = start + period_ns
    end_ns = desk.now_ns if end is None else end
    return (end_ns - period_ns if start is None else start), end_ns


def _timeframe(query: Mapping[str, str], days: float) -> str:
    if not query.get("timeframe"):
        return "1Min" if days < 7 else "15Min" if days < MOST_INTRADAY_DAYS else "1D"
    names = {name.lower(): name for name in STEPS_NS}
    timeframe = names[choice(query, "timeframe", tuple(names))]
    if days > MOST_INTRADAY_DAYS and timeframe != "1D":
        raise invalid("only 1D is accepted as timeframe for more than 30 days")
    return timeframe


def _reported(desk: Desk, ts_ns: int, query: Mapping[str, str]) -> bool:
    default = "extended_hours" if flag(query, "extended_hours") else "market_hours"
    reporting = choice(query, "intraday_reporting", REPORTING) if query.get("intraday_reporting") else default
    if reporting == "continuous":
        return True
    session = desk.session_at(ts_ns)
    return session == "core" or (reporting == "extended_hours" and session != "closed")


def _slot(ts_ns: int, step: int) -> int:
    return ts_ns // step * step


def _daily_bases(samples: list[Sample], base: Decimal) -> dict[Any, Decimal]:
    """For each day the last equity of the day before."""
    found: dict[Any, Decimal] = {}
    before = base
    for index, (ts_ns, _) in enumerate(samples):
        day = day_of(ts_ns)
        if day not in found:
            before = samples[index - 1][1] if index else base
            found[day] = before
    return found


def _cashflow(account: Account, query: Mapping[str, str], slots: list[int], step: int) -> dict[str, list[float]]:
    """Dollars of the activities asked for, in each step."""
    asked = words(query, "cashflow_types") or frozenset()
    if not asked or asked == {"NONE"}:
        return {}
    flows: dict[str, dict[int, Decimal]] = {}
    for row in account.activities.rows:
        amount = Decimal(row.row.get("net_amount", "0"))
        if row.type != "FILL" and amount and (row.type in asked or asked == {"ALL"}):
            flow = flows.setdefault(row.type, {})
            slot = _slot(row.created_ns, step)
            flow[slot] = flow.get(slot, Decimal(0)) + amount
    return {kind: [float(flow.get(slot, 0)) for slot in slots] for kind, flow in flows.items()}
