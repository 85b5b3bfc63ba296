"""What all buckets of profiles have in common: events that wait for their slot, the window of known ids, and blocks.

A bucket keeps the profiles of some people, of visitors (:mod:`streams.identity.visitors`) or of customers
(:mod:`streams.profiles.customers`). Pure: no engine, no client, no clock.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import BucketBatch, CustomerBlock, EventArray
from contracts.rates import Rates
from streams.profiles.features import compute_features
from streams.profiles.money import convert_events, settle
from streams.profiles.table import ProfileTable, apply_events, fade
from streams.profiles.known_ids import SeenIds
from streams.profiles.segments import lifecycle_of, segment_of

VERSION_SHIFT: Final = 32
"""A version is ``slot << 32 | events of the person``: it grows with every event and every sweep that is told."""


@dataclass(frozen=True)
class BucketPolicy:
    """What a bucket must know of the settings; times in microseconds."""

    interval: int
    dormant_after: int
    training_stride: int
    """Sweeps between two training snapshots of the same customer."""
    counters: tuple[str, ...]
    seen_capacity: int
    longest_window: int
    visitors_forgotten_after: int = 90 * 86_400_000_000
    """Visitors silent for longer are forgotten."""
    rates: Rates = field(default_factory=Rates)


@dataclass
class BucketState:
    """What every bucket remembers. ``slot`` is None until all lanes have started."""

    bucket: int
    slot: int | None = None
    start: int | None = None
    through: int | None = None
    """The boundary up to which everything is known that other lanes have to say."""
    clock: int | None = None
    fresh: bool = False
    table: ProfileTable = field(default_factory=ProfileTable)
    seen: SeenIds = field(default_factory=lambda: SeenIds(0))
    waiting: dict[int, list[tuple[NDArray[np.object_], EventArray]]] = field(default_factory=dict)
    """Events by the slot in which they count."""
    unscored: dict[int, int] = field(default_factory=dict)
    """Rows that events moved since their last score, with the time (ms) at which the first of these entered Kafka."""


@dataclass
class Tally:
    """What a batch did to a bucket, for the metrics."""

    duplicates: int = 0
    late: int = 0
    too_late: int = 0


@dataclass(frozen=True)
class ProfileBlock:
    """Copies of profile rows that changed: for ClickHouse, or, if ``published``, for Redis."""

    ids: NDArray[np.object_]
    versions: NDArray[np.int64]
    rows: NDArray[np.void]
    published: bool


@dataclass(frozen=True)
class Chosen:
    """Some people: their rows in the table, copies of these, and the moment as of which each is looked at."""

    at: NDArray[np.int64]
    rows: NDArray[np.void]
    now: NDArray[np.int64]


def current(state: BucketState) -> int:
    """The current slot of a bucket that has started."""
    if state.slot is None:
        raise RuntimeError("the bucket has no clock yet")
    return state.slot


def take(state: BucketState, batch: BucketBatch) -> None:
    """Note the clock of the lane, and keep the batch's events for their slots, in the order in which they came."""
    state.clock, state.fresh = batch.clock, batch.fresh
    if not len(batch.events):
        return
    slots = batch.events["slot"]
    order = np.argsort(slots, kind="stable")
    found, first = np.unique(slots[order], return_index=True)
    for slot, rows in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        state.waiting.setdefault(slot, []).append((batch.customers[rows], batch.events[rows]))


def reachable(state: BucketState, interval: int) -> int | None:
    """The boundary up to which the bucket may go; None before all lanes have started."""
    if state.clock is None or state.through is None:
        return None
    return min(state.clock // interval, state.through)


def apply_due(state: BucketState, policy: BucketPolicy, tally: Tally) -> None:
    """Apply the waiting events whose slot is the current one or before, in the order in which they came."""
    for slot in sorted(slot for slot in state.waiting if slot <= current(state)):
        chunks = state.waiting.pop(slot)
        customers = np.concatenate([customers for customers, _ in chunks])
        _apply(state, customers, np.concatenate([events for _, events in chunks]), policy, tally)


def _apply(
    state: BucketState, customers: NDArray[np.object_], events: EventArray, policy: BucketPolicy, tally: Tally
) -> None:
    new = state.seen.admit(events["id_hash"], events["occurred"])
    known = state.seen.too_old(events["occurred"]) & new
    tally.duplicates += int(len(events) - new.sum())
    tally.too_late += int(known.sum())
    tally.late += int((events["late"] & new).sum())
    keep = new & ~known
    if not keep.any():
        return
    customers, events = customers[keep], convert_events(events[keep], policy.rates)
    apply_events(state.table, customers, events, (current(state) + 1) * policy.interval)
    unscored = state.unscored
    at = state.table.locate(customers)
    for row, entered in zip(at.tolist(), events["entered"].tolist(), strict=True):
        unscored.setdefault(row, entered)


def settle_waiting(state: BucketState, policy: BucketPolicy) -> NDArray[np.int64]:
    """Add the waiting amounts that have a rate by now; return the rows that changed."""
    table = state.table
    if state.slot is None or not table.unconverted:
        return np.empty(0, np.int64)
    boundary_at = (state.slot + 1) * policy.interval
    rest, changed = settle(table.rows, table.unconverted.entries, policy.rates, boundary_at)
    if len(changed):
        table.unconverted.replace(rest)
        table.rows["unpublished"][changed] = True
    return changed


def end_slot(state: BucketState, policy: BucketPolicy) -> None:
    """Move what is kept per slot on, after everything that is as of its end."""
    fade(state.table, policy.interval)
    state.seen.rotate()
    state.unscored.clear()


def touched(state: BucketState, policy: BucketPolicy) -> NDArray[np.bool_]:
    """Whom events of the slot touched that ends where the current one begins."""
    found: NDArray[np.bool_] = state.table.used["slot_end"] == current(state) * policy.interval
    return found


def versions_of(slot: NDArray[np.int64] | int, rows: NDArray[np.void]) -> NDArray[np.int64]:
    """The versions of profiles in a slot."""
    version: NDArray[np.int64] = (np.asarray(slot, np.int64) << VERSION_SHIFT) + rows["events"].astype(np.int64)
    return version


def block_of(
    state: BucketState, chosen: Chosen, policy: BucketPolicy, *, sweep: bool, recorded: bool = False
) -> CustomerBlock:
    """Make the block of the chosen people.

    A recorded sweep comes before :func:`end_slot`, so decay is as of its boundary; later in the slot it is as of the
    slot's end.
    """
    boundary_at = (current(state) + (0 if recorded else 1)) * policy.interval
    next_cut = (current(state) + 1) * policy.interval - policy.dormant_after
    rows, now = chosen.rows, chosen.now
    lifecycle = lifecycle_of(rows, now)
    return CustomerBlock(
        bucket=state.bucket,
        boundary=current(state),
        sweep=sweep,
        ids=state.table.names.take(chosen.at),
        versions=versions_of(current(state), rows),
        as_of=now,
        features=compute_features(rows, now, boundary_at),
        buyers=rows["orders"] > 0,
        lifecycle=lifecycle,
        segment=segment_of(rows, lifecycle),
        farewell=rows["last_seen"] < next_cut,
        recorded=recorded,
    )
