"""What a refusal of the venue says."""

from __future__ import annotations

from runner._engine import Rejected

#: The venue's words for a client order id that it has seen before.
BURNT_ID = "client_order_id must be unique"


def refusal_text(outcome: Rejected) -> str:
    """The venue's own words, with its status and code."""
    code = f", code {outcome.code}" if outcome.code is not None else ""
    return f"{outcome.message or 'refused without a reason'} (HTTP {outcome.status}{code})"
