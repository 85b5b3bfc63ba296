"""From the messages of a replication stream to changes of rows, and to the position after each.

Delivery: the stream repeats transactions after a restart. What the position says has been taken is skipped, also within
a transaction, so large ones can be taken in parts. Pure; moves no data itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from connectors.databases.changes import UNSENT, Change
from connectors.databases.times import checked_time
from connectors.postgres.pgoutput import Begin, Commit, Relation, Row, Tuple, Value, decode
from connectors.postgres.windows import Snapshot

AS_READ: Final = ""
"""The version of a row that is read from a table without a watermark."""
BOOLEAN: Final = 16
"""The type's number in every PostgreSQL."""
TIMES: Final = frozenset({1082, 1114, 1184})
"""The numbers of date, timestamp and timestamp with time zone."""
_BOOLEANS: Final = {"t": "true", "f": "false"}


def lsn_text(lsn: int) -> str:
    """Write a log position as PostgreSQL does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """Read a log position."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True)
class Shown:
    """Transactions of the stream whose rows were read from the tables already: those that ``snapshot`` sees.

    All of them were committed before ``until`` in the log.
    """

    snapshot: str
    until: int

    def to_json(self) -> dict[str, str]:
        """Write it for Kafka."""
        return {"snapshot": self.snapshot, "until": lsn_text(self.until)}

    @classmethod
    def from_json(cls, found: Mapping[str, str] | None) -> Self | None:
        """Read what :meth:`to_json` wrote, if there is anything."""
        return None if found is None else cls(found["snapshot"], lsn_number(found["until"]))


@dataclass(frozen=True)
class StreamPosition:
    """How far a stream has been taken.

    Every transaction that commits before ``start`` has been, and of the one that commits at ``commit`` the first
    ``changes``.
    """

    start: int
    commit: int = 0
    changes: int = 0
    shown: Shown | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it for Kafka."""
        shown = {} if self.shown is None else {"shown": self.shown.to_json()}
        return {"start": lsn_text(self.start), "commit": lsn_text(self.commit), "changes": self.changes, **shown}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        shown = Shown.from_json(found.get("shown"))
        return cls(lsn_number(found["start"]), lsn_number(found["commit"]), found["changes"], shown)

    def moved_to(self, lsn: int) -> Self:
        """Note that every transaction that commits before ``lsn`` has been taken."""
        start = max(self.start, lsn)
        return replace(self, start=start, shown=self.shown if self.shown and start < self.shown.until else None)


class TransactionReader:
    """Reads messages one after another. ``keys`` are the key columns of every table that is read, by its full name."""

    def __init__(self, position: StreamPosition, keys: Mapping[str, tuple[str, ...]]):
        self.position = position
        self._keys = keys
        self._relations: dict[int, Relation] = {}
        self._transaction: Begin | None = None
        self._number = 0
        self._shown = None if position.shown is None else Snapshot.parse(position.shown.snapshot)

    @property
    def in_transaction(self) -> bool:
        """Whether the end of a transaction is still to come."""
        return self._transaction is not None

    def read(self, payload: bytes) -> Change | None:
        """Take one message; gives the change if it is one of a table that is read, and not taken already."""
        match decode(payload):
            case Begin() as begin:
                self._transaction, self._number = begin, 0
                self.position = self.position.moved_to(begin.lsn)  # transactions come in the order of their commits
            case Commit(lsn=lsn, end=end):
                self._transaction = None
                if lsn >= self.position.commit:  # else one that was taken before the part of a later one
                    self.position = replace(self.position, commit=0, changes=0).moved_to(end)
            case Relation() as relation:
                self._relations[relation.oid] = relation
            case Row() as row:
                return self._change(row)
        return None

    def pass_to(self, lsn: int) -> None:
        """Take note that the server has come to ``lsn`` in its log, and that what it sent before has been read."""
        if self._transaction is None:
            self.position = self.position.moved_to(lsn)

    def _change(self, row: Row) -> Change | None:
        begin = self._transaction
        if begin is None:
            return None
        self._number += 1
        if self._is_taken(begin.lsn):
            return None
        self.position = replace(self.position, commit=begin.lsn, changes=self._number)
        relation = self._relations[row.oid]
        key = self._keys.get(f"{relation.schema}.{relation.name}")
        return None if key is None else _to_change(row, relation, key, self._version(row, begin))

    def _version(self, row: Row, begin: Begin) -> str:
        """Tell the change from others by its place. A row that was read from its table has the version of those."""
        if row.operation == "insert" and self.position.shown and self._shown and self._shown.sees(begin.xid):
            return AS_READ
        return f"{lsn_text(begin.lsn)}-{self._number}"

    def _is_taken(self, commit: int) -> bool:
        if commit < self.position.start or commit < self.position.commit:
            return True
        return commit == self.position.commit and self._number <= self.position.changes


def _to_change(row: Row, relation: Relation, key: tuple[str, ...], version: str) -> Change:
    old = None if row.old is None else _values(row.old, relation)
    new = old if row.new is None else _values(row.new, relation)
    new = new or {}
    if old is not None and row.operation == "update":
        new = {name: _unchanged(old, name, row) if value is UNSENT else value for name, value in new.items()}
    name = f"{relation.schema}.{relation.name}"
    kept = tuple(_key_text(new.get(column)) for column in key)
    return Change(name, row.operation, kept, version, new, old if row.operation == "update" else None, key)


def _unchanged(old: Mapping[str, Value], name: str, row: Row) -> Value:
    """A value that was not sent because it stayed as it was: that of the row before, if this is sent."""
    value = old.get(name)
    return value if row.old_is_whole or value is not None else UNSENT  # beyond a row's identity, None means nothing


def _values(values: Tuple, relation: Relation) -> dict[str, Value]:
    pairs = zip(relation.columns, values, strict=True)
    return {column.name: plain(value, column.type_oid) for column, value in pairs}


def plain(value: Value, type_oid: int) -> Value:
    """Write booleans as everybody else does, and stand in for times that no event can hold."""
    if not isinstance(value, str):
        return value
    if type_oid in TIMES:
        return checked_time(value)
    return _BOOLEANS.get(value, value) if type_oid == BOOLEAN else value


def as_text(value: Value) -> str | None:
    """Return a value as PostgreSQL writes it, as far as it was sent."""
    return value if isinstance(value, str | None) else value.text


def _key_text(value: Value) -> str:
    return as_text(value) or ""
