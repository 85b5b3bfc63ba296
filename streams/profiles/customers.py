"""The state machine of one bucket of customers: it takes events and moved rows; it emits sweeps, live people, examples.

Pure: no engine, no client, no clock. The output at a boundary is a function of the log alone, for any batches and any
interleaving of lanes, because

- rows are order-free (:mod:`streams.profiles.rows`),
- the log of an event's own partition decides its slot, and events of later slots wait here,
- the bucket crosses a boundary only when all buckets of addresses have.

All items of an activation are handled in one pass: events are located once and become delta rows, one per slot and
customer. Then the deltas are added slot by slot, and each boundary in between copies the rows of the table. Near the
end of the log the sweep of a large bucket is made in slices between activations (:meth:`Customers.work`), and so are
the customers to publish anew after a catch-up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import CustomerBatch, PeopleBlock, ProfileBlock
from contracts.machine import Machine
from contracts.metrics import CUSTOMERS, labelled
from contracts.model_blocks import Released
from contracts.rates import Rates
from contracts.state import Part, Value
from streams.profiles.arrivals import Arrivals, Destination
from streams.profiles.known_ids import KnownIds
from streams.profiles.labelling import Labeller
from streams.profiles.pending import PendingSweep
from streams.profiles.people_blocks import Maker
from streams.profiles.progress import Senders
from streams.profiles.rounds import portion
from streams.profiles.rows import times_of
from streams.profiles.sweeps import SweepPolicy, Sweeps
from streams.profiles.table import ProfileTable

Output = Released | PeopleBlock | ProfileBlock


@dataclass(frozen=True)
class CustomersPolicy:
    """The settings of a bucket of customers. ``senders`` is the number of buckets of addresses.

    ``known_capacity`` is the minimum number of event ids in the window that recognises duplicates.
    """

    sweeps: SweepPolicy
    senders: int
    known_capacity: int
    rates: Rates = field(default_factory=Rates)


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


@dataclass
class CustomersState:
    """The state of a bucket of customers."""

    senders: Senders
    known: KnownIds
    labels: Any
    at: Progressed = field(default_factory=Progressed)
    table: ProfileTable = field(default_factory=ProfileTable)
    arrivals: Arrivals = field(default_factory=Arrivals)
    pending: PendingSweep = field(default_factory=PendingSweep)


class Customers(Machine[CustomerBatch, Output]):
    """The machine of one bucket."""

    def __init__(self, policy: CustomersPolicy, labeller: Labeller):
        self._policy, self._labeller = policy, labeller
        senders, known = Senders(policy.senders), KnownIds(policy.known_capacity)
        self._state = state = CustomersState(senders, known, labeller.new_state())
        self._at = Value(Progressed, lambda: state.at, lambda at: setattr(state, "at", at))

    @property
    def state(self) -> CustomersState:
        """The state, for inspection."""
        return self._state

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state."""
        state = self._state
        return {
            "progress": self._at,
            "senders": state.senders,
            "known_ids": state.known,
            "labels": state.labels,
            "profiles": state.table,
            "arrivals": state.arrivals,
            "pending_sweep": state.pending,
        }

    def take(self, items: Sequence[CustomerBatch]) -> list[Output]:
        """Apply due events and rows, sweep every boundary that can be crossed, and return the changed people."""
        state = self._state
        for item in items:
            state.at.bucket = item.bucket
            state.senders.note(item.progress)
            state.arrivals.put(item.parcel)
        if state.senders.slot is None:
            return []
        target = max(state.senders.slot, state.at.slot or 0)
        sweeps = self._sweeps(target)
        if state.at.slot is None:
            state.at.slot = state.senders.start
            sweeps.put_nobody(self._slot)
        before = self._slot
        self._advance(sweeps, target)
        return [*sweeps.finish(), *self._changed(crossed=before != state.at.slot)]

    def resumed(self) -> list[Output]:
        """Add waiting money that has a rate now, and return the changed people. Recorded sweeps stay as they are.

        During a catch-up these people are emitted after the next boundary, like all others. At the end of the log Redis
        may hold newer versions, from the part of the log after the saved state, which is read again now.
        """
        state, policy = self._state, self._policy
        if state.at.slot is None:
            return []
        waiting = np.unique(state.table.unconverted.entries["row"]).astype(np.int64)
        state.pending.keep(state.table.rows, waiting)
        changed = state.table.convert(policy.rates, state.at.slot, policy.sweeps.interval)
        return self._live(changed, guarded=True) if state.at.fresh else []

    def has_work(self) -> bool:
        """Whether customers are left to sweep, or to publish anew."""
        state = self._state
        return bool(state.pending) or (state.at.fresh and state.at.restating is not None)

    def work(self) -> list[Output]:
        """Return a slice of the pending sweep, else of the customers to publish anew."""
        if self._state.pending:
            return [*self._sweeps(None).slice()]
        return self._restate_some() if self.has_work() else []

    @property
    def _slot(self) -> int:
        if self._state.at.slot is None:
            raise RuntimeError("the bucket has no clock yet")
        return self._state.at.slot

    def _sweeps(self, target: int | None) -> Sweeps:
        """Return the sweeps of an activation. Near the end of the log the sweep of boundary ``target`` is published."""
        state = self._state
        published = target if state.senders.fresh else None
        label = partial(self._labeller.label, state.labels)
        return Sweeps(self._policy.sweeps, self._maker(), state.table, label, state.pending, published)

    def _maker(self, *, guarded: bool = False) -> Maker:
        state, policy = self._state, self._policy.sweeps
        guarded = guarded or state.senders.guarded
        return Maker(state.at.bucket, "customers", policy.interval, policy.dormant_after, guarded)

    def _advance(self, sweeps: Sweeps, target: int) -> None:
        """Add due rows, slot by slot, and cross the boundaries in between."""
        state, interval = self._state, self._policy.sweeps.interval
        to = Destination(state.table, state.known, self._policy.rates, interval)
        for step in state.arrivals.due(target, self._slot, to):
            self._cross(sweeps, step.slot, target)
            if len(step.at):
                state.pending.keep(state.table.rows, step.at)
                state.table.add(step.at, step.rows, interval, distinct=step.distinct)
        self._cross(sweeps, target, target)

    def _cross(self, sweeps: Sweeps, slot: int, target: int) -> None:
        """Cross the boundaries up to ``slot``.

        Once all customers are dormant, only the last boundary is delivered: years without active customers cost almost
        nothing.
        """
        state = self._state
        while self._slot < slot:
            state.at.slot = self._slot + 1
            if not sweeps.cross(self._slot):
                state.at.slot = slot
                if slot == target:
                    sweeps.put_nobody(slot)
            state.known.forget()

    def _changed(self, *, crossed: bool) -> list[Output]:
        """Return the changed people: in a catch-up as profiles, after boundaries; at the end of the log as live people.

        People changed by events of earlier slots only have been swept since: a live score would repeat the sweep's.
        """
        state = self._state
        turned, state.at.fresh = state.senders.fresh and not state.at.fresh, state.senders.fresh
        if not state.at.fresh and not crossed:
            return []
        labelled(CUSTOMERS, state.at.bucket).set(len(state.table))
        changed = state.table.unpublished()
        now, awake = state.table.rows["slot"][changed] >= self._slot, self._awake(changed)
        if not state.at.fresh:
            return self._profiles(changed[~now])
        live, earlier = changed[now], changed[~now]
        out = [*self._profiles(earlier), *self._live(live)]
        behind = self._all_but(live) if turned and state.at.restated_at != self._slot else earlier[awake[~now]]
        state.at.restated_at = self._slot
        if len(behind) > self._policy.sweeps.slice:
            state.at.restating = 0
            return out
        return [*out, *self._restated(behind)]

    def _awake(self, at: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the people who are not dormant in the current slot."""
        policy = self._policy.sweeps
        last = times_of(self._state.table.rows["last_seen"][at])
        awake: NDArray[np.bool_] = last >= self._slot * policy.interval - policy.dormant_after
        return awake

    def _live(self, at: NDArray[np.int64], *, guarded: bool = False) -> list[Output]:
        if not len(at):
            return []
        block = self._maker(guarded=guarded).current(self._state.table, at, self._slot, "live")
        self._state.table.given_out(at)
        return [block]

    def _profiles(self, at: NDArray[np.int64]) -> list[Output]:
        if not len(at):
            return []
        block = self._maker().profiles(self._state.table, at)
        self._state.table.given_out(at)
        return [block]

    def _all_but(self, live: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return all other people who are not dormant: their published scores are from before the catch-up."""
        chosen = self._to_restate(0, len(self._state.table.rows))
        chosen[live] = False
        return np.flatnonzero(chosen)

    def _to_restate(self, start: int, stop: int) -> NDArray[np.bool_]:
        return self._awake(slice(start, stop)) & (self._state.table.rows["events"][start:stop] > 0)

    def _restate_some(self) -> list[Output]:
        at, size = self._state.at, len(self._state.table.rows)
        some, at.restating = portion(at.restating or 0, size, self._policy.sweeps.slice, self._to_restate)
        return self._restated(some)

    def _restated(self, at: NDArray[np.int64]) -> list[Output]:
        """Return customers as of now, for Redis. Sweeps already hold their scores of earlier slots."""
        return [self._maker().current(self._state.table, at, self._slot, "restated")] if len(at) else []
