"""One bucket of customers as a state machine: events and visitors' profiles in, sweeps and live scores' inputs out.

Pure: no engine, no client, no clock. What comes out at a boundary is a function of the log alone, however the batches
were cut and however the topics interleaved, because profiles are order-free (:mod:`streams.profiles.table`), an event counts
in the slot that its own partition's log gives it, an event of a later slot waits here until its slot has come, and no
boundary is crossed before all buckets of visitors have handed over what they owe to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import BucketBatch, CustomerBlock, SweepBlock, select
from contracts.crossings import Absorb, Absorbed, Entries, Overlay
from streams.profiles.bucket import (
    BucketPolicy,
    BucketState,
    Chosen,
    ProfileBlock,
    Tally,
    apply_due,
    block_of,
    current,
    end_slot,
    reachable,
    settle_waiting,
    take,
    touched,
    versions_of,
)
from streams.profiles.merging import absorb_rows, in_turns, stack_rows
from streams.profiles.money import settle
from streams.profiles.known_ids import SeenIds
from streams.profiles.unconverted import carried, join_entries

CATCH_UP_SWEEPS: Final = 90
_NEWEST_OF: Final = {"orders": "last_order", "tickets": "last_ticket"}
"""The time of the newest event behind a counter; of all others, that of the newest event at all."""


@dataclass
class CustomersState(BucketState):
    """Everything that a bucket of customers remembers."""

    held: CustomerBlock | None = None
    """The newest sweep, while it is not published yet."""
    handed: dict[int, list[Absorb]] = field(default_factory=dict)
    """What was handed over, by the boundary at which it counts."""
    overlays: dict[int, dict[str, dict[str, NDArray[np.void]]]] = field(default_factory=dict)
    """By slot and customer: the rows of visitors who are likely this customer, each by its source."""
    restated: dict[int, int] = field(default_factory=dict)
    """Rows that took something over, or over which something lay, with the slot as of which they must be told anew."""


Input = BucketBatch | Absorb | Overlay
Output = SweepBlock | CustomerBlock | ProfileBlock


def new_bucket(bucket: int, policy: BucketPolicy) -> CustomersState:
    """Return an empty bucket."""
    return CustomersState(bucket, seen=SeenIds(policy.seen_capacity))


def advance(state: CustomersState, item: Input, policy: BucketPolicy, tally: Tally) -> Iterator[Output]:
    """Take one input in: apply what has come due, sweep every boundary that may be crossed now.

    Every sweep is given out for training and for the record. What readers look up is published when the log's end is
    near, else every :data:`CATCH_UP_SWEEPS`: in a catch-up nobody needs every day of a past year in Redis. Of slots in
    which there is nobody to sweep only the last is given out, so that years without customers cost next to nothing.
    """
    _note(state, item)
    target = reachable(state, policy.interval)
    if target is None:
        return
    if state.slot is None:
        state.slot = state.start
        yield _sweep(state, policy, None)
    apply_due(state, policy, tally)
    while current(state) < target:
        _end_overlays(state)
        state.slot = current(state) + 1
        absorbed = _absorb(state, policy)
        if state.slot < target and _nobody_to_sweep(state, policy):
            end_slot(state, policy)
        else:
            yield from _cross(state, policy, absorbed)
        apply_due(state, policy, tally)
        _begin_overlays(state)
    if state.fresh:
        yield from _publish(state, policy)
        yield from _live(state, policy)


def _note(state: CustomersState, item: Input) -> None:
    if isinstance(item, BucketBatch):
        take(state, item)
    elif isinstance(item, Overlay):
        _overlay(state, item)
    else:
        state.start, state.through = item.start, item.through
        for boundary in np.unique(item.boundaries).tolist():
            state.handed.setdefault(boundary, []).append(item)


def _absorb(state: CustomersState, policy: BucketPolicy) -> Absorbed | None:
    """Add the profiles that were handed over at the current boundary to those of their customers."""
    parts = [(item, item.boundaries == current(state)) for item in state.handed.pop(current(state), [])]
    if not parts:
        return None
    persons = np.concatenate([item.persons[mine] for item, mine in parts])
    rows = np.concatenate([item.rows[mine] for item, mine in parts])
    # word of a refused link is no event, and makes no customer
    real = (rows["events"] > 0) | [state.table.find(person) is not None for person in persons.tolist()]
    persons, rows = persons[real], rows[real]
    waiting = _waiting_of(parts, np.flatnonzero(real), rows, current(state) * policy.interval, policy)
    at = state.table.locate(persons)
    for turn in in_turns(at):
        state.table.rows[at[turn]] = absorb_rows(state.table.rows[at[turn]], rows[turn])
    waiting["row"] = at[waiting["row"]]
    state.table.unconverted.add(waiting)
    state.table.rows["slot_end"][at] = current(state) * policy.interval
    state.restated |= dict.fromkeys(at.tolist(), current(state))
    return Absorbed(
        rows=at.astype(np.int32),
        counters={name: rows[name].copy() for name in policy.counters},
        newest={name: rows[_NEWEST_OF.get(name, "last_seen")].copy() for name in policy.counters},
    )


def _waiting_of(
    parts: Sequence[tuple[Absorb, NDArray[np.bool_]]], real: NDArray[np.int64], rows: NDArray[np.void],
    boundary_at: int, policy: BucketPolicy,
) -> Entries:
    """The waiting amounts of rows that were handed over; those that have a rate by now are added to their rows."""
    found, start = [], 0
    for item, mine in parts:
        some = carried(item.unconverted, np.flatnonzero(mine), len(mine))
        if len(some):
            some["row"] += start
            found.append(some)
        start += int(mine.sum())
    waiting, _ = settle(rows, carried(join_entries(found), real, start), policy.rates, boundary_at)
    return waiting


def convert_waiting(state: CustomersState, policy: BucketPolicy) -> Iterator[Output]:
    """Add amounts that waited for an exchange rate and have one now; give out the profiles that changed.

    Sweeps that are on record stay as they are: scores know the money from now on.
    """
    changed = settle_waiting(state, policy)
    if not len(changed):
        return
    state.restated |= dict.fromkeys(changed.tolist(), current(state))
    for row in changed.tolist():
        state.unscored.setdefault(row, 0)
    yield _stored_profiles(state, changed)
    if state.fresh:
        yield from _publish(state, policy)
        yield from _live(state, policy)


def _overlay(state: CustomersState, item: Overlay) -> None:
    """Keep copies of visitors' rows for live scores; those of a slot that has ended come too late."""
    if state.slot is not None and item.slot < state.slot:
        return
    book = state.overlays.setdefault(item.slot, {})
    for at, (source, person) in enumerate(zip(item.sources.tolist(), item.persons.tolist(), strict=True)):
        if item.present[at]:
            book.setdefault(person, {})[source] = item.rows[at : at + 1]
        else:
            book.get(person, {}).pop(source, None)
    if state.slot == item.slot:
        _rescore(state, zip(item.persons.tolist(), item.entered.tolist(), strict=True))


