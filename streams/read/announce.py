"""Announces the slots of lanes to the other processes, through the dataflow.

Every process reads some lanes and has the parts of the sink with the same numbers, so each slot reaches every process.
Announcements keep nothing: after a restart every lane announces its slot anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.blocks import LaneBatch, Progress
from streams.read.skew import LaneClocks


def announcements(batch: LaneBatch, partitions: int) -> list[tuple[str, Progress]]:
    """Return a lane's progress for every part of the sink, if it has changed."""
    return [(str(part), batch.progress) for part in range(partitions)] if batch.turned else []


@dataclass(frozen=True)
class ClockWriter:
    """Writes the slots of all lanes to the clocks of this process. A sink needs as many parts as there are lanes.

    The engine spreads both in the same way, so no process with a lane is without a part.
    """

    clocks: LaneClocks

    def write(self, batch: Sequence[Progress]) -> None:
        """Note the slots."""
        for progress in batch:
            self.clocks.reach(progress.source, progress.slot)

    def flush(self) -> None:
        """Do nothing: a slot counts at once."""

    def close(self) -> None:
        """Do nothing: there is no connection."""
