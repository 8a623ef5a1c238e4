"""The peer: alpaca-py with the plainest handler its documentation shows, in a process of its own.

`python -m benches.peer URL ticks N` says for each N quotes how long they took; `… orders` sends an order for each
quote; `… post` posts as many orders as each line of its input says.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from alpaca.data.live import StockDataStream
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    url, what, *rest = sys.argv[1:]
    trading = TradingClient("PKBENCH", "secret", paper=True, url_override=url)
    order = MarketOrderRequest(symbol="IBM", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    if what == "post":
        say(ready=True)
        for wanted_now in sys.stdin:
            took = []
            for _ in range(int(wanted_now)):
                began = time.perf_counter_ns()
                trading.submit_order(order)
                took.append(time.perf_counter_ns() - began)
            say(ns=took)
        return

    stream = StockDataStream("PKBENCH", "secret", url_override=url.replace("http", "ws") + "/v2/iex")
    wanted = int(rest[0]) if rest else 0
    seen, began = 0, 0.0

    async def count(_quote: Any) -> None:
        nonlocal seen, began
        seen += 1
        if seen == 1:
            began = time.perf_counter()
        elif seen == wanted:
            say(seconds=time.perf_counter() - began)
            seen = 0

    async def react(_quote: Any) -> None:
        trading.submit_order(order)

    stream.subscribe_quotes(count if what == "ticks" else react, "IBM")
    say(ready=True)
    stream.run()


if __name__ == "__main__":
    main()
