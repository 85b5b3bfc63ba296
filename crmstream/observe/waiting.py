"""Waits until the dataflow has worked off what stands in the log. Reads only."""

import time
from collections.abc import Callable
from typing import Final

from contracts.errors import StoreUnavailableError
from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import KafkaView, Offsets, Place

PAUSE_SECONDS: Final = 0.5
MOST_COUNTED: Final = 20_000
INPUTS: Final = frozenset(topic.name for topic in INPUT_TOPICS)


class NotDoneError(StoreUnavailableError):
    """The dataflow has not worked the log off in time."""


def wait_for_dataflow(kafka: str, seconds: float, pause: Callable[[float], object] = time.sleep) -> None:
    """Return when every record that stands in the log by now has been read and what it made is in the stores.

    Raises :class:`NotDoneError` after so many seconds, and StoreUnavailableError when Kafka does not answer.
    """
    view, deadline = KafkaView(kafka), time.monotonic() + seconds
    offsets = view.offsets()
    goal = dict(offsets.end)
    while not is_done(offsets, goal) and not _nothing_waits(view, offsets):
        if time.monotonic() > deadline:
            raise NotDoneError(f"The dataflow is not through after {seconds:g} s; `crmstream status` shows how far.")
        pause(PAUSE_SECONDS)
        offsets = view.offsets()


def is_done(offsets: Offsets, goal: dict[Place, int]) -> bool:
    """Whether the group has read each input partition up to its goal. Topics that it does not read do not count."""
    return all(offsets.read(place) >= end for place, end in goal.items() if place[0] in INPUTS)


def _nothing_waits(view: KafkaView, offsets: Offsets) -> bool:
    """Whether no record is left behind the position: the marks of transactions take offsets and are no records."""
    waiting = view.waiting(offsets, MOST_COUNTED)
    return bool(waiting) and not any(events + ticks for events, ticks in waiting.values())
