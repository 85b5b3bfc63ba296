"""The state of a running installation in one object: parts, lag, speed, counts. Reads only."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.request import urlopen

from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError

from contracts.errors import CrmError
from contracts.topics import ALL_TOPICS, INPUT_TOPICS
from crmstream.observe.kafka import KafkaView, Newest, Offsets
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client, redis_client
from sinks.queries import query

SAMPLE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 2.0
_EVENT_COUNTER: Final = "crm_events_total"
_EVENT_CLOCK: Final = "crm_event_clock_seconds"
_INPUTS: Final = frozenset(topic.name for topic in INPUT_TOPICS)


@dataclass(frozen=True)
class Part:
    """A server or a worker: whether it answers, and what it says."""

    name: str
    up: bool
    detail: str


@dataclass(frozen=True)
class TopicState:
    """A topic, in records over all partitions; ``committed`` and ``lag`` are None if it is not read."""

    name: str
    end: int
    committed: int | None
    lag: int | None


@dataclass(frozen=True)
class Status:
    """How the installation is doing. None is what could not be found out."""

    parts: list[Part]
    topics: list[TopicState]
    newest_entered_at: datetime | None
    newest_occurred_at: datetime | None
    event_clock: datetime | None
    """How far the slowest partition has come in event time: scores are as of about then."""
    events_per_second: float | None
    dead_letters: int | None
    customers: int | None

    @property
    def lag(self) -> int | None:
        """Records that wait, over all topics."""
        lags = [topic.lag for topic in self.topics if topic.lag is not None]
        return sum(lags) if lags else None


def read_status(endpoints: Endpoints, database: str) -> Status:
    """Ask every part; takes :data:`SAMPLE_SECONDS`, in which the speed is measured."""
    kafka, before, newest = _kafka(endpoints)
    clickhouse, counts = _clickhouse(endpoints, database)
    redis = _redis(endpoints)
    workers, first, _ = _workers(endpoints)
    began = time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    after = _offsets(endpoints) if kafka.up else None
    _, second, clock = _workers(endpoints)
    elapsed = time.monotonic() - began
    return Status(
        parts=[kafka, clickhouse, redis, *workers],
        topics=topic_states(after or before),
        newest_entered_at=newest.entered_at,
        newest_occurred_at=newest.occurred_at,
        event_clock=None if clock is None else datetime.fromtimestamp(clock, UTC),
        events_per_second=_speed(first, second, before, after, elapsed),
        customers=counts[0],
        dead_letters=counts[1],
    )


def topic_states(offsets: Offsets | None) -> list[TopicState]:
    """Sum the offsets of each topic over its partitions."""
    return [] if offsets is None else [_topic_state(topic.name, offsets) for topic in ALL_TOPICS]


def _topic_state(name: str, offsets: Offsets) -> TopicState:
    places = [place for place in offsets.end if place[0] == name]
    end = sum(offsets.end[place] - offsets.low[place] for place in places)
    if name not in _INPUTS:
        return TopicState(name, end, None, None)
    read = {place: max(offsets.committed.get(place, 0), offsets.low[place]) for place in places}
    lag = sum(max(offsets.end[place] - read[place], 0) for place in places)
    return TopicState(name, end, end - lag, lag)


def _speed(
    first: float | None, second: float | None, before: Offsets | None, after: Offsets | None, elapsed: float
) -> float | None:
    """Events per second by the workers' own counts, else by what the group committed in between."""
    if first is not None and second is not None and second >= first:
        return (second - first) / elapsed
    if before is None or after is None:
        return None
    moved = sum(after.committed.values()) - sum(before.committed.get(place, 0) for place in after.committed)
    return max(moved, 0) / elapsed


def _kafka(endpoints: Endpoints) -> tuple[Part, Offsets | None, Newest]:
    try:
        view = KafkaView(endpoints.kafka)
        brokers = view.brokers()
        offsets = view.offsets()
        detail = f"{brokers} broker{'s' if brokers != 1 else ''} at {endpoints.kafka}"
        return Part("Kafka", True, detail), offsets, view.newest(offsets)
    except CrmError as error:
        return Part("Kafka", False, f"{endpoints.kafka} {error}"), None, Newest(None, None)


def _offsets(endpoints: Endpoints) -> Offsets | None:
    try:
        return KafkaView(endpoints.kafka).offsets()
    except CrmError:
        return None


def _clickhouse(endpoints: Endpoints, database: str) -> tuple[Part, tuple[int | None, int | None]]:
    try:
        client = clickhouse_client(endpoints.clickhouse_url, database)
    except CrmError as error:
        return Part("ClickHouse", False, str(error)), (None, None)
    try:
        customers, dead_letters = client.query(query("status_counts")).result_rows[0]
        return Part("ClickHouse", True, f"version {client.server_version}"), (
            int(customers),
            int(dead_letters),
        )
    except ClickHouseError as error:
        return _refused(database, str(error)), (None, None)
    finally:
        client.close()


def _refused(database: str, told: str) -> Part:
    """A ClickHouse that answers, but not with figures."""
    if "UNKNOWN_DATABASE" in told or "UNKNOWN_TABLE" in told:
        return Part("ClickHouse", True, f"database {database} is not there: run `crmstream migrate`")
    return Part("ClickHouse", False, told.splitlines()[0][:200])


def _redis(endpoints: Endpoints) -> Part:
    try:
        with redis_client(endpoints.redis_url) as client:
            server = client.info("server")
        name = "Valkey" if "valkey_version" in server else "Redis"
        return Part("Redis", True, f"{name} {server.get('valkey_version', server['redis_version'])}")
    except (RedisError, OSError, CrmError):
        return Part("Redis", False, "does not answer")


def _workers(endpoints: Endpoints) -> tuple[list[Part], float | None, float | None]:
    """Ask each worker for its metrics: parts, events counted (None if one is silent), and the slowest event clock."""
    samples = [_samples(url) for url in endpoints.worker_metrics]
    parts = [
        Part(f"worker {number}", told is not None, "" if told is not None else "does not answer")
        for number, told in enumerate(samples)
    ]
    known = [pair for told in samples if told is not None for pair in told]
    complete = bool(samples) and all(told is not None for told in samples)
    events = sum(value for name, value in known if name == _EVENT_COUNTER) if complete else None
    return parts, events, min((value for name, value in known if name == _EVENT_CLOCK), default=None)


def _samples(url: str) -> list[tuple[str, float]] | None:
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the URL is our own stack's
            text = answer.read().decode()
    except (OSError, ValueError):
        return None
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.value) for family in families for sample in family.samples]
