"""Publishes rejected records again, with their original bytes and the key that places them.

Delivery: at least once. Records keep their event ids, so an event that arrives twice counts once. A dead letter is
removed from the warehouse, with the copies of its record, after Kafka has acknowledged the record. If the dataflow
rejects the record again, it is a dead letter again, with its new position. Copies in the log are published once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from clickhouse_connect.driver.client import Client

from connectors.kafka.publisher import Publisher
from connectors.protocol import Record
from contracts.events import TICK_KEY, Kind, key_of
from contracts.refused import REFUSED_KEY
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError, judge
from crmstream.dead_letters.letters import Letter, Place, remove_places

REFUSED_EARLY: Final = (
    "refused before it was an event: send it again from its source (docs/operations.md, Rejected records)"
)
EMPTY: Final = "has no body"
TICK: Final = "is a tick: the next one replaces it"
OTHER_TOPIC: Final = "the dataflow does not read its topic"
_KINDS: Final[dict[str, Kind]] = {topic.name: topic.kind for topic in INPUT_TOPICS if topic.kind is not None}


@dataclass
class Retried:
    """The outcome of a retry: the letters published again, and the counts of those left out and why."""

    published: list[Place] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    """Records that the contract still rejects, by reason; they are not published."""


def why_not(letter: Letter) -> str | None:
    """Return why a dead letter cannot be published again; None if it can.

    A body that a connector refused is not an event yet: it is the message, row or webhook after the source's privacy
    rules. The connector cannot read it again, because it would hash or encrypt the same values twice.
    """
    if letter.key == REFUSED_KEY:
        return REFUSED_EARLY
    if letter.key == TICK_KEY:
        return TICK
    if letter.place.topic not in _KINDS:
        return OTHER_TOPIC
    return None if letter.body else EMPTY


def judged(letters: Iterable[Letter], found: Retried) -> Iterator[tuple[Place, Record]]:
    """Yield the records that the contract accepts now; count the others.

    The key is derived from the event, as publishers do, because a wrong key may have been the cause.
    """
    for letter in letters:
        if reason := why_not(letter):
            found.left_out[reason] += 1
            continue
        try:
            event = judge(_KINDS[letter.place.topic], letter.body)
        except RejectedError as error:
            found.rejected[f"{error.field}: {error.problem}"] += 1
        else:
            key = key_of(event, event.properties).encode()
            yield letter.place, Record(letter.place.topic, key, letter.body, None)


def preview(letters: Iterable[Letter]) -> Retried:
    """Find out what :func:`retry` would do, without doing it."""
    found = Retried()
    found.published.extend(place for place, _ in judged(letters, found))
    return found


def retry(letters: Iterable[Letter], publisher: Publisher, client: Client) -> Retried:
    """Publish dead letters again, and remove those that Kafka has acknowledged."""
    found, started = Retried(), datetime.now(UTC)
    for place, record in judged(letters, found):
        publisher.publish(record)
        found.published.append(place)
    publisher.flush()
    remove_places(client, found.published, started)
    return found
