"""The state of a running installation in one object: parts, lag, speed, counts. Reads only.

To show something more: read it in a module of this package, add a field to :class:`Status` (or to
:class:`~crmstream.observe.warehouse.Counts`, if ClickHouse knows it), and a line to
:data:`crmstream.commands.status_view.LINES`.
"""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from connectors.kafka.heartbeat import policy_of
from contracts.errors import CrmError
from contracts.settings import Settings
from contracts.stored import FACT_TABLES
from contracts.topics import ALL_TOPICS, INPUT_TOPICS
from crmstream.observe.clock import TimeView, read_time
from crmstream.observe.kafka import KafkaView, Newest, Offsets, Waiting
from crmstream.observe.lanes import LaneView, read_lanes
from crmstream.observe.parts import Part, ask_clickhouse, ask_collector, ask_redis
from crmstream.observe.warehouse import Counts
from crmstream.observe.workers import Workers, ask_workers
from crmstream.stack.endpoints import Endpoints, stack_folder

SAMPLE_SECONDS: Final = 1.0
MOST_COUNTED: Final = 20_000
"""Waiting records that are read to count events and ticks apart; of more only the sum is known."""
_INPUTS: Final = {topic.name: FACT_TABLES[topic.kind] for topic in INPUT_TOPICS if topic.kind}
"""The topics that the dataflow reads, with the tables of their events."""


@dataclass(frozen=True)
class TopicState:
    """A topic, in records over all partitions.

    Records are events, ticks, and (where a connector publishes in transactions) the marks of transactions.
    ``committed`` and ``lag`` are None if the dataflow does not read the topic.
    """

    name: str
    end: int
    committed: int | None
    lag: int | None
    stored_events: int | None = None
    """Events of this topic in the warehouse."""
    waiting_events: int | None = None
    """Events among the records that wait; None if more than :data:`MOST_COUNTED` records wait."""
    waiting_ticks: int | None = None
    stored_at_most: bool = False
    """Whether ``stored_events`` is an upper bound, as in very large tables."""


@dataclass(frozen=True)
class Status:
    """How the installation is doing. None stands for unknown."""

    parts: list[Part]
    topics: list[TopicState]
    newest_entered_at: datetime | None
    newest_occurred_at: datetime | None
    event_clock: datetime | None
    """How far the slowest partition has come in event time: scores are as of about then."""
    events_per_second: float | None
    counts: Counts = field(default_factory=Counts)
    time: TimeView | None = None
    """Whether the event clock follows time, or why it stands."""
    lanes: tuple[LaneView, ...] = ()

    @property
    def lag(self) -> int | None:
        """Records that wait, over all topics."""
        return _sum([topic.lag for topic in self.topics if topic.name in _INPUTS])

    @property
    def waiting_events(self) -> int | None:
        """Events that wait, over all topics; None if too many records wait to look into them."""
        return _sum([topic.waiting_events for topic in self.topics if topic.name in _INPUTS])


def _sum(figures: list[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known and len(known) == len(figures) else None


def read_status(endpoints: Endpoints, settings: Settings) -> Status:
    """Ask every part; takes :data:`SAMPLE_SECONDS`, in which the speed is measured."""
    kafka, before, newest = _kafka(endpoints)
    clickhouse, counts = ask_clickhouse(endpoints, settings.clickhouse_database)
    redis = ask_redis(endpoints)
    collector = ask_collector(endpoints)
    data_dir = stack_folder(settings)
    before_workers = ask_workers(endpoints, data_dir)
    began = time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    after, waiting = _after(endpoints) if kafka.up else (None, {})
    workers = ask_workers(endpoints, data_dir)
    elapsed = time.monotonic() - began
    clock = workers.metrics.clock if workers.metrics else None
    status = Status(
        parts=[kafka, clickhouse, redis, *workers.parts, *collector],
        topics=topic_states(after or before, waiting, counts),
        newest_entered_at=newest.entered_at,
        newest_occurred_at=newest.occurred_at,
        event_clock=None if clock is None else datetime.fromtimestamp(clock, UTC),
        events_per_second=_speed(before_workers, workers, before, after, elapsed),
        counts=counts,
        lanes=read_lanes(
            workers.pages, after or before, time.time(), workers.ages, settings.most_waiting_events),
    )  # fmt: skip
    if after is None:
        return status
    return replace(status, time=read_time(endpoints.kafka, after, policy_of(settings), status.lag, datetime.now(UTC)))


def topic_states(
    offsets: Offsets | None, waiting: dict[str, Waiting] | None = None, counts: Counts | None = None
) -> list[TopicState]:
    """Sum the offsets of each topic over its partitions; ``waiting`` is by topic."""
    if offsets is None:
        return []
    return [_topic_state(topic.name, offsets, waiting or {}, counts or Counts()) for topic in ALL_TOPICS]


def _topic_state(name: str, offsets: Offsets, waiting: dict[str, Waiting], counts: Counts) -> TopicState:
    places = [place for place in offsets.end if place[0] == name]
    end = sum(offsets.end[place] - offsets.low[place] for place in places)
    if name not in _INPUTS:
        return TopicState(name, end, None, None)
    lag = sum(offsets.end[place] - offsets.read(place) for place in places)
    events, ticks = waiting.get(name, (None, None))
    table = _INPUTS[name]
    stored, at_most = counts.stored.get(table), table in counts.stored_at_most
    return TopicState(name, end, end - lag, lag, stored, events, ticks, at_most)


def _speed(
    first: Workers, second: Workers, before: Offsets | None, after: Offsets | None, elapsed: float
) -> float | None:
    """Events per second by the workers' own counts, else records per second by what the group committed."""
    if second.events_per_second is not None:
        return second.events_per_second
    then, now = first.metrics, second.metrics
    if then is not None and now is not None and now.events >= then.events and not second.reported:
        return (now.events - then.events) / elapsed
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


def _after(endpoints: Endpoints) -> tuple[Offsets | None, dict[str, Waiting]]:
    """The offsets at the end of the sample, and what waits after them."""
    try:
        view = KafkaView(endpoints.kafka)
        offsets = view.offsets()
        return offsets, view.waiting(offsets, MOST_COUNTED)
    except CrmError:
        return None, {}
