"""Option symbols, contracts and their filters."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from runner.exchange.contracts import ContractFilter, ContractsError, contract_of, option_symbol, read_contracts


def test_a_symbol_says_what_the_contract_is() -> None:
    contract = contract_of("GOOG160115P00722500")
    assert contract.underlying_symbol == contract.root_symbol == "GOOG"
    assert contract.expiration_date == date(2016, 1, 15)
    assert (contract.type, contract.strike) == ("put", Decimal("722.5"))
    assert (contract.multiplier, contract.size) == (100, 100)
    assert contract.name == "GOOG Jan 15 2016 722.5 Put"
    assert option_symbol("GOOG", contract.expiration_date, "put", contract.strike) == contract.symbol


def test_an_adjusted_root_keeps_its_underlying() -> None:
    contract = contract_of("AAPL1250117C00190000")
    assert (contract.root_symbol, contract.underlying_symbol) == ("AAPL1", "AAPL")


@pytest.mark.parametrize("symbol", ["GOOG", "GOOG161315C00750000", "GOOG160115X00750000", "BTC/USD"])
def test_what_is_no_option_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match=symbol):
        contract_of(symbol)


def test_intrinsic_value_is_never_negative() -> None:
    call, put = contract_of("GOOG160115C00750000"), contract_of("GOOG160115P00750000")
    assert call.intrinsic(Decimal(760)) == put.intrinsic(Decimal(740)) == 10
    assert call.intrinsic(Decimal(740)) == put.intrinsic(Decimal(760)) == 0


def test_a_file_fills_in_what_the_symbol_does_not_say(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    rows = [{"symbol": "GOOG160115C00750000", "open_interest": "12", "close_price": "8.15", "style": "european"}]
    for document in (rows, {"option_contracts": rows}):
        path.write_text(json.dumps(document))
        (contract,) = read_contracts(path)
        assert (contract.open_interest, contract.close_price, contract.style) == (12, Decimal("8.15"), "european")
        assert contract.strike == 750


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not JSON"),
        ("{}", "a JSON list"),
        ('[{"symbol":"GOOG"}]', "contract 1: 'GOOG'"),
        ('[{"symbol":"GOOG160115C00750000","type":"warrant"}]', "unknown type"),
        ("[{}]", "contract 1: 'symbol'"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ContractsError, match=f"bad.json: .*{what}"):
        read_contracts(path)


def test_filters_hold_bounds_included() -> None:
    contracts = [contract_of(f"GOOG160115{right}00{strike}000") for right in "CP" for strike in (740, 750, 760)]
    contracts.append(contract_of("IBM160219C00140000"))

    def found(**wanted: object) -> list[str]:
        chosen = ContractFilter(**wanted)  # type: ignore[arg-type]
        return [contract.symbol for contract in contracts if chosen.fits(contract)]

    assert len(found()) == 7
    assert found(underlyings=frozenset({"IBM"})) == ["IBM160219C00140000"]
    assert len(found(strike_gte=Decimal(750), strike_lte=Decimal(760))) == 4
    assert len(found(type="put", strike_lte=Decimal(740))) == 1
    assert found(expiration_date_gte=date(2016, 1, 16)) == ["IBM160219C00140000"]
    assert len(found(expiration_date=date(2016, 1, 15), root_symbol="GOOG")) == 6
    assert found(status="inactive") == found(style="european") == []
