"""Nautilus's order events as text, and back."""

from __future__ import annotations

from typing import Any

import msgspec
from nautilus_trader.serialization.serializer import MsgSpecSerializer

_serializer = MsgSpecSerializer(encoding=msgspec.json)


def encode(event: Any) -> str:
    """An event as JSON: as Nautilus's serializer has it, which takes ten times as long to look for timestamps."""
    return msgspec.json.encode(type(event).to_dict(event)).decode()


def decode(text: str) -> Any:
    """Raises what Nautilus raises where the text is no event."""
    return _serializer.deserialize(text.encode())
