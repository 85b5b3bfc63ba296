"""Bytewax sinks whose partitions hand blocks to writers and flush them with each snapshot.

Delivery: at least once. When the snapshot of an epoch returns, all its outputs are durable in their stores, or in the
outbox of their writer. After a crash the dataflow repeats outputs since the last snapshot; the stores keep one of each.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from streams.error_boundary import error_boundary


class Writer(Protocol):
    """The part of :class:`sinks.protocol.Writer` that these sinks use."""

    def write(self, batch: Sequence[Any]) -> None: ...  # noqa: D102 - see sinks.protocol
    def flush(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


W = TypeVar("W", bound=Writer)


class WriterSink(FixedPartitionedSink[Any, None], Generic[W]):
    """A sink with a fixed number of partitions; keys are decimal numbers that spread over them.

    The number of partitions belongs to the saved state, so it must not follow the number of workers. The partitions of
    one process share one writer; ``writer`` is None before the first part is made and after the last has closed.
    """

    def __init__(self, parts: int, connect: Callable[[], W]):
        self._parts: Final = parts
        self._connect: Final = connect
        self.writer: W | None = None
        self._open = 0
        self._closed = False
        self._lock = Lock()  # workers of one process are threads, and build their parts at the same time

    def list_parts(self) -> list[str]:
        """Return all partitions: every worker can write any of them."""
        return [f"{part:04d}" for part in range(self._parts)]

    def part_fn(self, item_key: str) -> int:
        """Spread keys evenly, the same in every process."""
        return int(item_key)

    @error_boundary
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "WriterPart":  # noqa: ARG002
        """Make the partition, with the writer of this process. There is no state to resume."""
        with self._lock:
            if self.writer is None:
                self.writer = self._connect()
            self._open += 1
            return WriterPart(self.writer, self._release)

    @error_boundary
    def open(self) -> None:
        """Make the writer of this process before its first part, unless it has closed already."""
        with self._lock:
            if self.writer is None and not self._closed:
                self.writer = self._connect()

    def _release(self) -> None:
        """Disconnect when the last part in this process has closed."""
        with self._lock:
            self._open -= 1
            if not self._open and self.writer is not None:
                self.writer.close()
                self.writer = None
                self._closed = True


class WriterPart(StatefulSinkPartition[Any, None]):
    """Hands everything to the writer of its process."""

    def __init__(self, writer: Writer, release: Callable[[], None]):
        self._writer = writer
        self._release = release

    @error_boundary
    def write_batch(self, values: list[Any]) -> None:
        """Hand blocks over."""
        self._writer.write(values)

    @error_boundary
    def snapshot(self) -> None:
        """Flush the writer of this process."""
        self._writer.flush()

    @error_boundary
    def close(self) -> None:
        """Flush, and disconnect if this was the last part."""
        self._writer.flush()
        self._release()
