"""The market-data streams: path, channels and limits of each.

Source: docs.alpaca.markets "WebSocket stream", "Real-time crypto data", "Real-time option data", "Real-time news".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from runner.exchange.assets import asset_class_of

type Kind = Literal["stocks", "crypto", "options", "news", "test"]

CRYPTO_LOCATIONS: Final = ("us", "us-1", "us-2", "eu-1", "bs-1")
OPTION_FEEDS: Final = ("indicative", "opra")
CHANNELS: Final = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "u": "updatedBars",
    "d": "dailyBars",
    "s": "statuses",
    "l": "lulds",
    "i": "imbalances",
    "o": "orderbooks",
    "n": "news",
    # Corrections and cancels come with the trades, unasked.
    "c": "trades",
    "x": "trades",
}
ALL_CHANNELS: Final = frozenset(CHANNELS.values())
# In the order in which the acknowledgement lists them.
_STOCKS: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances")
_CONSOLIDATED: Final = frozenset({"lulds", "imbalances"})
_CRYPTO: Final = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "orderbooks")


@dataclass(frozen=True, slots=True)
class Feed:
    """One endpoint. `name` is the slot that a key can take once; `channels` are what it accepts."""

    name: str
    path: str
    kind: Kind
    channels: tuple[str, ...]
    plus_only: bool = False
    """Whether the basic plan is refused with 409."""
    msgpack_only: bool = False
    delayed: bool = False
    basic_limit: int | None = None
    """Symbols that the basic plan may have over the `limited` channels."""
    plus_limit: int | None = None
    limited: tuple[str, ...] = ("trades", "quotes")

    @property
    def acknowledged(self) -> tuple[str, ...]:
        """Channels that the acknowledgement always lists; imbalances only where they are subscribed."""
        return tuple(c for c in (_STOCKS if self.kind in ("stocks", "test") else self.channels) if c != "imbalances")


def _stocks(name: str, *, kind: Kind = "stocks", plus_only: bool = False, delayed: bool = False) -> Feed:
    channels = _STOCKS if name in ("sip", "delayed_sip") else tuple(c for c in _STOCKS if c not in _CONSOLIDATED)
    return Feed(name, f"/v2/{name}", kind, channels, plus_only=plus_only, delayed=delayed, basic_limit=30)


FEEDS: Final[tuple[Feed, ...]] = (
    _stocks("iex"),
    _stocks("sip", plus_only=True),
    _stocks("delayed_sip", plus_only=True, delayed=True),
    _stocks("test", kind="test"),
    *(Feed(f"crypto/{where}", f"/v1beta3/crypto/{where}", "crypto", _CRYPTO) for where in CRYPTO_LOCATIONS),
    *(
        Feed(
            name,
            f"/v1beta1/{name}",
            "options",
            ("trades", "quotes"),
            plus_only=name == "opra",
            msgpack_only=True,
            basic_limit=200,
            plus_limit=1_000,
            limited=("quotes",),
        )
        for name in OPTION_FEEDS
    ),
    Feed("news", "/v1beta1/news", "news", ("news",)),
)
_KINDS: Final[dict[str, Kind]] = {"us_equity": "stocks", "crypto": "crypto", "us_option": "options"}


def kind_of(message_kind: str, symbol: str) -> Kind:
    """Which streams a message of the replayed market goes to."""
    return "news" if message_kind == "n" else _KINDS[asset_class_of(symbol)]
