"""Exercise, assignment and expiry of options. Books and activities change; no trade update tells of it.

Sources: docs.alpaca.markets "Options trading overview" (exercise, do-not-exercise, expiry, non-trade activities),
[OAS-T] /v2/positions/{symbol_or_contract_id}/exercise. Options that are in the money by a cent are exercised at expiry;
shorts that are in the money are then assigned, whether or not there is money or are shares for it: the venue's own
selling in the last half hour, which is to prevent that, is not simulated.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from runner.exchange.broker.accounts import ZERO, Account
from runner.exchange.broker.activities import non_trade_activity
from runner.exchange.broker.floor import Floor
from runner.exchange.broker.wire import day_of, minute_of_day, text
from runner.exchange.contracts import OptionContract
from runner.exchange.errors import AlpacaError, forbidden, unprocessable

IN_THE_MONEY: Final = Decimal("0.01")
SHORT_POSITION: Final = 40310001


class Settling:
    """What happens to option positions outside trading."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def exercise(self, account: Account, symbol: str) -> None:
        """All contracts of a series that are held and free; AlpacaError where that can't be."""
        contract, qty = self._long(account, symbol, "exercise")
        floor = self._floor
        self._check_time(contract)
        price = floor.prices.mark(contract.underlying_symbol)
        if contract.intrinsic(price) < IN_THE_MONEY:
            raise forbidden("option contract is out-of-the-money, please contact support to exercise it")
        shares = qty * contract.size
        if contract.type == "call":
            cost = shares * contract.strike
            figures = floor.figures(account)
            noun, power = ("regt buying power", figures.regt_buying_power)
            if figures.multiplier == 1:
                noun, power = "cash available", figures.cash
            if cost > power:
                kind = f"insufficient {noun}"
                raise forbidden(f"{kind} (required: {text(cost)}, available: {text(power)})")
        else:
            underlying = contract.underlying_symbol
            held = max(account.qty(underlying) - account.held(underlying), ZERO)
            if shares > held:
                raise forbidden(f"insufficient qty available (required: {text(shares)}, available: {text(held)})")
        self._deliver(account, contract, qty, "OPEXC")

    def refuse_exercise(self, account: Account, symbol: str) -> None:
        """Do not exercise at expiry, whatever the contract is worth then."""
        contract, _ = self._long(account, symbol, "submit DNE for")
        market = self._floor.market
        if day_of(market.now_ns) != day_of(market.expiry_ns(contract)):
            raise forbidden("dne requests are only accepted on the expiration day of the option contract")
        if market.now_ns >= market.expiry_ns(contract):
            raise forbidden("dne requests are not accepted after the close")
        account.do_not_exercise.add(contract.symbol)

    def assign(self, account: Account, symbol: str, qty: Decimal) -> None:
        """`qty` short contracts are assigned now, as if a holder had exercised; AlpacaError where fewer are short."""
        contract = self.check_assign(account, symbol, qty)
        self._deliver(account, contract, -qty, "OPASN")

    def check_assign(self, account: Account, symbol: str, qty: Decimal) -> OptionContract:
        """The contract, where so many can be assigned."""
        contract = self._floor.market.contract(symbol)
        short = -account.qty(symbol)
        if contract is None or qty <= 0 or qty > short or qty != qty.to_integral_value():
            raise unprocessable(
                f"{text(qty)} contracts of {symbol} can't be assigned: {text(max(short, ZERO))} are short"
            )
        return contract

    def expire(self, account: Account) -> None:
        """Settle every option position whose contract has stopped trading."""
        market, prices = self._floor.market, self._floor.prices
        for symbol, position in sorted(account.positions.items()):
            contract = market.contract(symbol)
            if contract is None or market.now_ns < market.expiry_ns(contract):
                continue
            worth = contract.intrinsic(prices.mark(contract.underlying_symbol))
            refused = position.qty > 0 and symbol in account.do_not_exercise
            account.do_not_exercise.discard(symbol)
            if worth < IN_THE_MONEY or refused:
                self._remove(account, contract, position.qty, "OPEXP")
            else:
                self._deliver(account, contract, position.qty, "OPEXC" if position.qty > 0 else "OPASN")

    # -- inside ------------------------------------------------------------------------------------------------------

    def _long(self, account: Account, symbol: str, verb: str) -> tuple[OptionContract, Decimal]:
        contract = self._floor.market.contract(symbol)
        if contract is None:
            raise unprocessable("invalid symbol")
        qty = account.qty(contract.symbol)
        if qty == 0:
            raise forbidden("no available position for the specified contract")
        if qty < 0:
            raise AlpacaError(403, SHORT_POSITION, f"cannot {verb} short position")
        free = qty - account.held(contract.symbol)
        if free <= 0:
            raise forbidden("no qty available to exercise", available="0", existing_qty=text(qty))
        return contract, free

    def _check_time(self, contract: OptionContract) -> None:
        market = self._floor.market
        today = day_of(market.now_ns)
        if contract.style == "european" and today != contract.expiration_date:
            raise forbidden("early exercise is not allowed for European-style options")
        calendar = market.calendar
        if calendar.is_trading_day(today) and minute_of_day(market.now_ns) >= minute_of_day(calendar.close_ns(today)):
            raise forbidden("exercise requests are not accepted after market close until midnight")

    def _deliver(self, account: Account, contract: OptionContract, qty: Decimal, kind: str) -> None:
        """Contracts go (`qty` is negative for shorts), shares come or go at the strike."""
        group = self._remove(account, contract, qty, kind)
        shares = qty * contract.size * (1 if contract.type == "call" else -1)
        symbol = contract.underlying_symbol
        account.book(symbol, "buy" if shares > 0 else "sell", abs(shares), contract.strike)
        self._row(account, "OPTRD", symbol, shares, contract, net=-shares * contract.strike, group=group)

    def _remove(self, account: Account, contract: OptionContract, qty: Decimal, kind: str) -> str:
        account.book(contract.symbol, "sell" if qty > 0 else "buy", abs(qty), ZERO, contract.multiplier)
        group = self._floor.ids.fresh()
        self._row(account, kind, contract.symbol, -qty, contract, group=group)
        return group

    def _row(
        self,
        account: Account,
        kind: str,
        symbol: str,
        qty: Decimal,
        contract: OptionContract,
        *,
        net: Decimal = ZERO,
        group: str,
    ) -> None:
        names = {"OPEXC": "Exercise", "OPASN": "Assignment", "OPEXP": "Expiration", "OPTRD": "Option Trade"}
        account.activities.add(
            non_trade_activity(
                self._floor.ids,
                kind,
                self._floor.life.stamp(),
                late=self._floor.settings.late_activities,
                symbol=symbol,
                qty=text(qty),
                net_amount=text(net),
                price=text(contract.strike if kind == "OPTRD" else ZERO),
                description=f"Option {names[kind]}" if kind != "OPTRD" else names[kind],
                group_id=group,
            )
        )
