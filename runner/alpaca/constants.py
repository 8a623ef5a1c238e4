"""Names and addresses of Alpaca that the adapter's other modules share."""

from __future__ import annotations

from typing import Final

from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Currency

ALPACA: Final = "ALPACA"
ALPACA_VENUE: Final = Venue(ALPACA)
USD: Final = Currency.from_str("USD")

#: Statuses after which an order of that id never fills again.
TERMINAL_STATUSES: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})

#: Alpaca's own limit is 128; what is derived from an id (`-2`, `-r12`) has to fit too.
MAX_CLIENT_ORDER_ID: Final = 120

#: Widest page that `/v2/orders` and `/v2/account/activities` allow.
ORDERS_PAGE: Final = 500
ACTIVITIES_PAGE: Final = 100

NANOS: Final = 1_000_000_000
