"""The generated pages of docs/reference: what a file may say, the commands, exit codes and denial codes.

`python tools/reference.py` writes them; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.cli import app
from runner.metrics.declarations import DENIAL_CODES
from runner.node.exit_codes import ExitCode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `python tools/reference.py`; a test compares the two. Don't edit. -->"

#: Exit codes of `runner run`, and what whoever supervises it should do.
EXITS = {
    ExitCode.OK: ("ended as asked", "nothing"),
    ExitCode.FAILED: ("failed in a way that has no code of its own", "read the last lines of the log"),
    ExitCode.USAGE: ("wrong words on the command line", "`runner COMMAND --help`"),
    ExitCode.NO_DATA: ("`backtest`: no data for what the file trades", "`runner fetch`"),
    ExitCode.CONNECT: ("no connection: network, or keys", "start again later; `runner doctor FILE`"),
    ExitCode.STRATEGY: ("every strategy has failed", "mend the strategy: starting again would fail again"),
    ExitCode.RECONCILE: ("the books could not be reconciled at the start", "look at the account; start again"),
    ExitCode.HUNG: ("a strategy hung; working orders were cancelled", "mend the strategy"),
    ExitCode.CONFIG: ("the file is wrong, or a variable it names is missing", "`runner check FILE`"),
}

#: What a denial means, and what to do about it.
CODES = {
    "MAX_ORDER_QTY": ("more shares, coins or contracts than one order may have", "a smaller order"),
    "MAX_ORDER_NOTIONAL": ("worth more than one order may be", "a smaller order"),
    "PRICE_COLLAR": ("would fill too far from the middle of the quote", "a price nearer to the market"),
    "QUOTE_MISSING": ("there is no quote to judge it by", "wait for a quote, or see why the feed has none"),
    "QUOTE_CROSSED": ("the quote's bid is above its ask", "wait for the next quote"),
    "QUOTE_STALE": ("the quote is older than max_quote_age", "see why the feed is silent"),
    "MAX_POSITION_NOTIONAL": ("the position with its working orders would be worth more", "close, or cancel, first"),
    "MAX_GROSS_EXPOSURE": ("all positions with their working orders would be worth more", "close, or cancel, first"),
    "MAX_OPEN_ORDERS": ("as many orders work already", "cancel some"),
    "MAX_ORDERS": ("as many orders were sent within the time", "look for a loop"),
    "MAX_CANCELS": ("as many cancels within the time; the scope is reducing", "look for a loop, then `runner resume`"),
    "MAX_FILLS": ("as many fills within the time; the scope is reducing", "look for a loop, then `runner resume`"),
    "MAX_DAILY_LOSS": ("the trading day has lost as much; the scope is reducing", "decide, then `runner resume`"),
    "MAX_DRAWDOWN": ("as much was lost since the best point; the scope is reducing", "decide, then `runner resume`"),
    "MARGIN_INSUFFICIENT": ("the buying power left is not enough", "a smaller order; `runner margin` shows the sum"),
    "MARGIN_UNCOVERED": ("a short option would be without cover", "a spread, shares, or cash; see margin.md"),
    "OPTION_REFUSED": ("the account's options level, or the contract, does not allow it", "see the sentence"),
    "DUPLICATE_ORDER": ("the same order was sent a moment ago", "look for a double signal"),
    "SELF_MATCH": ("an own order rests on the other side (a wash trade)", "cancel the order that is named"),
    "SYMBOL_DENIED": ("the universe of the file does not have it", "add it, or leave it"),
    "NOT_SHORTABLE": ("the stock can't be sold short, or the file forbids it", "nothing to do today"),
    "SESSION_CLOSED": ("not in a session that the file allows", "wait for the session"),
    "SCHEDULE_CLOSED": ("the strategy's schedule lets nothing be opened now", "the sentence says until when"),
    "ORDER_ILLEGAL": ("the venue has no such order", "the sentence says what to send instead"),
    "STATE_HALTED": ("the scope is halted", "`runner status` says why, `runner resume` ends it"),
    "STATE_REDUCING": ("the scope may only close", "`runner status` says why, `runner resume` ends it"),
    "STREAM_DOWN": ("trade updates don't arrive, or market data has a gap", "it ends with the next catch-up"),
    "NO_PRICE": ("nothing says what it is worth", "subscribe to quotes or trades of it"),
    "NO_ACCOUNT": ("the account was not read yet", "wait; `runner status`"),
    "GATE_ERROR": ("the gate itself failed, and denies what it can't judge", "report it: the log has the traceback"),
    "GATE_BYPASSED": ("the order did not come through the gate", "report it"),
    "STRATEGY_DOWN": ("the strategy has failed or is stopped", "mend it"),
    "OTHER": ("a denial of Nautilus's own (precision, rates)", "see the sentence"),
}  # fmt: skip


def commands() -> str:
    text = app.generate_docs(output_format="markdown", recursive=True)
    # The site has a table of contents of its own.
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands\*\*)", "", text, flags=re.DOTALL)
    return text.replace("# runner\n", f"# Commands\n\n{NOTE}\n", 1).rstrip() + "\n"


def file() -> str:
    schema = json.loads((ROOT / "configs" / "runner.schema.json").read_text())
    about = (
        "Every key there is; whatever else stands in a file is an error. In bold: it must be there. Numbers are exact "
        "decimals and may have `_` between digits; times are `500ms`, `30s`, `1m`, `1h`, `1d`."
    )
    lines = ["# The file", "", NOTE, "", about, *_table(schema)]
    for name, section in schema["$defs"].items():
        lines += [
            "",
            f"## {name}",
            *(["", section["description"]] if "description" in section else []),
            *_table(section),
        ]
    return "\n".join(lines) + "\n"


def _table(section: dict[str, Any]) -> Iterator[str]:
    yield from ("", "| key | value | default | |", "| --- | --- | --- | --- |")
    required = section.get("required", ())
    for name, value in section.get("properties", {}).items():
        key = f"**`{name}`**" if name in required else f"`{name}`"
        default = value.get("default")
        shown = "" if default in (None, "") else f"`{default if isinstance(default, str) else json.dumps(default)}`"
        yield f"| {key} | {_kind(value)} | {shown} | {value.get('description', '').replace('|', chr(92) + '|')} |"


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        kinds = dict.fromkeys(_kind(each) for each in value["anyOf"] if each.get("type") != "null")
        # A number may be written as text with `_` in it.
        if "number" in kinds:
            kinds = {k: None for k in kinds if k != "string"} | ({"`2%`": None} if "%" in json.dumps(value) else {})
        return " or ".join(kinds)
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"a name each: {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    if examples := value.get("examples"):
        return ", ".join(f"`{each}`" for each in examples)
    return str(value.get("type", "any"))


def codes() -> str:
    lines = [
        "# Codes", "", NOTE, "", "## Exit codes", "",
        "| code | meaning | what to do |", "| --- | --- | --- |",
    ]  # fmt: skip
    for code in ExitCode:
        meaning, remedy = EXITS[code]
        lines.append(f"| {int(code)} | {meaning} | {remedy} |")
    second = "A second signal ends the process at once, with 128 + its number."
    about = (
        "The first word of a denied order's reason, and `code` in `runner_denials_total`. A code is never renamed. "
        "What each control does to opening and closing orders: [risk controls](../risk.md)."
    )
    lines += ["", second, "", "## Denials", "", about, "", "| code | meaning | what to do |", "| --- | --- | --- |"]
    for name in DENIAL_CODES:
        meaning, remedy = CODES[name]
        lines.append(f"| `{name}` | {meaning} | {remedy} |")
    return "\n".join(lines) + "\n"


PAGES = {"commands.md": commands, "file.md": file, "codes.md": codes}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
