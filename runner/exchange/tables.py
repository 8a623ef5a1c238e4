"""Codes of exchanges and of sale and quote conditions, as `/v2/stocks/meta` lists them (CTS and UTP specifications)."""

from __future__ import annotations

from typing import Final

EXCHANGES: Final = {
    "A": "NYSE American (AMEX)",
    "B": "NASDAQ OMX BX",
    "C": "National Stock Exchange",
    "D": "FINRA ADF",
    "H": "MIAX",
    "I": "International Securities Exchange",
    "J": "Cboe EDGA",
    "K": "Cboe EDGX",
    "L": "Long Term Stock Exchange",
    "M": "Chicago Stock Exchange",
    "N": "New York Stock Exchange",
    "P": "NYSE Arca",
    "Q": "NASDAQ OMX",
    "S": "NASDAQ Small Cap",
    "U": "Members Exchange",
    "V": "IEX",
    "X": "NASDAQ OMX PSX",
    "Y": "Cboe BYX",
    "Z": "Cboe BZX",
}
CONDITIONS: Final = {
    "trade": {
        " ": "Regular Sale",
        "4": "Derivatively Priced",
        "6": "Closing Prints",
        "7": "Qualified Contingent Trade",
        "@": "Regular Sale",
        "C": "Cash Sale",
        "F": "Intermarket Sweep",
        "H": "Price Variation Trade",
        "I": "Odd Lot Trade",
        "M": "Market Center Official Close",
        "N": "Next Day",
        "O": "Opening Prints",
        "P": "Prior Reference Price",
        "Q": "Market Center Official Open",
        "R": "Seller",
        "T": "Form T",
        "U": "Extended Trading Hours (Sold Out of Sequence)",
        "V": "Contingent Trade",
        "W": "Average Price Trade",
        "X": "Cross Trade",
        "Z": "Sold (Out of Sequence)",
    },
    "quote": {"R": "Regular Market Maker Open", "A": "Slow Quote Offer Side", "B": "Slow Quote Bid Side"},
}
