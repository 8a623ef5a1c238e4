"""Requests for market data, held against Alpaca's own OpenAPI specification: paths, parameters and their values.

`market_data_excerpt.json` is what the specification says of the paths that are used, references followed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator

EXCERPT = json.loads((Path(__file__).parent / "market_data_excerpt.json").read_text())
type Query = tuple[str, list[tuple[str, str]]]


class Recording:
    """The HTTP client, with the queries for market data that pass through it written down."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.queries: list[Query] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name != "get" and not name.startswith("request_"):
            return method

        def ask(path: str, params: Any = (), *more: Any, **how: Any) -> Any:
            if name != "get" or how.get("data"):
                self.queries.append((path, list(params)))
            return method(path, params, *more, **how)

        return ask


def record(rig: Any) -> Recording:
    """From now on what the data client asks for is written down."""
    shared = rig.data._shared
    shared._client = Recording(shared.client)
    return shared._client


def check(path: str, query: list[tuple[str, str]]) -> str:
    """The path in the specification; fails for a request that it does not have."""
    template = next((each for each in EXCERPT if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path)), None)
    assert template is not None, f"{path} is not in the specification"
    known = {row["name"]: row for row in EXCERPT[template] if row["in"] == "query"}
    assert {name for name, row in known.items() if row.get("required")} <= {name for name, _ in query}, (path, query)
    assert len({name for name, _ in query}) == len(query), "a parameter stands twice"
    for name, text in query:
        assert name in known, (path, name)
        schema = known[name]["schema"]
        value = json.loads(text) if schema.get("type") in ("integer", "boolean", "number") else text
        errors = [error.message for error in OAS30Validator(schema, format_checker=FormatChecker()).iter_errors(value)]
        assert not errors, (path, name, text, errors)
    return str(template)
