"""Whether data of instruments that are to come can be had is told before anything is subscribed to."""

from __future__ import annotations

from typing import Any


def test_instruments_are_looked_up_and_what_is_not_to_be_had_is_told(play: Any, running: Any) -> None:
    async def scenario() -> None:
        async with running(data=True, data_config={"max_symbols": 2}) as rig:
            client, cache = rig.data, rig.node.kernel.cache
            rig.strategy.subscribe_trade_ticks(next(iter(cache.instrument_ids())))
            await rig.until(lambda: client.subscriptions_confirmed and client.streamed_symbols(), "a subscription")
            (streamed,) = client.streamed_symbols()
            known = "BAC.ALPACA" if streamed == "IBM" else "IBM.ALPACA"
            again = f"{streamed}.ALPACA"

            assert await client.look_up((again, known), (), ()) == [], "one streams already, and one has room"
            assert await client.look_up((again, known), (), (known,)) == []
            (short,) = await client.look_up((again, known), (), (again, known))
            assert "3 subscriptions would be made" in short
            bars = f"{known}-1-MINUTE-LAST-EXTERNAL"
            assert await client.look_up((known,), (bars,), ()) == []

            problems = await client.look_up(
                ("NOPE.ALPACA", "BTC/USD.ALPACA"), (f"{known}-7-DAY-LAST-EXTERNAL", f"{known}-7-DAY-LAST-INTERNAL"), ()
            )
            assert ["NOPE" in problems[0], "feed of crypto" in problems[1], "7-DAY" in problems[2]] == [True] * 3
            assert len(problems) == 3
            assert client.streamed_symbols() == {streamed}, "nothing was subscribed to"

    play(scenario())
