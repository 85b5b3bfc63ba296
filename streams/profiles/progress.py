"""Tracks the progress of a step's senders. The step advances with the slowest of them.

Each bucket keeps the last :class:`contracts.blocks.Progress` of each sender and waits until all have reported.
"""

from contracts.blocks import Progress
from contracts.entries import Entries


class Senders(Entries[int, Progress]):
    """The last reports of the ``count`` senders of one bucket, by the sender's number. A part."""

    def __init__(self, count: int):
        super().__init__(int, Progress)
        self.count = count

    def note(self, progress: Progress) -> bool:
        """Keep a sender's report; return whether it differs from the last one."""
        new = self.data.get(progress.source) != progress
        if new:
            self[progress.source] = progress
        return new

    @property
    def slot(self) -> int | None:
        """The slot of the slowest sender; None until all clocks are known."""
        return self._least([each.slot for each in self.data.values()])

    @property
    def start(self) -> int | None:
        """The first slot of all; None until all senders know theirs."""
        return self._least([each.start for each in self.data.values()])

    @property
    def fresh(self) -> bool:
        """Whether all senders are near the end of their logs."""
        return len(self) == self.count and all(each.fresh for each in self.data.values())

    @property
    def guarded(self) -> bool:
        """Whether any sender reads a part of its log again."""
        return any(each.guarded for each in self.data.values())

    def _least(self, slots: list[int | None]) -> int | None:
        known = [slot for slot in slots if slot is not None]
        return min(known) if len(known) == self.count else None
