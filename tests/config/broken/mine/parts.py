"""Actors and execution algorithms that the broken files name."""

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig, PositiveInt
from nautilus_trader.execution.algorithm import ExecAlgorithm
from nautilus_trader.model.identifiers import ExecAlgorithmId, InstrumentId
from nautilus_trader.trading.strategy import Strategy, StrategyConfig


class SpreadsConfig(ActorConfig, frozen=True):
    instrument_id: InstrumentId
    every: PositiveInt = 1


class Spreads(Actor):
    def __init__(self, config: SpreadsConfig) -> None:
        super().__init__(config)


class Forgetful(Actor):
    def __init__(self, config: ActorConfig) -> None:
        super().__init__()


class SlicedConfig(StrategyConfig, frozen=True):
    by: ExecAlgorithmId


class Sliced(Strategy):
    def __init__(self, config: SlicedConfig) -> None:
        super().__init__(config)


class Slices(ExecAlgorithm):
    pass
