"""Implied volatility and greeks of an option, computed by the plain Black-Scholes formula: European exercise, no
dividends, one interest rate.

Source: Black & Scholes 1973, in the notation of Hull, "Options, Futures, and Other Derivatives", ch. 15 and 19. Units
as Alpaca gives them: vega and rho per percentage point, theta per calendar day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
_LOWEST, _HIGHEST = 0.001, 10.0
_HALVINGS: Final = 60


@dataclass(frozen=True, slots=True)
class Terms:
    """What a price depends on besides volatility: dollars a share, years left, and the interest rate of a year."""

    call: bool
    spot: float
    strike: float
    years: float
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """Sensitivities of the price of one share's worth of the option."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float

    def to_json(self) -> dict[str, float]:
        """As Alpaca shows them, four places."""
        values = {"delta": self.delta, "gamma": self.gamma, "rho": self.rho, "theta": self.theta, "vega": self.vega}
        return {name: round(value, 4) for name, value in values.items()}


def price(terms: Terms, volatility: float) -> float:
    """What the option is worth, dollars a share."""
    first, second = _d(terms, volatility)
    discounted = terms.strike * math.exp(-terms.rate * terms.years)
    if terms.call:
        return terms.spot * _normal(first) - discounted * _normal(second)
    return discounted * _normal(-second) - terms.spot * _normal(-first)


def implied_volatility(terms: Terms, paid: float) -> float | None:
    """The volatility at which the option is worth `paid`, by bisection; None where no volatility gives that price."""
    if terms.years <= 0 or terms.spot <= 0 or not price(terms, _LOWEST) < paid < price(terms, _HIGHEST):
        return None
    low, high = _LOWEST, _HIGHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if price(terms, middle) < paid:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def greeks(terms: Terms, volatility: float) -> Greeks:
    """The sensitivities at this volatility."""
    first, second = _d(terms, volatility)
    root = math.sqrt(terms.years)
    density = math.exp(-first * first / 2) / math.sqrt(2 * math.pi)
    discounted = terms.strike * math.exp(-terms.rate * terms.years)
    sign = 1 if terms.call else -1
    decay = -terms.spot * density * volatility / (2 * root) - sign * terms.rate * discounted * _normal(sign * second)
    return Greeks(
        delta=_normal(first) if terms.call else _normal(first) - 1,
        gamma=density / (terms.spot * volatility * root),
        theta=decay / 365,
        vega=terms.spot * density * root / 100,
        rho=sign * discounted * terms.years * _normal(sign * second) / 100,
    )


def _d(terms: Terms, volatility: float) -> tuple[float, float]:
    spread = volatility * math.sqrt(terms.years)
    first = (math.log(terms.spot / terms.strike) + terms.rate * terms.years) / spread + spread / 2
    return first, first - spread


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2
