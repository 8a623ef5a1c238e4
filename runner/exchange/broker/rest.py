"""The trading REST endpoints under /v2, over one `Desk`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.exchange.auth import authenticate
from runner.exchange.broker.account_json import account_json, configuration_json, patched
from runner.exchange.broker.accounts import Account
from runner.exchange.broker.desk import Desk
from runner.exchange.broker.history import portfolio_history
from runner.exchange.broker.positions import position_json
from runner.exchange.broker.queries import DEFAULT_PAGE, choice, flag, moment, number, select_orders, words
from runner.exchange.broker.quota import Quota
from runner.exchange.broker.stream import TradingStream
from runner.exchange.broker.wire import one_word, parse_decimal, parse_json
from runner.exchange.errors import AlpacaError, invalid, not_found
from runner.exchange.faults import Faults

type Endpoint = Callable[[Request, Account], Awaitable[Response]]

CATEGORIES: Final = ("trade_activity", "non_trade_activity")


class TradingRest:
    """The endpoints. Each gets the caller's account; its reply carries the quota's headers."""

    def __init__(self, desk: Desk, stream: TradingStream, quota: Quota, faults: Faults, *, legacy: bool) -> None:
        self._desk = desk
        self._stream = stream
        self._quota = quota
        self._faults = faults
        self._legacy = legacy

    def routes(self) -> list[Route]:
        """Every trading path, the more particular ones first."""
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/v2/account", self.get_account),
            ("GET", "/v2/account/configurations", self.get_configuration),
            ("PATCH", "/v2/account/configurations", self.patch_configuration),
            ("GET", "/v2/account/portfolio/history", self.get_history),
            ("GET", "/v2/account/activities", self.get_activities),
            ("GET", "/v2/account/activities/{activity_type}", self.get_activities),
            ("GET", "/v2/orders:by_client_order_id", self.get_by_client_order_id),
            ("GET", "/v2/orders", self.get_orders),
            ("POST", "/v2/orders", self.post_order),
            ("DELETE", "/v2/orders", self.delete_orders),
            ("GET", "/v2/orders/{order_id}", self.get_order),
            ("PATCH", "/v2/orders/{order_id}", self.patch_order),
            ("DELETE", "/v2/orders/{order_id}", self.delete_order),
            ("GET", "/v2/positions", self.get_positions),
            ("DELETE", "/v2/positions", self.delete_positions),
            ("GET", "/v2/positions/{symbol}", self.get_position),
            ("DELETE", "/v2/positions/{symbol}", self.delete_position),
            ("POST", "/v2/positions/{symbol}/exercise", self.exercise),
            ("POST", "/v2/positions/{symbol}/do-not-exercise", self.refuse_exercise),
        ]
        return [Route(path, partial(self._answer, endpoint), methods=[method]) for method, path, endpoint in table]

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        key = authenticate(request.headers)
        headers = self._quota.take(key)
        try:
            reply = await endpoint(request, self._desk.account(key))
        except AlpacaError as error:
            error.headers = {**headers, **error.headers}
            raise
        finally:
            if self._faults.events_first:
                await self._stream.flushed()
        reply.headers.update(headers)
        return reply

    # -- account ---------------------------------------------------------------------------------------------

    async def get_account(self, _request: Request, account: Account) -> Response:
        return JSONResponse(account_json(self._desk, account, legacy=self._legacy))

    async def get_configuration(self, _request: Request, account: Account) -> Response:
        return JSONResponse(configuration_json(account.configuration))

    async def patch_configuration(self, request: Request, account: Account) -> Response:
        account.configuration = patched(account.configuration, parse_json(await request.body()))
        return JSONResponse(configuration_json(account.configuration))

    async def get_history(self, request: Request, account: Account) -> Response:
        return JSONResponse(portfolio_history(self._desk, account, request.query_params))

    async def get_activities(self, request: Request, account: Account) -> Response:
        query = request.query_params
        one = request.path_params.get("activity_type")
        types = frozenset({one}) if one else words(query, "activity_types")
        category = choice(query, "category", CATEGORIES) if query.get("category") else None
        if category is not None and types is not None:
            raise invalid("category can't be combined with activity_types")
        rows = account.activities.page(
            types=types,
            category=category,
            after_ns=moment(query, "after"),
            until_ns=moment(query, "until"),
            day_ns=moment(query, "date"),
            order_id=query.get("order_id"),
            descending=choice(query, "direction", ("desc", "asc")) == "desc",
            page_size=number(query, "page_size", DEFAULT_PAGE, DEFAULT_PAGE),
            page_token=query.get("page_token"),
            now_ns=self._desk.now_ns,
        )
        return JSONResponse(rows)

    # -- orders ----------------------------------------------------------------------------------------------

    async def get_orders(self, request: Request, account: Account) -> Response:
        orders = select_orders(account.orders.values(), request.query_params)
        nested = flag(request.query_params, "nested")
        return JSONResponse([order.json(nested=nested) for order in orders])

    async def post_order(self, request: Request, account: Account) -> Response:
        return JSONResponse(self._desk.submit(account, parse_json(await request.body())))

    async def delete_orders(self, _request: Request, account: Account) -> Response:
        """Cancel all: each order's own outcome."""
        rows: list[dict[str, Any]] = []
        for order in account.open_orders():
            if order.role == "leg":  # it ends with its order
                continue
            try:
                self._desk.cancel(account, order)
            except AlpacaError as error:
                rows.append({"id": order.id, "status": error.status, "body": error.body()})
            else:
                rows.append({"id": order.id, "status": 200})
        return JSONResponse(rows, status_code=207)

    async def get_order(self, request: Request, account: Account) -> Response:
        nested = flag(request.query_params, "nested")
        return JSONResponse(self._desk.order(account, request.path_params["order_id"]).json(nested=nested))

    async def get_by_client_order_id(self, request: Request, account: Account) -> Response:
        wanted = request.query_params.get("client_order_id")
        if not wanted:
            raise invalid("client_order_id is required")
        found = account.by_client_id.get(wanted)
        if found is None:
            raise not_found(f"order not found for {wanted}")
        return JSONResponse(found.json(nested=False))

    async def patch_order(self, request: Request, account: Account) -> Response:
        body = parse_json(await request.body())
        order = self._desk.order(account, request.path_params["order_id"])
        return JSONResponse(self._desk.replace(account, order, body))

    async def delete_order(self, request: Request, account: Account) -> Response:
        self._desk.cancel(account, self._desk.order(account, request.path_params["order_id"]))
        return Response(status_code=204)

    # -- positions -------------------------------------------------------------------------------------------

    async def get_positions(self, _request: Request, account: Account) -> Response:
        return JSONResponse([position_json(self._desk, account, p) for _, p in sorted(account.positions.items())])

    async def get_position(self, request: Request, account: Account) -> Response:
        position = account.position(self._symbol(request))
        if position is None:
            raise not_found("position does not exist")
        return JSONResponse(position_json(self._desk, account, position))

    async def delete_position(self, request: Request, account: Account) -> Response:
        query = request.query_params
        reply = self._desk.close(
            account,
            self._symbol(request),
            qty=parse_decimal(query.get("qty"), "qty"),
            percentage=parse_decimal(query.get("percentage"), "percentage"),
        )
        return JSONResponse(reply)

    async def delete_positions(self, request: Request, account: Account) -> Response:
        """Close all, after cancelling all orders where asked for: each position's own outcome."""
        if flag(request.query_params, "cancel_orders"):
            for order in account.open_orders():
                if order.role != "leg" and order.status not in {"pending_cancel", "pending_replace"}:
                    self._desk.cancel(account, order)
        rows: list[dict[str, Any]] = []
        # Shorts first: a long option may cover one.
        for symbol in sorted(account.positions, key=lambda name: (account.qty(name) > 0, name)):
            try:
                rows.append({"symbol": one_word(symbol), "status": 200, "body": self._desk.close(account, symbol)})
            except AlpacaError as error:
                rows.append({"symbol": one_word(symbol), "status": error.status, "body": error.body()})
        return JSONResponse(rows, status_code=207)

    async def exercise(self, request: Request, account: Account) -> Response:
        self._desk.settling.exercise(account, self._symbol(request))
        return Response()

    async def refuse_exercise(self, request: Request, account: Account) -> Response:
        self._desk.settling.refuse_exercise(account, self._symbol(request))
        return Response()

    def _symbol(self, request: Request) -> str:
        """A symbol, or the symbol of an asset id."""
        given = cast(str, request.path_params["symbol"])
        asset = self._desk.asset(given) or self._desk.asset(given.upper())
        return given if asset is None else asset.symbol
