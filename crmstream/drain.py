"""Wait until the dataflow has worked off what stands in the log.

Reads only. A position is committed when the rows that its worker made of the epoch are in ClickHouse. Rows that other
workers made of it may still be in their outbox, so that is looked at too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from contracts.errors import StackError, StoreUnavailableError
from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets, Place
from sinks.outbox_folder import waiting_in

POLL_SECONDS: Final = 0.3
STALL_SECONDS: Final = 300.0
_INPUTS: Final = frozenset(topic.name for topic in INPUT_TOPICS)


class OffsetsView(Protocol):
    """What is needed of :class:`crmstream.observe.kafka.KafkaView`."""

    def offsets(self) -> Offsets:
        """Read the offsets; raises :class:`StoreUnavailableError` while Kafka does not answer."""
        ...


@dataclass(frozen=True)
class Drained:
    """How many records of the input topics are worked off, of how many that Kafka holds up to a mark."""

    done: int
    total: int

    @property
    def left(self) -> int:
        """Records that still wait."""
        return self.total - self.done


def log_ends(offsets: Offsets) -> dict[Place, int]:
    """Where the input topics end now: a mark for :func:`drained`."""
    return {place: end for place, end in offsets.end.items() if place[0] in _INPUTS}


def drained(offsets: Offsets, mark: Mapping[Place, int]) -> Drained:
    """Count what is worked off of the records before ``mark``; what came in later does not matter."""
    total = done = 0
    for place, end in mark.items():
        low = offsets.low[place]
        total += max(end - low, 0)
        done += max(min(offsets.committed.get(place, low), end) - low, 0)
    return Drained(done, total)


def wait_until_drained(
    view: OffsetsView,
    poll: Callable[[], None],
    on_progress: Callable[[Drained], None] | None = None,
    *,
    outbox: Path | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> None:
    """Return when all that stands in the log now is worked off. What comes in meanwhile is not waited for.

    Args:
        view: reads the offsets.
        poll: called about three times a second, to look after the stack; what it raises ends the waiting.
        on_progress: called as often with the figures so far.
        outbox: the folder of rows on their way to ClickHouse: those that wait there at the end are waited for, too.
        stall_seconds: how long nothing may move.

    Raises:
        StackError: nothing moved for ``stall_seconds``.

    """
    mark: dict[Place, int] | None = None
    best, moved_at = -1, time.monotonic()
    while True:
        poll()
        offsets = _offsets(view)
        if offsets is not None:
            mark = mark or log_ends(offsets)
            state = drained(offsets, mark)
            if on_progress is not None:
                on_progress(state)
            if not state.left:
                break
            if state.done > best:
                best, moved_at = state.done, time.monotonic()
        _pause(moved_at, stall_seconds)
    left = set() if outbox is None else waiting_in(outbox)
    moved_at = time.monotonic()
    while outbox is not None and left & waiting_in(outbox):
        poll()
        _pause(moved_at, stall_seconds)


def wait_until_none(
    left: Callable[[], int], poll: Callable[[], None], *, stall_seconds: float = STALL_SECONDS
) -> None:
    """Return when ``left`` counts nothing any more; ``poll`` as above.

    Raises :class:`StackError` if the count has not fallen for ``stall_seconds``.
    """
    least, moved_at = None, time.monotonic()
    while count := left():
        poll()
        if least is None or count < least:
            least, moved_at = count, time.monotonic()
        _pause(moved_at, stall_seconds)


def _pause(moved_at: float, stall_seconds: float) -> None:
    """Sleep until the next look. Raises :class:`StackError` if nothing has moved for too long."""
    if time.monotonic() - moved_at > stall_seconds:
        raise StackError(f"the dataflow has not moved for {stall_seconds:g} s: the workers' logs tell why")
    time.sleep(POLL_SECONDS)


def _offsets(view: OffsetsView) -> Offsets | None:
    """The offsets, or None while Kafka does not answer; if it is dead, the supervisor says so."""
    try:
        return view.offsets()
    except StoreUnavailableError:
        return None
