"""GET /v2/account/portfolio/history: equity sampled on venue time ([OAS-T] PortfolioHistory; numbers, not
strings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runner.exchange.broker.queries import choice, moment
from runner.exchange.broker.wire import SECOND_NS, day_of

if TYPE_CHECKING:
    from runner.exchange.broker.accounts import Account
    from runner.exchange.broker.desk import Desk

MINUTE_NS: Final = 60 * SECOND_NS
STEPS_NS: Final = {
    "1Min": MINUTE_NS,
    "5Min": 5 * MINUTE_NS,
    "15Min": 15 * MINUTE_NS,
    "1H": 60 * MINUTE_NS,
    "1D": 24 * 60 * MINUTE_NS,
}


def portfolio_history(desk: Desk, account: Account, query: Mapping[str, str]) -> dict[str, Any]:
    """The last equity of each step since the account was opened, within `start` and `end`.

    Samples are taken each minute in which venue time moved; `period` is not needed, as an account lives no longer
    than its exchange.
    """
    names = {name.lower(): name for name in STEPS_NS}
    timeframe = names[choice(query, "timeframe", ("1min", "5min", "15min", "1h", "1d"))]
    start, end = moment(query, "start"), moment(query, "end")
    step = STEPS_NS[timeframe]
    samples = [*account.equity_samples, (desk.now_ns, desk.figures(account).equity)]
    last = {
        ts_ns // step: equity
        for ts_ns, equity in samples
        if (start is None or ts_ns >= start) and (end is None or ts_ns <= end)
    }
    base = account.opening_cash
    profits = [equity - base for equity in last.values()]
    return {
        "timestamp": [slot * step // SECOND_NS for slot in last],
        "equity": [float(equity) for equity in last.values()],
        "profit_loss": [float(profit) for profit in profits],
        "profit_loss_pct": [float(profit / base) for profit in profits],
        "base_value": float(base),
        "base_value_asof": day_of(account.created_ns).isoformat(),
        "timeframe": timeframe,
        "cashflow": {},
    }
