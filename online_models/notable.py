"""Remembers what was last published of each person, so that a sweep writes only rows that changed noticeably.

A row of a sweep is notable if its scores, lifecycle, segment or first reason have changed since it was last published,
if a week has passed since, or if it was never published. A row is not notable if a newer version was published. The
memory is columns per table, by the person's position.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import VERSION_SHIFT, PeopleBlock
from contracts.model_blocks import REASON_CODE, OutcomeScores

LEAST: Final = 0.001
PART: Final = 0.05
"""A probability has moved when it differs by more than ``LEAST + PART * probability``."""
_EVENTS: Final = (1 << VERSION_SHIFT) - 1
"""The bits of a version that hold the person's number of events."""
SMALLEST: Final = 256
NEVER: Final = -1
T = TypeVar("T", bound=np.generic)


@dataclass
class Seen:
    """What was last published of the people of one table; ``versions`` is :data:`NEVER` where nothing was.

    ``keys`` are the profiles' keys: another visitor may have got the position of a forgotten one. ``probabilities`` and
    ``reasons`` are by outcome.
    """

    versions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    lifecycle: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    segment: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    probabilities: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    reasons: dict[str, NDArray[np.int8]] = field(default_factory=dict)

    def reach(self, size: int, outcomes: Mapping[str, OutcomeScores]) -> None:
        """Make room for ``size`` positions and for the outcomes."""
        if size > len(self.versions):
            more = max(SMALLEST, 2 * len(self.versions), size) - len(self.versions)
            self.versions = _longer(self.versions, more, NEVER)
            self.keys, self.lifecycle = _longer(self.keys, more, 0), _longer(self.lifecycle, more, 0)
            self.segment = _longer(self.segment, more, 0)
            self.probabilities = {name: _longer(values, more, 0) for name, values in self.probabilities.items()}
            self.reasons = {name: _longer(values, more, 0) for name, values in self.reasons.items()}
        for name in outcomes:
            if name not in self.reasons:
                self.probabilities[name] = np.full(len(self.versions), np.nan, np.float32)
                self.reasons[name] = np.full(len(self.versions), -1, np.int8)


Memory = dict[str, Seen]
"""By the name of the table."""


def notable_rows(
    memory: Memory, people: PeopleBlock, scores: Mapping[str, OutcomeScores], week: int
) -> NDArray[np.bool_]:
    """Return which rows of a block to publish, and remember these. ``week`` is in boundaries."""
    if not len(people):
        return np.zeros(0, np.bool_)
    if people.kind == "live":
        found = np.ones(len(people), np.bool_)
    elif not people.publish:
        return np.zeros(len(people), np.bool_)
    else:
        found = _moved(_seen(memory, people, scores), people, scores, week)
    _remember(_seen(memory, people, scores), people, scores, found)
    return found


def _seen(memory: Memory, people: PeopleBlock, scores: Mapping[str, OutcomeScores]) -> Seen:
    seen = memory.setdefault(people.table, Seen())
    seen.reach(int(people.positions.max()) + 1, scores)
    return seen


def _moved(seen: Seen, people: PeopleBlock, scores: Mapping[str, OutcomeScores], week: int) -> NDArray[np.bool_]:
    """Return the rows that differ noticeably from what was last published and are not older."""
    at = people.positions
    versions = seen.versions[at]
    unseen = versions == NEVER
    if people.visitors and people.keys is not None:
        unseen |= seen.keys[at] != people.keys
    moved = (people.lifecycle != seen.lifecycle[at]) | (people.segment != seen.segment[at]) | people.leaving
    for name, each in scores.items():
        moved |= _differs(each.probability, seen.probabilities[name][at])
        moved |= _first(each.reasons) != seen.reasons[name][at]
    moved |= _weeks(people.versions, at, week) > _weeks(versions, at, week)
    moved |= (people.versions ^ versions) & _EVENTS != 0
    moved &= people.versions >= versions
    found: NDArray[np.bool_] = moved | unseen
    return found


def _differs(now: NDArray[np.float64], before: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a probability has moved noticeably, or has changed from or to NaN."""
    now = now.astype(np.float32)
    near = np.abs(now - before) <= LEAST + PART * before
    return ~(near | (np.isnan(now) & np.isnan(before)))


def _weeks(versions: NDArray[np.int64], positions: NDArray[np.int32], week: int) -> NDArray[np.int64]:
    """Return the number of the week in which a version falls; each position's week starts at another boundary."""
    return ((versions >> VERSION_SHIFT) + positions) // week


def _first(reasons: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return feature and direction of the first reason, -1 where there is none."""
    first = reasons[:, 0]
    return np.where(first < 0, -1, first & REASON_CODE).astype(np.int8)


def _remember(seen: Seen, people: PeopleBlock, scores: Mapping[str, OutcomeScores], chosen: NDArray[np.bool_]) -> None:
    if not chosen.any():
        return
    rows: NDArray[np.bool_] | slice = slice(None) if chosen.all() else chosen
    at = people.positions[rows]
    seen.versions[at] = people.versions[rows]
    if people.keys is not None:
        seen.keys[at] = people.keys[rows]
    seen.lifecycle[at], seen.segment[at] = people.lifecycle[rows], people.segment[rows]
    for name, each in scores.items():
        seen.probabilities[name][at] = each.probability[rows]
        seen.reasons[name][at] = _first(each.reasons[rows])


def _longer(values: NDArray[T], more: int, filler: int) -> NDArray[T]:
    return np.concatenate((values, np.full(more, filler, values.dtype)))
