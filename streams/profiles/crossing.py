"""How a bucket of customers crosses boundaries: so many in one activation that their rows fit in memory.

A jump of the clock over many boundaries means a row per boundary and customer. An activation makes as many of them as
there is room for. Then the bucket's slot is behind that of its senders, which is state; the rest is crossed in the
next activations and between them. Every row is the same wherever the way is cut.
"""

from dataclasses import dataclass

from streams.profiles.arrivals import Arrivals, Destination
from streams.profiles.pending import PendingSweep
from streams.profiles.sweeps import Sweeps


@dataclass
class Progressed:
    """The progress of a bucket. ``slot`` is None until all senders have started."""

    bucket: int = -1
    slot: int | None = None
    fresh: bool = False
    """Whether the last activation emitted live people."""
    restated_at: int | None = None
    """The slot in which all customers were last published; None before."""
    restating: int | None = None
    """The next position of the customers who are being published; None if none are."""

    @property
    def current(self) -> int:
        """The slot of a bucket that has started."""
        if self.slot is None:
            raise RuntimeError("the bucket has no clock yet")
        return self.slot


@dataclass(frozen=True)
class Crossing:
    """One activation's way towards a slot: adds due rows to a table, slot by slot, and sweeps it at each boundary."""

    at: Progressed
    arrivals: Arrivals
    to: Destination
    pending: PendingSweep
    sweeps: Sweeps

    def advance(self, target: int) -> None:
        """Go towards slot ``target`` while there is room for rows."""
        while True:
            before = self.at.current
            if before < target:
                self.sweeps.go_on()
            until = self._reach(target)
            self._add(until)
            if until in (before, target):
                return

    def _reach(self, target: int) -> int:
        """Return the slot to go to in one pass: the rows of the boundaries up to it fit in the room that is left.

        An activation that has room crosses one boundary at least.
        """
        slot, room, least = self.at.current, self.sweeps.room, int(not self.sweeps.made)
        left = target - slot
        if not left or room <= 0:
            return slot
        if left == least:
            return target
        if left * (len(self.to.table) + len(self.arrivals)) <= room:
            return target
        fits = room // max(1, self.sweeps.count(slot + 1) + self.arrivals.owners())
        return min(target, slot + max(fits, least))

    def _add(self, until: int) -> None:
        """Add the rows due up to a slot, and cross the boundaries in between."""
        table = self.to.table
        for step in self.arrivals.due(until, self.at.current, self.to):
            self._cross(step.slot, until)
            if len(step.at):
                self.pending.keep(table.rows, step.at)
                table.add(step.at, step.rows, self.to.interval, distinct=step.distinct)
        self._cross(until, until)

    def _cross(self, slot: int, until: int) -> None:
        """Cross the boundaries up to ``slot``.

        Once all customers are dormant, only the last boundary is delivered: years without active customers cost almost
        nothing.
        """
        while self.at.current < slot:
            self.at.slot = self.at.current + 1
            if not self.sweeps.cross(self.at.slot):
                self.at.slot = slot
                if slot == until:
                    self.sweeps.put_nobody(slot)
            self.to.known.forget()
