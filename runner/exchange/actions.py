"""Corporate actions: `GET /v1/corporate-actions` out of a file, and bars adjusted for them.

Source: Alpaca's market-data OpenAPI spec (`corporate_actions`), and its description of the parameter `adjustment`.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.exchange.assets import asset_id
from runner.exchange.bars import Bar
from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import NEW_YORK, new_york, to_ns
from runner.exchange.history import Adjust
from runner.exchange.paging import bad_request, date_of, descending, limit_of, text_json, token_of, untoken
from runner.exchange.venue_rest import with_quota
from runner.exchange.wire import dumps

PLURALS: Final = {
    "reverse_split": "reverse_splits",
    "forward_split": "forward_splits",
    "unit_split": "unit_splits",
    "cash_dividend": "cash_dividends",
    "stock_dividend": "stock_dividends",
    "spin_off": "spin_offs",
    "cash_merger": "cash_mergers",
    "stock_merger": "stock_mergers",
    "stock_and_cash_merger": "stock_and_cash_mergers",
    "redemption": "redemptions",
    "name_change": "name_changes",
    "worthless_removal": "worthless_removals",
    "rights_distribution": "rights_distributions",
    "partial_call": "partial_calls",
    "reorganization": "reorganizations",
}
ADJUSTMENTS: Final = frozenset({"raw", "split", "dividend", "spin-off", "all"})
_FOUR_PLACES: Final = Decimal("0.0001")
_SYMBOL_KEYS: Final = ("symbol", "old_symbol", "new_symbol", "source_symbol", "acquiree_symbol", "acquirer_symbol")


class ActionsError(ValueError):
    """A file of corporate actions that can't be used. The text names the file and the action."""


class CorporateActions:
    """All of a file's actions, by type; none without a file."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises ActionsError for what can't be read."""
        self._rows: list[tuple[str, dict[str, Any]]] = []
        if path is not None:
            self._rows = sorted(_read(path), key=_order)

    def add(self, kind: str, row: dict[str, Any]) -> None:
        """One more action, with at least the members that its type needs."""
        # The last of two that are alike is another one, a second dividend on a day for example.
        name = f"{kind} {dumps(row)} {len(self._rows)}"
        insort(self._rows, (kind, {"id": asset_id(name), "cusip": "", **row}), key=_order)

    def played(self, kind: str, symbol: str, now_ns: int, **members: Any) -> None:
        """An action that has just happened to the accounts: a cash_dividend with its `rate`, or a split."""
        today = new_york(now_ns).date().isoformat()
        days = dict.fromkeys(("ex_date", "record_date", "payable_date", "process_date"), today)
        if kind == "cash_dividend":
            members |= {"special": False, "foreign": False}
        elif kind == "reverse_split":
            members |= {"old_cusip": "", "new_cusip": ""}
        self.add(kind, {"symbol": symbol, **members, **days})

    def of(self, kind: str, symbol: str) -> list[dict[str, Any]]:
        """The actions of one type on one symbol, in the order of their process dates."""
        return [row for name, row in self._rows if name == kind and row.get("symbol") == symbol]

    def by_ex_date(self, kinds: Collection[str]) -> list[tuple[int, str, dict[str, Any]]]:
        """The actions of these types: when each becomes effective (UNIX ns), its type and members, in that order."""
        return sorted(
            ((_midnight(row), kind, row) for kind, row in self._rows if kind in kinds), key=lambda row: row[0]
        )

    def routes(self, quota: Quota, now_ns: Callable[[], int]) -> list[Route]:
        """Routes for the app; `now_ns` is venue time."""

        async def serve(request: Request) -> Response:
            return self._page(request, new_york(now_ns()).date())

        return [Route("/v1/corporate-actions", with_quota(quota, serve, coded=False), methods=["GET"])]

    def _page(self, request: Request, today: date) -> Response:
        params = request.query_params
        ids, symbols, cusips, types = (_csv(params.get(key)) for key in ("ids", "symbols", "cusips", "types"))
        if ids and (symbols or types or params.get("start") or params.get("end")):
            raise bad_request("ids can't be combined with other filters")
        if unknown := types - set(PLURALS):
            raise bad_request(f"invalid type: {min(unknown)}")
        first = date_of(params.get("start"), "start") or today
        last = date_of(params.get("end"), "end") or today
        limit = limit_of(params, 100, 1_000)
        rows = [
            (number, kind, row)
            for number, (kind, row) in enumerate(self._rows)
            if (row["id"] in ids if ids else first.isoformat() <= row["process_date"] <= last.isoformat())
            and (not types or kind in types)
            and (not symbols or not symbols.isdisjoint(row.get(key, "") for key in _SYMBOL_KEYS))
            and (not cusips or row.get("cusip") in cusips)
        ]
        if descending(params):
            rows.reverse()
        token = params.get("page_token")
        if token:
            after = untoken(token)[1]
            rows = rows[next((at + 1 for at, row in enumerate(rows) if row[0] == after), len(rows)) :]
        shown: dict[str, list[dict[str, Any]]] = {}
        for _, kind, row in rows[:limit]:
            shown.setdefault(PLURALS[kind], []).append(row)
        following = token_of("", rows[limit - 1][0]) if len(rows) > limit else None
        body = b'{"corporate_actions":%b,"next_page_token":%b}' % (dumps(shown).encode(), text_json(following))
        return Response(body, media_type="application/json")

    def adjustment(self, text: str | None, now_ns: int) -> Callable[[str, list[Bar]], Adjust | None]:
        """How bars of a symbol, with its raw day bars, are adjusted as `adjustment` asks. Raises AlpacaError 400.

        What is not effective yet at venue time changes nothing. Spin-offs are accepted and leave prices alone.
        """
        wanted = _csv(text) or {"raw"}
        if unknown := wanted - ADJUSTMENTS:
            raise bad_request(f"invalid adjustment: {min(unknown)}")
        today = new_york(now_ns).date().isoformat()
        everything = "all" in wanted

        def of(symbol: str, days: list[Bar]) -> Adjust | None:
            steps: list[tuple[int, Decimal, Decimal]] = []
            if everything or "split" in wanted:
                for kind in ("forward_split", "reverse_split"):
                    for row in self.of(kind, symbol):
                        ratio = Decimal(row["old_rate"]) / Decimal(row["new_rate"])
                        steps.append((_midnight(row), ratio, 1 / ratio))
            if everything or "dividend" in wanted:
                for row in self.of("cash_dividend", symbol):
                    ex_ns = _midnight(row)
                    close = next((bar.close for bar in reversed(days) if bar.ts_ns < ex_ns), None)
                    if close:
                        steps.append((ex_ns, 1 - Decimal(row["rate"]) / close, Decimal(1)))
            steps = [step for step in steps if new_york(step[0]).date().isoformat() <= today]
            return (lambda bars: [_adjusted(bar, steps) for bar in bars]) if steps else None

        return of


