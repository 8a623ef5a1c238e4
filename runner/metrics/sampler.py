"""Once a second, on the loop: what the node's accounts, positions and orders are worth now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from runner.metrics.registry import Metrics

_log = logging.getLogger(__name__)


class Sampler:
    """Copies values out of Nautilus into the metrics, so that a scrape never touches the loop's objects.

    Parameters
    ----------
    metrics : Metrics
        Where the values go.
    cache, portfolio
        Nautilus's.
    accounts : mapping
        Each account's id (an `AccountId`) by the file's name for it.
    strategies : mapping
        Each strategy's id (a `StrategyId`) and its account's name, by the file's name for it.
    schedules : optional
        When the strategies may trade.
    gate : optional
        The risk gate: its states and its count of errors.
    ready : callable, optional
        Whether the node is ready, with the reason.

    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        cache: Any,
        portfolio: Any,
        accounts: Mapping[str, Any],
        strategies: Mapping[str, tuple[Any, str]],
        schedules: Any = None,
        gate: Any = None,
        ready: Callable[[], tuple[bool, str]] | None = None,
    ) -> None:
        self._metrics = metrics
        self._cache = cache
        self._portfolio = portfolio
        self._accounts = accounts
        self.strategies = strategies
        self._schedules = schedules
        self._gate = gate
        self._ready = ready

    async def run(self, interval_s: float = 1.0) -> None:
        """Sample until canceled; how late each turn begins is the loop's lag."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + interval_s
            await asyncio.sleep(interval_s)
            self._metrics.set_loop_lag(max(loop.time() - due, 0.0))
            self.sample()

    def sample(self) -> None:
        """Take all values now. What can't be read is counted, and keeps its old value; nothing is raised."""
        for name, account_id in self._accounts.items():
            self._try(self._account, name, account_id)
        for name, (strategy_id, account) in self.strategies.items():
            self._try(self._working, name, strategy_id, account)
            if self._schedules is not None:
                self._try(self._schedule, name)
        if self._gate is not None:
            self._try(self._risk)
        if self._ready is not None:
            self._try(lambda: self._metrics.set_ready(self._ready()[0]))  # type: ignore[misc]

    def _try(self, sample: Callable[..., None], *args: Any) -> None:
        try:
            sample(*args)
        except Exception:
            self._metrics.sample_error()
            _log.debug("a value could not be sampled", exc_info=True)

    def _account(self, name: str, account_id: Any) -> None:
        account = self._cache.account(account_id)
        if account is None:
            return
        cash = _sum(account.balances_total())
        info = account.last_event.info or {}
        held: dict[str, Decimal] = {}
        for position in self._cache.positions_open(account_id=account_id):
            key = position.instrument_id.value
            held[key] = held.get(key, Decimal(0)) + position.signed_decimal_qty()
        positions: dict[str, tuple[Decimal, Decimal | None]] = {}
        for key, qty in held.items():
            positions[key] = (qty, self._worth(key, qty))
        self._metrics.set_positions(name, positions)
        values = [value for _, value in positions.values()]
        known = [value for value in values if value is not None]
        self._metrics.set_account(
            name,
            cash=cash,
            equity=cash + sum(known, Decimal(0)) if len(known) == len(values) else _number(info.get("equity")),
            buying_power=_number(info.get("buying_power")),
            realized_pnl=_sum(self._portfolio.realized_pnls(account_id=account_id)),
            unrealized_pnl=_sum(self._portfolio.unrealized_pnls(account_id=account_id)),
        )

    def _worth(self, instrument: str, qty: Decimal) -> Decimal | None:
        from nautilus_trader.model.enums import PriceType
        from nautilus_trader.model.identifiers import InstrumentId

        instrument_id = InstrumentId.from_str(instrument)
        known = self._cache.instrument(instrument_id)
        for price_type in (PriceType.LAST, PriceType.MID):
            price = self._cache.price(instrument_id, price_type)
            if price is not None and known is not None:
                return qty * price.as_decimal() * known.multiplier.as_decimal()  # type: ignore[no-any-return]
        return None

    def _working(self, name: str, strategy_id: Any, account: str) -> None:
        open_ = self._cache.orders_open_count(strategy_id=strategy_id)
        self._metrics.set_working(name, account, open_ + self._cache.orders_inflight_count(strategy_id=strategy_id))

    def _schedule(self, name: str) -> None:
        moment = self._schedules.moment(name)
        self._metrics.set_schedule(name, is_open=moment is None or moment.open, left=self._schedules.left(name))

    def _risk(self) -> None:
        self._metrics.gate_errors(self._gate.errors)
        for standing in self._gate.states.all():
            # One that a reload removed may have left a latch, which holds nobody back.
            if standing.scope.kind == "strategy" and standing.scope.name not in self.strategies:
                continue
            self._metrics.set_risk_state(standing.scope.kind, standing.scope.name, str(standing.state))
        for limit, scope, fraction in self._gate.used():
            self._metrics.set_limit_used(limit, scope.kind, scope.name, fraction)


def _sum(money: Mapping[Any, Any] | None) -> Decimal:
    return sum((each.as_decimal() for each in (money or {}).values() if each is not None), Decimal(0))


def _number(written: object) -> Decimal | None:
    if written is None:
        return None
    try:
        return Decimal(str(written))
    except InvalidOperation:
        return None
