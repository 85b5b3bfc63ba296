"""The state machine of one bucket of customers: it takes events and moved rows; it emits sweeps, live people, examples.

Pure: no engine, no client, no clock. The output at a boundary is a function of the log alone, for any batches and any
interleaving of lanes, because

- rows are order-free (:mod:`streams.profiles.rows`),
- the log of an event's own partition decides its slot, and events of later slots wait here,
- the bucket crosses a boundary only when all buckets of addresses have.

All items of an activation are handled in one pass: events are located once and become delta rows, one per slot and
customer. Then the deltas are added slot by slot, and each boundary in between copies the rows of the table. Between
activations (:meth:`Customers.work`) the bucket crosses the boundaries that were too many for one of them
(:mod:`streams.profiles.crossing`). Near the end of the log the sweep of a large bucket is made in slices there, and so
are the customers to publish anew after a catch-up.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.backlog import SweepBacklog
from contracts.blocks import CustomerBatch, PeopleBlock, ProfileBlock
from contracts.machine import Machine
from contracts.metrics import CUSTOMERS, labelled
from contracts.model_blocks import Released
from contracts.rates import Rates
from contracts.state import Part, Value
from streams.profiles.arrivals import Arrivals, Destination
from streams.profiles.crossing import Crossing, Progressed
from streams.profiles.known_ids import KnownIds
from streams.profiles.labelling import Labeller
from streams.profiles.pending import PendingSweep
from streams.profiles.people_blocks import Maker
from streams.profiles.progress import Senders
from streams.profiles.rounds import portion
from streams.profiles.rows import reach_of
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
    """The machine of one bucket. ``backlog`` says how many rows of its sweeps wait for models (None: none ever do)."""

    def __init__(self, policy: CustomersPolicy, labeller: Labeller, backlog: SweepBacklog | None = None):
        self._policy, self._labeller, self._backlog = policy, labeller, backlog
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
        """Apply due events and rows, sweep boundaries that can be crossed, and return the changed people."""
        state = self._state
        for item in items:
            state.at.bucket = item.bucket
            state.senders.note(item.progress)
            state.arrivals.put(item.parcel)
        return [] if state.senders.slot is None else self._go_on(state.senders.slot)

    def resumed(self) -> list[Output]:
        """Add waiting money that has a rate now, and return the changed people. Recorded sweeps stay as they are.

        During a catch-up these people are emitted after the next boundary, like all others. At the end of the log Redis
        may hold newer versions, from the part of the log after the saved state, which is read again now.
        """
        state, policy = self._state, self._policy
        if state.at.slot is None:
            return []
        self._note_behind()
        waiting = np.unique(state.table.unconverted.entries["row"]).astype(np.int64)
        state.pending.keep(state.table.rows, waiting)
        changed = state.table.convert(policy.rates, state.at.slot, policy.sweeps.interval)
        if len(changed) and state.pending:
            state.at.restating = 0  # after the sweep, whose rows are from before
        return self._live(changed, guarded=True) if state.at.fresh else []

    def forget(self, people: Set[str]) -> None:
        """Remove people: their profiles, what waits for these, and their part in training and in a pending sweep."""
        state = self._state
        state.arrivals.forget(people)
        at = state.table.find_all(people)
        if len(at):
            self._labeller.forget(state.labels, state.table.keys[at])
            state.table.erase(at)
            state.pending.erase(at)

    def has_work(self) -> bool:
        """Whether boundaries are left to cross, or customers to sweep or to publish anew."""
        state = self._state
        return self._is_behind or bool(state.pending) or (state.at.fresh and state.at.restating is not None)

    def is_urgent(self) -> bool:
        """Whether boundaries are left to cross."""
        return self._is_behind

    def is_held(self) -> bool:
        """Whether so many rows wait for models that none are made now.

        Models of a boundary need all buckets to cross it. The bucket that is furthest behind is not held for long: the
        models that its rows wait for need no bucket to go further.
        """
        return (self._is_behind or bool(self._state.pending)) and self._waiting >= self._policy.sweeps.most

    def makes_rows(self) -> bool:
        """Whether a sweep is pending. Customers who are published anew are for Redis only."""
        return bool(self._state.pending)

    def work(self) -> list[Output]:
        """Cross boundaries, else return a slice of the pending sweep, else of the customers to publish anew."""
        state = self._state
        if self._is_behind and state.senders.slot is not None:
            return self._go_on(state.senders.slot)
        if state.pending:
            sweeps = self._sweeps(None)
            return self._sent(sweeps, sweeps.slice())
        return self._restate_some() if self.has_work() else []

    @property
    def _is_behind(self) -> bool:
        return self._boundaries_left > 0

    @property
    def _boundaries_left(self) -> int:
        at, senders = self._state.at.slot, self._state.senders.slot
        return 0 if at is None or senders is None else max(senders - at, 0)

    @property
    def _waiting(self) -> int:
        return 0 if self._backlog is None else self._backlog.rows(self._state.at.bucket)

    def _go_on(self, slot: int) -> list[Output]:
        """Add due rows and cross boundaries up to ``slot`` while there is room; return the changed people."""
        state, policy = self._state, self._policy
        target = max(slot, state.at.slot or 0)
        sweeps = self._sweeps(target)
        if state.at.slot is None:
            state.at.slot = state.senders.start
            sweeps.put_nobody(state.at.current)
        before = state.at.slot
        to = Destination(state.table, state.known, policy.rates, policy.sweeps.interval)
        Crossing(state.at, state.arrivals, to, state.pending, sweeps).advance(target)
        self._note_behind()
        return [*self._sent(sweeps, sweeps.finish()), *self._changed(crossed=before != state.at.slot)]

    def _sent(self, sweeps: Sweeps, out: Sequence[Released | PeopleBlock]) -> list[Output]:
        """Return blocks, and note how many rows of sweeps they have."""
        if self._backlog is not None and sweeps.made:
            self._backlog.send(self._state.at.bucket, sweeps.made)
        return [*out]

    def _note_behind(self) -> None:
        if self._backlog is not None:
            self._backlog.note(self._state.at.bucket, self._boundaries_left)

    def _sweeps(self, target: int | None) -> Sweeps:
        """Return the sweeps of an activation. Near the end of the log the sweep of boundary ``target`` is published."""
        state = self._state
        published = target if state.senders.fresh else None
        label = partial(self._labeller.label, state.labels)
        maker, waiting = self._maker(), self._waiting
        return Sweeps(self._policy.sweeps, maker, state.table, label, state.pending, published, waiting)

    def _maker(self, *, guarded: bool = False) -> Maker:
        state, policy = self._state, self._policy.sweeps
        guarded = guarded or state.senders.guarded
        return Maker(state.at.bucket, "customers", policy.interval, policy.dormant_after, guarded)

    def _changed(self, *, crossed: bool) -> list[Output]:
        """Return the changed people: in a catch-up as profiles, after boundaries; at the end of the log as live people.

        People changed by events of earlier slots only have been swept since: a live score would repeat the sweep's.
        While boundaries are left, everything is as in a catch-up; at the end of the log all wait for the last boundary.
        """
        state = self._state
        if self._is_behind:
            return [] if state.at.fresh or not crossed else self._profiles(self._earlier())
        turned, state.at.fresh = state.senders.fresh and not state.at.fresh, state.senders.fresh
        if not state.at.fresh and not crossed:
            return []
        labelled(CUSTOMERS, state.at.bucket).set(len(state.table))
        if not state.at.fresh:
            return self._profiles(self._earlier())
        changed = state.table.unpublished()
        now = state.table.rows["slot"][changed] >= state.at.current
        live, earlier = changed[now], changed[~now]
        out = [*self._profiles(earlier), *self._live(live)]
        all_anew = turned and state.at.restated_at != state.at.current
        behind = self._all_but(live) if all_anew else earlier[self._awake(earlier)]
        state.at.restated_at = state.at.current
        if len(behind) > self._policy.sweeps.slice:
            state.at.restating = 0
            return out
        return [*out, *self._restated(behind)]

    def _awake(self, at: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the people who are not dormant in the current slot."""
        policy = self._policy.sweeps
        last_seen = self._state.table.rows["last_seen"][at]
        return reach_of(last_seen, self._state.at.current * policy.interval - policy.dormant_after)

    def _live(self, at: NDArray[np.int64], *, guarded: bool = False) -> list[Output]:
        if not len(at):
            return []
        block = self._maker(guarded=guarded).current(self._state.table, at, self._state.at.current, "live")
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

    def _earlier(self) -> NDArray[np.int64]:
        """Return the people changed by events of earlier slots only."""
        table = self._state.table
        changed = table.unpublished()
        return changed[table.rows["slot"][changed] < self._state.at.current]

    def _to_restate(self, start: int, stop: int) -> NDArray[np.bool_]:
        return self._awake(slice(start, stop)) & (self._state.table.rows["events"][start:stop] > 0)

    def _restate_some(self) -> list[Output]:
        at, size = self._state.at, len(self._state.table.rows)
        some, at.restating = portion(at.restating or 0, size, self._policy.sweeps.slice, self._to_restate)
        return self._restated(some)

    def _restated(self, at: NDArray[np.int64]) -> list[Output]:
        """Return customers as of now, for Redis. Sweeps already hold their scores of earlier slots."""
        return [self._maker().current(self._state.table, at, self._state.at.current, "restated")] if len(at) else []
