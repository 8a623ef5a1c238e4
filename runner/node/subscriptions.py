"""What a strategy has subscribed to: so that it can be given back for one that leaves without doing so itself.

Nautilus leaves that to `on_stop`, which many strategies don't write. Whoever leaves a running node would otherwise keep
its seat on the message bus, and its symbols in the venue's stream, for as long as the node lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: The leading parameters of `subscribe_*`, where they are not (subject, client_id).
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "data": ("data_type", "client_id", "instrument_id"),
    "instruments": ("venue", "client_id"),
    "bars": ("bar_type", "client_id"),
    "order_book_deltas": ("instrument_id", "book_type", "depth", "client_id"),
    "order_book_depth": ("instrument_id", "book_type", "depth", "client_id"),
    "order_book_at_interval": ("instrument_id", "book_type", "depth", "interval_ms", "client_id"),
    "quote_ticks": ("instrument_id", "client_id", "update_catalog", "aggregate_spread_quotes"),
    "option_chain": ("series_id", "strike_range", "snapshot_interval_ms", "client_id"),
}
_USUAL = ("instrument_id", "client_id")
#: What `unsubscribe_*` takes beside the subject.
_TAKEN: dict[str, tuple[str, ...]] = {
    "data": ("client_id", "instrument_id"),
    "order_book_at_interval": ("interval_ms", "client_id"),
    "quote_ticks": ("client_id", "aggregate_spread_quotes"),
}
_SUBSCRIBE, _UNSUBSCRIBE = "subscribe_", "unsubscribe_"


class Subscriptions:
    """Follows one strategy's subscriptions. Make it before the strategy is started."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._held: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {}
        for name in dir(type(strategy)):
            if name.startswith((_SUBSCRIBE, _UNSUBSCRIBE)) and callable(call := getattr(strategy, name)):
                setattr(strategy, name, self._following(name, call))

    def __len__(self) -> int:
        return len(self._held)

    def release(self, msgbus: Any) -> None:
        """Give everything back. What the venue need not send any more is unsubscribed from there, too."""
        for kind, others in list(self._held.values()):
            subject, *_ = _parameters(kind)
            getattr(self._strategy, f"{_UNSUBSCRIBE}{kind}")(others.pop(subject), **others)
        self._held.clear()
        own = {id(value) for value in vars(self._strategy).values()}
        for each in msgbus.subscriptions():
            if id(each.handler) in own or getattr(each.handler, "__self__", None) is self._strategy:
                msgbus.unsubscribe(topic=each.topic, handler=each.handler)

    def _following(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        verb, _, kind = name.partition("_")
        parameters = _parameters(kind)

        def following(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(parameters, args, strict=False)) | kwargs
            key = (kind, *(str(given.get(each)) for each in (parameters[0], "interval_ms")))
            result = call(*args, **kwargs)
            if verb == "unsubscribe":
                self._held.pop(key, None)
            elif parameters[0] in given:
                taken = _TAKEN.get(kind, ("client_id",))
                keep = {each: given[each] for each in (parameters[0], *taken) if each in given}
                self._held[key] = (kind, keep)
            return result

        following.__name__ = name
        return following


def _parameters(kind: str) -> tuple[str, ...]:
    return _PARAMETERS.get(kind, _USUAL)
