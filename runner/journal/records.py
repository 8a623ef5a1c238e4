"""Nautilus's order events as text, and back."""

from __future__ import annotations

from typing import Any

import msgspec
from nautilus_trader.serialization.serializer import MsgSpecSerializer

_serializer = MsgSpecSerializer(encoding=msgspec.json)


def encode(event: Any) -> str:
    """An event as JSON, by Nautilus's own serializer."""
    return bytes(_serializer.serialize(event)).decode()


def decode(text: str) -> Any:
    """Raises what Nautilus raises where the text is no event."""
    return _serializer.deserialize(text.encode())
