"""What the dataflow hands to its sinks: blocks of rows, never single ones.

Every output can be handed over twice, or late, without harm: ClickHouse rows are known by their table's key, Redis
writes carry a version and lose against a newer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class TableRows:
    """Rows for one ClickHouse table; the columns of ``rows`` are named as the table's."""

    table: str
    rows: pa.Table


@dataclass(frozen=True)
class HashWrites:
    """Fields of one Redis hash per customer, under ``<prefix>:{<id>}``, applied only where ``versions`` are not older.

    ``columns[name][i]`` is the field ``name`` of customer ``ids[i]``, already as text; None removes the field.
    ``ranks[outcome][i]`` is the score of customer i in the sorted set ``crm:top:<outcome>``; NaN takes the customer
    out.
    ``oldest_record_at`` is the time (Unix seconds) at which the oldest record behind the block entered Kafka, for the
    measure of end-to-end latency; None where the block has none (a sweep). ``expires_seconds`` is how long the hashes
    live without another write; 0: for ever.
    """

    prefix: str
    ids: Sequence[str]
    versions: NDArray[np.int64]
    columns: dict[str, Sequence[str | None]]
    ranks: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    oldest_record_at: float | None = None
    expires_seconds: int = 0


@dataclass(frozen=True)
class DeadLetter:
    """A record that is no event: where it stood, what it held, and why it was refused.

    ``source`` is the configured source that sent it, known only of what a connector refused at its door.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    body: bytes | None
    stage: str
    field: str
    problem: str
    error: str = "RejectedError"
    source: str = ""

    @property
    def reason(self) -> str:
        """The field and its problem in one line; it holds no value of the record."""
        return f"{self.field}: {self.problem}"
