"""One bucket of customers as a state machine: batches in, sweeps and live scores' inputs out.

Pure: no engine, no client, no clock. What comes out at a boundary is a function of the log alone, however the batches
were cut and however the topics interleaved, because profiles are order-free (:mod:`streams.profiles`), an event counts
in the slot that its own partition's log gives it, and an event of a later slot waits here until its slot has come.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import BucketBatch, CustomerBlock, EventArray, SweepBlock, select
from streams.features import compute_features
from streams.profiles import ProfileTable, apply_events, fade
from streams.seen import SeenIds
from streams.segments import lifecycle_of, segment_of

VERSION_SHIFT: Final = 32
"""A version is ``slot << 32 | events of the customer``: it grows with every event and every sweep that is told."""

CATCH_UP_SWEEPS: Final = 90


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


@dataclass
class BucketState:
    """Everything that a bucket remembers. ``slot`` is None until the clock of its partition has started."""

    bucket: int
    slot: int | None = None
    table: ProfileTable = field(default_factory=ProfileTable)
    seen: SeenIds = field(default_factory=lambda: SeenIds(0))
    waiting: list[tuple[NDArray[np.object_], EventArray]] = field(default_factory=list)
    unscored: dict[int, int] = field(default_factory=dict)
    """Rows that events moved since their last score, with the time (ms) at which the first of these entered Kafka."""
    held: CustomerBlock | None = None
    """The newest sweep, while it is not published yet."""


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


Output = SweepBlock | CustomerBlock | ProfileBlock


def new_bucket(bucket: int, policy: BucketPolicy) -> BucketState:
    """Return an empty bucket."""
    return BucketState(bucket, seen=SeenIds(policy.seen_capacity))


def advance(state: BucketState, batch: BucketBatch, policy: BucketPolicy, tally: Tally) -> Iterator[Output]:
    """Take one batch in: apply what has come due, sweep every boundary that the clock has crossed.

    Every sweep is given out for training and for the record. What readers look up is published when the log's end is
    near, else every :data:`CATCH_UP_SWEEPS`: in a catch-up nobody needs every day of a past year in Redis. Of slots in
    which there is nobody to sweep only the last is given out, so that years without customers cost next to nothing.
    """
    if len(batch.events):
        state.waiting.append((batch.customers, batch.events))
    if batch.start is None or batch.clock is None:
        return
    if state.slot is None:
        state.slot = batch.start
        yield _sweep(state, policy)
    _apply_due(state, policy, tally)
    target = batch.clock // policy.interval
    while state.slot < target:
        state.slot += 1
        if state.slot < target and _nobody_to_sweep(state, policy):
            _end_slot(state, policy)
        else:
            yield from _cross(state, policy)
        _apply_due(state, policy, tally)
    if batch.fresh:
        yield from _publish(state, policy)
        yield from _live(state, policy)


def _cross(state: BucketState, policy: BucketPolicy) -> Iterator[Output]:
    """Sweep the boundary at which the current slot begins."""
    if state.held is not None and state.held.farewell.any():
        # before the sweep: with it the models may pass on, and these belong to the models before
        yield select(state.held, state.held.farewell)
    yield _stored_profiles(state, np.flatnonzero(_touched(state, policy)))
    sweep = _sweep(state, policy)
    yield sweep
    state.held = replace(sweep.customers, recorded=False)
    _end_slot(state, policy)
    if _slot(state) % CATCH_UP_SWEEPS == 0:
        yield from _publish(state, policy)


def _end_slot(state: BucketState, policy: BucketPolicy) -> None:
    """Move what is kept per slot on, after the sweep of its end."""
    fade(state.table, policy.interval)
    state.seen.rotate()
    state.unscored.clear()


def _nobody_to_sweep(state: BucketState, policy: BucketPolicy) -> bool:
    """Whether all customers are dormant, and those who became so have been published for the last time."""
    if state.held is not None and len(state.held.ids):
        return False
    used, now = state.table.used, _slot(state) * policy.interval
    return not len(used) or bool(max(used["last_seen"].max() + policy.dormant_after, used["slot_end"].max()) < now)


def _publish(state: BucketState, policy: BucketPolicy) -> Iterator[Output]:
    """Give out the newest sweep and all changed profiles for those who look them up."""
    if state.held is not None:
        yield state.held
        state.held = None
    changed = np.flatnonzero(state.table.used["unpublished"])
    if len(changed):
        rows = state.table.used.take(changed)
        state.table.used["unpublished"] = False
        versions = _version(rows["slot_end"] // policy.interval - 1, rows)
        yield ProfileBlock(state.table.names.take(changed), versions, rows, published=True)


def _apply_due(state: BucketState, policy: BucketPolicy, tally: Tally) -> None:
    """Apply the waiting events whose slot is the current one or before, in the order in which they came."""
    slot = _slot(state)
    later = []
    for customers, events in state.waiting:
        due = events["slot"] <= slot
        if not due.all():
            later.append((customers[~due], events[~due]))
        if due.any():
            _apply(state, customers[due], events[due], policy, tally)
    state.waiting = later


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
    customers, events = customers[keep], events[keep]
    apply_events(state.table, customers, events, (_slot(state) + 1) * policy.interval)
    unscored = state.unscored
    at = state.table.locate(customers)
    for row, entered in zip(at.tolist(), events["entered"].tolist(), strict=True):
        unscored.setdefault(row, entered)


def _slot(state: BucketState) -> int:
    """The current slot of a bucket that has started."""
    if state.slot is None:
        raise RuntimeError("the bucket has no clock yet")
    return state.slot


def _touched(state: BucketState, policy: BucketPolicy) -> NDArray[np.bool_]:
    """Whom events of the slot touched that ends where the current one begins."""
    touched: NDArray[np.bool_] = state.table.used["slot_end"] == _slot(state) * policy.interval
    return touched


def _version(slot: NDArray[np.int64] | int, rows: NDArray[np.void]) -> NDArray[np.int64]:
    version: NDArray[np.int64] = (np.asarray(slot, np.int64) << VERSION_SHIFT) + rows["events"].astype(np.int64)
    return version


def _sweep(state: BucketState, policy: BucketPolicy) -> SweepBlock:
    """All customers who are not dormant, as of the boundary at which the current slot begins."""
    now = _slot(state) * policy.interval
    used = state.table.used
    at = state.table.in_order()
    at = at[(used["last_seen"][at] >= now - policy.dormant_after) | _touched(state, policy)[at]]
    rows = used.take(at)
    # Whoever is in training must still be swept when the longest window closes.
    steady = rows["last_seen"] >= now - policy.dormant_after + policy.longest_window
    turn = (rows["key"] % policy.training_stride).astype(np.int64) == _slot(state) % policy.training_stride
    return SweepBlock(
        customers=_block(state, _Chosen(at, rows, np.full(len(at), now)), policy, sweep=True),
        rows=at.astype(np.int32),
        counters={name: used[name].copy() for name in policy.counters},
        trainable=steady & turn,
    )


def _live(state: BucketState, policy: BucketPolicy) -> Iterator[Output]:
    """The customers whom events moved since their last score, as of each one's newest event."""
    if not state.unscored:
        return
    at = np.fromiter(sorted(state.unscored), np.int64, len(state.unscored))
    oldest = min(state.unscored.values()) / 1_000
    state.unscored.clear()
    rows = state.table.used.take(at)
    now = np.maximum(rows["last_seen"], _slot(state) * policy.interval)
    yield _stored_profiles(state, at)
    block = _block(state, _Chosen(at, rows, now), policy, sweep=False)
    yield replace(block, oldest_record_at=oldest)


