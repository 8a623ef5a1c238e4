"""Secrets are planted wherever a file may name one, and looked for in everything that the node lets out.

The strategy does its worst: it logs the secret in Nautilus's log and in Python's, raises with it in the message, and
in a thread. Looked through are the terminal, the log files at their most talkative, the metrics, every answer of the
control API, the commands' output, the summary, the report, the journal, and what the commands of the process show.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import time
from pathlib import Path

import httpx
import pytest

from runner.exchange.server import ExchangeServer
from runner.exchange.settings import Settings
from tests.node.process import ROOT, config, running

pytestmark = pytest.mark.slow
PLANTED = {
    "TEST_KEY": "PKPLANTED0KEY0000001",
    "TEST_SECRET": "planted/secret+of=the/account",
    "TEST_TOKEN": "planted-token-of-the-control",
    "TEST_HOOK": "http://127.0.0.1:9/services/planted-hook-path",
    "TEST_REDIS": "planted-password-of-redis",
}
LEAKY = """
import logging
import os
import threading

from own_traders import Trader


def tell_all():
    raise RuntimeError("in a thread: " + os.environ["TEST_SECRET"])


class Leaky(Trader):
    def on_start(self):
        secret = os.environ["TEST_SECRET"]
        self.log.error("Nautilus's log has " + secret)
        logging.getLogger("mine").warning("Python's log has %s", secret)
        threading.Thread(target=tell_all).start()
        super().on_start()

    def on_bar(self, bar):
        secret = os.environ["TEST_SECRET"]
        raise ValueError(f"it raised with {secret} and {os.environ['TEST_TOKEN']}")
"""
MORE = """
control: {{listen: '127.0.0.1:0', token: {{env: TEST_TOKEN}}}}
metrics: {{listen: '127.0.0.1:0'}}
alerts: {{webhook: {{url: {{env: TEST_HOOK}}}}, min_interval: 1s}}
log: {{level: debug, file: "{logs}", format: json}}
state: {{dir: "{state}"}}
node: {{connect_timeout: 15s, http_timeout: 2s}}
"""


async def test_no_secret_gets_out(tmp_path: Path) -> None:
    async with ExchangeServer(Settings(wait=True, symbols=("IBM", "BAC"), start=time(10, 0), speed=60)) as exchange:
        text = MORE.format(logs=tmp_path / "logs", state=tmp_path / "state")
        path = config(tmp_path, {"leaky": "Trader", "good": "Trader"}, text=text, url=exchange.url)
        (tmp_path / "leaky.py").write_text(LEAKY)
        feed = f"{{market: stocks, data_url: '{exchange.url}', stream_url: '{exchange.ws_url}'}}"
        whole = path.read_text().replace("{market: stocks}", feed)
        path.write_text(whole.replace("own_traders:Trader", "leaky:Leaky", 1))
        told = await asyncio.to_thread(_gather, path, tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            told[str(file.relative_to(tmp_path))] = file.read_bytes().decode("utf-8", "replace")
    # The leaks did happen, or the test would show nothing.
    assert "Nautilus's log has **********" in told["terminal"]
    assert "Python's log has **********" in told["terminal"]
    assert "it raised with ********** and **********" in told["terminal"]
    assert "in a thread: **********" in told["terminal"]
    assert any(name.startswith("logs/") and text for name, text in told.items())
    assert any(name.endswith(".sqlite") for name in told)
    found = [(name, variable) for name, text in told.items() for variable, value in PLANTED.items() if value in text]
    assert found == []


def _gather(path: Path, folder: Path) -> dict[str, str]:
    told: dict[str, str] = {}
    environment = PLANTED | {"XDG_RUNTIME_DIR": str(folder)}
    with running(path, "--json", "--report", folder / "report.html", **environment) as node:
        metrics = node.until("metrics at ").split("metrics at ")[1]
        url = node.until("control at ").split("control at ")[1].split(",")[0]
        node.until("it raised with")
        node.until(" good buys ")
        with httpx.Client(trust_env=False, timeout=30) as client:
            told["metrics"] = client.get(metrics).text
            headers = {"Authorization": f"Bearer {PLANTED['TEST_TOKEN']}"}
            told["api status"] = client.get(f"{url}/v1/status", headers=headers).text
            wrong = {"Authorization": f"Bearer {PLANTED['TEST_TOKEN']}-wrong"}
            told["api refused"] = client.get(f"{url}/v1/status", headers=wrong).text
            for command in ("halt", "resume", "cancel", "nonsense"):
                body = {"why": f"because {PLANTED['TEST_SECRET']}"}
                told[f"api {command}"] = client.post(f"{url}/v1/{command}", headers=headers, json=body).text
        for words in (("show",), ("check",), ("plan", "--json"), ("reload", "--json"), ("doctor", "--json")):
            told[" ".join(words)] = _cli(*words, str(path), **environment)
        told["status"] = _cli("status", "--json", **environment)
        told["command line"] = Path(f"/proc/{node.process.pid}/cmdline").read_text()
        node.signal()
        _, out, err = node.end()
    told["summary"], told["terminal"] = out, err
    told["no network"] = _cli(
        "run", str(path), "--json", **environment, RUNNER__ACCOUNTS__MAIN__URL="http://127.0.0.1:9"
    )
    assert re.search("strateg", told["api status"])
    return told


def _cli(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "runner.cli", *words],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout or done.stderr, words
    return done.stdout + done.stderr
