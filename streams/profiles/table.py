"""The profiles of one bucket: one row of a numpy table each, with an index of their ids."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.blocks import RowArray, Texts
from contracts.rates import WAITS, Rates
from streams.profiles.deltas import add_rows, fade, in_turns
from streams.profiles.money import settle
from streams.profiles.raw import put, take
from streams.profiles.rows import ROW_DTYPE, blank_rows
from streams.profiles.texts import one_text, texts_of
from streams.profiles.unconverted import Unconverted

_SMALLEST: Final = 64
_NOTHING_YET: Final = 2**62


class _Index(dict[str, int]):
    """Positions by id. An id that is not there gets a released position, or the next one."""

    def __init__(self, entries: Iterable[tuple[str, int]] = ()) -> None:
        super().__init__(entries)
        self.free: list[int] = []
        self.size = 0
        self.new: list[str] = []

    def __missing__(self, name: str) -> int:
        if self.free:
            position = self.free.pop()
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
    """

    def __init__(self) -> None:
        self._index = _Index()
        self._rows: RowArray = np.empty(0, ROW_DTYPE)
        self._names: Texts = np.empty(0, object)
        self._changed = np.empty(0, np.bool_)
        self._entered = np.empty(0, np.int64)
        self._order: NDArray[np.int64] | None = None
        self.unconverted = Unconverted()

    def __len__(self) -> int:
        return len(self._index)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "names": one_text(self.names),
            "rows": self.rows,
            "changed": self.changed,
            "entered": self.entered,
            "free": self._index.free,
            "unconverted": self.unconverted,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = texts_of(state["names"], len(state["rows"]))
        self._index = _Index((name, position) for position, name in enumerate(names) if name)
        self._index.free, self._index.size = list(state["free"]), len(names)
        self._names = np.array(names, object)
        self._rows, self._changed, self._entered = (state[name].copy() for name in ("rows", "changed", "entered"))
        self._order = None
        self.unconverted = state["unconverted"]

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

    def touch(self, at: NDArray[np.int64], entered: NDArray[np.int64]) -> None:
        """Note that records, which entered Kafka at ``entered`` (0: none), changed the rows at positions."""
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
        self._changed[at] = False
        self._entered[at] = 0

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


def _longer(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    new[: len(old)] = old
    return new