@dataclass(frozen=True)
class _Chosen:
    """Some customers: their rows in the table, copies of these, and the moment as of which each is looked at."""

    at: NDArray[np.int64]
    rows: NDArray[np.void]
    now: NDArray[np.int64]


def _block(state: BucketState, chosen: _Chosen, policy: BucketPolicy, *, sweep: bool) -> CustomerBlock:
    """Make the block of the chosen customers.

    A sweep comes before :func:`fade`, so decay is as of its boundary; later in the slot it is as of the slot's end.
    """
    boundary_at = (_slot(state) + (0 if sweep else 1)) * policy.interval
    next_cut = (_slot(state) + 1) * policy.interval - policy.dormant_after
    rows, now = chosen.rows, chosen.now
    lifecycle = lifecycle_of(rows, now)
    return CustomerBlock(
        bucket=state.bucket,
        boundary=_slot(state),
        sweep=sweep,
        ids=state.table.names.take(chosen.at),
        versions=_version(_slot(state), rows),
        as_of=now,
        features=compute_features(rows, now, boundary_at),
        buyers=rows["orders"] > 0,
        lifecycle=lifecycle,
        segment=segment_of(rows, lifecycle),
        farewell=rows["last_seen"] < next_cut,
        recorded=sweep,
    )


def _stored_profiles(state: BucketState, at: NDArray[np.int64]) -> ProfileBlock:
    rows = state.table.used.take(at)
    return ProfileBlock(state.table.names.take(at), _version(_slot(state), rows), rows, published=False)
