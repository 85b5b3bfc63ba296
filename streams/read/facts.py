"""Decoded events as rows of ClickHouse's fact tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import wire
from contracts.events import Kind
from contracts.outputs import TableRows
from contracts.stored import FACT_TABLES

MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(18, 4)


@dataclass(frozen=True)
class Money:
    """Money of n events in 1/10,000: in its own currency and in the base currency.

    ``waits_in`` is the number of the currency where there is no rate yet (``base`` is 0 there), else 0.
    """

    amount: NDArray[np.int64]
    base: NDArray[np.int64]
    waits_in: NDArray[np.int16]


@dataclass
class Columns:
    """Columns of n decoded events of one kind."""

    envelopes: Sequence[wire.Envelope]
    properties: Sequence[Any]
    name: Sequence[str]
    customer: NDArray[np.object_]
    anonymous: NDArray[np.object_]
    bucket: NDArray[np.int64]
    occurred: NDArray[np.int64]
    received: NDArray[np.int64]
    offset: NDArray[np.int64]
    code: NDArray[np.int8]
    money: Money | None = None


_TEXT_OF_KIND: Final = {
    "web": {"session_id": "session_id", "url": "url", "product_id": "product_id"},
    "transaction": {"order_id": "order_id", "currency": "currency"},
    "service": {"ticket_id": "ticket_id", "conversation_id": "conversation_id"},
    "identity": {"previous_id": "previous_id"},
}


def to_facts(columns: Columns, kind: Kind, partition: int, late: NDArray[np.bool_]) -> TableRows:
    """The events as rows of their fact table."""
    envelopes, properties = columns.envelopes, columns.properties
    arrays: dict[str, Any] = {
        "event_id": [event.event_id for event in envelopes],
        "name": columns.name,
        "customer_id": columns.customer,
        "anonymous_id": columns.anonymous,
        "occurred_at": to_time(columns.occurred),
        "received_at": to_time(columns.received),
        "source": [event.source for event in envelopes],
        "properties": pa.array([bytes(event.properties) for event in envelopes], pa.binary()),
        "schema_version": np.ones(len(envelopes), np.uint8),
        "is_late": late.astype(np.uint8),
        "log_partition": np.full(len(envelopes), partition, np.uint16),
        "log_offset": columns.offset.astype(np.uint64),
    }
    for column, name in _TEXT_OF_KIND[kind].items():
        arrays[column] = [getattr(each, name) or "" for each in properties]
    if columns.money is not None:
        arrays["amount"], arrays["amount_base"] = to_money(columns.money.amount), to_money(columns.money.base)
        arrays["amount_waits"] = (columns.money.waits_in != 0).astype(np.uint8)
        arrays["items"] = np.array([each.items or 0 for each in properties], np.uint32)
    if kind == "service":
        arrays["satisfaction"] = pa.array([each.score for each in properties], pa.float32())
    return TableRows(FACT_TABLES[kind], pa.table(arrays))


def to_time(microseconds: NDArray[np.int64]) -> pa.Array:
    """Microseconds since the Unix epoch as an Arrow column of UTC times."""
    return pa.array(microseconds, pa.int64()).view(MICROSECONDS)


def to_money(scaled: NDArray[np.int64]) -> pa.Array:
    """Amounts in 1/10,000 as an Arrow column of exact decimals with four digits."""
    words = np.empty((len(scaled), 2), np.int64)
    words[:, 0], words[:, 1] = scaled, scaled >> 63
    return pa.Array.from_buffers(MONEY, len(scaled), [None, pa.py_buffer(words)])
