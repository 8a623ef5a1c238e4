"""Whose a command is: the account that it will be sent to, the strategy that gave it, and what binds the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder

from runner.risk.candidate import Subject
from runner.risk.limits import LimitsBook, Rules

_NO_RULES = LimitsBook().rules("", "")


class Owners:
    """Knows accounts and strategies by their ids and by the names that the file has for them."""

    def __init__(
        self,
        cache: Any,
        *,
        account_of: Callable[[Any], Any] | None = None,
        account_name: Callable[[Any], str] | None = None,
        strategy_name: Callable[[Any], str] | None = None,
    ) -> None:
        self._cache = cache
        self._account_of = account_of or self._find_account
        self.account_name = account_name or (lambda account_id: str(account_id.get_issuer()))
        self.strategy_name = strategy_name or (lambda strategy_id: str(strategy_id.get_tag()))
        self.strategy_ids: dict[str, Any] = {}
        """Of every strategy that has ever ordered anything, by the file's name for it."""
        self._by_client: dict[Any, Any] = {}  # an account id never changes its issuer
        self._subjects: dict[tuple[Any, Any], Subject] = {}
        self._limits: LimitsBook | None = None  # that the subjects are bound by

    def nobody(self, command: Any) -> Subject:
        """Where the owner can't be told: nothing is known, and nothing passes that opens."""
        return Subject(None, command.strategy_id, "", str(command.strategy_id.get_tag()), _NO_RULES)

    def subject(self, command: Any, limits: LimitsBook) -> Subject:
        if limits is not self._limits:
            self._subjects.clear()
            self._limits = limits
        strategy_id, account_id = command.strategy_id, self._account_of(command)
        strategy = self.strategy_name(strategy_id)
        subject = self._subjects.get((account_id, strategy_id))
        # A strategy that a reload brings back has its name only once it is added; its orders may be told of before.
        if subject is None or subject.strategy != strategy:
            account = "" if account_id is None else self.account_name(account_id)
            self.strategy_ids[strategy] = strategy_id
            subject = Subject(account_id, strategy_id, account, strategy, limits.rules(account, strategy))
            self._subjects[account_id, strategy_id] = subject
        return subject

    def rules(self, account_id: Any, strategy_id: Any, limits: LimitsBook) -> Rules:
        return limits.rules(self.account_name(account_id), self.strategy_name(strategy_id))

    def _find_account(self, command: Any) -> Any:
        """The account that Nautilus will send the command to: by client, by the order, else by the venue."""
        if command.client_id is not None:
            client_id = command.client_id
            if (known := self._by_client.get(client_id)) is not None:
                return known
            for account in self._cache.accounts():
                if account.id.get_issuer() == client_id.value:
                    self._by_client[client_id] = account.id
                    return account.id
        if isinstance(command, SubmitOrder):
            order = command.order
        else:
            order = self._cache.order(command.client_order_id) if isinstance(command, ModifyOrder) else None
        if order is not None and order.account_id is not None:
            return order.account_id
        return self._cache.account_id(command.instrument_id.venue)
