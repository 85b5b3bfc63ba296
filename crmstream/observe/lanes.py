"""What waits for what, by the metrics of workers: lanes for lanes, workers for stores, topics for a resume. Reads only.

A lane is a partition of all input topics; one worker reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client.samples import Sample

from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets

CLOCK: Final = "crm_event_clock_seconds"
WAITS_FOR: Final = "crm_waits_for_partition"
PAUSED: Final = "crm_topic_paused"
STORE: Final = "crm_waits_for_store_since_seconds"
Pages = Sequence[list[Sample] | None]
"""The metrics of each worker; None: it does not answer."""


@dataclass(frozen=True)
class LaneView:
    """A lane: its worker, its event clock, its waiting records, and what it waits for.

    ``waits_for`` is the lane that is behind, ``behind_seconds`` by how much event time; ``paused`` are the topics whose
    records are too often invalid. None stands for unknown, or for nothing to wait for.
    """

    partition: int
    worker: int
    clock: datetime | None
    lag: int | None
    waits_for: int | None = None
    behind_seconds: float | None = None
    paused: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """What the lane waits for, in words; empty if for nothing."""
        said = [f"paused: {topic} (too many invalid records; no sweep until it goes on)" for topic in self.paused]
        if self.waits_for == self.partition:
            said.append("waits for its own slowest topic")
        elif self.waits_for is not None:
            by = f" (behind by {_span(self.behind_seconds)})" if self.behind_seconds else ""
            said.append(f"waits for lane {self.waits_for}{by}")
        return "; ".join(said)


def read_lanes(pages: Pages, offsets: Offsets | None) -> tuple[LaneView, ...]:
    """Return the lanes of the workers that answer, by partition."""
    clocks = _by_partition(pages, CLOCK)
    waits = _by_partition(pages, WAITS_FOR)
    worker_of = {
        int(sample.labels["partition"]): worker
        for worker, page in enumerate(pages) for sample in page or () if sample.name == WAITS_FOR
    }  # fmt: skip
    paused = paused_topics(pages)
    lanes = []
    for partition, worker in sorted(worker_of.items()):
        clock, waits_for = clocks.get(partition), int(waits[partition])
        other = clocks.get(waits_for)
        lanes.append(LaneView(
            partition, worker,
            None if clock is None else datetime.fromtimestamp(clock, UTC),
            _lag(partition, offsets),
            None if waits_for < 0 else waits_for,
            None if clock is None or other is None or waits_for < 0 else max(clock - other, 0.0),
            tuple(topic for topic, number in paused if number == partition),
        ))  # fmt: skip
    return tuple(lanes)


def paused_topics(pages: Pages) -> list[tuple[str, int]]:
    """Return the topics and partitions that are paused, sorted."""
    samples = [sample for page in pages for sample in page or () if sample.name == PAUSED and sample.value]
    return sorted((sample.labels["topic"], int(sample.labels["partition"])) for sample in samples)


def store_waits(page: Sequence[Sample], now: float) -> str:
    """Say for which stores a worker waits, and since when; empty if for none. ``now`` in Unix seconds."""
    since = {sample.labels["store"]: sample.value for sample in page if sample.name == STORE and sample.value}
    return ", ".join(f"waits for {store} since {_span(max(now - at, 0.0))}" for store, at in sorted(since.items()))


def _by_partition(pages: Pages, name: str) -> Mapping[int, float]:
    samples = [sample for page in pages for sample in page or () if sample.name == name]
    return {int(sample.labels["partition"]): sample.value for sample in samples}


def _lag(partition: int, offsets: Offsets | None) -> int | None:
    if offsets is None:
        return None
    places = [(topic.name, partition) for topic in INPUT_TOPICS if (topic.name, partition) in offsets.end]
    return sum(offsets.end[place] - offsets.read(place) for place in places)


def _span(seconds: float | None) -> str:
    """A time span in its largest fitting unit: ``12 s``, ``4 h``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if (seconds or 0) >= 2 * size:
            return f"{int((seconds or 0) // size)} {unit}"
    return f"{seconds or 0:.0f} s"
