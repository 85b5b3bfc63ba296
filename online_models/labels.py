"""Delayed labels: snapshots of features wait until their whole window has closed, then learn.

At a boundary some customers are snapshotted: their features and their lifetime counters. When the longest-waiting
snapshot of an outcome is ``within_days`` old, its label is read off the counters: did the counter grow? Positives and
negatives of one snapshot are released together, since early positives would bias the base rate (Ktena et al. 2019,
"Addressing delayed feedback for continuous training"). A snapshot is released once per outcome, so what arrives late
or twice never trains twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Examples, Released, SweepBlock
from contracts.crossings import Absorbed
from contracts.outcomes import Outcome

HOUR: Final = 3_600_000_000


@dataclass(frozen=True)
class Snapshot:
    """Features (n, features) of n customers at a boundary, their table rows, counters then, and who had bought."""

    boundary: int
    rows: NDArray[np.int32]
    features: NDArray[np.float32]
    counters: Mapping[str, NDArray[np.int32]]
    buyers: NDArray[np.bool_]


@dataclass
class LabelState:
    """The snapshots of one bucket that still wait for an outcome, oldest first."""

    waiting: list[Snapshot] = field(default_factory=list)


def label(state: LabelState, sweep: SweepBlock, outcomes: Sequence[Outcome], interval_hours: int) -> Released:
    """Snapshot the sweep's trainable customers and release the examples whose window ends at its boundary.

    ``interval_hours`` is the time between two boundaries. A window that is no multiple of it is rounded up.
    """
    boundary = sweep.customers.boundary
    if sweep.absorbed is not None:
        for snapshot in state.waiting:
            _rebase(snapshot, sweep.absorbed, snapshot.boundary * interval_hours * HOUR)
    examples = {
        outcome.name: _release(state, sweep, outcome, boundary - window_slots(outcome, interval_hours))
        for outcome in outcomes
    }
    if sweep.trainable.any():
        state.waiting.append(_snapshot(sweep))
    longest = max(window_slots(outcome, interval_hours) for outcome in outcomes)
    state.waiting = [snapshot for snapshot in state.waiting if snapshot.boundary > boundary - longest]
    return Released(sweep.customers.bucket, boundary, examples)


def window_slots(outcome: Outcome, interval_hours: int) -> int:
    """The window of an outcome in sweep intervals."""
    return -(-outcome.within_days * 24 // interval_hours)


def _rebase(snapshot: Snapshot, absorbed: Absorbed, taken_at: int) -> None:
    """Add what absorbed visitors had done before a snapshot to its counters: it is no growth since then."""
    order = np.argsort(snapshot.rows, kind="stable")
    for name, growth in absorbed.counters.items():
        old = absorbed.newest[name] < taken_at
        at = np.searchsorted(snapshot.rows, absorbed.rows[old], sorter=order)
        inside = at < len(order)
        at = order[at[inside]]
        mine = snapshot.rows[at] == absorbed.rows[old][inside]
        np.add.at(snapshot.counters[name], at[mine], growth[old][inside][mine])


def _snapshot(sweep: SweepBlock) -> Snapshot:
    chosen = sweep.trainable
    rows = sweep.rows[chosen]
    return Snapshot(
        boundary=sweep.customers.boundary,
        rows=rows,
        features=sweep.customers.features[chosen],
        counters={name: counter[rows] for name, counter in sweep.counters.items()},
        buyers=sweep.customers.buyers[chosen],
    )


def _release(state: LabelState, sweep: SweepBlock, outcome: Outcome, boundary: int) -> Examples:
    """The labelled examples of one outcome from the snapshot taken at ``boundary``; empty if there is none."""
    for snapshot in state.waiting:
        if snapshot.boundary == boundary:
            grew = sweep.counters[outcome.counter][snapshot.rows] > snapshot.counters[outcome.counter]
            labels = grew == outcome.happens
            buyers = snapshot.buyers
            if outcome.of == "buyers":
                return Examples(snapshot.features[buyers], labels[buyers], buyers[buyers])
            return Examples(snapshot.features, labels, buyers)
    width = sweep.customers.features.shape[1]
    return Examples(np.empty((0, width), np.float32), np.empty(0, np.bool_), np.empty(0, np.bool_))
