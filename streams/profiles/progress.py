"""Tracks the progress of a step's senders. The step advances with the slowest of them.

Each bucket keeps the last :class:`contracts.blocks.Progress` of each sender and waits until all have reported.
"""

from dataclasses import dataclass, field

from contracts.blocks import Progress


@dataclass
class Senders:
    """The last reports of the ``count`` senders of one bucket."""

    count: int
    latest: dict[int, Progress] = field(default_factory=dict)

    def note(self, progress: Progress) -> None:
        """Keep a sender's report."""
        self.latest[progress.source] = progress

    @property
    def slot(self) -> int | None:
        """The slot of the slowest sender; None until all clocks are known."""
        return self._least([each.slot for each in self.latest.values()])

    @property
    def start(self) -> int | None:
        """The first slot of all; None until all senders know theirs."""
        return self._least([each.start for each in self.latest.values()])

    @property
    def fresh(self) -> bool:
        """Whether all senders are near the end of their logs."""
        return len(self.latest) == self.count and all(each.fresh for each in self.latest.values())

    @property
    def guarded(self) -> bool:
        """Whether any sender reads a part of its log again."""
        return any(each.guarded for each in self.latest.values())

    def _least(self, slots: list[int | None]) -> int | None:
        known = [slot for slot in slots if slot is not None]
        return min(known) if len(known) == self.count else None
