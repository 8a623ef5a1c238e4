"""Strategies that the broken files name."""

import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from nautilus_trader.common.config import PositiveInt
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy


class Inner(msgspec.Struct, frozen=True):
    count: int
    items: list[int] = []


class TypedConfig(StrategyConfig, frozen=True):
    side: OrderSide
    mode: Literal["a", "b"] = "a"
    flag: bool = False
    ratio: float = 1.0
    size: Decimal | None = None
    inner: Inner | None = None
    pair: tuple[int, str] | None = None
    counts: dict[str, int] | None = None
    wait: datetime.timedelta | None = None
    api_key: int = 0
    positive: PositiveInt = 1
    trader: TraderId | None = None
    either: int | str = 5
    anything: Any = None


class Typed(Strategy):
    def __init__(self, config: TypedConfig) -> None:
        super().__init__(config)


class BarsConfig(StrategyConfig, frozen=True):
    instrument_id: InstrumentId
    bar_type: BarType


class Bars(Strategy):
    def __init__(self, config: "BarsConfig | None") -> None:
        super().__init__(config)


class Plain(Strategy):
    pass


class Refusing(Strategy):
    def __init__(self, config: StrategyConfig) -> None:
        raise ValueError("no strategy today")


class Misnamed(Strategy):
    def __init__(self, settings: StrategyConfig) -> None:
        super().__init__(settings)


nothing = 5
