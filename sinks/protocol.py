"""What every writer to a store can do.

Delivery: at least once, and without harm when it is more. A writer may hold back what it was given until
:meth:`Writer.flush`; after that, it is durable in the store. Whoever crashes before a flush hands the same
outputs over again, and the stores keep one of each.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Writer(Protocol[T_contra]):
    """A way out for outputs of one type. One thread uses it."""

    def write(self, batch: Sequence[T_contra]) -> None:
        """Take outputs over. May hold the caller back while the store is slow or down.

        Raises :class:`contracts.errors.StoreRefusedError` if the store refused these or earlier outputs for
        good.
        """
        ...

    def flush(self) -> None:
        """Return when everything handed over is durable; wait while the store is down, raise as ``write``."""
        ...

    def close(self) -> None:
        """Let the store go. Drops what was not flushed, so flush first."""
        ...
