"""How far a rebuild is: what it has read of the records that only ClickHouse has, and of Kafka's. Reads only."""

from typing import NamedTuple

from contracts.topics import INPUT_TOPICS, Ends
from crmstream.observe.kafka import Offsets


class RebuildView(NamedTuple):
    """Records that count durably, and all records up to where the log ended when the watch began.

    ``past`` counts the records that only ClickHouse has, ``log`` the records of Kafka, as distances between offsets.
    """

    past_read: int
    past: int
    log_read: int
    log: int

    @property
    def is_done(self) -> bool:
        """Whether everything is read."""
        return self.past_read + self.log_read >= self.past + self.log


def rebuild_view(offsets: Offsets, ends: Ends, *, from_warehouse: bool) -> RebuildView:
    """Compare the positions of the dataflow, which it publishes after each epoch, with ``ends``."""
    past_read = past = log_read = log = 0
    for topic, of_topic in ends.items():
        for partition, end in enumerate(of_topic):
            low, read = min(offsets.low[topic, partition], end), min(offsets.committed.get((topic, partition), 0), end)
            log, log_read = log + end - low, log_read + max(read - low, 0)
            if from_warehouse:
                past, past_read = past + low, past_read + min(read, low)
    return RebuildView(past_read, past, log_read, log)


def ends_now(offsets: Offsets, partitions: int) -> dict[str, list[int]]:
    """Return where the log ends now."""
    return {topic.name: [offsets.end[topic.name, number] for number in range(partitions)] for topic in INPUT_TOPICS}
