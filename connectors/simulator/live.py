"""Let the simulated shop go on live: its events enter Kafka as its time passes, faster than ours if asked.

Delivery: that of the publisher. Every partition gets a tick about twice a second, so that quiet ones follow.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol

from connectors.protocol import Record
from connectors.simulator.config import DAY_US
from connectors.simulator.shop import ShopStream
from contracts.errors import CrmError

_SECOND_US: Final = 1_000_000
_STEP_SECONDS: Final = 0.02
_TICK_SECONDS: Final = 0.5
_SETTLING_US: Final = 15 * _SECOND_US
"""Ticks stay this far behind the shop's time: by then all is received that is not late."""


class LivePublisher(Protocol):
    """What the live shop needs of a publisher."""

    def publish(self, record: Record) -> None:
        """Queue one record."""

    def tick(self, time_us: int) -> None:
        """Mark every partition: what happened before ``time_us`` stands before the mark."""

    def poll(self) -> None:
        """Raise what went wrong so far."""

    def flush(self) -> None:
        """Wait until everything is in Kafka."""


@dataclass(frozen=True)
class LiveProgress:
    """How far a live run is: records, ticks, the shop's time in microseconds, wall-clock seconds."""

    events: int
    ticks: int
    now_us: int
    seconds: float


@dataclass(frozen=True)
class WallClock:
    """The clocks of this machine, in seconds; tests put others in their place."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time


def publish_live(
    shop: ShopStream,
    publisher: LivePublisher,
    *,
    acceleration: float,
    stop: Event,
    on_progress: Callable[[LiveProgress], None] | None = None,
) -> LiveProgress:
    """Publish the shop's events at ``acceleration`` simulated seconds per second, until ``stop`` is set.

    The shop's time never passes the wall clock's: once it has caught up, it goes on at real pace.
    ``on_progress`` is called about twice a second. Raises :class:`CrmError` if the shop's present lies in the
    future, and what the publisher raises.
    """
    run = LiveRun(shop, publisher, acceleration)
    while not stop.is_set():
        if run.step(stop) and on_progress is not None:
            on_progress(run.progress())
        stop.wait(_STEP_SECONDS)
    publisher.flush()
    return run.progress()


class LiveRun:
    """One live run: where it began, and what it did. :func:`publish_live` steps it."""

    def __init__(
        self, shop: ShopStream, publisher: LivePublisher, acceleration: float, clock: WallClock | None = None
    ):
        clock = clock or WallClock()
        if not acceleration > 0:
            raise CrmError(f"acceleration: must be more than 0, is {acceleration:g}")
        if shop.now_us > clock.now() * _SECOND_US:
            raise CrmError("start: the history ends in the future; choose an earlier start or fewer days")
        self._shop = shop
        self._publisher = publisher
        self._acceleration = acceleration
        self._clock = clock
        self._began = self._ticked = clock.monotonic()
        self._began_us = shop.now_us
        self._events = self._ticks = 0

    def step(self, stop: Event) -> bool:
        """Publish what is due by now, and tick if it is time; tells whether it ticked."""
        for record in self._shop.records(self._due_us()):
            self._publisher.publish(record)
            self._events += 1
            if stop.is_set():
                break
        if self._clock.monotonic() - self._ticked < _TICK_SECONDS:
            return False
        self._ticked = self._clock.monotonic()
        self._publisher.tick(max(self._shop.now_us - _SETTLING_US, self._began_us))
        self._ticks += 1
        self._publisher.poll()
        return True

    def progress(self) -> LiveProgress:
        """Return the figures so far."""
        seconds = self._clock.monotonic() - self._began
        return LiveProgress(self._events, self._ticks, self._shop.now_us, seconds)

    def _due_us(self) -> int:
        """Return the shop's time by now, but at most a day further, so that ticks come in between."""
        elapsed = self._clock.monotonic() - self._began
        due = self._began_us + int(elapsed * self._acceleration * _SECOND_US)
        return min(due, int(self._clock.now() * _SECOND_US), self._shop.now_us + DAY_US)
