"""Decode the messages of pgoutput, PostgreSQL's own logical decoding plugin, in version 1 of its protocol.

Pure. Values come as the text that PostgreSQL writes. A kind of message that is not known is None, so a newer server
harms nothing; a message that breaks off raises :class:`BrokenMessageError`.
"""

import struct
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from connectors.databases.changes import UNSENT
from connectors.rows.values import NoValue
from contracts.errors import CrmError

Value = str | NoValue | None
"""A value of a tuple: text, NULL, or one that is stored out of line and was not sent."""
Tuple = tuple[Value, ...]


class BrokenMessageError(CrmError):
    """The stream holds something that is no message of pgoutput."""


class Begin(NamedTuple):
    """A transaction begins. ``lsn`` is the position of its commit."""

    lsn: int
    xid: int


class Commit(NamedTuple):
    """A transaction ends. ``lsn`` is the position of its commit, ``end`` the one behind it."""

    lsn: int
    end: int


class ColumnInfo(NamedTuple):
    """A column of a relation; ``is_key`` if it belongs to the replica identity."""

    name: str
    type_oid: int
    is_key: bool


class Relation(NamedTuple):
    """What a table is from here on. ``identity`` is d, n, f or i, as in ``pg_class.relreplident``."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[ColumnInfo, ...]


class Row(NamedTuple):
    """A row was inserted, updated or deleted.

    ``old`` is what was sent of the row before: all of it (``old_is_whole``), or only the columns of its identity.
    """

    operation: Literal["insert", "update", "delete"]
    oid: int
    new: Tuple | None
    old: Tuple | None
    old_is_whole: bool


class Truncate(NamedTuple):
    """Tables were emptied."""

    oids: tuple[int, ...]


class Type(NamedTuple):
    """A type that is no built-in one."""

    oid: int
    schema: str
    name: str


class Origin(NamedTuple):
    """The transaction was replicated from elsewhere."""

    name: str


Message = Begin | Commit | Relation | Row | Truncate | Type | Origin


def decode(payload: bytes) -> Message | None:
    """Decode one message; None if its kind is unknown."""
    decoder = _DECODERS.get(payload[:1])
    if decoder is None:
        return None
    try:
        return decoder(_Reader(payload))
    except (struct.error, IndexError, ValueError):
        raise BrokenMessageError(f"PostgreSQL sent a message {payload[:1]!r} that cannot be read.") from None


class _Reader:
    """Reads the parts of a message from left to right."""

    def __init__(self, payload: bytes):
        self._bytes = payload
        self._at = 1

    def integer(self, form: str) -> int:
        size = struct.calcsize(form)
        (value,) = struct.unpack_from(form, self._bytes, self._at)
        self._at += size
        return int(value)

    def letter(self) -> str:
        return chr(self.integer("!B"))

    def string(self) -> str:
        end = self._bytes.index(b"\0", self._at)
        text = self._text(self._at, end)
        self._at = end + 1
        return text

    def tuple(self) -> Tuple:
        return tuple(self._value() for _ in range(self.integer("!h")))

    def _value(self) -> Value:
        match self.letter():
            case "n":
                return None
            case "u":
                return UNSENT
            case "t":
                size = self.integer("!i")
                start, self._at = self._at, self._at + size
                if self._at > len(self._bytes):
                    raise ValueError("breaks off")
                return self._text(start, self._at)
        raise ValueError("no such form of a value")

    def _text(self, start: int, end: int) -> str:
        return self._bytes[start:end].decode("utf-8", "replace")  # only a database in SQL_ASCII can send anything else


def _begin(read: _Reader) -> Begin:
    lsn, _time = read.integer("!Q"), read.integer("!q")
    return Begin(lsn, read.integer("!I"))


def _commit(read: _Reader) -> Commit:
    read.letter()
    return Commit(read.integer("!Q"), read.integer("!Q"))


def _relation(read: _Reader) -> Relation:
    oid, schema, name, identity = read.integer("!I"), read.string(), read.string(), read.letter()
    return Relation(oid, schema, name, identity, tuple(_column(read) for _ in range(read.integer("!h"))))


def _column(read: _Reader) -> ColumnInfo:
    flags, name, oid = read.integer("!B"), read.string(), read.integer("!I")
    read.integer("!i")
    return ColumnInfo(name, oid, bool(flags & 1))


def _insert(read: _Reader) -> Row:
    oid, _new = read.integer("!I"), read.letter()
    return Row("insert", oid, read.tuple(), None, False)


def _update(read: _Reader) -> Row:
    oid, marker, old = read.integer("!I"), read.letter(), None
    whole = marker == "O"
    if marker in "KO":
        old = read.tuple()
        read.letter()
    return Row("update", oid, read.tuple(), old, whole)


def _delete(read: _Reader) -> Row:
    oid, marker = read.integer("!I"), read.letter()
    return Row("delete", oid, None, read.tuple(), marker == "O")


def _truncate(read: _Reader) -> Truncate:
    count = read.integer("!I")
    read.letter()
    return Truncate(tuple(read.integer("!I") for _ in range(count)))


def _type(read: _Reader) -> Type:
    return Type(read.integer("!I"), read.string(), read.string())


def _origin(read: _Reader) -> Origin:
    read.integer("!Q")
    return Origin(read.string())


_DECODERS: Final[dict[bytes, Callable[[_Reader], Message]]] = {
    b"B": _begin,
    b"C": _commit,
    b"R": _relation,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"Y": _type,
    b"O": _origin,
}
