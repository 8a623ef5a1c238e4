"""Everything that can be set of a simulated exchange. Times of the wall clock are seconds, venue times nanoseconds."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

from runner.exchange.assets import CRYPTO_SYMBOL

MAX_SPEED: Final = math.inf
DEFAULT_SYMBOLS: Final = ("IBM", "BAC")
DEFAULT_DAY: Final = date(2026, 1, 12)
_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]*([.-][A-Z0-9]+)*")
REQUESTS_PER_MIN: Final = 200
REQUESTS_PER_MIN_AT_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to replay or generate, how fast, and how the venue behaves.

    Without `replay` a synthetic day is generated for `symbols` on `day`. With it, `symbols` limits what is read.
    Raises ValueError where a value makes no sense.
    """

    host: str = "127.0.0.1"
    port: int = 0
    replay: tuple[Path, ...] = ()
    contracts: tuple[Path, ...] = ()
    """Files of option contracts (JSON); contracts that only the market data names are standard ones."""
    corporate_actions: Path | None = None
    """A file of corporate actions as Alpaca lists them (JSON)."""
    speed: float = 1.0
    """Venue seconds per second of the wall clock; infinity is as fast as clients read."""
    start: time | None = None
    """New York time of the first day at which streaming begins; what came before is history."""
    wait: bool = False
    """Begin only when the first market-data subscription is acknowledged, or a control client says so."""
    seed: int = 0
    symbols: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Stocks of the synthetic day that have an option chain."""
    day: date = DEFAULT_DAY
    extended_hours: bool = True
    """Generate 04:00 to 20:00, or the core session alone."""
    activity: float = 1.0
    """Scales how many quotes and trades the generator makes."""
    fee_per_share: Decimal = Decimal(0)
    partial_fill_rate: float = 0.0
    """Probability that a match fills only a part (Alpaca's paper engine: 0.1)."""
    opening_cash: Decimal = Decimal(100_000)
    """Dollars that an account begins with."""
    options_level: int = 3
    """The level of options trading that accounts are approved for, 0 to 3."""
    replace_carries_fills: bool = False
    margin_later: bool = False
    netted_cost: bool = True
    leg_intents_required: bool = False
    leg_updates: bool = False
    late_activities: bool = False
    """These six choose among readings of what Alpaca's documents leave open: see the broker's `DeskSettings`."""
    risk_free_rate: Decimal = Decimal(0)
    """Interest of a year that implied volatilities and greeks are computed with."""
    plan: Literal["basic", "plus"] = "plus"
    """basic: the iex feed alone, with at most 30 symbols over trades and quotes."""
    symbol_limit: int | None = None
    """Symbols over trades and quotes of one data socket; None: what the plan has for the feed (see `feeds`)."""
    auth_timeout_s: float = 10.0
    reap_delay_s: float = 0.0
    """How long the slot of a closed data socket stays taken (406): the real venue takes its time to notice."""
    frame_messages: int = 500
    """The most messages in one frame of a data stream."""
    slow_client_messages: int = 50_000
    """Unsent messages at which a paced replay gives a data socket up with 407."""
    slow_client_grace_s: float = 1.0
    """How long such a socket has to read its 407 before it is closed."""
    backlog_messages: int = 5_000
    """Unsent messages of a data socket at which a replay at full speed waits for it."""
    slice_messages: int = 500
    """Messages that a replay at full speed handles before it lets the rest of the process run."""
    tick_s: float = 0.02
    """The longest that venue time stands still on the wall clock in a paced replay without messages."""
    step_ns: int = 1_000_000_000
    """Venue time of one step in lock-step."""
    step_retry_s: float = 0.005
    step_retries: int = 60
    """How often a step is offered again to a client whose counts stay the same, before they are taken as they are."""
    progress_interval_s: float = 0.2
    test_interval_s: float = 0.5
    """Time between two FAKEPACA messages on /v2/test."""
    ping_interval_s: float = 54.0
    ping_timeout_s: float = 54.0
    compression: bool = True
    """Whether permessage-deflate is agreed to when a client offers it."""

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed must be above 0 or max, not {self.speed}")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be 0 to 65535, not {self.port}")
        if self.activity <= 0:
            raise ValueError(f"activity must be above 0, not {self.activity}")
        if self.replay and self.options:
            raise ValueError("options are generated with a synthetic day only: replay a file that has them instead")
        if self.step_ns <= 0:
            raise ValueError(f"step_ns must be above 0, not {self.step_ns}")
        if not 0 <= self.partial_fill_rate <= 1:
            raise ValueError(f"partial_fill_rate is a probability from 0 to 1, not {self.partial_fill_rate}")
        if self.opening_cash <= 0:
            raise ValueError(f"opening_cash must be above 0, not {self.opening_cash}")
        if self.options_level not in range(4):
            raise ValueError(f"options_level must be 0, 1, 2 or 3, not {self.options_level}")
        if self.fee_per_share < 0:
            raise ValueError(f"fee_per_share must not be negative, not {self.fee_per_share}")
        for symbol in (*self.symbols, *self.options):
            if not _SYMBOL.fullmatch(symbol) and not CRYPTO_SYMBOL.fullmatch(symbol):
                raise ValueError(f"symbol {symbol!r} is neither a stock nor a pair: write it as IBM, BRK.B or BTC/USD")

    @property
    def requests_per_min(self) -> int:
        """The quota of a key: Alpaca's 200 a minute of venue time."""
        if math.isinf(self.speed):
            return REQUESTS_PER_MIN_AT_MAX
        return int(REQUESTS_PER_MIN * max(1.0, self.speed))


def parse_speed(text: str) -> float:
    """`600`, `0.5` or `max`. Raises ValueError for anything else."""
    if text.strip().lower() == "max":
        return MAX_SPEED
    try:
        speed = float(text)
    except ValueError:
        raise ValueError(f"speed {text!r} is neither a number nor max") from None
    if not speed > 0 or math.isinf(speed):
        raise ValueError(f"speed must be a number above 0, or max, not {text!r}")
    return speed
