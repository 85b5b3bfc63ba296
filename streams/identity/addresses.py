"""One bucket of e-mail addresses: an address has a history of its own until a customer owns it.

Events that devices forward for customers pass through at once: the customers step holds later slots itself. The
reported progress is the progress of this step, which follows the slowest bucket of devices. Pure: no engine, no client,
no clock.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress, take
from contracts.blocks import CustomerBatch, EventArray, Forwarded, MovedRows, Parcel, Progress, Verdicts
from contracts.ids import among
from contracts.machine import Machine
from contracts.metrics import VISITORS, labelled
from contracts.state import Part
from contracts.times import SECOND
from streams.identity.decisions import Decisions
from streams.identity.histories import NO_ADDITIONS, Additions
from streams.identity.keeper import Block, Keeper, advance
from streams.identity.kept import Kept
from streams.identity.outflow import Outflow
from streams.identity.policy import IdentityPolicy
from streams.profiles.moved import WaitingRows, pick
from streams.profiles.progress import Senders
from streams.profiles.waiting import Waiting

Output = CustomerBatch | Verdicts | Block


@dataclass
class AddressesState(Kept):
    """The state of a bucket of addresses."""

    table: Literal["devices", "addresses"] = "addresses"
    senders: Senders = field(default_factory=lambda: Senders(1))
    waiting: Waiting = field(default_factory=Waiting)
    moved: WaitingRows = field(default_factory=WaitingRows)

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name."""
        return super().parts() | {"senders": self.senders, "waiting": self.waiting, "moved": self.moved}

    def forget(self, people: Set[str]) -> None:
        """Remove people from everything."""
        super().forget(people)
        self.waiting.remove(lambda columns: among(columns[1], people))
        self.moved.forget(people)


class Addresses(Keeper[AddressesState], Machine[Forwarded, Output]):
    """The machine of one bucket of addresses."""

    def __init__(self, policy: IdentityPolicy):
        super().__init__(AddressesState(senders=Senders(policy.buckets)), policy)

    def take(self, items: Sequence[Forwarded]) -> list[Output]:
        """Take what devices forward; return what goes on to customers, and blocks of visitors."""
        state, turned = self._state, False
        state.bucket = items[0].bucket
        passed = [item.customers for item in items if len(item.customers)]
        for item in items:
            turned |= state.senders.note(item.progress)
            self._put(item)
        before = state.reported
        if turned or before is None:
            senders = state.senders
            state.reported = Progress(state.bucket, senders.slot, senders.start, senders.fresh, senders.guarded)
        outflow, rest = self._work() if self._is_due(turned=turned) else (None, [])
        return [*self._passed(passed, outflow, before), *rest]

    def _put(self, item: Forwarded) -> None:
        state, parcel = self._state, item.addresses
        if len(parcel.events):
            state.waiting.put(parcel.events["slot"], parcel.events, parcel.owners)
        if parcel.moved is not None and len(parcel.moved):
            state.moved.append(parcel.moved)
        if item.claims:
            state.links.put(item.claims)

    def _is_due(self, *, turned: bool) -> bool:
        """Whether there may be more to do than passing events on."""
        state = self._state
        if state.reported is None or state.reported.slot is None or state.reported.start is None:
            return False
        waits = state.waiting.first is not None or state.moved or state.links.is_due(state.reported.slot)
        return turned or bool(waits) or state.slot is None

    def _work(self) -> tuple[Outflow, list[Output]]:
        """Apply events, rows and links up to the slot of the slowest sender."""
        state, outflow = self._state, Outflow()
        progress = state.reported
        if progress is None or progress.slot is None or progress.start is None:
            raise RuntimeError("not all buckets of devices have reported yet")
        first = progress.start if state.slot is None else state.slot
        # Claims come from many lanes. In the order of their times, a catch-up decides them as it was decided live.
        links = sorted(state.links.due(progress.slot, first), key=attrgetter("slot", "occurred"))
        decisions = Decisions(state.owned, self._policy, links)
        for link in links:
            decisions.decide(link)
        additions = self._additions(progress.slot, outflow)
        sent, blocks = advance(state, progress, additions, decisions.moves(), self._policy)
        outflow.put_moved(sent)
        labelled(VISITORS, f"addresses-{state.bucket}").set(state.owned.visitors)
        return outflow, [*decisions.blocks(state.bucket, guarded=progress.guarded), *blocks]

    def _additions(self, slot: int, outflow: Outflow) -> Additions:
        """Return what is added to addresses' own rows; send the rest on to the owners."""
        at, events = self._own_events(slot, outflow)
        moved_at, moved = self._own_rows(slot, outflow)
        return Additions(at, events, moved_at, moved)

    def _own_events(self, slot: int, outflow: Outflow) -> tuple[NDArray[np.int64], EventArray]:
        columns = self._state.waiting.due(slot)
        if columns is None:
            return NO_ADDITIONS.at, NO_ADDITIONS.events
        events, names = columns
        order = np.argsort(events["slot"], kind="stable")
        events, names = take(events, order), names[order]
        at = self._state.owned.locate(names)
        theirs, owners, routes = self._state.owned.owners_of(at, events["slot"])
        going = compress(events, theirs)
        outflow.put_events(going, owners[theirs], routes[theirs])
        self._state.owned.see(at[theirs], going["occurred"] // SECOND)
        return at[~theirs], compress(events, ~theirs)

    def _own_rows(self, slot: int, outflow: Outflow) -> tuple[NDArray[np.int64], MovedRows]:
        state = self._state
        if not state.moved:
            return NO_ADDITIONS.moved_at, NO_ADDITIONS.moved
        moved = state.moved.due(slot)
        at = state.owned.locate(moved.owners)
        theirs, owners, routes = state.owned.owners_of(at, moved.slots)
        if theirs.any():
            going = replace(pick(moved, theirs), owners=owners[theirs])
            outflow.put_moved([(routes[theirs], going)])
        return at[~theirs], pick(moved, ~theirs)

    def _passed(self, parcels: list[Parcel], outflow: Outflow | None, before: Progress | None) -> list[CustomerBatch]:
        """Return the batches for the buckets of customers: for all of them when the progress of this bucket changed.

        A receiver may take parcels one by one, so only the last one for it reports the new slot.
        """
        state = self._state
        progress = state.reported
        if progress is None:
            return []
        turned = progress != before
        earlier = before or Progress(state.bucket, None, None, fresh=False, guarded=progress.guarded)
        batches = []
        for bucket in range(self._policy.buckets) if turned or outflow else (state.bucket,):
            mine = parcels if bucket == state.bucket else []
            own = outflow.parcel(bucket) if outflow else None
            every = [*mine, own] if own else [*mine]
            if turned and not every:
                every = [Parcel()]
            batches += [CustomerBatch(bucket, earlier, parcel) for parcel in every[:-1]]
            batches += [CustomerBatch(bucket, progress, parcel) for parcel in every[-1:]]
        return batches
