"""Tracks the progress of a step's senders. The step advances with the slowest of them.

Each bucket keeps the last :class:`contracts.blocks.Progress` of each sender and waits until all have reported.
"""

from typing import NamedTuple

from contracts.blocks import Progress
from contracts.entries import StoredDict
from contracts.state import Columns


class Joint(NamedTuple):
    """What follows from the reports of all senders."""

    slot: int | None
    start: int | None
    fresh: bool
    guarded: bool


class Senders(StoredDict[int, Progress]):
    """The last reports of the ``count`` senders of one bucket, by the sender's number. A part."""

    def __init__(self, count: int):
        super().__init__(int, Progress)
        self.count = count
        self._joint: Joint | None = None

    def note(self, progress: Progress) -> bool:
        """Keep a sender's report; return whether it differs from the last one."""
        new = self.data.get(progress.source) != progress
        if new:
            self[progress.source] = progress
            self._joint = None
        return new

    def apply(self, columns: Columns) -> None:
        """Set stored reports."""
        super().apply(columns)
        self._joint = None

    @property
    def slot(self) -> int | None:
        """The slot of the slowest sender; None until all clocks are known."""
        return self._together().slot

    @property
    def start(self) -> int | None:
        """The first slot of all; None until all senders know theirs."""
        return self._together().start

    @property
    def fresh(self) -> bool:
        """Whether all senders are near the end of their logs."""
        return self._together().fresh

    @property
    def guarded(self) -> bool:
        """Whether any sender reads a part of its log again."""
        return self._together().guarded

    def _together(self) -> Joint:
        """Return what follows from all reports, computed when one of them has changed."""
        if self._joint is None:
            every = list(self.data.values())
            self._joint = Joint(
                self._least([each.slot for each in every]),
                self._least([each.start for each in every]),
                len(every) == self.count and all(each.fresh for each in every),
                any(each.guarded for each in every),
            )
        return self._joint

    def _least(self, slots: list[int | None]) -> int | None:
        known = [slot for slot in slots if slot is not None]
        return min(known) if len(known) == self.count else None
