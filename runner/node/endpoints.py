"""Which hosts and keys a run uses. A key of the wrong kind (paper, live) is a mistake that the config finds."""

from __future__ import annotations

from runner.config.models import RunnerConfig
from runner.node.build import Endpoint
from runner.node.exit_codes import ExitCode, NodeError
from runner.node.simulation import Ready, throwaway_keys


def simulated(config: RunnerConfig, ready: Ready) -> tuple[dict[str, Endpoint], dict[str, Endpoint]]:
    """Accounts and feeds at the simulated exchange, each account with fresh keys of its own."""
    accounts = {}
    for name in config.accounts:
        key, secret = throwaway_keys(name)
        accounts[name] = Endpoint(key, secret, True, ready.url, ready.url, ready.ws_url)
    first = next(iter(accounts.values()))
    return accounts, dict.fromkeys(config.feeds, first)


def real(config: RunnerConfig, *, live: bool) -> tuple[dict[str, Endpoint], dict[str, Endpoint]]:
    """Accounts and feeds at the broker. Raises NodeError (configuration) before anything connects."""
    if config.environment == "live" and not live:
        raise NodeError(
            ExitCode.CONFIG,
            "this file is for live trading, with real money, and --live is not given",
            "add --live if you mean it, or --sim to try the file against the simulated exchange",
        )
    if live and config.environment != "live":
        raise NodeError(
            ExitCode.CONFIG,
            f"--live is given, but the file says `environment: {config.environment}`",
            "live trading needs both: `environment: live` in the file, and --live",
        )
    paper = config.environment != "live"
    # An account asks for prices too (of what it holds), and the same host is right for that.
    data_url = next((feed.data_url for feed in config.feeds.values() if feed.data_url is not None), None)
    accounts = {}
    for name, account in config.accounts.items():
        key, secret = account.key.value.get_secret_value(), account.secret.value.get_secret_value()
        accounts[name] = Endpoint(key, secret, paper, trading_url=account.url, data_url=data_url)
    feeds = {}
    for name, feed in config.feeds.items():
        key_ref, secret_ref = config.feed_credentials(name)
        first = next(iter(config.accounts.values()))
        feeds[name] = Endpoint(
            key_ref.value.get_secret_value(),
            secret_ref.value.get_secret_value(),
            paper,
            trading_url=first.url,
            data_url=feed.data_url,
            stream_url=feed.stream_url,
        )
    return accounts, feeds
