"""Orders in pairs: what is taken, fees in what is received, sessions that never end."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from runner.exchange.broker.crypto import Volume
from runner.exchange.broker.positions import position_json
from runner.exchange.errors import AlpacaError

PRICES: dict[str, dict[str, str]] = {
    "market": {},
    "limit": {"limit_price": "40000"},
    "stop": {"stop_price": "60000"},
    "stop_limit": {"stop_price": "60000", "limit_price": "60001"},
    "trailing_stop": {"trail_price": "5"},
}
LEGAL = {("gtc", "market"), ("gtc", "limit"), ("gtc", "stop_limit"), ("ioc", "market"), ("ioc", "limit")}


@pytest.fixture
def pair(venue: Any) -> Any:
    venue.quote("BTC/USD", "49990", "50000")
    return venue


def buy(venue: Any, qty: object = "1", **body: Any) -> dict[str, Any]:
    reply: dict[str, Any] = venue.send("BTC/USD", "buy", qty, **{"time_in_force": "gtc", **body})
    return reply


def sell(venue: Any, qty: object, **body: Any) -> dict[str, Any]:
    reply: dict[str, Any] = venue.send("BTC/USD", "sell", qty, **{"time_in_force": "gtc", **body})
    return reply


def row(venue: Any, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = venue.me.activities.page(types=frozenset({kind}))[0]
    return found


@pytest.mark.parametrize(("tif", "kind"), list(product(("day", "gtc", "ioc", "fok", "opg", "cls"), PRICES)))
def test_the_grid(pair: Any, tif: str, kind: str) -> None:
    body = {"type": kind, "time_in_force": tif, **PRICES[kind]}
    if (tif, kind) in LEGAL:
        buy(pair, **body)
        return
    refusal = pair.refused("BTC/USD", "buy", "1", **body)
    known_time = tif in {"gtc", "ioc"}
    words = f"invalid order type for crypto order: {kind}" if known_time else "invalid crypto time_in_force"
    assert (refusal.code, refusal.message) == (42210000, words)


def test_a_taker_pays_25_basis_points_in_the_coin(pair: Any) -> None:
    order = buy(pair)
    assert pair.order(order).filled_qty == 1
    assert pair.me.qty("BTC/USD") == Decimal("0.9975")
    assert pair.updates[-1]["position_qty"] == "0.9975"
    assert pair.me.cash == 50_000
    fee = row(pair, "CFEE")
    assert (fee["qty"], fee["price"], fee["net_amount"], fee["symbol"]) == ("-0.0025", "50000", "0", "BTCUSD")
    assert row(pair, "FILL")["symbol"] == "BTCUSD"


def test_a_maker_pays_15_basis_points_and_a_sale_pays_dollars(pair: Any) -> None:
    buy(pair)
    order = sell(pair, "0.5", type="limit", limit_price="51000")
    pair.quote("BTC/USD", "51000", "51010")
    assert pair.status(order) == "filled"
    assert pair.me.cash == 50_000 + 25_500 - Decimal("38.25")
    fee = row(pair, "CFEE")
    assert (fee["qty"], fee["net_amount"]) == ("0", "-38.25")


def test_a_fee_in_dollars_leaves_the_cash_as_its_row_says(pair: Any) -> None:
    pair.quote("BTC/USD", "30001", "30011")
    buy(pair, "0.0252")
    before = pair.me.cash
    sell(pair, "0.025137")
    fee = Decimal(row(pair, "CFEE")["net_amount"])
    assert fee == Decimal("-1.885337842")  # of 1.8853378425
    assert pair.me.cash == before + Decimal("0.025137") * 30_001 + fee


def test_the_tier_follows_the_volume_of_thirty_days() -> None:
    volume, day = Volume(), 86_400 * 10**9
    assert (volume.tier(0), volume.rate(0, maker=True)) == (1, Decimal("0.0015"))
    volume.add(0, Decimal(100_000))
    assert (volume.tier(day), volume.rate(day, maker=False)) == (2, Decimal("0.0022"))
    assert volume.tier(30 * day) == 1


def test_both_spellings_are_one_pair(pair: Any) -> None:
    order = pair.send("BTCUSD", "buy", "0.1", time_in_force="gtc")
    assert (order["symbol"], order["asset_class"], order["order_class"]) == ("BTC/USD", "crypto", "")
    position = position_json(pair.desk, pair.me, pair.me.position("BTC/USD"))
    assert (position["symbol"], position["exchange"], position["asset_class"]) == ("BTCUSD", "CRYPTO", "crypto")
    assert position["avg_entry_price"] == "50000"


def test_nothing_is_lent(pair: Any) -> None:
    refusal = pair.refused("BTC/USD", "buy", "2.1", time_in_force="gtc")
    assert (refusal.message, refusal.extra["buying_power"]) == ("insufficient buying power", "100000")
    buy(pair, "1", type="limit", limit_price="40000")
    assert pair.figure("non_marginable_buying_power") == 60_000
    assert pair.figure("buying_power") == 120_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"qty": "0.0001"}, "cost basis must be >= minimal amount of order 10"),
        ({"notional": "9.99"}, "cost basis must be >= minimal amount of order 10"),
        ({"qty": "4.1"}, "cost basis must be <= maximal amount of order 200000"),
    ],
)
def test_the_least_and_the_most(pair: Any, body: dict[str, str], words: str) -> None:
    assert pair.refused("BTC/USD", "buy", time_in_force="gtc", **body).message == words


def test_places_beyond_the_ninth_are_dropped(pair: Any) -> None:
    assert buy(pair, "0.1234567899")["qty"] == "0.123456789"
    assert pair.refused("BTC/USD", "buy", "0.0000000001", time_in_force="gtc").message == "qty must be > 0"


def test_dollars_buy_coins(pair: Any) -> None:
    order = buy(pair, notional="100")
    assert (pair.status(order), pair.order(order).filled_qty) == ("filled", Decimal("0.002"))


def test_only_what_is_there_can_be_sold(pair: Any) -> None:
    assert pair.refused("BTC/USD", "sell", "1", time_in_force="gtc").message == (
        "insufficient balance for BTC (requested: 1, available: 0)"
    )
    buy(pair)
    refusal = pair.refused("BTC/USD", "sell", "1", time_in_force="gtc")
    assert refusal.body() == {
        "code": 40310000,
        "message": "insufficient balance for BTC (requested: 1, available: 0.9975)",
    }
    sell(pair, "0.9975")
    assert pair.me.position("BTC/USD") is None


def test_a_price_step_of_its_own(pair: Any) -> None:
    refusal = pair.refused("BTC/USD", "buy", "1", time_in_force="gtc", type="limit", limit_price="40000.005")
    assert refusal.message == "invalid limit_price 40000.005. must be a multiple of 0.01"


def test_it_trades_on_a_sunday_night(pair: Any) -> None:
    pair.at("22:00", "2013-10-13")
    resting = buy(pair, type="limit", limit_price="45000")
    assert pair.status(resting) == "new"
    pair.quote("BTC/USD", "44990", "45000")
    assert pair.status(resting) == "filled"


def test_a_stop_limit_is_elected_at_night_by_a_print(pair: Any) -> None:
    buy(pair)
    pair.at("23:00")
    stop = sell(pair, "0.5", type="stop_limit", stop_price="45000", limit_price="44000")
    pair.trade("BTC/USD", "44900")
    assert pair.order(stop).triggered
    pair.quote("BTC/USD", "44900", "44910")
    assert pair.status(stop) == "filled"


def test_an_ioc_that_does_not_trade_is_cancelled(pair: Any) -> None:
    assert pair.status(buy(pair, type="limit", limit_price="40000", time_in_force="ioc")) == "canceled"


def test_a_pair_against_something_else_than_dollars(pair: Any) -> None:
    assert "trades pairs against USD" in pair.refused("ETH/BTC", "buy", "1", time_in_force="gtc").message


def test_no_classes_and_no_extended_hours(pair: Any) -> None:
    exits = {"take_profit": {"limit_price": "60000"}, "stop_loss": {"stop_price": "40000"}}
    refusal = pair.refused("BTC/USD", "buy", "1", time_in_force="gtc", order_class="bracket", **exits)
    assert refusal.message == "complex orders not supported for crypto trading"
    assert pair.refused("BTC/USD", "buy", "1", time_in_force="gtc", extended_hours=True).code == 42210000


def test_closing_leaves_nothing(pair: Any) -> None:
    buy(pair)
    order = pair.desk.close(pair.me, "BTC/USD")
    assert (order["time_in_force"], order["qty"]) == ("gtc", "0.9975")
    assert pair.me.position("BTC/USD") is None
    assert pair.me.realized == pair.me.cash - 100_000 + pair.me.fees


def test_the_qty_of_a_fraction_may_be_replaced(pair: Any) -> None:
    order = buy(pair, "0.5", type="limit", limit_price="40000")
    new = pair.replace(order, qty="0.7500000009")
    assert new["qty"] == "0.75"
    with pytest.raises(AlpacaError, match="minimal amount of order 10"):
        pair.replace(new, qty="0.0001")


def test_partial_fills_add_up(make_venue: Any) -> None:
    venue = make_venue(partial_fill_rate=0.5, seed=3)
    venue.quote("BTC/USD", "50000", "50000")
    order = buy(venue)
    while venue.status(order) != "filled":
        venue.quote("BTC/USD", "50000", "50000")
    assert venue.events(order).count("partial_fill") >= 1
    assert sum(Decimal(u["qty"]) for u in venue.updates if "qty" in u) == 1


def test_the_wash_trade_guard_holds_for_pairs_too(pair: Any) -> None:
    buy(pair)
    sell(pair, "0.5", type="limit", limit_price="51000")
    assert "wash trade" in pair.refused("BTC/USD", "buy", "0.1", time_in_force="gtc").message


def test_a_replacement_that_was_decided_late_makes_too(pair: Any) -> None:
    pair.faults.arm({"races": {"replace": 1}})
    new = pair.replace(buy(pair, type="limit", limit_price="40000"), limit_price="41000")
    pair.quote("BTC/USD", "49990", "50000")
    pair.quote("BTC/USD", "40990", "41000")
    assert pair.status(new) == "filled"
    assert pair.me.qty("BTC/USD") == Decimal("0.9985")
