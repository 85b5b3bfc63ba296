"""The outputs of the dataflow to its sinks: blocks of rows, never single rows.

Writing an output twice, or late, does no harm: ClickHouse replaces rows of the same key, and Redis writes carry a
version, so a newer one wins.

Blocks stay columns of numbers until a writer's thread renders them: by then it knows which rows are superseded, and
rendering many rows at once is cheaper. Sinks know the protocols :class:`HashBlock` and
:class:`TableBlock`; :mod:`streams.publish` has the blocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class TableBlock(Protocol):
    """Rows for one ClickHouse table."""

    @property
    def table(self) -> str:
        """The name of the table."""
        ...

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def fits(self, other: "TableBlock") -> bool:
        """Whether both can be in one insert."""
        ...

    def render(self, others: Sequence["TableBlock"]) -> pa.Table:
        """The rows of this block and of others that fit, in this order; superseded rows may be left out."""
        ...


@dataclass(frozen=True)
class TableRows:
    """Rows that are columns of Arrow already; the columns of ``rows`` are named as the table's."""

    table: str
    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the columns."""
        return self.rows.schema

    def fits(self, other: TableBlock) -> bool:
        """Whether the other has the same columns."""
        return isinstance(other, TableRows | FewRows) and self.schema.equals(other.schema)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """All rows. Arrow's file format wants one dictionary per column; blocks have one each."""
        return _joined([self, *others])


Plain = Mapping[str, Sequence[Any]]
"""Rows as plain values by column."""


class RowKind:
    """The names and types of columns, and how plain values become Arrow: in one call for all columns.

    For few rows an array for each column costs six times as much.
    """

    def __init__(self, fields: Iterable[tuple[str, pa.DataType]]):
        self._struct = pa.struct(list(fields))
        self.schema = pa.schema(list(self._struct))

    def arrow(self, *parts: Plain) -> pa.Table:
        """Return the rows of all parts."""
        rows = [dict(zip(part, row, strict=True)) for part in parts for row in zip(*part.values(), strict=True)]
        return pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(rows, self._struct))])


@dataclass(frozen=True)
class FewRows:
    """Few rows as plain values. All blocks of an insert become Arrow in one call."""

    table: str
    kind: RowKind
    columns: Plain

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the columns."""
        return self.kind.schema

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def fits(self, other: TableBlock) -> bool:
        """Whether the other has the same columns."""
        return isinstance(other, TableRows | FewRows) and self.schema.equals(other.schema)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """All rows."""
        return _joined([self, *others])


def _joined(blocks: Sequence[TableBlock]) -> pa.Table:
    """The rows of blocks of Arrow and of plain values, in their order."""
    pieces = []
    for kind, group in groupby(blocks, type):
        if kind is FewRows:
            few = [each for each in group if isinstance(each, FewRows)]
            pieces.append(few[0].kind.arrow(*(each.columns for each in few)))
        else:
            pieces += [each.rows for each in group if isinstance(each, TableRows)]
    return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces).unify_dictionaries()


class Commands(NamedTuple):
    """Redis commands as bytes of its protocol, and the number of their answers."""

    pieces: Sequence[memoryview | bytes]
    answers: int


@dataclass(frozen=True)
class HashWrites:
    """Fields of one Redis hash per id, under ``<prefix>:{<id>}``, as text.

    ``columns[name][i]`` is the field ``name`` of ``ids[i]``; None: it has none. ``clear[i]`` says that fields of None
    are removed, in case an earlier write set them. ``ranks[outcome][i]`` is the score of id i in the sorted set
    ``crm:top:<outcome>``; NaN takes the id out. ``expires[i]`` is how many seconds the hash lives without another
    write; 0: for ever; -1: the hash is removed. A write that ``prolongs`` changes nothing but that time.
    """

    prefix: str
    ids: Sequence[str]
    versions: NDArray[np.int64]
    columns: dict[str, Sequence[str | None]]
    clear: Sequence[bool]
    expires: Sequence[int]
    ranks: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    prolongs: bool = False


Order = Literal["newest", "reset", "swept", "any"]


class HashBlock(Protocol):
    """Rows for hashes of one kind, not yet text. ``ids`` differ from each other.

    ``live`` rows are written before others. ``guarded`` rows change a hash only if its version is not newer.
    ``oldest`` is when the oldest record behind the block entered Kafka (milliseconds), 0 without one.

    ``order`` says how rows relate to others of their ids. The writer drops rows that are older than a ``newest`` or
    ``reset`` row of their id that was handed over before them or waits with them. It keeps a ``reset`` row that waits
    with a newer one, and writes it first, since it removes fields that the newer one does not name. ``swept`` and
    ``any`` rows drop no others; ``any`` rows may be written before or after others of their ids.
    """

    @property
    def prefix(self) -> str: ...  # noqa: D102
    @property
    def ids(self) -> NDArray[np.object_]: ...  # noqa: D102
    @property
    def versions(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def live(self) -> bool: ...  # noqa: D102
    @property
    def guarded(self) -> bool: ...  # noqa: D102
    @property
    def oldest(self) -> int: ...  # noqa: D102
    @property
    def order(self) -> "Order": ...  # noqa: D102

    def take(self, at: NDArray[np.int64]) -> Self:
        """The rows at some positions."""
        ...

    def fits(self, other: "HashBlock") -> bool:
        """Whether the rows of both can be rendered together."""
        ...

    def join(self, others: Sequence[Self]) -> Self:
        """The rows of this block and of others that fit."""
        ...

    def texts(self) -> HashWrites:
        """The rows as text, for few of them and for the version guard."""
        ...

    def commands(self) -> Commands:
        """The rows as commands, for many of them."""
        ...


@dataclass(frozen=True)
class DeadLetter:
    """An invalid record: its position in the log, its bytes, and the reason.

    ``source`` is the configured source that sent it; only connectors know it, so it is set only if the ingest gate
    refused the record.
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