def _adjusted(bar: Bar, steps: Iterable[tuple[int, Decimal, Decimal]]) -> Bar:
    price, volume = Decimal(1), Decimal(1)
    for ex_ns, of_price, of_volume in steps:
        if bar.ts_ns < ex_ns:
            price, volume = price * of_price, volume * of_volume
    if price == 1:
        return bar
    opened, high, low, close = (
        (value * price).quantize(_FOUR_PLACES).normalize() for value in (bar.open, bar.high, bar.low, bar.close)
    )
    total = (bar.volume * volume).to_integral_value()
    return replace(
        bar, open=opened, high=high, low=low, close=close, volume=total, notional=bar.notional * price * volume
    )


def _midnight(row: dict[str, Any]) -> int:
    return to_ns(datetime.combine(date.fromisoformat(row["ex_date"]), time(0), NEW_YORK))


def _read(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        document = json.loads(path.read_text(), parse_float=Decimal)
    except OSError as error:
        raise ActionsError(f"{path}: {error.strerror}; Alpaca's corporate actions as JSON are wanted") from error
    except ValueError as error:
        raise ActionsError(f"{path}: not JSON: {error}") from error
    found = document.get("corporate_actions", document) if isinstance(document, dict) else None
    if not isinstance(found, dict) or not set(found) <= set(PLURALS.values()):
        raise ActionsError(f"{path}: an object with lists named {', '.join(sorted(PLURALS.values()))} is wanted")
    for kind, plural in PLURALS.items():
        for number, row in enumerate(found.get(plural, []), 1):
            yield kind, _checked(path, f"{plural} {number}", kind, row)


def _checked(path: Path, where: str, kind: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ActionsError(f"{path}: {where}: not an object")
    row: dict[str, Any] = {"id": asset_id(f"{kind} {dumps(given)}"), "cusip": "", **given}
    needed = {"cash_dividend": ("rate", "ex_date"), "forward_split": ("old_rate", "new_rate", "ex_date")}
    needed["reverse_split"] = needed["forward_split"]
    try:
        date.fromisoformat(row["process_date"])
        for name in needed.get(kind, ()):
            if name == "ex_date":
                date.fromisoformat(row[name])
            elif Decimal(row[name]) <= 0:
                raise ValueError(f"{name} must be above 0")
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise ActionsError(f"{path}: {where}: {error!r} is missing or wrong") from error
    return row


def _order(row: tuple[str, dict[str, Any]]) -> tuple[str, str, str]:
    kind, members = row
    return members["process_date"], kind, members["id"]


def _csv(text: str | None) -> set[str]:
    return {part.strip() for part in (text or "").split(",") if part.strip()}
