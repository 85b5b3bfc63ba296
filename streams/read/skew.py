"""Back-pressure between lanes: a lane that is ahead of the slowest one waits, so that memory is bounded.

Events of slots that the slowest lane has not reached wait in the steps downstream. Two bounds hold them: no topic is
read that is more than ``most_time`` ahead of the slowest lane, and once ``most_events`` events wait, only topics are
read that hold the slowest lane's slot. What is read follows from the clocks of all lanes; what comes of it does not.

No event is of a later slot than its topic's clock (:mod:`streams.read.clock`), so holding clocks holds all events. The
slowest lane is never held by either bound, since its slowest topic is in its slot (``docs/adr/0015``). Each lane
announces its slot through the dataflow (:class:`streams.read.announce.ClockWriter`), so that no other place is needed.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FAR_AHEAD: Final = 2**62
FAR_BEHIND: Final = -(2**62)


@dataclass(frozen=True)
class SkewPolicy:
    """The bounds: microseconds of event time, and events that wait per process. ``lanes`` counts all of the flow's."""

    lanes: int
    interval: int
    most_time: int
    most_events: int


class Behind(NamedTuple):
    """A lane that others wait for, and its slot (None: it has no clock yet)."""

    lane: int
    slot: int | None


class LaneClocks:
    """The slots of all lanes, as far as this process knows, and its lanes' events of slots that are still to come.

    A slot that is not known yet, or known too low, only makes lanes wait longer.
    """

    def __init__(self, policy: SkewPolicy | None = None):
        self._policy = policy
        self._slots: dict[int, int] = {}
        self._ahead: dict[int, dict[int, int]] = {}
        self._waiting = 0
        self.slowest: int | None = None
        """The slot of the slowest lane; None until the slots of all lanes are known."""
        self.horizon = FAR_AHEAD
        """The event time up to which the clock of a topic may be for the topic to be read."""

    def join(self, lane: int, ahead: dict[int, int]) -> None:
        """Count a lane of this process from now on: in ``ahead``, events by slot, which its snapshots keep."""
        self._ahead[lane] = ahead
        self._forget_reached()

    def leave(self, lane: int) -> None:
        """Forget the events of a lane that is read no more."""
        self._ahead.pop(lane, None)
        self._forget_reached()

    def reach(self, lane: int, slot: int | None) -> None:
        """Note that a lane has reached a slot."""
        if slot is None or slot <= self._slots.get(lane, -1):
            return
        self._slots[lane] = slot
        if self._policy is None or len(self._slots) < self._policy.lanes:
            return
        slowest = min(self._slots.values())
        if slowest != self.slowest:
            self.slowest = slowest
            self._forget_reached()

    def count(self, lane: int, clock: int | None, slots: NDArray[np.int64]) -> None:
        """Count events that a lane has read, by their slots, after which its topic's clock stands at ``clock``."""
        policy, slowest = self._policy, self.slowest
        if policy is None or clock is None or (slowest is not None and clock // policy.interval <= slowest):
            return
        coming = slots if slowest is None else slots[slots > slowest]
        if not len(coming):
            return
        first = int(coming.min())
        counts = np.bincount(coming - first)
        at = np.flatnonzero(counts)
        ahead = self._ahead[lane]
        for slot, events in zip((at + first).tolist(), counts[at].tolist(), strict=True):
            ahead[slot] = ahead.get(slot, 0) + events
        self._waiting += len(coming)
        self.horizon = self._horizon()

    @property
    def waiting(self) -> int:
        """How many events of this process's lanes are of slots that the slowest lane has not reached."""
        return self._waiting

    def behind(self) -> Behind | None:
        """Return the lane that the others wait for; None where there is no bound. May be called by another thread."""
        policy, slots = self._policy, dict(self._slots)
        if policy is None:
            return None
        unknown = [lane for lane in range(policy.lanes) if lane not in slots]
        lane = unknown[0] if unknown else min(slots, key=lambda each: (slots[each], each))
        return Behind(lane, slots.get(lane))

    def _horizon(self) -> int:
        policy, slowest = self._policy, self.slowest
        if policy is None:
            return FAR_AHEAD
        is_full = self._waiting >= policy.most_events
        if slowest is None:
            return FAR_BEHIND if is_full else FAR_AHEAD
        start = slowest * policy.interval
        return start + (policy.interval - 1 if is_full else max(policy.interval, policy.most_time))

    def _forget_reached(self) -> None:
        slowest = self.slowest
        if slowest is not None:
            for ahead in self._ahead.values():
                for slot in [slot for slot in list(ahead) if slot <= slowest]:
                    del ahead[slot]
        self._waiting = sum(sum(ahead.values()) for ahead in self._ahead.values())
        self.horizon = self._horizon()
