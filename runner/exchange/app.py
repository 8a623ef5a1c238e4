"""The application: market, broker, streams and control put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import Scope

from runner.exchange.action_player import ActionPlayer
from runner.exchange.actions import CorporateActions
from runner.exchange.broker import Broker
from runner.exchange.broker.quota import Quota
from runner.exchange.calendar import Calendar
from runner.exchange.contract_rest import ContractRest
from runner.exchange.contracts import read_contracts
from runner.exchange.control import Control
from runner.exchange.crypto_rest import CryptoRest
from runner.exchange.data_rest import DataRest
from runner.exchange.data_stream import DataStream
from runner.exchange.errors import AlpacaError, alpaca_error_handler
from runner.exchange.faults import FaultMiddleware, Faults, fault_routes
from runner.exchange.feeds import FEEDS
from runner.exchange.generator import SyntheticDay
from runner.exchange.generator_actions import dividends
from runner.exchange.history import History
from runner.exchange.hub import Hub
from runner.exchange.injection import Injection
from runner.exchange.market import Market
from runner.exchange.news_rest import NewsRest
from runner.exchange.option_rest import OptionRest
from runner.exchange.player import Player, Source
from runner.exchange.replay import Replay
from runner.exchange.settings import DEFAULT_SYMBOLS, Settings
from runner.exchange.tape import Tape
from runner.exchange.test_feed import TestFeed
from runner.exchange.traffic import Traffic, TrafficMiddleware
from runner.exchange.venue_rest import VenueRest


@dataclass(slots=True)
class Parts:
    """What the application is made of; `app.state.parts` for those who run it in their own process.

    `traffic` counts the REST requests: `in_flight` and `done`.
    """

    settings: Settings
    market: Market
    history: History
    broker: Broker
    hub: Hub
    replay: Replay
    control: Control
    traffic: Traffic
    faults: Faults
    synthetic: bool
    actions: CorporateActions
    drop: Callable[[Scope], None] | None = None
    """Breaks the connection of a request; whoever runs the server sets it."""


def source_of(settings: Settings) -> tuple[Source, bool]:
    """The market data, and whether it is made up. Raises TapeError or ValueError for what can't be had."""
    if settings.replay:
        return Tape(settings.replay, settings.symbols), False
    symbols = settings.symbols or (() if settings.options else DEFAULT_SYMBOLS)
    day = SyntheticDay(
        symbols,
        settings.day,
        seed=settings.seed,
        extended_hours=settings.extended_hours,
        activity=settings.activity,
        options=settings.options,
        rate=float(settings.risk_free_rate),
    )
    return day, True


def build(settings: Settings) -> Parts:
    """Make all parts; the replay stands at its start. Raises TapeError or ValueError for unusable data."""
    actions = CorporateActions(settings.corporate_actions)
    source, synthetic = source_of(settings)
    if synthetic and settings.corporate_actions is None:
        for row in dividends(source.scan().symbols, settings.day, settings.seed, Calendar()):
            actions.add("cash_dividend", row)
    market, history, faults = Market(), History(), Faults(settings.seed)
    hub = Hub(settings, faults)
    player = Player(source, market, history, hub.publish)
    market.add_symbols(player.info.symbols)
    market.add_contracts(source.contracts)
    market.add_contracts(contract for path in settings.contracts for contract in read_contracts(path))
    broker = Broker(
        market,
        fee_per_share=settings.fee_per_share,
        seed=settings.seed,
        reply_quota_per_min=settings.requests_per_min,
        faults=faults,
        partial_fill_rate=settings.partial_fill_rate,
        opening_cash=settings.opening_cash,
        options_level=settings.options_level,
        replace_carries_fills=settings.replace_carries_fills,
        margin_later=settings.margin_later,
        netted_cost=settings.netted_cost,
        leg_intents_required=settings.leg_intents_required,
        leg_updates=settings.leg_updates,
        late_activities=settings.late_activities,
    )
    if settings.corporate_actions is not None:
        market.on_clock(ActionPlayer(actions, player.info.start_ns, partial(broker.control.do, listed=True)).on_clock)
    broker.control.on_action = lambda kind, symbol, members: actions.played(kind, symbol, market.now_ns, **members)
    replay = Replay(settings, player, market, hub)
    traffic = Traffic()
    control = Control(replay, broker, traffic, synthetic=synthetic)
    return Parts(settings, market, history, broker, hub, replay, control, traffic, faults, synthetic, actions)


def create_app(settings: Settings, parts: Parts | None = None) -> Starlette:
    """The simulated Alpaca as an ASGI application. `app.state.parts` has what it is made of.

    Raises TapeError or ValueError for data that can't be used.
    """
    parts = parts or build(settings)
    made = parts

    def drop(scope: Scope) -> None:
        if made.drop is not None:
            made.drop(scope)

    def begin() -> None:
        # A client in lock-step says itself when all that it wants is subscribed.
        if settings.wait and not made.control.engaged:
            made.replay.start()

    stream = DataStream(settings, parts.hub, parts.history, parts.faults, begin)
    quota = settings.requests_per_min
    data_quota = Quota(quota)
    data = DataRest(settings, parts.market, parts.history, parts.actions, data_quota)
    options = OptionRest(settings, parts.market, parts.history, data_quota)
    crypto = CryptoRest(parts.market, parts.history, data_quota)
    news = NewsRest(parts.market, parts.history, data_quota)
    venue_quota = Quota(quota)
    venue, contracts = VenueRest(parts.market, venue_quota), ContractRest(parts.market, venue_quota)
    routes = [
        *fault_routes(parts.faults),
        *Injection(parts.market, parts.replay.player, parts.hub).routes(),
        WebSocketRoute("/control", parts.control.serve),
        *(WebSocketRoute(feed.path, stream.endpoint(feed)) for feed in FEEDS),
        *data.routes(),
        *options.routes(),
        *crypto.routes(),
        *news.routes(),
        *parts.actions.routes(data_quota, lambda: made.market.now_ns),
        *venue.routes(),
        *contracts.routes(),
        *parts.broker.routes(),
    ]
    app = Starlette(
        routes=routes,
        lifespan=_lifespan,
        exception_handlers={AlpacaError: alpaca_error_handler, 404: _no_path},
        middleware=[
            Middleware(TrafficMiddleware, traffic=parts.traffic, drop=drop),
            Middleware(FaultMiddleware, faults=parts.faults),
        ],
    )
    app.state.parts = parts
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    feed = TestFeed(parts.settings, parts.hub)
    tasks = [asyncio.create_task(work) for work in (parts.replay.run(), parts.control.run(), feed.run())]
    if not parts.settings.wait:
        parts.replay.start()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.broker.aclose()


async def _no_path(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"message": "endpoint not found."}, 404)