def _end_overlays(state: CustomersState) -> None:
    """Forget the overlays of the slot that ends, and note over whom they lay."""
    book = state.overlays.pop(current(state), {})
    lay = [row for person in book if (row := state.table.find(person)) is not None]
    state.restated |= dict.fromkeys(lay, current(state) + 1)
    state.table.used["unpublished"][lay] = True


def _begin_overlays(state: CustomersState) -> None:
    """The overlays of the slot that begins move scores."""
    _rescore(state, [(person, 0) for person in state.overlays.get(current(state), ())])


def _rescore(state: CustomersState, persons: Iterable[tuple[str, int]]) -> None:
    """Note that the scores of some customers moved, with the time (ms) at which the cause entered Kafka, or 0."""
    for person, entered in persons:
        row = state.table.find(person)
        if row is not None:
            state.unscored.setdefault(row, entered)
            state.table.rows["unpublished"][row] = True


def _rows(state: CustomersState, at: NDArray[np.int64]) -> NDArray[np.void]:
    """Copies of rows, with what visitors who are likely the same people have done in this slot."""
    rows = state.table.used.take(at)
    book = state.overlays.get(current(state))
    if book:
        found = [
            (position, source)
            for position, row in enumerate(at.tolist())
            if (sources := book.get(state.table.ids[row]))
            for source in sorted(sources.values(), key=_by_age)
        ]
        positions = np.array([position for position, _ in found], np.int64)
        sources_rows = stack_rows(source for _, source in found)
        for turn in in_turns(positions):
            rows[positions[turn]] = absorb_rows(rows[positions[turn]], sources_rows[turn])
    return rows


