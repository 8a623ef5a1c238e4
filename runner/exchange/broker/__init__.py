"""The trading side of the simulated Alpaca: accounts, orders, positions, activities, and the stream of trade
updates.
"""

from __future__ import annotations

from decimal import Decimal

from starlette.routing import BaseRoute, WebSocketRoute

from runner.exchange.broker.accounts import Account
from runner.exchange.broker.control import BrokerControl
from runner.exchange.broker.desk import Desk, DeskSettings
from runner.exchange.broker.quota import Quota
from runner.exchange.broker.rest import TradingRest
from runner.exchange.broker.stream import TradingStream
from runner.exchange.faults import Faults
from runner.exchange.market import Market

__all__ = ["Broker"]


class Broker:
    """A broker on a market. It registers for the market's callbacks and lives on its event loop.

    `fee_per_share` is dollars per executed share. `reply_quota_per_min` is the number of requests that a key may send
    in a minute of wall time. `partial_fill_rate` is the probability that a match fills only a part (Alpaca's paper
    engine: 0.1). `binary` sends JSON in binary frames, as the paper host does. `multiplier` is 2 (Reg T) or 1.
    `legacy_account_fields`: see `account_json`. The other switches: see `DeskSettings`.
    """

    def __init__(
        self,
        market: Market,
        *,
        fee_per_share: Decimal | int = 0,
        seed: int = 0,
        reply_quota_per_min: int = 200,
        partial_fill_rate: float = 0.0,
        opening_cash: Decimal = Decimal(100_000),
        multiplier: int = 2,
        replace_carries_fills: bool = False,
        options_level: int = 3,
        margin_later: bool = False,
        netted_cost: bool = True,
        leg_intents_required: bool = False,
        leg_updates: bool = False,
        late_activities: bool = False,
        legacy_account_fields: bool = False,
        binary: bool = True,
        faults: Faults | None = None,
    ) -> None:
        settings = DeskSettings(
            fee_per_share=Decimal(fee_per_share),
            seed=seed,
            partial_fill_rate=partial_fill_rate,
            opening_cash=opening_cash,
            multiplier=multiplier,
            replace_carries_fills=replace_carries_fills,
            options_level=options_level,
            margin_later=margin_later,
            netted_cost=netted_cost,
            leg_intents_required=leg_intents_required,
            leg_updates=leg_updates,
            late_activities=late_activities,
        )
        self.faults = Faults(seed) if faults is None else faults
        self.stream = TradingStream(self.faults, binary=binary)
        self.desk = Desk(market, settings, self.faults, self.stream.publish)
        self.quota = Quota(reply_quota_per_min)
        self.control = BrokerControl(self.desk)
        self._rest = TradingRest(self.desk, self.stream, self.quota, self.faults, legacy=legacy_account_fields)

    def routes(self) -> list[BaseRoute]:
        """All trading paths under /v2 and `/stream`; errors are raised as AlpacaError, for the app's handler."""
        return [*self._rest.routes(), *self.control.routes(), WebSocketRoute("/stream", self.stream.serve)]

    def account(self, key: str) -> Account:
        """The books of a key id, opened at the first call."""
        return self.desk.account(key)

    @property
    def trading_messages_sent(self) -> int:
        """Trade updates sent on all sockets since the start; lock-step compares it with what the node has seen."""
        return self.stream.messages_sent

    @property
    def fills(self) -> int:
        """Executions since the start, of all accounts."""
        return self.desk.life.fills

    async def aclose(self) -> None:
        """Close every socket of the stream."""
        await self.stream.aclose()
