"""Which rows are new: windows of transactions, and snapshots. Pure.

Every row version carries the number of the transaction that wrote it (``xmin``). A reader that goes by a column of
times or numbers alone loses rows: their values are made before their transactions commit, so a row can appear below
what has been read already. A window of transactions can't: below the *horizon* (the oldest transaction still running,
``pg_snapshot_xmin``) every transaction has ended and nothing can appear any more, so the rows of the transactions
between the last horizon and this one are exactly the new ones, whatever their columns say and however long any
transaction took. Rows written in a savepoint have a number of their own, above that of their transaction, so they too
stay beyond the horizon until it commits.

Numbers are kept with 64 bits here; rows have the lower 32. Two numbers are compared by their distance, so a wrap-around
does no harm; a row so old that its number has come round again is taken once more, with the same event id.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

WRAP: Final = 1 << 32
MOST_AWAY: Final = 1 << 31
"""Transactions beyond which numbers of rows can no longer be compared."""
_FIRST_NORMAL: Final = 3
"""Numbers below it are those of rows that are older than everything."""


@dataclass(frozen=True)
class TableWindow:
    """How far a table has been polled.

    All rows of transactions before ``start`` have been taken (None: none yet). While a round is under way, it takes
    those before ``below``, and ``after`` is the watermark and the key of the last row taken. ``newest`` is the highest
    watermark so far.
    """

    start: int | None = None
    below: int | None = None
    after: tuple[str | None, ...] | None = None
    newest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it for Kafka."""
        return vars(self) | {"after": None if self.after is None else list(self.after)}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**found | {"after": None if found["after"] is None else tuple(found["after"])})

    def opened(self, horizon: int) -> Self:
        """Begin a round up to a horizon, or go on with the one that is under way."""
        return replace(self, below=horizon) if self.below is None else self

    def moved(self, after: tuple[str | None, ...]) -> Self:
        """Note the last row taken; rows come in the order of their watermark."""
        return replace(self, after=after, newest=after[0] or self.newest)

    def closed(self) -> Self:
        """End the round: everything below its horizon has been taken."""
        return replace(self, start=self.below, below=None, after=None)


@dataclass(frozen=True)
class Snapshot:
    """What was visible at a moment: transactions before ``first``, and those before ``next`` but for ``running``."""

    first: int
    next: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a pg_snapshot."""
        first, following, running = text.split(":")
        return cls(int(first), int(following), frozenset(int(number) for number in running.split(",") if number))

    def sees(self, xmin: int) -> bool:
        """Whether a row with this (32-bit) number was visible; in doubt not, so that it is taken again.

        Right only for snapshots exported by a replication slot: those list the numbers of savepoints too.
        """
        if xmin < _FIRST_NORMAL:
            return True
        back = (self.next - xmin) % WRAP
        if not 0 < back <= MOST_AWAY:
            return False
        number = self.next - back
        return number < self.first or number not in self.running
