"""Assets, contracts, sessions and prices of the market."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from runner.exchange.assets import asset_class_of, make_asset
from runner.exchange.calendar import NEW_YORK, to_ns
from runner.exchange.contracts import ContractFilter
from runner.exchange.market import Market, Quote

CALL = "GOOG160115C00750000"


def at(text: str) -> int:
    return to_ns(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK))


def test_a_pair_is_found_in_both_spellings_and_by_its_id() -> None:
    market = Market(["BTC/USD", "IBM"])
    pair = market.asset("BTC/USD")
    assert pair is not None
    assert market.asset("BTCUSD") is pair
    assert market.asset(pair.id) is pair
    assert (pair.asset_class, pair.exchange, pair.marginable, pair.shortable) == ("crypto", "CRYPTO", False, False)
    assert pair.min_order_size == Decimal("0.000012")
    assert pair.min_trade_increment == Decimal("0.000000001")
    assert pair.price_increment == Decimal("0.01")
    assert pair.to_json()["min_trade_increment"] == "0.000000001"
    assert market.symbols() == ["BTC/USD", "IBM"]


def test_a_quote_is_found_in_both_spellings() -> None:
    market = Market(["BTC/USD"])
    quote = Quote("BTC/USD", Decimal(1), Decimal("0.5"), Decimal(2), Decimal("0.25"), 0)
    market.set_quote(quote)
    assert market.quote("BTC/USD") is market.quote("BTCUSD") is quote
    assert market.quote("ETHUSD") is None


def test_an_option_symbol_makes_a_contract_and_its_underlying() -> None:
    market = Market([CALL], now_ns=at("2015-12-24T10:00"))
    contract = market.contract(CALL)
    assert contract is not None
    assert market.contract(contract.id) == contract
    assert [c.symbol for c in market.contracts()] == [CALL]
    assert market.contracts(ContractFilter(type="put")) == []
    assert market.symbols() == ["GOOG"]
    underlying, asset = market.asset("GOOG"), market.asset(CALL)
    assert underlying is not None
    assert asset is not None
    assert underlying.has_options
    assert contract.underlying_asset_id == underlying.id
    assert (asset.asset_class, asset.id, asset.exchange) == ("us_option", contract.id, "")


def test_a_contract_is_inactive_from_the_close_of_its_last_day() -> None:
    market = Market(["GOOG151224C00750000"], now_ns=at("2015-12-24T12:59"))
    (contract,) = market.contracts()
    assert contract.status == "active"
    market.set_clock(at("2015-12-24T13:00"))  # a half day
    (contract,) = market.contracts()
    assert (contract.status, contract.tradable) == ("inactive", False)


@pytest.mark.parametrize(
    ("time", "stock", "option"),
    [
        ("2026-01-12T03:00", "closed", "closed"),
        ("2026-01-12T08:00", "pre", "closed"),
        ("2026-01-12T09:30", "core", "core"),
        ("2026-01-12T16:00", "post", "closed"),
        ("2026-01-11T12:00", "closed", "closed"),
    ],
)
def test_sessions_go_by_class(time: str, stock: str, option: str) -> None:
    market = Market(["IBM", "BTC/USD", CALL], now_ns=at(time))
    assert market.session() == market.session("IBM") == stock
    assert market.session(CALL) == option
    assert market.session("BTC/USD") == market.session("BTCUSD") == "core"


def test_a_halt_of_a_stock_halts_its_options() -> None:
    market = Market(["IBM", CALL])
    assert not market.halted(CALL)
    market.set_halted("GOOG", halted=True)
    assert market.halted("GOOG")
    assert market.halted(CALL)
    assert not market.halted("IBM")
    market.set_halted("GOOG", halted=False)
    assert not market.halted(CALL)


def test_the_form_of_a_symbol_tells_its_class() -> None:
    assert [asset_class_of(s) for s in ("IBM", "BRK.B", "ETH/USD", CALL)] == [
        "us_equity",
        "us_equity",
        "crypto",
        "us_option",
    ]
    with pytest.raises(ValueError, match="option contract"):
        make_asset(CALL)
    with pytest.raises(ValueError, match="BTC/USD"):
        make_asset("B/U")
