"""The profiles of one bucket: one row of a numpy table each, with an index of their ids."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.blocks import RowArray, Texts
from contracts.rates import WAITS, Rates
from contracts.state import Columns
from streams.profiles.deltas import add_rows, fade, in_turns
from streams.profiles.money import settle
from streams.profiles.raw import put, take
from streams.profiles.rows import ROW_DTYPE, blank_rows
from streams.profiles.texts import packed, unpacked
from streams.profiles.touched import Touched
from streams.profiles.unconverted import Unconverted

_SMALLEST: Final = 64
_NOTHING_YET: Final = 2**62
_WAITING: Final = "waiting_"
"""Begins the names of the columns of the amounts that wait for a rate."""


class _Index(dict[str, int]):
    """Positions by id. An id that is not there gets a released position, or the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.free: list[int] = []
        self.untouched = 0
        """The number of free positions, from the first on, that no one was given since the last snapshot."""
        self.size = 0
        self.new: list[str] = []

    def __missing__(self, name: str) -> int:
        if self.free:
            position = self.free.pop()
            self.untouched = min(self.untouched, len(self.free))
        else:
            position, self.size = self.size, self.size + 1
        self[name] = position
        self.new.append(name)
        return position


class ProfileTable:
    """The profiles of one bucket. A profile keeps its position until it is released; then another one may get it.

    ``rows``, ``names``, ``changed`` and ``entered`` are columns of equal length. ``changed`` marks rows that changed
    since they were last emitted; ``entered`` is the time in milliseconds at which the oldest record behind such a
    change entered Kafka, 0 without one. ``unconverted`` holds the amounts that wait for an exchange rate.

    The table is a part of the stored state (:class:`contracts.state.Part`): it notes the positions that changed.
    """

    def __init__(self) -> None:
        self._index = _Index()
        self._rows: RowArray = np.empty(0, ROW_DTYPE)
        self._names: Texts = np.empty(0, object)
        self._changed = np.empty(0, np.bool_)
        self._entered = np.empty(0, np.int64)
        self._order: NDArray[np.int64] | None = None
        self._dirty, self._renamed, self._unpublished = Touched(), Touched(), Touched()
        self.unconverted = Unconverted()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def rows(self) -> RowArray:
        """All rows that were ever in use, as a view; a released one is blank."""
        return self._rows[: self._index.size]

    @property
    def names(self) -> Texts:
        """The profile ids, by position; '' where a row was released."""
        return self._names[: self._index.size]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Which rows changed since they were last emitted."""
        return self._changed[: self._index.size]

    @property
    def entered(self) -> NDArray[np.int64]:
        """When the oldest record behind a change entered Kafka, in milliseconds; 0 where there is none."""
        return self._entered[: self._index.size]

    def locate(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the position of each id; unknown ids get rows, in order of appearance."""
        index = self._index
        located = np.fromiter(map(index.__getitem__, ids), np.int64)
        if index.new:
            self._open(index.new)
            index.new = []
        return located

    def find(self, name: str) -> int | None:
        """Return the position of an id; None if it is unknown."""
        return self._index.get(name)

    def add(self, at: NDArray[np.int64], added: RowArray, interval: int, *, distinct: bool = False) -> None:
        """Add rows to those at positions. ``distinct`` says that no position comes twice."""
        rows = self._rows
        for turn in (None,) if distinct else in_turns(at):
            here, more = (at, added) if turn is None else (at[turn], take(added, turn))
            mine = take(rows, here)
            add_rows(mine, more, interval)
            put(rows, here, mine)
        self._dirty.note(at)

    def touch(self, at: NDArray[np.int64], entered: NDArray[np.int64]) -> None:
        """Note that records, which entered Kafka at ``entered`` (0: none), changed the rows at positions."""
        self._dirty.note(at)
        self._unpublished.note(at)
        self._changed[at] = True
        column = self._entered
        oldest = column[at]
        column[at] = np.where(oldest, oldest, _NOTHING_YET)
        np.minimum.at(column, at, np.where(entered, entered, _NOTHING_YET))
        oldest = column[at]
        column[at] = np.where(oldest == _NOTHING_YET, 0, oldest)

    def convert(self, rates: Rates, slot: int, interval: int) -> NDArray[np.int64]:
        """Add the waiting amounts that have a rate now, as of the end of ``slot``; return the changed positions."""
        entries = self.unconverted.entries
        due = rates.worth(entries["currency"], entries["occurred"], entries["amount"]) != WAITS
        at = np.unique(entries["row"][due]).astype(np.int64)
        if not len(at):
            return at
        faded = take(self._rows, at)
        fade(faded, np.maximum(faded["slot"], slot), interval)
        put(self._rows, at, faded)
        rest, _ = settle(self._rows, entries, rates, interval)
        self.unconverted.replace(rest)
        self.touch(at, np.zeros(len(at), np.int64))
        return at

    def given_out(self, at: NDArray[np.int64]) -> None:
        """Note that the rows at positions were emitted as they are."""
        self._dirty.note(at)
        self._changed[at] = False
        self._entered[at] = 0

    def unpublished(self) -> NDArray[np.int64]:
        """Return the positions of the changed rows, ascending. It costs as much as changed since the last call."""
        return self._unpublished.some(self._changed)

    def clear(self, positions: NDArray[np.int64]) -> None:
        """Blank rows whose history was moved to another profile; their ids stay, with their keys."""
        rows = blank_rows(len(positions))
        rows["key"] = self._rows["key"][positions]
        self._rows[positions] = rows
        self.given_out(positions)

    def release(self, positions: NDArray[np.int64]) -> None:
        """Forget profiles: other profiles may reuse their rows, and their waiting money is dropped."""
        for position in positions.tolist():
            del self._index[self._names[position]]
        self._index.free.extend(positions.tolist())
        self._renamed.note(positions)
        self._rows[positions] = blank_rows(len(positions))
        self._names[positions] = ""
        self.given_out(positions)
        self.unconverted.take(positions)
        self._order = None

    def in_order(self) -> NDArray[np.int64]:
        """Return all positions in use in the order of their keys, which is independent of the order of arrival."""
        if self._order is None:
            used = np.flatnonzero(self.names != "") if self._index.free else np.arange(self._index.size)
            self._order = used[np.argsort(self.rows["key"][used], kind="stable")]
        return self._order

    def _open(self, names: list[str]) -> None:
        """Give new profiles their rows."""
        self._grow(self._index.size)
        at = np.fromiter(map(self._index.__getitem__, names), np.int64, len(names))
        self._names[at] = names
        self._rows["key"][at] = [xxh3_64_intdigest(name.encode()) for name in names]
        self._dirty.note(at)
        self._renamed.note(at)
        self._order = None

    def changes(self) -> Columns:
        """Return the rows that changed, new and released ids, and what changed among the amounts that wait."""
        at, named = self._dirty.positions(), self._renamed.positions()
        columns = _prefixed(self.unconverted.changes())
        if len(at):
            columns |= self._columns(at, named, self._index.untouched)
            self._stored()
        return columns

    def whole(self) -> Columns:
        """Return everything."""
        every = np.arange(self._index.size)
        columns = self._columns(every, every, 0) | _prefixed(self.unconverted.whole())
        self._stored()
        return columns

    def apply(self, columns: Columns) -> None:
        """Apply the whole or changes of an earlier table."""
        if "at" in columns:
            at, named = (np.asarray(columns[name]).astype(np.int64) for name in ("at", "named"))
            self._rename(named, unpacked(columns["ids"], len(named)))
            self._index.free[int(columns["free"][0]) :] = np.asarray(columns["freed"]).tolist()
            put(self._rows, at, np.asarray(columns["rows"]))
            self._changed[at], self._entered[at] = columns["changed"], columns["entered"]
            self._unpublished.note(at[self._changed[at]])
        self.unconverted.apply({name.removeprefix(_WAITING): columns[name] for name in columns if _WAITING in name})
        self._stored()

    def _columns(self, at: NDArray[np.int64], named: NDArray[np.int64], free: int) -> dict[str, Any]:
        """Return rows and names at positions, and the free positions after the first ``free``."""
        return {
            "at": at.astype(np.uint32),
            "rows": take(self._rows, at),
            "changed": self._changed[at],
            "entered": self._entered[at],
            "named": named.astype(np.uint32),
            "ids": packed(self._names[named]),
            "free": np.array([free], np.uint32),
            "freed": np.array(self._index.free[free:], np.uint32),
        }

    def _stored(self) -> None:
        """Note that everything is stored as it is."""
        self._dirty.clear()
        self._renamed.clear()
        self._index.untouched = len(self._index.free)

    def _rename(self, at: NDArray[np.int64], names: Texts) -> None:
        """Give positions other ids; '' releases one."""
        index = self._index
        index.size = max(index.size, int(at.max(initial=-1)) + 1)
        self._grow(index.size)
        for old in filter(None, self._names[at].tolist()):
            del index[old]
        self._names[at] = names
        index.update((name, position) for name, position in zip(names.tolist(), at.tolist(), strict=True) if name)
        self._order = None

    def _grow(self, size: int) -> None:
        """Make room for ``size`` rows. Capacity doubles, so growth costs a constant per profile."""
        had = len(self._rows)
        if size <= had:
            return
        capacity = max(_SMALLEST, 2 * size)
        self._rows = _longer(self._rows, blank_rows(capacity))
        self._names = _longer(self._names, np.full(capacity, "", object))
        self._changed = _longer(self._changed, np.zeros(capacity, np.bool_))
        self._entered = _longer(self._entered, np.zeros(capacity, np.int64))


def _prefixed(waiting: Columns) -> dict[str, Any]:
    return {_WAITING + name: column for name, column in waiting.items()}


def _longer(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    new[: len(old)] = old
    return new