def _by_age(row: NDArray[np.void]) -> tuple[int, int]:
    return int(row["first_seen"][0]), int(row["key"][0])


def _cross(state: CustomersState, policy: BucketPolicy, absorbed: Absorbed | None) -> Iterator[Output]:
    """Sweep the boundary at which the current slot begins."""
    if state.held is not None and state.held.farewell.any():
        # before the sweep: with it the models may pass on, and these belong to the models before
        yield select(state.held, state.held.farewell)
    changed = touched(state, policy)
    changed[[row for row, slot in state.restated.items() if slot == current(state)]] = True
    yield _stored_profiles(state, np.flatnonzero(changed))
    sweep = _sweep(state, policy, absorbed)
    yield sweep
    state.held = replace(sweep.customers, recorded=False)
    end_slot(state, policy)
    if current(state) % CATCH_UP_SWEEPS == 0:
        yield from _publish(state, policy)


def _nobody_to_sweep(state: CustomersState, policy: BucketPolicy) -> bool:
    """Whether all customers are dormant, and those who became so have been published for the last time."""
    if state.held is not None and len(state.held.ids):
        return False
    used, now = state.table.used, current(state) * policy.interval
    return not len(used) or bool(max(used["last_seen"].max() + policy.dormant_after, used["slot_end"].max()) < now)


def _publish(state: CustomersState, policy: BucketPolicy) -> Iterator[Output]:
    """Give out the newest sweep and all changed profiles for those who look them up."""
    if state.held is not None:
        yield state.held
        state.held = None
    changed = np.flatnonzero(state.table.used["unpublished"])
    if len(changed):
        rows = _rows(state, changed)
        state.table.used["unpublished"] = False
        slots = rows["slot_end"] // policy.interval - 1
        told = [state.restated.get(row, 0) for row in changed.tolist()] if state.restated else 0
        slots = np.maximum(slots, told)
        state.restated = {}
        yield ProfileBlock(state.table.names.take(changed), versions_of(slots, rows), rows, published=True)


def _sweep(state: CustomersState, policy: BucketPolicy, absorbed: Absorbed | None) -> SweepBlock:
    """All customers who are not dormant, as of the boundary at which the current slot begins."""
    now = current(state) * policy.interval
    used = state.table.used
    at = state.table.in_order()
    at = at[(used["last_seen"][at] >= now - policy.dormant_after) | touched(state, policy)[at]]
    rows = used.take(at)
    # Whoever is in training must still be swept when the longest window closes.
    steady = rows["last_seen"] >= now - policy.dormant_after + policy.longest_window
    turn = (rows["key"] % policy.training_stride).astype(np.int64) == current(state) % policy.training_stride
    return SweepBlock(
        customers=block_of(state, Chosen(at, rows, np.full(len(at), now)), policy, sweep=True, recorded=True),
        rows=at.astype(np.int32),
        counters={name: used[name].copy() for name in policy.counters},
        trainable=steady & turn,
        absorbed=absorbed,
    )


def _live(state: CustomersState, policy: BucketPolicy) -> Iterator[Output]:
    """The customers whom events moved since their last score, as of each one's newest event."""
    if not state.unscored:
        return
    at = np.fromiter(sorted(state.unscored), np.int64, len(state.unscored))
    oldest = min((entered for entered in state.unscored.values() if entered), default=None)
    state.unscored.clear()
    rows = _rows(state, at)
    now = np.maximum(rows["last_seen"], current(state) * policy.interval)
    yield ProfileBlock(state.table.names.take(at), versions_of(current(state), rows), rows, published=False)
    block = block_of(state, Chosen(at, rows, now), policy, sweep=False)
    yield replace(block, oldest_record_at=None if oldest is None else oldest / 1_000)


def _stored_profiles(state: CustomersState, at: NDArray[np.int64]) -> ProfileBlock:
    rows = state.table.used.take(at)
    return ProfileBlock(state.table.names.take(at), versions_of(current(state), rows), rows, published=False)
