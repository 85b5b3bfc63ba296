"""The last events of each source, in memory, for whoever sets up an SDK and wants to see that it works.

Bounded: so many per source, each with a short excerpt. Moves no data, and keeps nothing over a restart.
"""

import uuid
from collections import deque
from datetime import datetime
from typing import Final, NamedTuple

from connectors.protocol import Record
from contracts.refused import Headers, read_refusal
from contracts.topics import INPUT_TOPICS

KEPT: Final = 100
LONGEST_NAME: Final = 100
LONGEST_EXCERPT: Final = 2_000
_KIND_OF: Final = {topic.name: topic.kind for topic in INPUT_TOPICS}


class Seen(NamedTuple):
    """One message that Kafka has: what is told of everybody's, and (``body``) what may be personal."""

    number: int
    source: str
    name: object
    topic: str
    headers: Headers
    received_at: datetime
    body: bytes

    def told(self, *, personal: bool) -> dict[str, object]:
        """What is shown of it."""
        refusal = read_refusal(self.headers)
        shown: dict[str, object] = {
            "number": self.number,
            "source": self.source,
            "name": self.name[:LONGEST_NAME] if isinstance(self.name, str) else "",
            "kind": None if refusal else _KIND_OF.get(self.topic),
            "received_at": self.received_at.isoformat(timespec="milliseconds"),
            "outcome": "refused" if refusal else "accepted",
            "field": refusal.field if refusal else None,
            "problem": refusal.problem if refusal else None,
        }
        if personal:
            shown["body"] = self.body.decode(errors="replace")
        return shown


class Recent:
    """The last :data:`KEPT` messages of each source. ``start`` names this numbering: a restart begins another at 1."""

    def __init__(self) -> None:
        self.start = uuid.uuid4().hex
        self._number = 0
        self._seen: dict[str, deque[Seen]] = {}

    def note(self, source: str, name: object, record: Record, received_at: datetime, body: bytes) -> None:
        """Remember one message."""
        self._number += 1
        entries = self._seen.get(source)
        if entries is None:
            entries = self._seen[source] = deque(maxlen=KEPT)
        entries.append(
            Seen(self._number, source, name, record.topic, record.headers, received_at, body[:LONGEST_EXCERPT])
        )

    def after(self, number: int, *, personal: bool) -> list[dict[str, object]]:
        """Tell of the messages after the one with this number, oldest first."""
        found = [seen for entries in self._seen.values() for seen in entries if seen.number > number]
        return [seen.told(personal=personal) for seen in sorted(found, key=lambda seen: seen.number)]
