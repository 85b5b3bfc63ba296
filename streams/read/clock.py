"""Event clocks: the event time that a partition has reached, and the slot of each event.

A topic-partition's clock is the maximum of its ticks and its events' times. An event's time is capped at its own
``received_at`` plus a small tolerance, so that a device with a fast clock does not move all customers ahead. An event
counts in the slot of the clock after it: the one in which it happened or, if its device is ahead, was received. If the
clock has left the slot in which it happened, the event is late. Both follow from the log alone, not from how topics
interleave or batches are cut. No event is of a later slot than its clock, so whoever holds the clock back holds all.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import CLOCK_TOLERANCE

TOLERANCE: Final = int(CLOCK_TOLERANCE.total_seconds()) * 1_000_000


@dataclass
class TopicClock:
    """The clock of one topic-partition in microseconds; None before its first record.

    ``turns`` are the records at which the last :meth:`place` began a slot, as (offset, time) pairs: with them the clock
    can be told again when the records and ticks before are gone.
    """

    first: int | None = None
    now: int | None = None
    turns: list[tuple[int, int]] = field(default_factory=list, compare=False, repr=False)

    def place(
        self,
        occurred: NDArray[np.int64],
        received: NDArray[np.int64],
        offset: NDArray[np.int64],
        ticks: list[tuple[int, int]],
        interval: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Move past events and ticks in the order of their offsets; return each event's slot and whether it is late."""
        if len(occurred) == 1 and not ticks:
            return self._place_one(int(occurred[0]), int(received[0]), int(offset[0]), interval)
        moves = np.minimum(occurred, received + TOLERANCE)
        marks = np.array(ticks, np.int64).reshape(-1, 2)
        offsets = np.concatenate((offset, marks[:, 0]))
        order = np.argsort(offsets, kind="stable")
        times = np.concatenate((moves, marks[:, 1]))[order]
        self.turns = []
        if not len(times):
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        slot_before = None if self.now is None else self.now // interval
        if self.first is None or self.now is None:
            self.first = self.now = int(times[0])
        after = np.maximum.accumulate(np.maximum(times, self.now))
        self.now = int(after[-1])
        if self.now // interval != slot_before:
            self.turns = _turns(offsets[order], after, slot_before, interval)
        slots = np.empty_like(after)
        slots[order] = after // interval
        slots = slots[: len(occurred)]
        return slots, occurred // interval < slots

    def _place_one(
        self, occurred: int, received: int, offset: int, interval: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Move past one event at an offset."""
        slot_before = None if self.now is None else self.now // interval
        move = min(occurred, received + TOLERANCE)
        if self.first is None or self.now is None:
            self.first = self.now = move
        self.now = max(self.now, move)
        slot = self.now // interval
        self.turns = [] if slot == slot_before else [(offset, self.now)]
        return np.array([slot], np.int64), np.array([occurred // interval < slot])


def _turns(
    offset: NDArray[np.int64], after: NDArray[np.int64], slot_before: int | None, interval: int
) -> list[tuple[int, int]]:
    """Return the offset and clock of each record that begins a slot, in the order of the log."""
    slots = after // interval
    begins = np.diff(slots, prepend=slots[0] - 1 if slot_before is None else slot_before) != 0
    return list(zip(offset[begins].tolist(), after[begins].tolist(), strict=True))


def lane_start(clocks: list[TopicClock], interval: int) -> int | None:
    """Return the first slot of partitions that are read together; None until each has had a record."""
    firsts = [clock.first for clock in clocks]
    known = [first for first in firsts if first is not None]
    return min(known) // interval if len(known) == len(firsts) else None


def lane_clock(clocks: list[TopicClock]) -> int | None:
    """Return the clock of partitions that are read together: the slowest one."""
    known = [clock.now for clock in clocks if clock.now is not None]
    return min(known) if len(known) == len(clocks) else None
