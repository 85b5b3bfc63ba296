"""Bytewax's side of the sinks: partitions that hand blocks to writers and make them durable with each snapshot.

Delivery: everything handed over is durable in its store when the epoch's snapshot returns, so what a crash makes the
dataflow do again was at most written early; the stores keep one of each.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from streams.edge import at_edge


class Writer(Protocol):
    """What is needed of a writer of :mod:`sinks`."""

    def write(self, batch: Sequence[Any]) -> None: ...  # noqa: D102 - see sinks.protocol
    def flush(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


Build = Callable[[], StatefulSinkPartition[Any, None]]


class Outlet(FixedPartitionedSink[Any, None]):
    """A sink of as many partitions as there are workers; keys are decimal numbers that spread over them."""

    def __init__(self, parts: int, build: Build):
        self._parts: Final = parts
        self._build: Final = build

    def list_parts(self) -> list[str]:
        """Every worker can write every part: the stores are reached over the network."""
        return [f"{part:04d}" for part in range(self._parts)]

    def part_fn(self, item_key: str) -> int:
        """Spread keys evenly, the same in every process."""
        return int(item_key)

    @at_edge
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> StatefulSinkPartition[Any, None]:  # noqa: ARG002
        """Connect; there is nothing to resume, for the stores know what they have."""
        return self._build()


class WriterPart(StatefulSinkPartition[Any, None]):
    """Hands everything to one writer."""

    def __init__(self, writer: Writer):
        self._writer = writer

    @at_edge
    def write_batch(self, values: list[Any]) -> None:
        """Hand blocks over."""
        self._writer.write(values)

    @at_edge
    def snapshot(self) -> None:
        """Make everything durable."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and disconnect."""
        self.snapshot()
        self._writer.close()
