"""Who is calling: key id out of the three forms of credentials that Alpaca takes over HTTP."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from runner.exchange.errors import AlpacaError

# A key id with this prefix is a wrong key: tests and users see what a refusal looks like.
BAD_KEY_PREFIX: Final = "BAD"
KEY_HEADER: Final = "apca-api-key-id"
SECRET_HEADER: Final = "apca-api-secret-key"  # noqa: S105  # the name of a header


def accepts(key_id: str, secret: str) -> bool:
    """Whether the pair is good: any that is not empty, except key ids that begin with BAD."""
    return bool(key_id) and bool(secret) and not key_id.startswith(BAD_KEY_PREFIX)


def credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Key id and secret as the headers have them, or None where they have none.

    `headers` must look names up in lower case (starlette's do). A bearer token counts as key id and secret at once.
    """
    key_id = headers.get(KEY_HEADER)
    if key_id is not None:
        return key_id, headers.get(SECRET_HEADER, "")
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest, rest
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return None


def authenticate(headers: Mapping[str, str]) -> str:
    """The key id of a request.

    Raises AlpacaError 401, without a code as the real one has it, when the credentials are missing or wrong.
    """
    found = credentials(headers)
    if found is None or not accepts(*found):
        raise AlpacaError(401, None, "unauthorized.")
    return found[0]
