"""`runner margin`: what an order would take, and why, without sending anything."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runner.cli._files import EXIT_OK, report
from runner.config.errors import ConfigErrors
from runner.config.margin_file import MarginFile, read_margin_file
from runner.margin.options import OCC, AlpacaOptionsMarginCalculator, OptionPosition
from runner.margin.plot import PlotError, check, payoff, save, show
from runner.margin.symbols import plain_symbol
from runner.margin.whatif import FIGURES, Held, OrderText, OrderTextError, WhatIf, parse_order, what_if

EXIT_REFUSED = 1
_NANO = Decimal("1e-9")
EXIT_USAGE = 2
EXIT_CONNECT = 69


def margin(
    file: Path | None = None,
    *,
    order: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    account: str | None = None,
    cash: Decimal | None = None,
    plot: Path | None = None,
    chart: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Margin before and after an order, its cost basis, and the price at which most is lost. Nothing is sent.

    An order is its legs, the net price a share, and units: `+AAPL250117C00190000 -AAPL250117C00210000 @ 1.00 x 2`. A
    sign buys or sells, `2*` is a ratio; of several legs a negative price is got. Shares are written alike:
    `+IBM @ 190 x 10`. Exit code 1: the order would not be taken.

    Parameters
    ----------
    file
        Cash, positions and an order to try (keys: cash, multiplier, level, expirations, positions, order); with
        --account a file of `runner FILE`.
    order
        The order to try, instead of the file's.
    account
        Take cash and positions from this account of FILE, asked of the broker now.
    cash
        Instead of the file's.
    plot
        Write a picture of payoff and requirement: .png, .svg or .pdf.
    chart
        Draw it in the terminal.
    json_
        Print one JSON object on stdout.
    """
    found: WhatIf | None = None
    try:
        if json_ and chart:
            raise ValueError("--json is for programs and --chart for people, take one of them (--plot goes with both)")
        if plot is not None:
            check(plot)
        given, broker = _given(file, account)
        tried = _order(given.order if order is None else order)
        # What the broker holds may be called as it likes, what somebody typed may not.
        named = plain_symbol if account is None else str
        held = [Held(named(row.symbol), row.qty, row.price, row.margin_percent or 0) for row in given.positions]
        calculator = AlpacaOptionsMarginCalculator(expirations=given.expirations)
        money = given.cash if cash is None else cash
        found = what_if(
            held,
            tried,
            cash=money,
            multiplier=int(given.multiplier),
            level=int(given.level),
            calculator=calculator,
            # With other cash the broker's figure is no longer about this account.
            broker=broker if cash is None else None,
        )
        if json_:
            print(json.dumps(found.as_dict(), indent=2))
        else:
            _table(found)
        if plot is not None or chart:
            _draw(found, held, tried, plot, chart=chart)
    except ConfigErrors as errors:
        return report(errors, as_json=json_)
    except _BrokerError as error:
        return _fail(str(error), EXIT_CONNECT, as_json=json_)
    except PlotError as error:
        if found is None:
            return _fail(str(error), EXIT_USAGE, as_json=json_)
        print(error, file=sys.stderr)  # the answer is told already
        return EXIT_USAGE if found.refusal is None else EXIT_REFUSED
    except (OrderTextError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE, as_json=json_)
    return EXIT_OK if found.refusal is None else EXIT_REFUSED


class _BrokerError(Exception):
    """The broker could not be asked."""


def _fail(message: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"errors": [{"message": message}]}, indent=2, ensure_ascii=False))
    else:
        print(message, file=sys.stderr)
    return code


def _given(file: Path | None, account: str | None) -> tuple[MarginFile, dict[str, Decimal]]:
    """What is held, and the buying powers that the broker tells."""
    if account is not None:
        if file is None:
            raise ValueError("--account is the name of an account in a file, name the file too")
        return _ask(file, account)
    return MarginFile() if file is None else read_margin_file(file), {}


def _order(text: str | None) -> OrderText | None:
    return None if text is None else parse_order(text)


