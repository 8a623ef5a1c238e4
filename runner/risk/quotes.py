"""What is wrong with the market that an order wants to open in, in words: the quote, or the price beside it.

The engine judges (`engine_rs/src/risk/quote.rs`). The collar is about being filled far from the market, so only the
harmful side counts: a buy above the middle of the quote, a sale below it. A limit is held to its price, a market order
to the far side of the quote. A stop without a limit has no price until it is triggered; a stop with one is held to its
trigger, where that is further away than the market. Of a spread every leg needs a sound quote, and its price is held to
the middle of what they make together; that may be 0 or below, so a percentage is of what the legs are worth together.
"""

from __future__ import annotations

from typing import Any

from nautilus_trader.model.identifiers import generic_spread_id_to_list

from runner._engine import RiskFault
from runner.risk.candidate import Candidate
from runner.risk.codes import Code, Denial, percent, seconds, text
from runner.risk.exposure import decimal
from runner.risk.limits import Rules
from runner.risk.prices import Prices

Fault = RiskFault.QuoteMissing | RiskFault.QuoteCrossed | RiskFault.QuoteStale | RiskFault.Collar


def of_spread(instrument_id: Any, prices: Prices) -> tuple[int | None, int | None, int, int, int]:
    """What the legs' quotes make together: bid, ask, the time of the oldest, twice what the legs are worth, and the
    time of the newest; without bid and ask where one of the legs has no sound quote.
    """
    bid = ask = worth = 0
    times: list[int] = []
    for leg_id, ratio in generic_spread_id_to_list(instrument_id):
        low, high, ts_event = prices.quote(leg_id)
        if low is None or high is None or low > high:
            return None, None, 0, 0, 0
        bid += (low if ratio > 0 else high) * ratio
        ask += (high if ratio > 0 else low) * ratio
        worth += (low + high) * abs(ratio)
        times.append(ts_event)
    return bid, ask, min(times), worth, max(times)


def words(fault: Fault, candidate: Candidate, rules: Rules, prices: Prices, now_ns: int) -> Denial:
    """The denial that a fault of the quote, or of the price, comes to."""
    if isinstance(fault, RiskFault.Collar):
        return _collar(fault, candidate, rules)
    instrument_id = candidate.instrument_id
    if candidate.facts is not None and candidate.facts.spread:
        for leg_id, _ in generic_spread_id_to_list(instrument_id):
            if (denial := _unsound(leg_id, rules, prices, now_ns)) is not None:
                return denial
    denial = _unsound(instrument_id, rules, prices, now_ns)
    assert denial is not None, fault
    return denial


def _unsound(instrument_id: Any, rules: Rules, prices: Prices, now_ns: int) -> Denial | None:
    bid, ask, ts_event = prices.quote(instrument_id)
    if bid is None or ask is None:
        missing = "bid" if bid is None and ask is not None else "ask" if bid is not None else "quote"
        return Denial(Code.QUOTE_MISSING, f"{instrument_id} has no {missing}, so nothing can be opened")
    if bid > ask:
        return Denial(
            Code.QUOTE_CROSSED,
            f"the quote of {instrument_id} is crossed (bid {_text(bid)}, ask {_text(ask)}), so nothing can be opened",
        )
    age_ns = now_ns - ts_event
    if rules.quote_age is not None and abs(age_ns) > rules.quote_age.value:
        return Denial(
            Code.QUOTE_STALE,
            f"the quote of {instrument_id} is {seconds(abs(age_ns))} {'old' if age_ns > 0 else 'ahead of venue time'}, "
            f"more than the {seconds(rules.quote_age.value)} of {rules.quote_age.where}",
        )
    return None


def _collar(fault: RiskFault.Collar, candidate: Candidate, rules: Rules) -> Denial:
    """The engine's figures are doubled: a middle can lie between two nano-dollars."""
    bound = rules.collar_absolute if fault.absolute else rules.collar_percent
    assert bound is not None
    limit = text(bound.value) if fault.absolute else percent(bound.value)
    price, away, reference = (decimal(each) / 2 for each in (fault.price, fault.away, fault.reference))
    share = f" ({percent(away / decimal(fault.worth) * 2)})" if fault.worth else ""
    buy = candidate.buy
    return Denial(
        Code.PRICE_COLLAR,
        f"to {'buy' if buy else 'sell'} {candidate.instrument_id} at {text(price)} is {text(away)}{share} "
        f"{'above' if buy else 'below'} the {'trigger' if fault.at_trigger else 'middle'} of {text(reference)}, "
        f"more than the {limit} of {bound.where}",
    )


def _text(nano_dollars: int) -> str:
    return text(decimal(nano_dollars))
