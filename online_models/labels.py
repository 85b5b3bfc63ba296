"""Delayed labels: snapshots of features wait until their whole window has closed; then the models learn from them.

At a boundary some customers are snapshotted. When a snapshot is ``within_days`` old, its label follows from the time of
the customer's newest event of the outcome's kind: the outcome happened if that is at or after the snapshot's boundary.
Positives and negatives of one snapshot are released together, since early positives would bias the base rate (Ktena et
al. 2019, "Addressing delayed feedback for continuous training"). A snapshot is released once per outcome, so duplicates
and late events never train twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contracts.entries import Entries, Group
from contracts.model_blocks import Examples, SweptPeople
from contracts.outcomes import Outcome
from contracts.times import HOUR


@dataclass(frozen=True)
class Snapshot:
    """n customers at a boundary: ``keys`` (n,) ascending, ``features`` (n, features), and who had ordered (n,)."""

    keys: NDArray[np.uint64]
    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]


class LabelState(Group):
    """The snapshots of one bucket that still wait for an outcome, by boundary, oldest first. A part."""

    def __init__(self) -> None:
        self.waiting: Entries[int, Snapshot] = Entries(int, Snapshot)
        super().__init__(waiting=self.waiting)


def label(
    state: LabelState, swept: SweptPeople, outcomes: Sequence[Outcome], interval_hours: int
) -> Mapping[str, Examples]:
    """Release the examples whose window ends at this boundary, by outcome, and snapshot the trainable customers.

    ``interval_hours`` is the time between two boundaries. Windows are rounded up to a multiple of it.
    """
    examples, longest = {}, 0
    for outcome in outcomes:
        window = window_slots(outcome, interval_hours)
        longest = max(longest, window)
        taken = swept.boundary - window
        snapshot = state.waiting.get(taken)
        examples[outcome.name] = (
            no_examples(swept.features.shape[1]) if snapshot is None
            else _examples(snapshot, swept, outcome, taken * interval_hours * HOUR)
        )  # fmt: skip
    _forget(state, swept.boundary - longest)
    if len(swept.features):
        keys = swept.keys[swept.trainable]
        state.waiting[swept.boundary] = Snapshot(keys, swept.features.copy(), swept.buyers.copy())
    return examples


def window_slots(outcome: Outcome, interval_hours: int) -> int:
    """Return the window of an outcome in sweep intervals."""
    return -(-outcome.within_days * 24 // interval_hours)


@cache
def no_examples(width: int) -> Examples:
    """Return examples without rows, of ``width`` features."""
    nobody = np.empty(0, np.bool_)
    return Examples(np.empty((0, width), np.float32), nobody, nobody)


def _forget(state: LabelState, last: int) -> None:
    """Drop the snapshots of boundary ``last`` and before: all their windows have closed."""
    while state.waiting and (oldest := next(iter(state.waiting))) <= last:
        del state.waiting[oldest]


def _examples(snapshot: Snapshot, swept: SweptPeople, outcome: Outcome, taken_at: int) -> Examples:
    """Return the labelled examples of one outcome from a snapshot taken at ``taken_at`` (microseconds)."""
    labels = _happened(snapshot, swept, outcome.counter, taken_at) == outcome.happens
    buyers = snapshot.buyers
    if outcome.of == "buyers" and not buyers.all():
        return Examples(snapshot.features[buyers], labels[buyers], buyers[buyers])
    return Examples(snapshot.features, labels, buyers)


def _happened(snapshot: Snapshot, swept: SweptPeople, counter: str, since: int) -> NDArray[np.bool_]:
    """Return which customers of a snapshot had an event at or after ``since``. Dormant customers had none."""
    if not len(swept.keys):
        return np.zeros(len(snapshot.keys), np.bool_)
    at = np.minimum(np.searchsorted(swept.keys, snapshot.keys), len(swept.keys) - 1)
    present = swept.keys[at] == snapshot.keys
    happened: NDArray[np.bool_] = present & (swept.last[counter][at] >= since)
    return happened
