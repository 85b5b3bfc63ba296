"""Parts of state made of whole values: entries by key, queues, values that are replaced; and parts made of parts.

Their values are immutable by convention: a value is stored once, when it is set, and never looked at again.
"""

from collections import UserDict
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from contracts.state import Columns, Part, Value, pack, unpack

K = TypeVar("K")
T = TypeVar("T")


class StoredDict(UserDict[K, T], Generic[K, T]):
    """A dictionary that is a part: its changes are the entries that were set and the keys that were removed.

    ``value`` and ``key`` are the types of the values and the keys; :func:`contracts.state.pack` must be able to pack
    them. An entry changes only if it is set again.
    """

    def __init__(self, key: Any, value: Any):
        super().__init__()
        self._types: Any = (list[key], list[value])
        self._set: dict[K, bool] = {}
        """The keys set since the state was stored last, and whether they are in the stored state."""
        self._gone: dict[K, None] = {}
        """The keys of the stored state that were removed since."""

    def __setitem__(self, key: K, value: T) -> None:
        if key not in self._set:
            self._set[key] = key in self.data or key in self._gone
        self.data[key] = value

    def __delitem__(self, key: K) -> None:
        del self.data[key]
        if self._set.pop(key, True):
            self._gone[key] = None

    def changes(self) -> Columns:
        """Return the entries set since the last call, and the keys removed."""
        if not self._set and not self._gone:
            return {}
        columns = self._columns(self._set)
        if self._gone:
            columns["gone"] = pack(list(self._gone))
        self._forget()
        return columns

    def whole(self) -> Columns:
        """Return all entries, in their order."""
        self._forget()
        return self._columns(self.data)

    def apply(self, columns: Columns) -> None:
        """Remove keys, then set entries."""
        keys, values = self._types
        for key in unpack(bytes(columns["gone"]), keys) if "gone" in columns else ():
            self.data.pop(key, None)
        if "keys" in columns:
            found = (unpack(bytes(columns["keys"]), keys), unpack(bytes(columns["values"]), values))
            self.data.update(zip(*found, strict=True))

    def _columns(self, keys: Iterable[K]) -> dict[str, bytes]:
        chosen = list(keys)
        if not chosen:
            return {}
        return {"keys": pack(chosen), "values": pack([self.data[key] for key in chosen])}

    def _forget(self) -> None:
        self._set, self._gone = {}, {}


class Queue(StoredDict[int, T]):
    """Items in the order of their arrival, by ascending numbers."""

    def __init__(self, item: Any):
        super().__init__(int, item)

    def append(self, item: T) -> None:
        """Add an item at the end."""
        self[next(reversed(self.data), -1) + 1] = item

    def remove(self, chosen: Callable[[T], bool]) -> list[T]:
        """Remove and return the chosen items, in their order."""
        numbers = [number for number, item in self.data.items() if chosen(item)]
        return [self.pop(number) for number in numbers]


class Replaced(Value[T]):
    """A part for an immutable value that is replaced, never changed: it is packed only if it is another object."""

    def __init__(self, kind: Any, get: Callable[[], T], put: Callable[[T], None]):
        super().__init__(kind, get, put)
        self._seen: T | None = None

    def changes(self) -> Columns:
        """Return the value if it was replaced."""
        now = self._get()
        if now is self._seen:
            return {}
        self._seen = now
        return {"value": pack(now)}

    def whole(self) -> Columns:
        """Return the value."""
        self._seen = self._get()
        return {"value": pack(self._seen)}

    def apply(self, columns: Columns) -> None:
        """Set the value."""
        self._put(unpack(bytes(columns["value"]), self._kind))
        self._seen = self._get()


class Group:
    """A part made of other parts; its columns are theirs, with the name of the part and a dot before their names."""

    def __init__(self, **parts: Part):
        self._parts = parts

    def changes(self) -> Columns:
        """Return what changed in each part since the last call."""
        return self._named({name: part.changes() for name, part in self._parts.items()})

    def whole(self) -> Columns:
        """Return everything."""
        return self._named({name: part.whole() for name, part in self._parts.items()})

    def apply(self, columns: Columns) -> None:
        """Apply the columns of each part."""
        for name, part in self._parts.items():
            start = f"{name}."
            mine = {each.removeprefix(start): columns[each] for each in columns if each.startswith(start)}
            if mine:
                part.apply(mine)

    def _named(self, parts: dict[str, Columns]) -> Columns:
        return {f"{name}.{each}": column for name, columns in parts.items() for each, column in columns.items()}
