"""The protocol of all writers to stores.

Delivery: at least once. A writer may buffer outputs until :meth:`Writer.flush`; after that they are durable in the
store, or on the disk from which the writer sends them on (:mod:`sinks.outbox`). After a crash before a flush the
dataflow writes the same outputs again, and the stores keep one of each.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Writer(Protocol[T_contra]):
    """Writes outputs of one type to a store. Used by one thread."""

    def write(self, batch: Sequence[T_contra]) -> None:
        """Accept outputs. May block the caller while the store is slow or down.

        Raises :class:`contracts.errors.StoreRefusedError` if the store refused these or earlier outputs and would
        refuse them again.
        """
        ...

    def flush(self) -> None:
        """Return when all outputs are durable; wait while the store is down. Raises as :meth:`write`."""
        ...

    def close(self) -> None:
        """Close the connection. Drops outputs that were not flushed, so flush first."""
        ...
