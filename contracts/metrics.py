"""The catalogue of metrics: every name with its meaning and unit. Docs and boards read it.

Workers and the collector count with :mod:`prometheus_client` in their process and serve the figures on loopback.
"""

from functools import cache
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram

M = TypeVar("M", Counter, Gauge, Histogram)


@cache
def labelled(metric: M, *labels: str | int) -> M:
    """Return a metric's child, cached: ``metric.labels`` takes a lock and makes texts of the labels at every call."""
    return metric.labels(*labels)


EVENTS: Final = Counter("crm_events", "Events decoded, by topic.", ["topic"])
TICKS: Final = Counter("crm_ticks", "Ticks read, by topic.", ["topic"])
DEAD_LETTERS: Final = Counter(
    "crm_dead_letters", "Invalid records, by topic and stage; each copy of a record counts.", ["topic", "stage"]
)
DUPLICATES: Final = Counter(
    "crm_duplicate_events", "Events with a known id, or of a known order; not counted in profiles again."
)
LATE: Final = Counter("crm_late_events", "Events that came after the sweep of their day; applied in the next one.")
TOO_LATE: Final = Counter(
    "crm_too_late_events", "Events from before the window of known ids: kept as facts, not counted in profiles."
)
LEFT_OUT: Final = Counter(
    "crm_left_out_events", "Events of people who were forgotten or are suppressed: neither stored nor counted."
)
SWEEPS: Final = Counter("crm_sweeps", "Sweeps of a bucket of customers.")
SCORES: Final = Counter("crm_scores", "Customer scores computed, by reason (sweep or event).", ["reason"])
EXAMPLES: Final = Counter("crm_examples", "Labelled examples learned, by outcome.", ["outcome"])
CUSTOMERS: Final = Gauge("crm_customers", "Customers with a profile, by bucket.", ["bucket"])
VISITORS: Final = Gauge(
    "crm_visitors", "Visitors with a profile: devices and addresses without an owner, by bucket.", ["bucket"]
)
IDENTITIES: Final = Counter(
    "crm_identity_links",
    "Decisions about links between ids, by outcome (linked, unlinked, or the reason of a refusal).",
    ["outcome"],
)
EVENT_CLOCK: Final = Gauge("crm_event_clock_seconds", "Event clock of a partition, Unix seconds.", ["partition"])
CATCHING_UP: Final = Gauge(
    "crm_catching_up", "1 while a partition's backlog is too large for live scores.", ["partition"]
)
LANE_WAITS: Final = Gauge(
    "crm_waits_for_partition",
    "The slowest partition, where a partition waits for it because it is ahead; -1: it waits for none.",
    ["partition"],
)
AHEAD_EVENTS: Final = Gauge(
    "crm_ahead_events", "Events of a worker's partitions that wait until the slowest partition reaches their slots."
)
BOUNDARIES_LEFT: Final = Gauge(
    "crm_boundaries_left", "Boundaries that customers of a worker have left to cross; it reads no events until then."
)
TOPIC_PAUSED: Final = Gauge(
    "crm_topic_paused",
    "1 while a topic's partition is paused because too many of its records are invalid.",
    ["topic", "partition"],
)
STORE_WAITED: Final = Gauge(
    "crm_waits_for_store_since_seconds", "Since when a worker waits for a store, Unix seconds; 0: not.", ["store"]
)
ROWS_WRITTEN: Final = Counter("crm_clickhouse_rows", "Rows inserted into ClickHouse, by table.", ["table"])
OUTBOX_ROWS: Final = Gauge(
    "crm_outbox_rows", "Rows on the disk of a worker that ClickHouse has not acknowledged yet."
)
OUTBOX_BYTES: Final = Gauge("crm_outbox_bytes", "Bytes of these rows.")
HASHES_WRITTEN: Final = Counter("crm_redis_hashes", "Hashes applied in Redis, by prefix.", ["prefix"])
STORE_RETRIES: Final = Counter("crm_store_retries", "Writes tried again because a store did not answer.", ["store"])
WEBHOOKS: Final = Counter(
    "crm_webhooks",
    "Webhooks, by source and outcome (accepted, ignored, refused, bad_signature, bad_body, unavailable, ...).",
    ["source", "outcome"],
)
LATENCY: Final = Histogram(
    "crm_end_to_end_seconds",
    "From a record's entry into Kafka to its score in Redis, the oldest of each block.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SNAPSHOT_BYTES: Final = Counter(
    "crm_snapshot_bytes", "Bytes of state written, by step and file (log: what changed; base: all).", ["step", "file"]
)
SNAPSHOT_SECONDS: Final = Histogram(
    "crm_snapshot_seconds",
    "How long a step stood still to hand a bucket's changed state to the disk.",
    ["step"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5),
)
COLLECTOR_REQUESTS: Final = Counter(
    "crm_collector_requests", "Requests that the collector answered, by endpoint and status.", ["endpoint", "status"]
)
COLLECTOR_EVENTS: Final = Counter(
    "crm_collector_events",
    "Messages that Kafka acknowledged to the collector, by source and outcome (accepted or refused).",
    ["source", "outcome"],
)
COLLECTOR_SECONDS: Final = Histogram(
    "crm_collector_seconds",
    "From a request's arrival at the collector to its answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COLLECTOR_BYTES: Final = Gauge("crm_collector_bytes_in_flight", "Bytes that Kafka has not acknowledged yet.")

CATALOGUE: Final = (
    EVENTS, TICKS, DEAD_LETTERS, DUPLICATES, LATE, TOO_LATE, LEFT_OUT, SWEEPS, SCORES, EXAMPLES, CUSTOMERS, VISITORS,
    IDENTITIES,
    EVENT_CLOCK, CATCHING_UP, LANE_WAITS, AHEAD_EVENTS, BOUNDARIES_LEFT, TOPIC_PAUSED, STORE_WAITED, ROWS_WRITTEN,
    HASHES_WRITTEN, STORE_RETRIES, LATENCY, COLLECTOR_REQUESTS, COLLECTOR_EVENTS, COLLECTOR_SECONDS, COLLECTOR_BYTES,
    WEBHOOKS, SNAPSHOT_BYTES, SNAPSHOT_SECONDS, OUTBOX_ROWS, OUTBOX_BYTES,
)  # fmt: skip
