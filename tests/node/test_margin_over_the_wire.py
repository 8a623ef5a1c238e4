"""Over the wire: what the gate let through, the simulated exchange does not refuse, for money or as a wash trade."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.process import config, running

pytestmark = pytest.mark.slow
GREEDY = """

import random


class Greedy(Trader):
    \"\"\"Asks for far more than it can have, in orders of all sizes that rest, fill, are cancelled and closed.\"\"\"

    def on_start(self):
        super().on_start()
        self.random = random.Random(str(self.id))
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_bar(self, bar):
        quote = self.cache.quote_tick(self.config.instrument_id)
        if quote is None:
            return
        instrument = self.cache.instrument(self.config.instrument_id)
        dice = self.random.random()
        working = self.cache.orders_open(strategy_id=self.id)
        if dice < 0.15 and working:
            self.cancel_order(self.random.choice(working))
        elif dice < 0.25:  # where a purchase rests, that could trade with it
            self.close_all_positions(self.config.instrument_id, time_in_force=TimeInForce.DAY)
        elif not self.cache.orders_inflight(strategy_id=self.id):
            worth = float(quote.ask_price) * 1.001
            size = instrument.make_qty(int(self.random.choice((5_000, 40_000, 90_000, 199_000)) / worth) or 1)
            if dice < 0.6:
                order = self.order_factory.market(instrument.id, OrderSide.BUY, size, time_in_force=TimeInForce.DAY)
            else:
                price = instrument.make_price(float(quote.bid_price) - 0.02)
                order = self.order_factory.limit(
                    instrument.id, OrderSide.BUY, size, price, time_in_force=TimeInForce.DAY
                )
            self.submit_order(order)
"""


def test_nothing_that_passed_is_refused(tmp_path: Path) -> None:
    names = {f"s{n}": "Greedy" for n in range(4)}
    # A quote may change between the gate and the exchange: two thousandths of the buying power are kept for that.
    path = config(
        tmp_path,
        names,
        symbols=("IBM", "BAC", "AAPL", "MSFT"),
        text="risk: {margin: {headroom: 0.2%}, self_match: deny}",
    )
    (tmp_path / "own_traders.py").write_text((tmp_path / "own_traders.py").read_text() + GREEDY)
    with running(path, "--sim", "--speed", "max", "--start", "14:00", "--json") as node:
        code, summary, err = node.summary()
    assert code == 0, err
    assert summary["fills"] > 20, err
    assert "MARGIN_INSUFFICIENT" in err
    assert "SELF_MATCH" in err
    assert "insufficient" not in err
    assert "GATE_ERROR" not in err
    orders = summary["orders"]
    assert orders["denied"] > 20
    assert orders.get("rejected", 0) == 0, err
