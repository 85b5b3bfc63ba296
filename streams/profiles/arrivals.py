"""Holds events and moved rows until their slot, then turns them into rows to add to a table of customers."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from heapq import merge
from itertools import chain, pairwise, starmap
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress, take
from contracts.blocks import EventArray, Parcel, RowArray
from contracts.entries import Group
from contracts.ids import Texts, among
from contracts.metrics import DUPLICATES, LATE, TOO_LATE
from contracts.rates import Rates
from streams.journal import JOURNAL
from streams.profiles.deltas import deltas, fade
from streams.profiles.known_ids import KnownIds
from streams.profiles.known_orders import admit, ids_in
from streams.profiles.money import convert_events, settle
from streams.profiles.moved import WaitingRows, pick
from streams.profiles.rows import blank_rows
from streams.profiles.table import ProfileTable
from streams.profiles.waiting import Waiting


@dataclass(frozen=True)
class Step:
    """Rows to add to positions in a slot. ``distinct`` says that no position comes twice."""

    slot: int
    at: NDArray[np.int64]
    rows: RowArray
    distinct: bool


@dataclass(frozen=True)
class Destination:
    """The target of events: a table, the window of known ids, and the rates in force. ``interval`` in microseconds."""

    table: ProfileTable
    known: KnownIds
    rates: Rates
    interval: int


_NO_ROWS: Final = blank_rows(0)
_NOWHERE: Final = np.empty(0, np.int64)


class Arrivals(Group):
    """Waiting events with their owners, and waiting rows. A part."""

    def __init__(self) -> None:
        self.events, self.moved = Waiting(), WaitingRows()
        super().__init__(events=self.events, moved=self.moved)

    def __len__(self) -> int:
        """How many events and rows wait."""
        return len(self.events) + sum(len(each) for each in self.moved.values())

    def owners(self) -> int:
        """Return how many customers they are of."""
        found: set[str] = set()
        for owners in chain(self.events.column(1), (each.owners for each in self.moved.values())):
            found.update(owners.tolist())
        return len(found)

    def put(self, parcel: Parcel) -> None:
        """Add a parcel."""
        if len(parcel.events):
            self.events.put(parcel.events["slot"], parcel.events, parcel.owners)
        if parcel.moved is not None and len(parcel.moved):
            self.moved.append(parcel.moved)

    def forget(self, people: Set[str]) -> None:
        """Remove the events and rows of people."""
        self.events.remove(lambda columns: among(columns[1], people))
        self.moved.forget(people)

    def due(self, target: int, slot: int, to: Destination) -> Iterator[Step]:
        """Yield the rows to add up to slot ``target``, in the order of slots. Late arrivals count in ``slot``.

        The caller crosses the boundaries up to each step's slot before it adds the step and asks for the next one.
        """
        events = self._events(target, slot, to)
        return merge(events, self._moves(target, slot, to), key=attrgetter("slot")) if self.moved else events

    def _moves(self, target: int, slot: int, to: Destination) -> Iterator[Step]:
        moved = self.moved.due(target)
        moved = pick(moved, moved.rows["events"] > 0)  # a device without events creates no customer
        if not len(moved):
            return
        at, slots, rows = to.table.locate(moved.owners), np.maximum(moved.slots, slot), moved.rows.copy()
        fade(rows, slots, to.interval)
        rest, _ = settle(rows, moved.unconverted, to.rates, to.interval)
        rest["row"] = at[rest["row"]]
        to.table.unconverted.add(rest)
        to.table.touch(at, moved.entered)
        for current in np.unique(slots).tolist():
            mine = np.flatnonzero(slots == current)
            yield Step(current, at[mine], take(rows, mine), distinct=False)

    def _events(self, target: int, slot: int, to: Destination) -> Iterator[Step]:
        columns = self.events.due(target)
        if columns is None:
            return
        events, owners = columns
        slots = np.maximum(events["slot"], slot)
        if not (slots[1:] >= slots[:-1]).all():  # of two copies in different slots the one in the earlier slot counts
            order = np.argsort(slots, kind="stable")
            slots, events, owners = slots[order], take(events, order), owners[order]
        for some in _portions(slots, ids_in(events), to.known):
            first = int(slots[some][0])
            yield Step(first, _NOWHERE, _NO_ROWS, distinct=True)  # ids are forgotten at the boundaries before it
            yield from _steps(events[some], owners[some], first, to)


def _portions(slots: NDArray[np.int64], ids: int, known: KnownIds) -> Iterator[slice]:
    """Cut events between slots if known ids may be forgotten there, else keep them in one piece."""
    cuts = [] if ids <= known.room() else (np.flatnonzero(np.diff(slots)) + 1).tolist()
    yield from starmap(slice, pairwise([0, *cuts, len(slots)]))


def _steps(events: EventArray, owners: Texts, slot: int, to: Destination) -> Iterator[Step]:
    """Yield the rows that new events add, slot by slot."""
    new = _new(events, owners, to.known)
    if not new.all():
        events, owners = compress(events, new), owners[new]
    if not len(events):
        return
    at = to.table.locate(owners)
    to.table.touch(at, np.ascontiguousarray(events["entered"]))
    positions, rows, entries = deltas(at, convert_events(events, to.rates), to.interval, slot)
    to.table.unconverted.add(entries)
    slots = rows["slot"]
    starts = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(rows)]
    for start, end in pairwise(starts):
        yield Step(int(slots[start]), positions[start:end], rows[start:end], distinct=True)


def _new(events: EventArray, owners: Texts, known: KnownIds) -> NDArray[np.bool_]:
    """Return which events count: neither duplicates nor from before the window of known ids."""
    times = np.ascontiguousarray(events["occurred"])
    new = admit(known, events, owners)
    duplicates, old = len(events) - int(np.count_nonzero(new)), known.too_old(times) & new
    late = int(np.count_nonzero(events["late"] & new))
    for metric, count in ((DUPLICATES, duplicates), (TOO_LATE, int(np.count_nonzero(old))), (LATE, late)):
        if count:
            metric.inc(count)
    if late:
        JOURNAL.late(late)
    counted: NDArray[np.bool_] = new & ~old
    return counted
