"""What an account could come to hold by an order: short sales, and the limits on positions and gross exposure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from runner.risk import universe
from runner.risk.candidate import Candidate, Subject
from runner.risk.codes import Code, Denial, percent, text
from runner.risk.exposure import ZERO, Sum
from runner.risk.gross import GrossExposure, Part
from runner.risk.ledger import Ledger
from runner.risk.limits import Bound
from runner.risk.positions import Positions
from runner.risk.reducing import Reducing
from runner.risk.sums import Sums


class Holdings:
    """Asked once an order is known to open something."""

    def __init__(
        self,
        *,
        cache: Any,
        sums: Sums,
        positions: Positions,
        reducing: Reducing,
        gross: GrossExposure,
        ledger: Ledger,
    ) -> None:
        self._cache = cache
        self._sums = sums
        self._positions = positions
        self._reducing = reducing
        self._gross = gross
        self._ledger = ledger

    def check(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        """A denial with the order that it is about, or None."""
        for candidate in candidates:
            if candidate.buy:
                continue
            held = self._positions.qty(candidate.instrument_id, subject.account_id)
            side = self._sums.side(candidate.instrument_id, candidates, subject, None, buy=False)
            instrument = self._sums.instrument(candidate.instrument_id)
            if (denial := universe.check_short(instrument, subject.rules, held - side.qty)) is not None:
                return denial, candidate.order
        denied = self._position_limits(candidates, subject)
        if denied is None and subject.rules.gross and (denial := self._gross_exposure(candidates, subject)) is not None:
            return denial, candidates[0].order
        return denied

    def _position_limits(self, candidates: Sequence[Candidate], subject: Subject) -> tuple[Denial, Any] | None:
        rules = subject.rules
        for bound, strategy_id in (
            (rules.position_of_account, None),
            (rules.position_of_strategy, subject.strategy_id),
        ):
            if bound is None:
                continue
            seen = set()
            for candidate in candidates:
                key = (candidate.instrument_id, candidate.buy)
                if key in seen:
                    continue
                seen.add(key)
                denial = self._position(candidate, candidates, subject, strategy_id, bound)
                if denial is not None:
                    return denial, candidate.order
        return None

    def _position(
        self,
        candidate: Candidate,
        candidates: Sequence[Candidate],
        subject: Subject,
        strategy_id: Any,
        bound: Bound,
    ) -> Denial | None:
        instrument_id = candidate.instrument_id
        # All together were found not to reduce the account's positions; one instrument, or a strategy's share, may be.
        alone = strategy_id is None and len(candidates) == 1
        if not alone and self._reducing.one(instrument_id, candidates, subject, strategy_id):
            return None
        worst = self._sums.worst(instrument_id, candidates, subject, strategy_id, buy=candidate.buy)
        if worst is None or candidate.qty is None:
            return no_price(candidate, bound)
        if worst <= bound.value:
            return None
        position = self._positions.qty(instrument_id, subject.account_id, strategy_id)
        side = self._sums.side(instrument_id, candidates, subject, strategy_id, buy=candidate.buy)
        working = side.qty - candidate.leg.qty
        return Denial(
            Code.MAX_POSITION_NOTIONAL,
            f"{candidate.words} could take the position to {text(worst)} (held {text(position)}, working "
            f"{'buys' if candidate.buy else 'sells'} {text(max(working, ZERO))}), more than the {named(bound)}",
        )

    def _gross_exposure(self, candidates: Sequence[Candidate], subject: Subject) -> Denial | None:
        own = subject.account_id

        def sums(part: Part, buy: bool) -> Sum:
            return self._sums.side(part[0], candidates, subject, part[2], buy=buy)

        def worst(part: Part, buy: bool) -> Decimal | None:
            return self._sums.worst(part[0], candidates, subject, part[2], buy=buy)

        known: dict[Any, tuple[Decimal, Decimal]] = {}
        for scope, limit in subject.rules.gross:
            strategy_id = subject.strategy_id if scope.kind == "strategy" else None
            others: list[Any] = []
            if scope.kind == "node" and len(accounts := self._cache.accounts()) > 1:
                others = [account.id for account in accounts if account.id != own]
            try:
                if (found := known.get(strategy_id)) is None:
                    found = known[strategy_id] = self._gross.after(candidates, own, strategy_id, sums, worst)
                before, after = found
                more = sum((self._gross.total(each) for each in others), ZERO) if others else ZERO
            except LookupError as error:
                return Denial(Code.NO_PRICE, f"{scope.section}.max_gross_exposure can't be judged: {error}")
            most = limit.amount
            if limit.fraction is not None:
                equity = self._ledger.equities([own, *others])
                if equity is None:
                    return Denial(Code.NO_ACCOUNT, f"the equity of {subject.account} is not known yet")
                most = max(equity, ZERO) * limit.fraction
            assert most is not None
            if after + more > most and after > before:
                shown = text(most) if limit.fraction is None else f"{text(most)} ({percent(limit.fraction)})"
                return Denial(
                    Code.MAX_GROSS_EXPOSURE,
                    f"{candidates[0].words} could take the gross exposure from {text(before + more)} to "
                    f"{text(after + more)}, more than the {shown} of {scope.section}.max_gross_exposure",
                )
        return None


def no_price(candidate: Candidate, bound: Bound) -> Denial:
    """The denial where a limit can't be held against an order of unknown worth."""
    return Denial(
        Code.NO_PRICE,
        f"{candidate.words} can't be held against {named(bound)}: no quote, trade or bar has arrived yet",
    )


def named(bound: Bound) -> str:
    """A limit as it stands in the file."""
    return f"{text(bound.value)} of {bound.where}"
