"""The gate that every order passes before it leaves: limits, reservations, order rates, states."""

from __future__ import annotations
