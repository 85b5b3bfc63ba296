"""Positions in the log that are published to the consumer group when all that follows from them is stored."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

Offsets = Mapping[str, int]


class Rows(Protocol):
    """The rows of this process on their way to ClickHouse, as :class:`sinks.clickhouse.ClickHouseWriter` has them."""

    def last_put(self) -> int:
        """Return the number of the last put into the outbox."""
        ...

    def is_stored(self, put: int) -> bool:
        """Whether all rows up to a put are stored."""
        ...


class HeldPositions:
    """The positions of a lane, the oldest first, each with the last put of its epoch.

    ``rows`` returns None while there are none.
    """

    def __init__(self, rows: Callable[[], Rows | None]):
        self._rows = rows
        self._held: deque[tuple[int, Offsets]] = deque()

    def hold(self, offsets: Offsets) -> None:
        """Add the position of an epoch that has completed, before the next one puts rows."""
        if not self._held or self._held[-1][1] != offsets:
            rows = self._rows()
            self._held.append((0 if rows is None else rows.last_put(), offsets))

    def take(self) -> Offsets | None:
        """Remove the positions whose rows are stored; return the newest one, None if there is none."""
        rows, newest = self._rows(), None
        while self._held and (rows is None or rows.is_stored(self._held[0][0])):
            newest = self._held.popleft()[1]
        return newest
