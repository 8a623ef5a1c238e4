"""The reports that Nautilus asks an execution client for, at start and when it reconciles."""

from __future__ import annotations

import asyncio
from typing import Any

from runner.alpaca import symbols
from runner.alpaca.models import Order


class ReportsMixin:
    """The `generate_*` coroutines of AlpacaExecutionClient. Each raises where the venue can't be asked.

    An empty list would tell Nautilus that nothing is there, and it would close what it believes in.
    """

    config: Any
    rest: Any
    reports: Any
    resume: Any
    provider: Any
    _log: Any
    _cache: Any

    def _lookback_ns(self, start: Any) -> int:
        raise NotImplementedError

    async def _load(self, wanted: set[str]) -> None:
        await self.provider.ensure(wanted - {""})
        for symbol in wanted:
            if symbols.valid_symbol(symbol):
                instrument = self.provider.find(symbols.instrument_id(symbol))
                if instrument is not None and self._cache.instrument(instrument.id) is None:
                    self._cache.add_instrument(instrument)

    async def generate_order_status_report(self, command: Any) -> Any:
        """One order, by the venue's id or the client's; None where the venue has none."""
        order: Order | None = None
        if command.venue_order_id is not None:
            order = await self.rest.order(command.venue_order_id.value)
        if order is None and command.client_order_id is not None:
            order = await self.rest.order_by_client_id(command.client_order_id.value)
        return None if order is None else self.reports.order_report(order)

    async def generate_order_status_reports(self, command: Any) -> list[Any]:
        """Open orders, and unless `open_only` those that were closed since `start` (else over `lookback_s`)."""
        orders = await self.rest.orders("open")
        if not command.open_only:
            known = {order.id for order in orders}
            closed = await self.rest.orders("closed", after_ns=self._lookback_ns(command.start))
            orders += [order for order in closed if order.id not in known and order.status != "replaced"]
        orders = [order for order in orders if self._wanted(order.symbol, command.instrument_id)]
        await self._load({order.symbol for order in orders})
        reports = [report for report in map(self.reports.order_report, orders) if report is not None]
        self._receipt(len(reports), "OrderStatusReport")
        return reports

    async def generate_fill_reports(self, command: Any) -> list[Any]:
        """FILL activities since `start` (else over `lookback_s`), to the last page."""
        order_id = command.venue_order_id.value if command.venue_order_id is not None else None
        fills = await self.rest.fills(after_ns=self._lookback_ns(command.start), order_id=order_id)
        fills = [fill for fill in fills if self._wanted(fill.symbol or "", command.instrument_id)]
        await self._load({fill.symbol or "" for fill in fills})
        reports = [report for report in map(self.reports.activity_report, fills) if report is not None]
        self._receipt(len(reports), "FillReport")
        return reports

    async def generate_position_status_reports(self, command: Any) -> list[Any]:
        """All positions; a flat report for an instrument that was asked for and has none."""
        positions = [row for row in await self.rest.positions() if self._wanted(row.symbol, command.instrument_id)]
        await self._load({row.symbol for row in positions})
        reports = [report for report in map(self.reports.position_report, positions) if report is not None]
        if not reports and command.instrument_id is not None:
            instrument = self._cache.instrument(command.instrument_id)
            if instrument is not None:
                reports.append(self.reports.flat_report(instrument))
        self._receipt(len(reports), "PositionStatusReport")
        return reports

    async def generate_mass_status(self, lookback_mins: int | None = None) -> Any:
        """All of the above; None (reconciliation failed) where they fail or take longer than `report_timeout_s`."""
        try:
            async with asyncio.timeout(self.config.report_timeout_s):
                mass_status = await super().generate_mass_status(lookback_mins)  # type: ignore[misc]
                return self.resume.only_others(mass_status)
        except TimeoutError:
            self._log.error(f"The venue did not give its reports within {self.config.report_timeout_s:g} s")
            return None

    @staticmethod
    def _wanted(symbol: str, instrument_id: Any) -> bool:
        return instrument_id is None or symbol == instrument_id.symbol.value

    def _receipt(self, count: int, kind: str) -> None:
        self._log.debug(f"Received {count} {kind}{'' if count == 1 else 's'}")