def _ask(file: Path, name: str) -> tuple[MarginFile, dict[str, Decimal]]:
    """Cash, level, positions and what is left from the broker."""
    from runner.config.load import load

    config = load([file], environ=os.environ).config
    if name not in config.accounts:
        raise ValueError(f"{file} has no account `{name}`, it has {', '.join(config.accounts)}")
    import httpx

    from runner import http

    section = config.accounts[name]
    host = "api.alpaca.markets" if config.environment == "live" else "paper-api.alpaca.markets"
    headers = {
        "APCA-API-KEY-ID": section.key.value.get_secret_value(),
        "APCA-API-SECRET-KEY": section.secret.value.get_secret_value(),
    }
    base = section.url or f"https://{host}"
    try:
        with http.client(10.0, base_url=base, headers=headers) as client:
            account, positions = (client.get(path).raise_for_status() for path in ("/v2/account", "/v2/positions"))
            return _read(account.json(), positions.json()), _left(account.json())
    except httpx.HTTPStatusError as error:
        raise _BrokerError(f"account {name}: {base} answered {error.response.status_code}, check its keys") from None
    except httpx.HTTPError as error:
        raise _BrokerError(f"account {name}: {base} can't be reached ({type(error).__name__})") from None
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise _BrokerError(f"account {name}: the reply can't be read ({error})") from None


def _read(account: dict[str, Any], positions: list[dict[str, Any]]) -> MarginFile:
    from runner.alpaca.symbols import pair_symbol

    return MarginFile.model_validate(
        {
            "cash": _nine(account["cash"]),
            "multiplier": account["multiplier"],
            "level": "3" if (level := account.get("options_trading_level")) is None else str(level),
            "positions": [
                {
                    # Positions name a pair without its slash, and as shares it would be lent on.
                    "symbol": pair_symbol(row["symbol"], row.get("asset_class", "")),
                    "qty": row["qty"],
                    "price": price if (price := _nine(row["current_price"] or 0)) > 0 else None,
                }
                for row in positions
            ],
        }
    )


def _left(account: dict[str, Any]) -> dict[str, Decimal]:
    """Working orders are taken off it, and rates that an asset has of its own: cash and positions show neither."""
    names = [name for name in ("options_buying_power", "non_marginable_buying_power") if account.get(name) is not None]
    told = {name: _nine(account[name]) for name in names}
    if not all(value.is_finite() for value in told.values()):
        raise ValueError(f"{told} are no amounts")
    return told


def _nine(told: Any) -> Decimal:
    """A figure of the broker's with as many decimals as are counted."""
    value = Decimal(told)
    exponent = value.as_tuple().exponent
    return value.quantize(_NANO) if isinstance(exponent, int) and exponent < -9 else value


def _table(found: WhatIf) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("USD", no_wrap=True)
    table.add_column("before", justify="right", no_wrap=True)
    if found.after is not None:
        table.add_column("after", justify="right", no_wrap=True)
        table.add_column("change", justify="right", no_wrap=True)
    for name in FIGURES if found.before else ():
        row = [name.replace("_", " "), f"{found.before[name]:,.2f}"]
        if found.after is not None:
            row += [f"{found.after[name]:,.2f}", f"{found.after[name] - found.before[name]:+,.2f}"]
        table.add_row(*row)
    # A number that is cut off is another number: where the terminal is too narrow it breaks the lines itself.
    wide = console.measure(table, options=console.options.update(max_width=1_000)).maximum
    Console(highlight=False, width=max(wide, console.width)).print(table)
    for line in _lines(found):
        console.print(line, soft_wrap=True)


def _lines(found: WhatIf) -> Iterator[str]:
    """What stands below the table."""
    if found.held_back:
        yield f"\nheld back   {found.held_back:,.2f} more by the broker: working orders, or higher rates of its own"
    if found.cost_basis is not None and found.net is not None:
        paid = "paid" if found.net >= 0 else "received"
        yield f"\ncost basis  {found.cost_basis:,.2f} ({abs(found.net):,.2f} {paid})"
    if found.worst is not None and found.worst.amount:
        worst = found.worst
        yield f"worst       {worst.amount:,.2f} lost with {worst.root} at {worst.price:f} on {worst.expiry}"
    if found.refusal is not None:
        yield f"[bold red]refused[/]     {found.refusal}: {found.reason}"
    elif found.after is not None:
        yield "[bold green]allowed[/]"


def _draw(found: WhatIf, held: list[Held], tried: OrderText | None, plot: Path | None, *, chart: bool) -> None:
    if found.worst is None:
        raise PlotError("there is nothing to draw: no options, or an order that is refused")
    sums = {row.symbol: int(row.qty) for row in held if OCC.fullmatch(row.symbol)}
    if tried is not None and tried.options:
        for symbol, ratio in tried.legs:
            sums[symbol] = sums.get(symbol, 0) + ratio * int(tried.qty)
    shares = sum(int(row.qty) for row in held if row.symbol == found.worst.root and row.qty > 0)
    drawn = payoff([OptionPosition(symbol, qty) for symbol, qty in sums.items() if qty], found.worst, shares=shares)
    if plot is not None:
        save(drawn, plot)
    if chart:
        print(show(drawn))
