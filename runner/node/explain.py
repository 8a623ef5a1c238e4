"""Why a connection failed, and what the person at the terminal can do about it."""

from __future__ import annotations

from runner.config.secrets import redact
from runner.journal import JournalError
from runner.node.build import Endpoint
from runner.node.exit_codes import ExitCode, NodeError


def explain_connect(error: BaseException, who: str, endpoint: Endpoint) -> NodeError:
    """One clear sentence and a remedy for what a client raised while it connected."""
    if isinstance(error, NodeError):
        return error
    if isinstance(error, JournalError):
        return NodeError(ExitCode.CONFIG, redact(str(error)))
    status = getattr(error, "status", None)
    text = redact(str(error) or type(error).__name__)
    kind = "paper" if endpoint.paper else "live"
    host = endpoint.trading_url or ("paper-api.alpaca.markets" if endpoint.paper else "api.alpaca.markets")
    if status in (401, 403) or _says(
        text, "401", "403", "unauthorized", "forbidden", "auth failed", "not authenticated"
    ):
        return NodeError(
            ExitCode.CONNECT,
            f"{who}: Alpaca refused the keys ({text})",
            f"make sure that the key and its secret belong together, are for {kind} trading, and were not "
            "regenerated since; `runner show FILE` says where they are read from",
        )
    if status == 406 or _says(text, "406", "connection limit"):
        return NodeError(
            ExitCode.CONNECT,
            f"{who}: Alpaca allows no further connection ({text})",
            "another program uses these keys for the same stream: end it, or wait a minute if it has just ended",
        )
    if _says(text, "refused", "reach", "resolve", "dns", "timed out", "timeout", "connect", "network"):
        return NodeError(
            ExitCode.CONNECT,
            f"{who}: {host} can't be reached ({text})",
            "check the network and the address; `runner FILE --sim` needs neither network nor keys",
        )
    return NodeError(ExitCode.CONNECT, f"{who}: could not connect to {host}: {type(error).__name__}: {text}")


def _says(text: str, *words: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in words)
