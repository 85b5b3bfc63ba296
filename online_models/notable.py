"""Remembers each person's last published scores, so that a sweep writes only rows that changed noticeably.

A row of a sweep is notable if its scores, lifecycle, segment or first reason have changed since it was last published,
if a week has passed since, or if it was never published. A row is not notable if a newer version was published. The
memory is columns per table, by the person's position.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import longer
from contracts.blocks import VERSION_SHIFT, PeopleBlock
from contracts.model_blocks import REASON_CODE, OutcomeScores
from contracts.state import Columns, pack, unpack

LEAST: Final = 0.001
PART: Final = 0.05
"""A probability has moved when it differs by more than ``LEAST + PART * probability``."""
_EVENTS: Final = (1 << VERSION_SHIFT) - 1
"""The bits of a version that hold the person's number of events."""
NEVER: Final = -1


class Seen:
    """The last published scores of the people of one table; ``versions`` is :data:`NEVER` where there are none.

    ``keys`` are the keys of visitors' profiles, since another one may have got the position of a forgotten one; they
    are 0 for customers. ``probabilities`` and ``reasons`` are by outcome. A part: its changes are the rows remembered
    since the state was stored last.
    """

    def __init__(self) -> None:
        self.versions = np.empty(0, np.int64)
        self.keys = np.empty(0, np.uint64)
        self.lifecycle = np.empty(0, np.int8)
        self.segment = np.empty(0, np.int8)
        self.probabilities: dict[str, NDArray[np.float32]] = {}
        self.reasons: dict[str, NDArray[np.int8]] = {}
        self._size = 0
        self._noted: list[NDArray[np.integer]] = []
        """The positions remembered since the state was stored last."""

    def reach(self, size: int, outcomes: Iterable[str]) -> None:
        """Make room for ``size`` positions and for the outcomes."""
        if size > self._size:
            self.versions = longer(self.versions, size)
            self.versions[self._size : size] = NEVER
            self.keys, self.lifecycle = longer(self.keys, size), longer(self.lifecycle, size)
            self.segment = longer(self.segment, size)
            self.probabilities = {name: longer(values, size) for name, values in self.probabilities.items()}
            self.reasons = {name: longer(values, size) for name, values in self.reasons.items()}
            self._size = size
        for name in outcomes:
            if name not in self.reasons:
                self.probabilities[name] = longer(np.empty(0, np.float32), self._size)
                self.reasons[name] = longer(np.empty(0, np.int8), self._size)
                self.probabilities[name][: self._size] = np.nan
                self.reasons[name][: self._size] = -1

    def note(self, at: NDArray[np.integer]) -> None:
        """Note that rows were remembered."""
        self._noted.append(at)

    def changes(self) -> Columns:
        """Return the rows remembered since the last call."""
        return self._columns(np.unique(np.concatenate(self._noted))) if self._noted else {}

    def whole(self) -> Columns:
        """Return all rows that were ever published."""
        return self._columns(np.flatnonzero(self.versions[: self._size] != NEVER))

    def apply(self, columns: Columns) -> None:
        """Set rows."""
        found: dict[str, Any] = dict(columns)
        at, outcomes = found["at"], unpack(bytes(found["outcomes"]), list[str])
        self.reach(int(at.max(initial=-1)) + 1, outcomes)
        self.versions[at] = found["versions"]
        if found["keys"].any():
            self.keys[at] = found["keys"]
        self.lifecycle[at], self.segment[at] = found["lifecycle"], found["segment"]
        for number, name in enumerate(outcomes):
            self.probabilities[name][at] = found["probabilities"][number]
            self.reasons[name][at] = found["reasons"][number]

    def _columns(self, at: NDArray[np.integer]) -> Columns:
        """Return rows; ``probabilities`` and ``reasons`` have a line for each of ``outcomes``."""
        self._noted = []
        names, shape = list(self.reasons), (len(self.reasons), len(at))
        chances, reasons = np.empty(shape, np.float32), np.empty(shape, np.int8)
        for number, name in enumerate(names):
            chances[number], reasons[number] = self.probabilities[name][at], self.reasons[name][at]
        return {
            "at": at.astype(np.int32),
            "versions": self.versions[at],
            "keys": self.keys[at],
            "lifecycle": self.lifecycle[at],
            "segment": self.segment[at],
            "outcomes": pack(names),
            "probabilities": chances,
            "reasons": reasons,
        }


Memory = dict[str, Seen]
"""By the name of the table."""


def new_memory() -> Memory:
    """Return empty memories for all tables."""
    return {table: Seen() for table in ("customers", "devices", "addresses")}


def notable_rows(
    memory: Memory, people: PeopleBlock, scores: Mapping[str, OutcomeScores], week: int
) -> NDArray[np.bool_]:
    """Return which rows of a block to publish, and remember these. ``week`` is in boundaries."""
    if not len(people):
        return np.zeros(0, np.bool_)
    if not people.publish:
        return np.full(len(people), people.kind == "live")
    if people.kind == "live":
        found = np.ones(len(people), np.bool_)
    else:
        found = _moved(_seen(memory, people, scores), people, scores, week)
    _remember(_seen(memory, people, scores), people, scores, found)
    return found


def _seen(memory: Memory, people: PeopleBlock, scores: Mapping[str, OutcomeScores]) -> Seen:
    seen = memory[people.table]
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
        moved |= _first(each.keys) != seen.reasons[name][at]
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
    seen.note(at)
    seen.versions[at] = people.versions[rows]
    if people.visitors and people.keys is not None:
        seen.keys[at] = people.keys[rows]
    seen.lifecycle[at], seen.segment[at] = people.lifecycle[rows], people.segment[rows]
    for name, each in scores.items():
        seen.probabilities[name][at] = each.probability[rows]
        seen.reasons[name][at] = _first(each.keys[rows])
