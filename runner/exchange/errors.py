"""The venue's error replies: one exception, one JSON shape.

Alpaca's contract is the HTTP status and the `code`; the text may change. A code is the status followed by two or
five digits of its own (40310000 = 403 + 10000), and the market-data host sends no code at all, which `code=None`
stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MALFORMED: Final = 40010000
INVALID: Final = 40010001
UNAUTHORIZED: Final = 40110000
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
UNPROCESSABLE: Final = 42210000
TOO_MANY: Final = 42910000
INTERNAL: Final = 50010000


class AlpacaError(Exception):
    """A refusal as Alpaca words it.

    `extra` are further members of the body (`existing_qty`, `related_orders`, …); its values must be JSON-
    serialisable.
    """

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra: dict[str, Any] = dict(extra or {})
        self.headers: dict[str, str] = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body of the reply."""
        code = {} if self.code is None else {"code": self.code}
        return {**code, "message": self.message, **self.extra}


async def alpaca_error_handler(_request: Request, error: Exception) -> Response:
    """Starlette's exception handler: `exception_handlers={AlpacaError: alpaca_error_handler}`."""
    if not isinstance(error, AlpacaError):  # starlette's signature promises no more than Exception
        raise error
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def invalid(message: str) -> AlpacaError:
    """422/40010001: the request itself makes no sense."""
    return AlpacaError(422, INVALID, message)


def unprocessable(message: str, **extra: Any) -> AlpacaError:
    """422/42210000: a parameter that is illegal for this asset, session or state."""
    return AlpacaError(422, UNPROCESSABLE, message, extra)


def forbidden(message: str, **extra: Any) -> AlpacaError:
    """403/40310000: buying power, quantity, wash trade, permission."""
    return AlpacaError(403, FORBIDDEN, message, extra)


def not_found(message: str) -> AlpacaError:
    """404/40410000."""
    return AlpacaError(404, NOT_FOUND, message)
