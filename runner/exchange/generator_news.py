"""Made-up news: a few articles a day for each symbol, the same for the same seed. They have no effect on prices."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from runner.exchange.assets import make_asset
from runner.exchange.calendar import NS
from runner.exchange.wire import Message, canonical, stamp

ARTICLES_PER_SYMBOL: Final = 3
_HEADLINES: Final = (
    "{name} Shares In Focus As Volume Picks Up",
    "Analyst Reiterates View On {name}",
    "What Traders Are Watching In {name} Today",
    "{name} Moves With The Market: What To Know",
    "A Look At {name}'s Recent Performance",
)
_SENTENCES: Final = (
    "This article is synthetic: it was made up by a simulated exchange.",
    "Nothing in it happened, and no price reacts to it.",
)


def articles(symbols: Sequence[str], day: date, start_s: int, end_s: int, seed: int) -> Iterator[Message]:
    """Articles between two UNIX times in seconds, in time order."""
    # Seeded by text: the same on every machine and with any hash seed.
    rnd = random.Random(f"{seed}/news/{day}/{','.join(symbols)}")  # noqa: S311  # reproducible, not secret
    times = sorted(rnd.randrange(start_s, end_s) for _ in range(ARTICLES_PER_SYMBOL * len(symbols)))
    for number, second in enumerate(times):
        about = sorted({rnd.choice(symbols), *(rnd.sample(list(symbols), 1) if rnd.random() < 0.2 else ())})
        name = make_asset(about[0]).name
        headline = rnd.choice(_HEADLINES).format(name=name)
        fields = {
            "id": 40_000_000 + (start_s // 86_400 % 100_000) * 1_000 + number,
            "headline": headline,
            "summary": _SENTENCES[0],
            "author": "Simulated Newsroom",
            "created_at": stamp(second * NS),
            "updated_at": stamp(second * NS),
            "url": f"https://news.invalid/{day}/{number}",
            "content": f"<p>{' '.join(_SENTENCES)}</p>",
            "symbols": [symbol.replace("/", "") for symbol in about],
            "source": "synthetic",
        }
        yield Message(second * NS, "n", "", canonical("n", "", fields))
