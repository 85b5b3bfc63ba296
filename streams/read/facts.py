"""Decoded events as rows of ClickHouse's fact tables."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.events import Kind
from contracts.outputs import TableRows
from contracts.stored import FACT_TABLES
from streams.read.columns import Columns

MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(18, 4)


_TEXT: Final = pa.string()
_EVENT_ID, _SOURCE, _PROPERTIES = attrgetter("event_id"), attrgetter("source"), attrgetter("properties")
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


def to_facts(columns: Columns, kind: Kind, partition: int, late: NDArray[np.bool_]) -> TableRows:
    """The events as rows of their fact table."""
    envelopes, properties, count = columns.envelopes, columns.properties, len(columns)
    arrays: dict[str, pa.Array] = {
        "event_id": _texts(map(_EVENT_ID, envelopes)),
        "name": pa.array(columns.name, _TEXT),
        "customer_id": pa.array(columns.customer, _TEXT),
        "anonymous_id": pa.array(columns.anonymous, _TEXT),
        "occurred_at": to_time(columns.occurred),
        "received_at": to_time(columns.received),
        "source": _texts(map(_SOURCE, envelopes)),
        "properties": pa.array(list(map(bytes, map(_PROPERTIES, envelopes))), pa.binary()),
        "schema_version": pa.array(np.ones(count, np.uint8)),
        "is_late": pa.array(late.view(np.uint8)),
        "log_partition": pa.array(np.full(count, partition, np.uint16)),
        "log_offset": pa.array(columns.offset.view(np.uint64)),
    }
    for column, value_of in _TEXT_OF_KIND[kind].items():
        values = _texts(map(value_of, properties))
        arrays[column] = values.fill_null("") if values.null_count else values
    if columns.money is not None:
        arrays["amount"], arrays["amount_base"] = to_money(columns.money.amount), to_money(columns.money.base)
        arrays["amount_waits"] = pa.array((columns.money.waits_in != 0).view(np.uint8))
        arrays["items"] = pa.array(np.array([each.items or 0 for each in properties], np.uint32))
    if kind == "service":
        arrays["satisfaction"] = pa.array([each.score for each in properties], pa.float32())
    return TableRows(FACT_TABLES[kind], pa.Table.from_arrays(list(arrays.values()), list(arrays)))


def _texts(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), _TEXT)


def to_time(microseconds: NDArray[np.int64]) -> pa.Array:
    """Microseconds since the Unix epoch as an Arrow column of UTC times."""
    return pa.array(microseconds, pa.int64()).view(MICROSECONDS)


def to_money(scaled: NDArray[np.int64]) -> pa.Array:
    """Amounts in 1/10,000 as an Arrow column of exact decimals with four digits."""
    words = np.empty((len(scaled), 2), np.int64)
    words[:, 0], words[:, 1] = scaled, scaled >> 63
    return pa.Array.from_buffers(MONEY, len(scaled), [None, pa.py_buffer(words)])
