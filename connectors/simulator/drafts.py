"""The event before it is sent: what happened, when, to whom. Moves no data."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from contracts.events import ALIAS, Kind
from contracts.identity import placing_id

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SOURCE: Final = "simulator"


class Draft(NamedTuple):
    """Something that happened in the shop at ``occurred_at`` (microseconds since 1970 UTC)."""

    occurred_at: int
    kind: Kind
    name: str
    customer_id: str | None
    anonymous_id: str | None
    properties: dict[str, Any]

    @property
    def key(self) -> bytes:
        """The key of its record."""
        previous = self.properties.get("previous_id") if self.name == ALIAS else None
        return placing_id(self.kind, self.customer_id, self.anonymous_id, previous).encode()


def envelope(draft: Draft, event_id: str, received_at: int) -> dict[str, Any]:
    """Spell the event as the contract does; ``received_at`` is in microseconds since 1970 UTC."""
    event: dict[str, Any] = {
        "event_id": event_id,
        "kind": draft.kind,
        "name": draft.name,
        "occurred_at": _EPOCH + timedelta(microseconds=draft.occurred_at),
        "received_at": _EPOCH + timedelta(microseconds=received_at),
        "source": _SOURCE,
        "properties": draft.properties,
    }
    if draft.customer_id is not None:
        event["customer_id"] = draft.customer_id
    if draft.anonymous_id is not None:
        event["anonymous_id"] = draft.anonymous_id
    return event


def encode(event: dict[str, Any]) -> bytes:
    """Write an event as its JSON body."""
    return orjson.dumps(event, option=orjson.OPT_UTC_Z)
