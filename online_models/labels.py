"""Delayed labels: snapshots of features wait until their whole window has closed; then the models learn from them.

At a boundary some customers are snapshotted. When a snapshot is ``within_days`` old, its label follows from the time of
the customer's newest event of the outcome's kind: the outcome happened if that is at or after the snapshot's boundary.
Positives and negatives of one snapshot are released together, since early positives would bias the base rate (Ktena et
al. 2019, "Addressing delayed feedback for continuous training"). A snapshot is released once per outcome, so duplicates
and late events never train twice.

A snapshot is a sample: of more than ``most`` customers of an outcome those with the smallest draws are kept. A draw is
a hash of customer and boundary, so the sample follows from the log, and other customers are drawn at each boundary.
Features wait in half precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.entries import Group, StoredDict
from contracts.model_blocks import Examples, SweptPeople
from contracts.outcomes import Outcome
from contracts.times import HOUR

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MOST_HALF: Final = 65_504
_NOBODY: Final = np.empty(0, np.intp)
_EVERYBODY: Final = slice(None)
OF_BUYERS: Final = "buyers"
"""What ``Outcome.of`` says of an outcome that is about customers with orders only."""


@dataclass(frozen=True)
class Snapshot:
    """n customers at a boundary: ``keys`` (n,) ascending, ``features`` (n, features), and who had ordered (n,)."""

    keys: NDArray[np.uint64]
    features: NDArray[np.float16]
    buyers: NDArray[np.bool_]


class LabelState(Group):
    """The snapshots of one bucket that still wait for an outcome, by boundary, oldest first. A part."""

    def __init__(self) -> None:
        self.waiting: StoredDict[int, Snapshot] = StoredDict(int, Snapshot)
        super().__init__(waiting=self.waiting)


def label(
    state: LabelState, swept: SweptPeople, outcomes: Sequence[Outcome], interval_hours: int, most: int
) -> Mapping[str, Examples]:
    """Release the examples whose window ends at this boundary, by outcome, and snapshot the trainable customers.

    ``interval_hours`` is the time between two boundaries. Windows are rounded up to a multiple of it. ``most`` is the
    maximum number of customers per outcome and boundary.
    """
    examples, longest = {}, 0
    for outcome in outcomes:
        window = window_slots(outcome, interval_hours)
        longest = max(longest, window)
        taken = swept.boundary - window
        snapshot = state.waiting.get(taken)
        examples[outcome.name] = (
            no_examples(swept.features(_NOBODY).shape[1]) if snapshot is None
            else _examples(_of_outcome(snapshot, outcome, taken, most), swept, outcome, taken * interval_hours * HOUR)
        )  # fmt: skip
    _forget(state, swept.boundary - longest)
    if len(swept.buyers):
        state.waiting[swept.boundary] = _snapshot(swept, outcomes, most)
    return examples


def forget(state: LabelState, keys: NDArray[np.uint64]) -> None:
    """Remove people from the snapshots, by their keys: no model learns from them any more."""
    for boundary, snapshot in list(state.waiting.items()):
        stays = ~np.isin(snapshot.keys, keys)
        if not stays.all():
            kept = (snapshot.keys[stays], snapshot.features[stays], snapshot.buyers[stays])
            state.waiting[boundary] = Snapshot(*kept)


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


def _snapshot(swept: SweptPeople, outcomes: Sequence[Outcome], most: int) -> Snapshot:
    """Return the trainable customers that the sample of any outcome needs."""
    keys, buyers = swept.keys[swept.trainable], swept.buyers
    kinds = {outcome.of for outcome in outcomes}
    if any(_takes_all(of, len(keys), most) for of in kinds):
        return Snapshot(keys, _half(swept.features(_EVERYBODY)), buyers)
    sampled = np.zeros(len(keys), np.bool_)
    for of in kinds:
        sampled[_sample(keys, _covered(buyers, of), swept.boundary, most)] = True
    chosen = np.flatnonzero(sampled)
    return Snapshot(keys[chosen], _half(swept.features(chosen)), buyers[chosen])


def _of_outcome(snapshot: Snapshot, outcome: Outcome, boundary: int, most: int) -> Snapshot:
    """Return the part of a snapshot that is the sample of one outcome."""
    keys, buyers = snapshot.keys, snapshot.buyers
    if _takes_all(outcome.of, len(keys), most):
        return snapshot
    at = _sample(keys, _covered(buyers, outcome.of), boundary, most)
    return snapshot if len(at) == len(keys) else Snapshot(keys[at], snapshot.features[at], buyers[at])


def _takes_all(of: str, count: int, most: int) -> bool:
    """Return whether the sample of an outcome has all of so many customers."""
    return of != OF_BUYERS and count <= most


def _covered(buyers: NDArray[np.bool_], of: str) -> NDArray[np.bool_]:
    """Return which customers an outcome is about."""
    return buyers if of == OF_BUYERS else np.ones(len(buyers), np.bool_)


def _sample(keys: NDArray[np.uint64], covered: NDArray[np.bool_], boundary: int, most: int) -> NDArray[np.intp]:
    """Return the positions, ascending, of the covered customers with the smallest draws, ``most`` at most.

    Removing customers outside the sample does not change it.
    """
    at = np.flatnonzero(covered)
    if len(at) <= most:
        return at
    return np.sort(at[np.argpartition(_draws(keys[at], boundary), most - 1)[:most]])


def _draws(keys: NDArray[np.uint64], boundary: int) -> NDArray[np.uint64]:
    """Return a hash of each key and the boundary: SplitMix64 (Steele et al. 2014), so distinct keys never tie."""
    mixed = keys + np.uint64(boundary * _GOLDEN % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    draws: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return draws


def _half(features: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return features in half precision: 11 bits, up to 65,504. Only a rate of refunds could be larger."""
    return np.clip(features, -_MOST_HALF, _MOST_HALF).astype(np.float16)


def _examples(snapshot: Snapshot, swept: SweptPeople, outcome: Outcome, taken_at: int) -> Examples:
    """Return the labelled examples of one outcome from its sample, taken at ``taken_at`` (microseconds)."""
    labels = _happened(snapshot, swept, outcome.counter, taken_at) == outcome.happens
    return Examples(snapshot.features.astype(np.float32), labels, snapshot.buyers)


def _happened(snapshot: Snapshot, swept: SweptPeople, counter: str, since: int) -> NDArray[np.bool_]:
    """Return which customers of a snapshot had an event at or after ``since``. Dormant customers had none."""
    if not len(swept.keys):
        return np.zeros(len(snapshot.keys), np.bool_)
    at = np.minimum(np.searchsorted(swept.keys, snapshot.keys), len(swept.keys) - 1)
    present = swept.keys[at] == snapshot.keys
    happened: NDArray[np.bool_] = present & (swept.last(counter, at) >= since)
    return happened
