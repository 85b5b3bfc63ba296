"""The profiles of one bucket: one row of a numpy table each, with an index of their ids."""

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.arrays import longer, take
from contracts.blocks import RowArray
from contracts.caches import Cache
from contracts.rates import WAITS, Rates
from contracts.state import Columns
from streams.profiles.deltas import add_rows, fade, in_turns
from streams.profiles.money import settle
from streams.profiles.names import Names
from streams.profiles.ordering import Ordered
from streams.profiles.row_store import DenseRows, RowStore
from streams.profiles.texts import unpacked
from streams.profiles.touched import Touched
from streams.profiles.unconverted import Unconverted

_NOTHING_YET: Final = 2**62
_WAITING: Final = "waiting_"
"""Begins the names of the columns of the amounts that wait for a rate."""
_REMEMBERED: Final = 1 << 13


class ProfileTable:
    """The profiles of one bucket. A profile keeps its position until it is released; then another one may get it.

    ``rows``, ``keys``, ``names``, ``changed`` and ``entered`` are columns of equal length. ``changed`` marks rows that
    changed since they were last emitted; ``entered`` is the time in milliseconds at which the oldest record behind such
    a change entered Kafka, 0 without one. ``unconverted`` holds the amounts that wait for an exchange rate.

    The table is a part of the stored state (:class:`contracts.state.Part`): it notes the positions that changed.
    """

    def __init__(self, rows: RowStore | None = None) -> None:
        self.names = Names()
        self.unconverted = Unconverted()
        self._rows = DenseRows() if rows is None else rows
        self._keys = np.empty(0, np.uint64)
        self._changed = np.empty(0, np.bool_)
        self._entered = np.empty(0, np.int64)
        self._order = Ordered()
        self._free: list[int] = []
        self._free_stored = 0
        """How many of the free positions, from the first on, are as they were stored."""
        self._dirty, self._renamed, self._unpublished = Touched(), Touched(), Touched()
        self._recent: Cache[str, int] = Cache(_REMEMBERED)
        """Cached positions of recent ids, because most ids repeat."""

    def __len__(self) -> int:
        return self.names.count

    @property
    def rows(self) -> RowArray:
        """All rows that were ever in use, as a view (a copy, if the rows are sparse); a released one is blank."""
        return self._rows.all()

    @property
    def keys(self) -> NDArray[np.uint64]:
        """The xxh3_64 of the profile ids, in whose order profiles leave a table."""
        return self._keys[: len(self.names)]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Which rows changed since they were last emitted."""
        return self._changed[: len(self.names)]

    @property
    def entered(self) -> NDArray[np.int64]:
        """When the oldest record behind a change entered Kafka, in milliseconds; 0 where there is none."""
        return self._entered[: len(self.names)]

    def take(self, at: NDArray[np.int64]) -> RowArray:
        """Return copies of the rows at positions."""
        return self._rows.take(at)

    def column(self, name: str, at: NDArray[np.int64] | slice) -> NDArray[Any]:
        """Return one column of the rows at positions, as a copy or a view."""
        return self._rows.column(name, at)

    def locate(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the position of each id; unknown ids get rows, in order of appearance."""
        ids = ids if isinstance(ids, list) else list(ids)
        recent = self._recent
        located = np.fromiter(map(recent.get, ids, repeat(-1)), np.int64, len(ids))
        missed = np.flatnonzero(located < 0).tolist()
        if missed:
            names = list(dict.fromkeys([ids[each] for each in missed]))
            places = dict(zip(names, self._locate(names).tolist(), strict=True))
            located[missed] = [places[ids[each]] for each in missed]
            recent.remember(places)
        return located

    def find(self, name: str) -> int | None:
        """Return the position of an id; None if it is unknown."""
        position = int(self.names.find([name])[0])
        return None if position < 0 else position

    def add(self, at: NDArray[np.int64], added: RowArray, interval: int, *, distinct: bool = False) -> None:
        """Add rows to those at positions. ``distinct`` says that no position comes twice."""
        rows = self._rows
        for turn in (None,) if distinct else in_turns(at):
            here, more = (at, added) if turn is None else (at[turn], take(added, turn))
            mine = rows.take(here)
            add_rows(mine, more, interval)
            rows.put(here, mine)
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
        waits = rates.worth(entries["currency"], entries["occurred"], entries["amount"]) == WAITS
        due = entries[~waits]
        at = np.unique(due["row"]).astype(np.int64)
        if not len(at):
            return at
        rows = self._rows.take(at)
        fade(rows, np.maximum(rows["slot"], slot), interval)
        due["row"] = np.searchsorted(at, due["row"])
        settle(rows, due, rates, interval)
        self._rows.put(at, rows)
        self.unconverted.replace(entries[waits])
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
        """Blank rows whose history was moved to another profile; their ids stay."""
        self._rows.clear(positions)
        self.given_out(positions)

    def release(self, positions: NDArray[np.int64]) -> None:
        """Forget profiles: other profiles may reuse their rows, and their waiting money is dropped."""
        self.erase(positions)
        self._free.extend(positions.tolist())

    def erase(self, positions: NDArray[np.int64]) -> None:
        """Forget profiles for good. Their positions stay empty: what others note by position would fit nobody else."""
        self._forget(positions)
        self._renamed.note(positions)
        self._rows.clear(positions)
        self.given_out(positions)
        self.unconverted.take(positions)

    def find_all(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the positions of those of the ids that are known."""
        at = self.names.find(list(ids))
        found: NDArray[np.int64] = at[at >= 0]
        return found

    def in_order(self) -> NDArray[np.int64]:
        """Return all positions in use in the order of their keys, which is independent of the order of arrival."""
        return self._order.positions(self.keys, self.names)

    def _locate(self, names: list[str]) -> NDArray[np.int64]:
        """Return the positions of distinct ids; unknown ones get rows."""
        at = self.names.find(names)
        new = np.flatnonzero(at < 0).tolist()
        if not new:
            return at
        free = [self._free.pop() for _ in range(min(len(new), len(self._free)))]
        self._free_stored = min(self._free_stored, len(self._free))
        size = len(self.names)
        opened = np.array([*free, *range(size, size + len(new) - len(free))], np.int64)
        at[new] = opened
        self._open([names[each] for each in new], opened)
        self._dirty.note(opened)
        self._renamed.note(opened)
        return at

    def _open(self, names: list[str], at: NDArray[np.int64]) -> None:
        """Give ids to positions."""
        self._reach(int(at.max(initial=-1)) + 1)
        self.names.put(names, at)
        self._keys[at] = [xxh3_64_intdigest(name.encode()) for name in names]
        self._order.add(at)

    def _reach(self, size: int) -> None:
        """Make at least so many positions."""
        if size <= len(self.names):
            return
        self.names.reach(size)
        self._rows.reach(size)
        self._keys = longer(self._keys, size)
        self._changed, self._entered = longer(self._changed, size), longer(self._entered, size)

    def _forget(self, at: NDArray[np.int64]) -> None:
        """Take the ids from positions."""
        for name in self.names.take(at).tolist():
            self._recent.pop(name, None)
        self.names.release(at)
        self._order.remove(at)

    def changes(self) -> Columns:
        """Return the rows that changed, new and released ids, and what changed among the amounts that wait."""
        at, named = self._dirty.positions(), self._renamed.positions()
        columns = _prefixed(self.unconverted.changes())
        if len(at):
            columns |= self._columns(at, named, self._free_stored)
            self._stored()
        return columns

    def whole(self) -> Columns:
        """Return everything. Rows that take no memory are left out."""
        every, at = np.arange(len(self.names)), self._rows.held()
        if len(at) == len(every):
            rows, changed, entered = self.rows, self.changed, self.entered
        else:
            rows, changed, entered = self._rows.take(at), self._changed[at], self._entered[at]
        columns = self._columns(np.empty(0, np.int64), every, 0) | _prefixed(self.unconverted.whole())
        columns |= {"at": at.astype(np.uint32), "rows": rows, "changed": changed, "entered": entered}
        self._stored()
        return columns

    def apply(self, columns: Columns) -> None:
        """Apply the whole or changes of an earlier table."""
        if "at" in columns:
            at, named = (np.asarray(columns[name]).astype(np.int64) for name in ("at", "named"))
            self._reach(int(max(at.max(initial=-1), named.max(initial=-1))) + 1)
            self._forget(named[self.names.used(named)])
            ids = unpacked(columns["ids"], len(named))
            given = np.flatnonzero(ids != "")
            self._open(ids[given].tolist(), named[given])
            self._free[int(columns["free"][0]) :] = np.asarray(columns["freed"]).tolist()
            self._rows.put(at, np.asarray(columns["rows"]))
            self._changed[at], self._entered[at] = columns["changed"], columns["entered"]
            self._unpublished.note(at[self._changed[at]])
        self.unconverted.apply({name.removeprefix(_WAITING): columns[name] for name in columns if _WAITING in name})
        self._stored()

    def _columns(self, at: NDArray[np.int64], named: NDArray[np.int64], free: int) -> dict[str, Any]:
        """Return rows and names at positions, and the free positions after the first ``free``."""
        return {
            "at": at.astype(np.uint32),
            "rows": self._rows.take(at),
            "changed": self._changed[at],
            "entered": self._entered[at],
            "named": named.astype(np.uint32),
            "ids": self.names.packed(named),
            "free": np.array([free], np.uint32),
            "freed": np.array(self._free[free:], np.uint32),
        }

    def _stored(self) -> None:
        """Note that everything is stored as it is."""
        self._dirty.clear()
        self._renamed.clear()
        self._free_stored = len(self._free)


def _prefixed(waiting: Columns) -> dict[str, Any]:
    return {_WAITING + name: column for name, column in waiting.items()}
