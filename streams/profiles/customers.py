"""The state machine of one bucket of customers: it takes events and moved rows; it emits sweeps, live people, examples.

Pure: no engine, no client, no clock. The output at a boundary is a function of the log alone, for any batches and any
interleaving of lanes, because

- rows are order-free (:mod:`streams.profiles.rows`),
- the log of an event's own partition decides its slot, and events of later slots wait here,
- the bucket crosses a boundary only when all buckets of addresses have.

All items of an activation are handled in one pass: events are located once and become delta rows, one per slot and
customer. Then the deltas are added slot by slot, and each boundary in between copies the rows of the table.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import CustomerBatch, PeopleBlock, ProfileBlock
from contracts.metrics import CUSTOMERS
from contracts.model_blocks import Released
from contracts.rates import Rates
from streams.profiles.arrivals import Arrivals, Destination
from streams.profiles.known_ids import KnownIds
from streams.profiles.labelling import Labeller
from streams.profiles.people_blocks import Maker
from streams.profiles.progress import Senders
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
    """The state of a bucket of customers. ``slot`` is None until all senders have started."""

    senders: Senders
    known: KnownIds
    labels: Any
    bucket: int = -1
    slot: int | None = None
    fresh: bool = False
    """Whether the last activation emitted live people."""
    restated_at: int | None = None
    """The slot in which all customers were last published; None before."""
    table: ProfileTable = field(default_factory=ProfileTable)
    arrivals: Arrivals = field(default_factory=Arrivals)


class Customers:
    """The machine of one bucket. ``saved`` is what an earlier one froze; None makes an empty one."""

    def __init__(self, saved: bytes | None, policy: CustomersPolicy, labeller: Labeller):
        self._policy, self._labeller = policy, labeller
        self._state: CustomersState = pickle.loads(saved) if saved else _new_state(policy, labeller)  # noqa: S301

    @property
    def state(self) -> CustomersState:
        """The state, for inspection."""
        return self._state

    def freeze(self) -> bytes:
        """Return the state as bytes."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)

    def take(self, items: Sequence[CustomerBatch]) -> list[Output]:
        """Apply due events and rows, sweep every boundary that can be crossed, and return the changed people."""
        state = self._state
        for item in items:
            state.bucket = item.bucket
            state.senders.note(item.progress)
            state.arrivals.put(item.parcel)
        if state.senders.slot is None:
            return []
        target = max(state.senders.slot, state.slot or 0)
        sweeps = self._sweeps(target)
        if state.slot is None:
            state.slot = state.senders.start
            sweeps.put_nobody(self._slot)
        before = self._slot
        self._advance(sweeps, target)
        return [*sweeps.finish(), *self._changed(crossed=before != state.slot)]

    def resumed(self) -> list[Output]:
        """Add waiting money that has a rate now, and return the changed people. Recorded sweeps stay as they are.

        During a catch-up these people are emitted after the next boundary, like all others. At the end of the log Redis
        may hold newer versions, from the part of the log after the saved state, which is read again now.
        """
        state, policy = self._state, self._policy
        if state.slot is None:
            return []
        changed = state.table.convert(policy.rates, state.slot, policy.sweeps.interval)
        return self._live(changed, guarded=True) if state.fresh else []

    @property
    def _slot(self) -> int:
        if self._state.slot is None:
            raise RuntimeError("the bucket has no clock yet")
        return self._state.slot

    def _sweeps(self, target: int) -> Sweeps:
        """Return the sweeps of an activation. Near the end of the log the newest boundary's sweep is published."""
        state = self._state
        published = target if state.senders.fresh else None
        label = partial(self._labeller.label, state.labels)
        return Sweeps(self._policy.sweeps, self._maker(), state.table, label, published)

    def _maker(self, *, guarded: bool = False) -> Maker:
        state, policy = self._state, self._policy.sweeps
        guarded = guarded or state.senders.guarded
        return Maker(state.bucket, "customers", policy.interval, policy.dormant_after, guarded)

    def _advance(self, sweeps: Sweeps, target: int) -> None:
        """Add due rows, slot by slot, and cross the boundaries in between."""
        state, interval = self._state, self._policy.sweeps.interval
        to = Destination(state.table, state.known, self._policy.rates, interval)
        for step in state.arrivals.due(target, self._slot, to):
            self._cross(sweeps, step.slot, target)
            if len(step.at):
                state.table.add(step.at, step.rows, interval, distinct=step.distinct)
        self._cross(sweeps, target, target)

    def _cross(self, sweeps: Sweeps, slot: int, target: int) -> None:
        """Cross the boundaries up to ``slot``.

        Once all customers are dormant, only the last boundary is delivered: years without active customers cost almost
        nothing.
        """
        state = self._state
        while self._slot < slot:
            state.slot = self._slot + 1
            if not sweeps.cross(self._slot):
                state.slot = slot
                if slot == target:
                    sweeps.put_nobody(slot)
            state.known.forget()

    def _changed(self, *, crossed: bool) -> list[Output]:
        """Return the changed people: in a catch-up as profiles, after boundaries; at the end of the log as live people.

        People changed by events of earlier slots only have been swept since: a live score would repeat the sweep's.
        """
        state = self._state
        turned, state.fresh = state.senders.fresh and not state.fresh, state.senders.fresh
        if not state.fresh and not crossed:
            return []
        CUSTOMERS.labels(str(state.bucket)).set(len(state.table))
        changed = np.flatnonzero(state.table.changed)
        now, awake = state.table.rows["slot"][changed] >= self._slot, self._awake(changed)
        if not state.fresh:
            return self._profiles(changed[~now])
        live, earlier = changed[now], changed[~now]
        out = [*self._profiles(earlier), *self._live(live)]
        behind = self._all_but(live) if turned and state.restated_at != self._slot else earlier[awake[~now]]
        state.restated_at = self._slot
        return [*out, *self._restated(behind)]

    def _awake(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the people who are not dormant in the current slot."""
        policy = self._policy.sweeps
        last = self._state.table.rows["last_seen"][at]
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
        table = self._state.table
        chosen = self._awake(np.arange(len(table.rows))) & (table.rows["events"] > 0)
        chosen[live] = False
        return np.flatnonzero(chosen)

    def _restated(self, at: NDArray[np.int64]) -> list[Output]:
        """Return customers as of now, for Redis. Sweeps already hold their scores of earlier slots."""
        return [self._maker().current(self._state.table, at, self._slot, "restated")] if len(at) else []


def _new_state(policy: CustomersPolicy, labeller: Labeller) -> CustomersState:
    return CustomersState(Senders(policy.senders), KnownIds(policy.known_capacity), labeller.new_state())
