"""What waits for what, by the metrics of workers: lanes for lanes, workers for stores, topics for a resume. Reads only.

A lane is a partition of all input topics; one worker reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from prometheus_client.samples import Sample

from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets

CLOCK: Final = "crm_event_clock_seconds"
WAITS_FOR: Final = "crm_waits_for_partition"
PAUSED: Final = "crm_topic_paused"
STORE: Final = "crm_waits_for_store_since_seconds"
AHEAD: Final = "crm_ahead_events"
BOUNDARIES: Final = "crm_boundaries_left"
UNBOUNDED: Final = 2**62
STALE_SECONDS: Final = 10.0
"""A worker of a cluster that has reported nothing for longer gives no sign of life."""
Pages = Sequence[list[Sample] | None]
"""The metrics of each worker; None: it does not answer."""


@dataclass(frozen=True)
class LaneView:
    """A lane: its worker, its event clock, its waiting records, and what it waits for.

    ``waits_for`` is the lane that is behind, ``behind_seconds`` by how much event time; ``waiting_events`` are the
    events of its worker that wait for that lane, where they are so many that no more are read. ``paused`` are the
    topics whose records are too often invalid; ``boundaries`` have to be crossed before its worker reads on; ``stores``
    are those that do not answer the worker, and for how many seconds. ``age_seconds`` says how old all this is. None
    stands for unknown, or for nothing to wait for.
    """

    partition: int
    worker: int
    clock: datetime | None
    lag: int | None
    waits_for: int | None = None
    behind_seconds: float | None = None
    paused: tuple[str, ...] = ()
    waiting_events: int | None = None
    boundaries: int = 0
    stores: Mapping[str, float] = field(default_factory=dict)
    age_seconds: float = 0.0

    @property
    def state(self) -> str:
        """What the lane waits for, in words; empty if for nothing."""
        said = [f"paused: {topic} (too many invalid records; no sweep until it goes on)" for topic in self.paused]
        said += [f"waits until customers have crossed {self.boundaries:,} boundaries"] * bool(self.boundaries)
        said += [f"waits for {store} since {span(seconds)}" for store, seconds in sorted(self.stores.items())]
        if self.waits_for == self.partition:
            said.append("waits for its own slowest topic")
        elif self.waits_for is not None:
            said.append(f"waits for lane {self.waits_for}{self._by()}")
        if self.age_seconds > STALE_SECONDS:
            said.append(f"as of {span(self.age_seconds)} ago")
        return "; ".join(said)

    def _by(self) -> str:
        by = [f"behind by {span(self.behind_seconds)}"] if self.behind_seconds else []
        by += [f"{self.waiting_events:,} events wait for it"] if self.waiting_events else []
        return f" ({', '.join(by)})" if by else ""


def read_lanes(
    pages: Pages, offsets: Offsets | None, now: float = 0.0, ages: Sequence[float] = (), most_waiting: int = UNBOUNDED
) -> tuple[LaneView, ...]:
    """Return the lanes of the workers whose metrics are known, by partition.

    ``now`` is in Unix seconds. ``ages`` says how old the metrics of each worker are (none given: they are of now).
    ``most_waiting`` is the number of events that may wait for the slowest lane before a worker reads no more
    (``CRM_MOST_WAITING_EVENTS``).
    """
    clocks = _by_partition(pages, CLOCK)
    paused = paused_topics(pages)
    lanes = []
    for worker, page in enumerate(pages):
        age = ages[worker] if ages else 0.0
        stores = _stores(page or (), now - age)
        ahead, boundaries = (
            int(sum(sample.value for sample in page or () if sample.name == name)) for name in (AHEAD, BOUNDARIES)
        )
        for sample in [sample for sample in page or () if sample.name == WAITS_FOR]:
            partition, waits_for = int(sample.labels["partition"]), int(sample.value)
            clock, other = clocks.get(partition), clocks.get(waits_for)
            held = waits_for >= 0
            lanes.append(LaneView(
                partition, worker,
                None if clock is None else datetime.fromtimestamp(clock, UTC),
                _lag(partition, offsets),
                waits_for if held else None,
                max(clock - other, 0.0) if held and clock is not None and other is not None else None,
                tuple(topic for topic, number in paused if number == partition),
                ahead if held and ahead >= most_waiting else None,
                boundaries, stores, age,
            ))  # fmt: skip
    newest = {lane.partition: lane for lane in sorted(lanes, key=lambda lane: -lane.age_seconds)}
    return tuple(newest[partition] for partition in sorted(newest))


def paused_topics(pages: Pages) -> list[tuple[str, int]]:
    """Return the topics and partitions that are paused, sorted."""
    samples = [sample for page in pages for sample in page or () if sample.name == PAUSED and sample.value]
    return sorted((sample.labels["topic"], int(sample.labels["partition"])) for sample in samples)


def store_waits(page: Sequence[Sample], now: float) -> str:
    """Say for which stores a worker waits, and since when; empty if for none. ``now`` in Unix seconds."""
    return ", ".join(f"waits for {store} since {span(waits)}" for store, waits in sorted(_stores(page, now).items()))


def span(seconds: float | None) -> str:
    """A time span in its largest fitting unit: ``12 s``, ``4 h``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if (seconds or 0) >= 2 * size:
            return f"{int((seconds or 0) // size)} {unit}"
    return f"{seconds or 0:.0f} s"


def _stores(page: Sequence[Sample], now: float) -> dict[str, float]:
    """For how many seconds a worker has waited for stores, by their names."""
    since = {sample.labels["store"]: sample.value for sample in page if sample.name == STORE and sample.value}
    return {store: max(now - at, 0.0) for store, at in since.items()}


def _by_partition(pages: Pages, name: str) -> Mapping[int, float]:
    samples = [sample for page in pages for sample in page or () if sample.name == name]
    return {int(sample.labels["partition"]): sample.value for sample in samples}


def _lag(partition: int, offsets: Offsets | None) -> int | None:
    if offsets is None:
        return None
    places = [(topic.name, partition) for topic in INPUT_TOPICS if (topic.name, partition) in offsets.end]
    return sum(offsets.end[place] - offsets.read(place) for place in places)
