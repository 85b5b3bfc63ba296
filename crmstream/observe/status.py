"""The state of a running installation in one object: parts, lag, speed, counts. Reads only."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from contracts.errors import CrmError
from contracts.topics import ALL_TOPICS, INPUT_TOPICS
from crmstream.observe.kafka import KafkaView, Newest, Offsets
from crmstream.observe.metrics import WorkerMetrics, read_samples, sum_metrics
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client, redis_client
from sinks.queries import query

SAMPLE_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 2.0
_UNAVAILABLE: Final = 503
_MOST_ANSWER_BYTES: Final = 10_000
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
    visitors: int | None

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
    collector = _collector(endpoints)
    workers, first = _workers(endpoints)
    began = time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    after = _offsets(endpoints) if kafka.up else None
    second = _workers(endpoints)[1]
    elapsed = time.monotonic() - began
    return Status(
        parts=[kafka, clickhouse, redis, *workers, *collector],
        topics=topic_states(after or before),
        newest_entered_at=newest.entered_at,
        newest_occurred_at=newest.occurred_at,
        event_clock=None if not second or second.clock is None else datetime.fromtimestamp(second.clock, UTC),
        events_per_second=_speed(first, second, before, after, elapsed),
        customers=counts[0],
        visitors=counts[1],
        dead_letters=counts[2],
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
    first: WorkerMetrics | None,
    second: WorkerMetrics | None,
    before: Offsets | None,
    after: Offsets | None,
    elapsed: float,
) -> float | None:
    """Events per second by the workers' own counts, else by what the group committed in between."""
    if first is not None and second is not None and second.events >= first.events:
        return (second.events - first.events) / elapsed
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


def _clickhouse(endpoints: Endpoints, database: str) -> tuple[Part, tuple[int | None, int | None, int | None]]:
    try:
        client = clickhouse_client(endpoints.clickhouse_url, database)
    except CrmError as error:
        return Part("ClickHouse", False, str(error)), (None, None, None)
    try:
        customers, visitors, dead_letters = client.query(query("status_counts")).result_rows[0]
        return Part("ClickHouse", True, f"version {client.server_version}"), (
            int(customers),
            int(visitors),
            int(dead_letters),
        )
    except ClickHouseError as error:
        return _refused(database, str(error)), (None, None, None)
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


def _collector(endpoints: Endpoints) -> list[Part]:
    """Ask the stack's collector, if it has one, whether it takes events."""
    if endpoints.collector_url is None:
        return []
    try:
        with urlopen(f"{endpoints.collector_url}/ready", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own
            broken = b'"sources_file":"broken"' in answer.read(_MOST_ANSWER_BYTES)
        told = " (the file of sources is broken: what was before holds; see its log)" if broken else ""
        return [Part("collector", True, endpoints.collector_url + told)]
    except HTTPError as error:
        why = "Kafka is away" if error.code == _UNAVAILABLE else f"it answers {error.code}: is it another program?"
        return [Part("collector", False, f"{endpoints.collector_url} takes no events: {why}")]
    except OSError:
        return [Part("collector", False, "does not answer")]


def _workers(endpoints: Endpoints) -> tuple[list[Part], WorkerMetrics | None]:
    """Ask each worker for its metrics: parts, and the figures of all (None if one is silent)."""
    pages = [read_samples(url) for url in endpoints.worker_metrics]
    parts = [
        Part(f"worker {number}", page is not None, "" if page is not None else "does not answer")
        for number, page in enumerate(pages)
    ]
    return parts, sum_metrics(pages) if pages else None
