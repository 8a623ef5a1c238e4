"""The example is a program: it says what is missing, and trades on the simulated exchange."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import time
from pathlib import Path
from typing import Any

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "alpaca_equity_ema_cross.py"


async def _run(environ: dict[str, str]) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPACA_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        "IBM",
        env=clean | environ | {"PYTHONPATH": str(EXAMPLE.parents[1])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def test_without_keys_it_says_which_variables_to_set(play: Any) -> None:
    async def scenario() -> None:
        code, _, err = await _run({"ALPACA_API_KEY": "PKX"})
        assert code == 78
        assert "ALPACA_API_SECRET not set" in err
        assert "ALPACA_API_KEY and" not in err

    play(scenario())


def test_it_trades_on_the_simulated_exchange(play: Any) -> None:
    async def scenario() -> None:
        async with ExchangeServer(Settings(symbols=("IBM",), speed=600.0, start=time(10, 0), wait=True)) as exchange:
            code, out, err = await _run(
                {
                    "ALPACA_API_KEY": "PKEXAMPLE",
                    "ALPACA_API_SECRET": "secret-of-the-example",
                    "ALPACA_TRADING_URL": exchange.url,
                    "ALPACA_DATA_URL": exchange.url,
                    "ALPACA_STREAM_URL": exchange.ws_url,
                    "ALPACA_RUN_SECONDS": "15",
                }
            )
            orders = exchange.broker.desk.account("PKEXAMPLE").orders
            assert code == 0, err
            assert any(order.status == "filled" for order in orders.values()), out[-2000:]
            assert "secret-of-the-example" not in out + err

    play(scenario())
