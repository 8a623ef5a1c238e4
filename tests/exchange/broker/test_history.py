"""Portfolio history: windows, bases, reporting hours, cash flows."""

from __future__ import annotations

from typing import Any

import pytest

from runner.exchange.broker.control import BrokerControl
from runner.exchange.broker.history import portfolio_history
from runner.exchange.errors import AlpacaError


@pytest.fixture
def days(venue: Any) -> Any:
    """Ten shares from 10:00; they rise by a dollar at 11:00, another at 17:00, another on the next day."""
    venue.hold(qty=10, price="100")
    for day, when, price in (
        ("2013-10-07", "11:00", "101"),
        ("2013-10-07", "17:00", "102"),
        ("2013-10-08", "10:00", "103"),
    ):
        venue.at(when, day)
        venue.trade("IBM", price)
        venue.market.set_clock(venue.market.now_ns + 60_000_000_000)
    return venue


def ask(venue: Any, **query: str) -> dict[str, Any]:
    return portfolio_history(venue.desk, venue.me, query)


def test_by_day_against_the_base(days: Any) -> None:
    body = ask(days)
    assert (body["timeframe"], body["base_value"]) == ("1D", 100_000.0)
    assert body["equity"] == [100_020.0, 100_030.0]
    assert body["profit_loss"] == [20.0, 30.0]
    assert all(stamp % 86_400 == 0 for stamp in body["timestamp"])


def test_profits_of_minutes_start_anew_each_day(days: Any) -> None:
    body = ask(days, timeframe="1H", period="2D")
    assert body["profit_loss"][-1] == 10.0
    assert ask(days, timeframe="1H", period="2D", pnl_reset="no_reset")["profit_loss"][-1] == 30.0


@pytest.mark.parametrize(
    ("query", "hours"), [({}, 2), ({"intraday_reporting": "extended_hours"}, 3), ({"extended_hours": "true"}, 3)]
)
def test_hours_outside_the_core_session_are_asked_for(days: Any, query: dict[str, str], hours: int) -> None:
    assert len(ask(days, timeframe="1H", period="2D", **query)["equity"]) == hours


def test_a_window_has_the_equity_before_it_as_its_base(days: Any) -> None:
    body = ask(days, timeframe="1Min", start="2013-10-08T00:00:00-04:00")
    assert body["base_value"] == 100_020.0
    assert body["profit_loss"][-1] == 10.0


@pytest.mark.parametrize(("period", "timeframe"), [("1D", "1Min"), ("2W", "15Min"), ("1A", "1D")])
def test_the_time_frame_follows_the_period(days: Any, period: str, timeframe: str) -> None:
    assert ask(days, period=period)["timeframe"] == timeframe


def test_cash_flows_on_request(days: Any) -> None:
    BrokerControl(days.desk).do({"dividend": {"symbol": "IBM", "rate": "2"}})
    assert ask(days, cashflow_types="ALL")["cashflow"] == {"DIV": [0.0, 20.0]}
    assert ask(days, cashflow_types="CSD,DIV")["cashflow"] == {"DIV": [0.0, 20.0]}
    assert ask(days, cashflow_types="CSD")["cashflow"] == {}
    assert ask(days)["cashflow"] == {}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"period": "5Q"}, "invalid period: 5Q"),
        ({"period": "1A", "timeframe": "1Min"}, "only 1D is accepted"),
        ({"period": "1D", "start": "2013-10-07", "end": "2013-10-08"}, "only two of"),
    ],
)
def test_what_it_does_not_take(days: Any, query: dict[str, str], words: str) -> None:
    with pytest.raises(AlpacaError, match=words):
        ask(days, **query)
