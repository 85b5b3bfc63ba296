"""The door: the one way of a source's events into Kafka, whatever brought them.

What is drafted by a connector leaves the door as a record: an event that the contract accepts, or a refusal on its way
to the dead letters with the field at fault. Nothing that comes in is dropped. Pure; moves no data itself.
"""

import msgspec

from connectors.protocol import Record
from connectors.sources import Source
from contracts.events import EVENT_TYPES, Kind
from contracts.refused import REFUSED_KEY, Refusal
from contracts.topics import TOPIC_OF_KIND
from contracts.wire import RejectedError, judge

_encode = msgspec.json.Encoder().encode

Draft = dict[str, object]
"""An event before it is one: the envelope's fields but ``source``, ``schema_version`` and, where the name tells it,
``kind``. Times are aware datetimes or ISO 8601 texts with a zone; ``properties`` is a dict of JSON values."""


class Door:
    """The door of one source. ``stage`` names the connector in dead letters."""

    def __init__(self, source: Source, stage: str = "collect"):
        self.source = source
        self._stage = stage

    def admit(self, draft: Draft, original: object) -> Record:
        """Turn a draft into the record of an event, or of its refusal.

        ``original`` is what came in (JSON values): it is what the dead letters keep.
        """
        try:
            return self._event(draft)
        except RejectedError as why:
            return self.refuse(original, why.field, why.problem)

    def refuse(self, original: object, field: str, problem: str) -> Record:
        """Make the record of something that is no event. ``problem`` must hold no value of it."""
        refusal = Refusal(self._stage, field, problem, self.source.name)
        return Record(TOPIC_OF_KIND["web"].name, REFUSED_KEY, _encode(original), None, refusal.headers())

    def _event(self, draft: Draft) -> Record:
        kind = self._kind(draft)
        body = _encode({"kind": kind, **draft, "source": self.source.name})
        event = judge(kind, body)
        key = str(event.customer_id or event.anonymous_id).encode()
        return Record(TOPIC_OF_KIND[kind].name, key, body, round(event.occurred_at.timestamp() * 1e6))

    def _kind(self, draft: Draft) -> Kind:
        name = draft.get("name")
        kind, _ = EVENT_TYPES.get(name, ("web", ())) if isinstance(name, str) else ("web", ())
        return kind
