"""Turns decoded events into rows of ClickHouse's fact tables."""

from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.events import Kind
from contracts.outputs import FewRows, RowKind, TableRows
from contracts.stored import CLOCK_TABLE, FACT_TABLES
from streams.read.columns import Columns

MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(18, 4)


_TEXT: Final = pa.string()
_TEXT_OF_KIND: Final = {
    kind: {name: attrgetter(name) for name in names}
    for kind, names in {
        "web": ("session_id", "url", "product_id"),
        "transaction": ("order_id", "currency"),
        "service": ("ticket_id", "conversation_id"),
        "identity": ("previous_id",),
    }.items()
}
"""The properties that have a column of text."""
FEW: Final = 16
"""Up to this many rows stay plain values until they are inserted: an array for each column costs more."""
_OF_EVERY_KIND: Final = (
    *((name, _TEXT) for name in ("event_id", "name", "customer_id", "anonymous_id")),
    ("occurred_at", MICROSECONDS), ("received_at", MICROSECONDS), ("source", _TEXT), ("properties", pa.binary()),
    ("schema_version", pa.uint8()), ("is_late", pa.uint8()), ("log_partition", pa.uint16()),
    ("log_offset", pa.uint64()),
)  # fmt: skip
_MORE_OF_KIND: Final = {
    "transaction": (("amount", MONEY), ("amount_base", MONEY), ("amount_waits", pa.uint8()), ("items", pa.uint32())),
    "service": (("satisfaction", pa.float32()),),
}
KINDS: Final = {
    kind: RowKind([*_OF_EVERY_KIND, *((name, _TEXT) for name in texts), *_MORE_OF_KIND.get(kind, ())])
    for kind, texts in _TEXT_OF_KIND.items()
}
"""The columns of each kind's fact table."""


def to_facts(columns: Columns, kind: Kind, partition: int, late: NDArray[np.bool_]) -> TableRows | FewRows:
    """The events as rows of their fact table."""
    if len(columns) <= FEW:
        return FewRows(FACT_TABLES[kind], KINDS[kind], _plain(columns, kind, partition, late))
    return TableRows(FACT_TABLES[kind], _arrow(columns, kind, partition, late))


def _plain(columns: Columns, kind: Kind, partition: int, late: NDArray[np.bool_]) -> dict[str, Sequence[object]]:
    """Columns of plain values, in the order of the schema."""
    envelopes, properties, count = columns.envelopes, columns.properties, len(columns)
    plain: dict[str, Sequence[object]] = {
        "event_id": [event.event_id for event in envelopes],
        "name": columns.name,
        "customer_id": columns.customer,
        "anonymous_id": columns.anonymous,
        "occurred_at": columns.occurred.tolist(),
        "received_at": columns.received.tolist(),
        "source": [event.source for event in envelopes],
        "properties": [bytes(event.properties) for event in envelopes],
        "schema_version": [1] * count,
        "is_late": list(map(int, late.tolist())),
        "log_partition": [partition] * count,
        "log_offset": columns.offset.tolist(),
    }
    for column, value_of in _TEXT_OF_KIND[kind].items():
        plain[column] = [value or "" for value in map(value_of, properties)]
    if columns.money is not None:
        plain["amount"], plain["amount_base"] = decimals(columns.money.amount), decimals(columns.money.base)
        plain["amount_waits"] = [int(waits != 0) for waits in columns.money.waits_in.tolist()]
        plain["items"] = [each.items or 0 for each in properties]
    if kind == "service":
        plain["satisfaction"] = [each.score for each in properties]
    return plain


def _arrow(columns: Columns, kind: Kind, partition: int, late: NDArray[np.bool_]) -> pa.Table:
    envelopes, properties, count = columns.envelopes, columns.properties, len(columns)
    arrays: dict[str, pa.Array] = {
        "event_id": pa.array([event.event_id for event in envelopes], _TEXT),
        "name": pa.array(columns.name, _TEXT),
        "customer_id": pa.array(columns.customer, _TEXT),
        "anonymous_id": pa.array(columns.anonymous, _TEXT),
        "occurred_at": _numbers(columns.occurred, MICROSECONDS),
        "received_at": _numbers(columns.received, MICROSECONDS),
        "source": pa.array([event.source for event in envelopes], _TEXT),
        "properties": _joined([event.properties for event in envelopes]),
        "schema_version": _numbers(np.ones(count, np.uint8), pa.uint8()),
        "is_late": _numbers(late, pa.uint8()),
        "log_partition": _numbers(np.full(count, partition, np.uint16), pa.uint16()),
        "log_offset": _numbers(columns.offset, pa.uint64()),
    }
    for column, value_of in _TEXT_OF_KIND[kind].items():
        arrays[column] = pa.array([value or "" for value in map(value_of, properties)], _TEXT)
    if columns.money is not None:
        arrays["amount"], arrays["amount_base"] = to_money(columns.money.amount), to_money(columns.money.base)
        arrays["amount_waits"] = _numbers(columns.money.waits_in != 0, pa.uint8())
        arrays["items"] = _numbers(np.array([each.items or 0 for each in properties], np.uint32), pa.uint32())
    if kind == "service":
        arrays["satisfaction"] = pa.array([each.score for each in properties], pa.float32())
    return pa.Table.from_arrays(list(arrays.values()), schema=KINDS[kind].schema)


def to_clocks(turns: Sequence[tuple[int, int]], topic: str, partition: int) -> TableRows:
    """Return records that began a slot, as (offset, time) pairs, as rows of the table of clocks."""
    offsets, times = np.array(turns, np.int64).T
    columns = {
        "topic": pa.array([topic] * len(turns), _TEXT),
        "log_partition": _numbers(np.full(len(turns), partition, np.uint16), pa.uint16()),
        "log_offset": _numbers(offsets, pa.uint64()),
        "clock": _numbers(times, MICROSECONDS),
    }
    return TableRows(CLOCK_TABLE, pa.Table.from_arrays(list(columns.values()), list(columns)))


def to_money(scaled: NDArray[np.int64]) -> pa.Array:
    """Amounts in 1/10,000 as an Arrow column of exact decimals with four digits."""
    words = np.empty((len(scaled), 2), np.int64)
    words[:, 0], words[:, 1] = scaled, scaled >> 63
    return pa.Array.from_buffers(MONEY, len(scaled), [None, pa.py_buffer(words)])


def decimals(scaled: NDArray[np.int64]) -> list[Decimal]:
    """Amounts in 1/10,000 as plain exact decimals."""
    return [Decimal(amount).scaleb(-4) for amount in scaled.tolist()]


def _joined(pieces: list[msgspec.Raw]) -> pa.Array:
    """Pieces of bodies as an Arrow column of bytes. They are joined at once: making bytes of each costs more."""
    ends = np.zeros(len(pieces) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, pieces), np.int32, len(pieces)), out=ends[1:])
    return pa.Array.from_buffers(pa.binary(), len(pieces), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(pieces))])


def _numbers(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array as an Arrow column of a type of the same width, without a copy."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
