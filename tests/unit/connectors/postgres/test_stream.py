"""The replication stream, from messages that PostgreSQL 15 sent, to changes and positions."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.databases.changes import UNSENT, Change
from connectors.postgres.pgoutput import (
    Begin,
    BrokenMessageError,
    Commit,
    Origin,
    Relation,
    Row,
    Truncate,
    Type,
    decode,
)
from connectors.postgres.stream import AS_READ, Shown, StreamPosition, TransactionReader, lsn_number, lsn_text

MESSAGES = [bytes.fromhex(text) for text in json.loads(Path(__file__).with_name("messages.json").read_text("utf-8"))]
KEYS = {"public.orders": ("id",)}
NOTE = "n" * 3_000


def read_all(position: StreamPosition, messages: list[bytes] | None = None) -> tuple[list[Change], TransactionReader]:
    reader = TransactionReader(position, KEYS)
    changes = [reader.read(message) for message in messages or MESSAGES]
    return [change for change in changes if change is not None], reader


def test_every_kind_of_message_is_read() -> None:
    found = [decode(message) for message in MESSAGES]
    assert {type(message) for message in found} == {Begin, Commit, Relation, Row, Truncate, Type, Origin}
    (first, *_) = (message for message in found if isinstance(message, Relation))
    assert [column.name for column in first.columns] == ["id", "customer", "paid", "mood", "note"]
    assert [column.is_key for column in first.columns] == [True, False, False, False, False]
    assert Type(16387, "public", "mood") in found
    assert Origin("elsewhere") in found


def test_changes_of_rows() -> None:
    changes, reader = read_all(StreamPosition(0))
    told = [(change.operation, change.key, change.row, change.old) for change in changes]
    first = {"id": "1", "customer": "Zoë", "paid": "true", "mood": "glad", "note": NOTE}
    second = {"id": "2", "customer": None, "paid": "false", "mood": None, "note": None}
    nothing = dict.fromkeys(("customer", "paid", "mood", "note"))
    assert told == [
        ("insert", ("1",), first, None),
        ("insert", ("2",), second, None),
        ("update", ("1",), {**first, "paid": "false", "note": UNSENT}, None),
        ("update", ("3",), {**second, "id": "3"}, {"id": "2", **nothing}),
        ("update", ("1",), first, {**first, "paid": "false"}),
        ("delete", ("3",), {**second, "id": "3"}, None),
        ("delete", ("1",), {"id": "1", **nothing}, None),
        ("insert", ("9",), {"id": "9", **nothing}, None),
    ]
    assert {change.table for change in changes} == {"public.orders"}
    assert len({change.version for change in changes}) == len(changes)
    assert not reader.in_transaction


def test_from_every_position_on_the_rest_comes_and_nothing_twice() -> None:
    """Whatever was taken before a restart, the stream repeats all of it."""
    whole, _ = read_all(StreamPosition(0))
    for stop in range(1, len(MESSAGES) + 1):
        before, reader = read_all(StreamPosition(0), MESSAGES[:stop])
        kept = StreamPosition.from_json(json.loads(json.dumps(reader.position.to_json())))
        after, _ = read_all(kept)
        assert before + after == whole


def test_a_table_that_is_not_read_moves_the_position_only() -> None:
    reader = TransactionReader(StreamPosition(0), {})
    assert [reader.read(message) for message in MESSAGES if reader.read(message)] == []
    assert reader.position.start > 0


def test_the_position_moves_along_with_an_idle_server_but_never_past_an_open_transaction() -> None:
    end = 1 << 60
    for stop in range(len(MESSAGES) + 1):
        _, reader = read_all(StreamPosition(1), MESSAGES[:stop] or [b"Z"])
        if reader.in_transaction:
            (begin,) = [found for found in map(decode, MESSAGES[:stop]) if isinstance(found, Begin)][-1:]
            reader.pass_to(end)
            assert reader.position.start == begin.lsn
        else:
            reader.pass_to(2)
            before = reader.position
            reader.pass_to(end)
            assert (before.start < end, reader.position.start) == (True, end)


def test_an_insert_that_its_table_has_shown_is_told_as_the_row_that_was_read() -> None:
    transactions = [found for found in map(decode, MESSAGES) if isinstance(found, Begin)]
    ends = [found.end for found in map(decode, MESSAGES) if isinstance(found, Commit)]
    following = transactions[0].xid + 1
    position = StreamPosition(0, shown=Shown(f"{following}:{following}:", ends[0]))
    whole, _ = read_all(StreamPosition(0))
    changes, reader = read_all(StreamPosition.from_json(json.loads(json.dumps(position.to_json()))))
    of_first = f"{lsn_text(transactions[0].lsn)}-"
    assert {change.operation for change in whole if change.version.startswith(of_first)} >= {"insert"}
    for change, plain in zip(changes, whole, strict=True):
        is_shown = plain.operation == "insert" and plain.version.startswith(of_first)
        assert change == (plain._replace(version=AS_READ) if is_shown else plain)
    assert reader.position.shown is None


def test_a_long_key_that_stayed_as_it_was_is_that_of_the_row_before() -> None:
    """The server sends it with the identity alone; without it all such rows would have one key."""
    columns = b"".join(
        struct.pack("!B", key) + name + b"\0" + struct.pack("!Ii", 25, -1) for key, name in ((1, b"id"), (0, b"note"))
    )
    relation = b"R" + struct.pack("!I", 7) + b"public\0orders\0d" + struct.pack("!h", 2) + columns
    known = b"t" + struct.pack("!i", len(NOTE)) + NOTE.encode()
    update = (
        b"U" + struct.pack("!I", 7) + b"K" + struct.pack("!h", 2) + known + b"n" + b"N" + struct.pack("!h", 2) + b"uu"
    )
    (begin,) = [message for message in MESSAGES if message[:1] == b"B"][:1]
    ((change,), _) = read_all(StreamPosition(0), [begin, relation, update])
    assert change.key == (NOTE,)
    assert change.row == {"id": NOTE, "note": UNSENT}


def test_an_unknown_kind_of_message_is_looked_past() -> None:
    assert decode(b"Zsomething new") is None
    assert decode(b"") is None


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_that_breaks_off_is_refused_or_harmless(message: bytes, data: st.DataObject) -> None:
    cut = message[: data.draw(st.integers(1, len(message) - 1))]
    with suppress(BrokenMessageError):
        decode(cut)


def test_a_row_that_breaks_off_is_refused() -> None:
    (row,) = (message for message in MESSAGES if message[:1] == b"I" and NOTE.encode() in message and b"Zo" in message)
    with pytest.raises(BrokenMessageError):
        decode(row[:-3000])
    with pytest.raises(BrokenMessageError):
        decode(row[:8] + b"x" + row[9:])


@pytest.mark.parametrize("text", ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"])
def test_log_positions(text: str) -> None:
    assert lsn_text(lsn_number(text)) == text
