"""How far ClickHouse and Kafka together cover the log, by topic-partition: what a rebuild can read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.errors import LogMismatchError
from contracts.topics import INPUT_TOPICS, Ends, end_of
from crmstream.observe.kafka import Offsets
from sinks.past_log import Extent

NOTHING: Final = "ClickHouse has nothing of this partition"
BEFORE_ITS_FIRST: Final = "before the first row in ClickHouse"
NOT_STORED: Final = "deleted in Kafka before the dataflow had stored them"
AFTER_ITS_LAST: Final = "after the last row in ClickHouse"
NOT_LISTED: Final = "facts that log_events does not have"
FEW: Final = 1_000
"""So many records without a row at the edges may be ticks within a slot and invalid records, if all else fits."""


class Gap(NamedTuple):
    """Records that neither ClickHouse nor Kafka can give, and why. Without offsets they lie anywhere before the log."""

    records: int
    why: str
    start: int | None = None

    @property
    def place(self) -> str:
        """Return the offsets, for a table."""
        return "" if self.start is None else f"{self.start:,} to {self.start + self.records - 1:,}"


@dataclass(frozen=True)
class Coverage:
    """One topic-partition.

    Kafka has the offsets from ``low`` to before ``end``. ClickHouse has rows from ``first`` (None: it has none) to
    before ``reached``; ``begins``: among them that at which the clock of the partition began. ``stored`` is the
    position up to which the dataflow had stored everything in ClickHouse.
    """

    topic: str
    partition: int
    low: int
    end: int
    first: int | None
    reached: int
    stored: int
    begins: bool = True
    unlisted: int = 0

    @property
    def gaps(self) -> list[Gap]:
        """Return what is lost of the records before the start of the log."""
        found = [Gap(self.unlisted, NOT_LISTED)] if self.unlisted else []
        if self.first is None:
            return [Gap(self.low, NOTHING, 0)] if self.low else []
        before = min(self.first, self.low)
        if before > (FEW if self.begins else 0):
            found.append(Gap(before, BEFORE_ITS_FIRST, 0))
        last = max(min(self.reached, self.stored), before)
        if self.stored < self.low or self.low - last > FEW:
            found.append(Gap(self.low - last, NOT_STORED if self.stored < self.low else AFTER_ITS_LAST, last))
        return found


def coverages(offsets: Offsets, found: Iterable[Extent], noted: Ends | None, partitions: int) -> list[Coverage]:
    """Compare the log with what ClickHouse has of it.

    ``noted`` are the ends of a rebuild that may be under way: its positions begin anew, while ClickHouse has everything
    up to these. Raises :class:`LogMismatchError` if ClickHouse or the dataflow is ahead of the log: it is another one.
    """
    extents = {(each.topic, each.partition): each for each in found}
    return [
        _coverage((topic.name, number), offsets, extents.get((topic.name, number)), noted or {})
        for topic in INPUT_TOPICS
        for number in range(partitions)
    ]


def _coverage(place: tuple[str, int], offsets: Offsets, extent: Extent | None, noted: Ends) -> Coverage:
    low, end, committed = offsets.low[place], offsets.end[place], offsets.committed.get(place)
    reached = 0 if extent is None else extent.last + 1
    if max(reached, committed or 0) > end:
        whose = "ClickHouse has events" if reached > end else "the dataflow has stored everything"
        raise LogMismatchError(
            f"{whose} of {place[0]}-{place[1]} up to offset {max(reached, committed or 0) - 1:,}, but that log ends at "
            f"{end:,}: it is not the log that they come from. A rebuild joins the two by offsets: it "
            "needs the Kafka that this data folder belongs to."
        )
    known = [each for each in (committed, _noted(noted, place, end)) if each is not None]
    first, begins, unlisted = (None, True, 0) if extent is None else (extent.first, extent.begins, extent.unlisted)
    return Coverage(*place, low, end, first, reached, max(known, default=reached), begins, unlisted)


def _noted(noted: Ends, place: tuple[str, int], end: int) -> int | None:
    """Return the end that an earlier rebuild noted, unless it was of another log."""
    noted_end = end_of(noted, *place)
    return noted_end if noted_end is not None and noted_end <= end else None


def rebuild_ends(found: Iterable[Coverage]) -> dict[str, list[int]]:
    """Return the offsets up to which a rebuild reads ClickHouse, by topic and partition; losses are accepted.

    That is where the dataflow had stored everything, not the end of the log: what it had not read is in Kafka only.
    """
    ends: dict[str, list[int]] = {}
    for each in found:
        ends.setdefault(each.topic, []).append(max(each.stored, each.low))
    return ends
