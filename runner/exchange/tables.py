"""Codes of exchanges and of sale and quote conditions, as the `meta` paths list them (CTS, UTP and OPRA
specifications)."""

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
OPTION_EXCHANGES: Final = {
    "A": "AMEX - NYSE American",
    "B": "BOX - Boston Options Exchange",
    "C": "CBOE - Cboe Options Exchange",
    "D": "EMERALD - Miami International Stock Exchange",
    "E": "EDGX - Cboe EDGX Options",
    "H": "GEMX - Nasdaq GEMX",
    "I": "ISE - Nasdaq ISE",
    "J": "MRX - Nasdaq MRX",
    "M": "MIAX - Miami International Stock Exchange",
    "N": "ARCA - NYSE Arca",
    "P": "PEARL - Miami International Stock Exchange",
    "Q": "NOM - Nasdaq Options Market",
    "S": "BATS - Cboe BZX Options",
    "T": "BX - Nasdaq BX Options",
    "U": "MEMX - Members Exchange",
    "W": "C2 - Cboe C2 Options",
    "X": "PHLX - Nasdaq PHLX",
}
OPTION_CONDITIONS: Final = {
    "trade": {
        "A": "CANC - Transaction previously reported, now to be cancelled",
        "B": "OSEQ - Reported late and out of sequence",
        "D": "LATE - Reported late, in sequence",
        "I": "AUTO - Executed electronically",
        "S": "ISOI - Intermarket sweep order",
        "a": "SLAN - Single leg auction, not an intermarket sweep",
        "f": "MLET - Multi-leg, executed electronically",
        "g": "MLAT - Multi-leg auction",
    },
    "quote": {"A": "Electronic quote, eligible for automatic execution", "B": "Bid from a manual process", "F": "Firm"},
}
