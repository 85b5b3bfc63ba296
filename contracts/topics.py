"""The Kafka topics: their names, owners, retention and keys.

Records are keyed by :func:`contracts.identity.placing_id` and placed with murmur2, as Java's default partitioner does:
web and identity events by anonymous id (an alias by its previous id), else by customer id; transactions and service
events by customer id, else by anonymous id. The partition count is the same for all input topics, so that partition *p*
of every topic holds the same devices and customers; it is fixed when the topics are created.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.events import Kind


@dataclass(frozen=True)
class Topic:
    """One topic: who writes it, what is in it, and how long it is kept.

    Without ``retention_days`` the newest record of every key is kept for good (the topic is compacted). ``partitions``
    overrides the partition count of the settings.
    """

    name: str
    owner: str
    about: str
    retention_days: int | None
    retention_bytes_per_partition: int | None
    kind: Kind | None = None
    version: int = 1
    partitions: int | None = None

    def partition_count(self, of_settings: int) -> int:
        """Return the topic's partition count: its own, else ``of_settings``."""
        return self.partitions or of_settings


_GIB: Final = 1 << 30

WEB_EVENTS: Final = Topic("crm-web-events", "connectors", "views, carts and check-outs", 30, 8 * _GIB, "web")
TRANSACTIONS: Final = Topic("crm-transactions", "connectors", "orders and refunds", 365, 8 * _GIB, "transaction")
SERVICE_EVENTS: Final = Topic("crm-service-events", "connectors", "tickets and chats", 365, 4 * _GIB, "service")
IDENTITIES: Final = Topic("crm-identities", "connectors", "links between ids, traits", 365, 4 * _GIB, "identity")
DEAD_LETTERS: Final = Topic("crm-dead-letters", "streams", "invalid records", 90, 1 * _GIB)
ALERTS: Final = Topic("crm-alerts", "streams", "reserved: alerts to deliver", 30, 1 * _GIB)
POSITIONS: Final = Topic(
    "crm-connector-positions", "connectors", "how far each connector has come in its source", None, None, partitions=1
)

INPUT_TOPICS: Final = (WEB_EVENTS, TRANSACTIONS, SERVICE_EVENTS, IDENTITIES)
"""The topics that the dataflow reads, in the order in which code numbers them."""

ALL_TOPICS: Final = (*INPUT_TOPICS, DEAD_LETTERS, ALERTS, POSITIONS)
TOPIC_OF_KIND: Final[dict[Kind, Topic]] = {topic.kind: topic for topic in INPUT_TOPICS if topic.kind is not None}
CONSUMER_GROUP: Final = "crm-dataflow"
"""The consumer group under which the dataflow commits its position, for lag tools. It never resumes from it."""

Ends = Mapping[str, Sequence[int]]
"""Offsets by topic and partition."""


def end_of(ends: Ends, topic: str, partition: int) -> int | None:
    """Return the end of a topic-partition; None for one that came later than the ends were noted."""
    of_topic = ends.get(topic, ())
    return of_topic[partition] if partition < len(of_topic) else None
