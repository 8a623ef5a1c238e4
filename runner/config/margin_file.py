"""The file that `runner margin` reads: an account, its positions, and an order to try."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from runner.config.document import MapNode, Mark, plain
from runner.config.errors import ConfigError, ConfigErrors
from runner.config.fields import Limit
from runner.config.reader import read
from runner.config.section import Section
from runner.config.source import Source


class HeldPosition(Section):
    """Shares, coins or contracts; negative where short."""

    symbol: str
    qty: Decimal
    price: Limit | None = Field(None, description="What one is worth now, USD a share; default: not counted.")
    margin_percent: int | None = Field(
        None, ge=0, le=100, description="The asset's own maintenance rate, where higher."
    )


class MarginFile(Section):
    """What is tried."""

    cash: Decimal = Decimal(0)
    multiplier: Literal["1", "2", "4"] = "2"
    level: Literal["0", "1", "2", "3"] = Field("3", description="The account's options level.")
    expirations: Literal["per_date", "from_date"] = "per_date"
    positions: list[HeldPosition] = Field(default_factory=list)
    order: str | None = Field(None, description="Such as +AAPL250117C00190000 -AAPL250117C00210000 @ 1.00 x 2.")


def read_margin_file(path: Path) -> MarginFile:
    """Parse and check the file. Raises ConfigErrors with every mistake at its line and column."""
    parsed = read(path)
    root = parsed.root if isinstance(parsed.root, MapNode) else None
    source = Source(root or MapNode(Mark(str(path), 1, 1)), {parsed.path: parsed.lines})
    errors = [source.error("parse", flaw.mark, flaw.where, flaw.message) for flaw in parsed.flaws]
    if errors or root is None:
        raise ConfigErrors(errors)
    try:
        return MarginFile.model_validate(plain(root))
    except ValidationError as invalid:
        details = invalid.errors(include_url=False)
    raise ConfigErrors([_error(source, detail) for detail in details])


def _error(source: Source, detail: Any) -> ConfigError:
    path, kind = detail["loc"], detail["type"]
    known = [*MarginFile.model_fields] if len(path) < 2 else [*HeldPosition.model_fields]
    if kind == "extra_forbidden":
        return source.error("schema", source.key_mark(path), path, f"unknown key, known here: {', '.join(known)}")
    if kind == "missing":
        return source.error("schema", source.key_mark(path[:-1]), path, f"missing, add `{path[-1]}:`")
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return source.error("schema", source.value_mark(path), path, message)
