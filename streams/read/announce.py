"""Announces the slots of lanes to the other processes, through the dataflow.

Every process reads some lanes and has the parts of this sink with the same numbers, so each slot reaches every process.
Announcements keep nothing: after a restart every lane announces its slot anew.
"""

from collections.abc import Sequence

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from contracts.blocks import LaneBatch, Progress
from streams.error_boundary import error_boundary
from streams.read.skew import LaneClocks


def announcements(batch: LaneBatch, partitions: int) -> list[tuple[str, Progress]]:
    """Return a lane's progress for every part of the sink, if it has changed."""
    return [(str(part), batch.progress) for part in range(partitions)] if batch.turned else []


class ClockSink(FixedPartitionedSink[Progress, None]):
    """Writes the slots of all lanes to the clocks of this process."""

    def __init__(self, partitions: int, clocks: LaneClocks):
        self._partitions = partitions
        self._clocks = clocks

    def list_parts(self) -> list[str]:
        """As many parts as lanes: the engine spreads both in the same way, so no process with a lane is without one."""
        return [f"{part:04d}" for part in range(self._partitions)]

    def part_fn(self, item_key: str) -> int:
        """Return the part that a key names."""
        return int(item_key)

    @error_boundary
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ClockPart":  # noqa: ARG002
        """Make a part. There is no state to resume."""
        return ClockPart(self._clocks)


class ClockPart(StatefulSinkPartition[Progress, None]):
    """Notes how far lanes are."""

    def __init__(self, clocks: LaneClocks):
        self._clocks = clocks

    @error_boundary
    def write_batch(self, values: Sequence[Progress]) -> None:
        """Note the slots."""
        for progress in values:
            self._clocks.reach(progress.source, progress.slot)

    def snapshot(self) -> None:
        """Keep nothing."""
