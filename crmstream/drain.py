"""Wait until the dataflow has worked off what stands in the log.

Reads only. A position is committed after its epoch is through, so what is worked off is durable in the stores.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from contracts.errors import StackError, StoreUnavailableError
from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets, Place

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
    stall_seconds: float = STALL_SECONDS,
) -> None:
    """Return when all that stands in the log now is worked off. What comes in meanwhile is not waited for.

    Args:
        view: reads the offsets.
        poll: called about three times a second, to look after the stack; what it raises ends the waiting.
        on_progress: called as often with the figures so far.
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
                return
            if state.done > best:
                best, moved_at = state.done, time.monotonic()
        if time.monotonic() - moved_at > stall_seconds:
            raise StackError(f"the dataflow has not moved for {stall_seconds:g} s: the workers' logs tell why")
        time.sleep(POLL_SECONDS)


def _offsets(view: OffsetsView) -> Offsets | None:
    """The offsets, or None while Kafka does not answer; if it is dead, the supervisor says so."""
    try:
        return view.offsets()
    except StoreUnavailableError:
        return None
