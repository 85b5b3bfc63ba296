"""Say in the log that a publisher of history is at work, so that no clock overtakes it.

Delivery: the notes are ticks that move no clock; one more or one less does no harm. A publisher that dies stops
writing them, and after ``CRM_HISTORY_SETTLES_SECONDS`` of silence it counts as gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, Literal, Protocol

EVERY_SECONDS: Final = 1.0
"""Between two notes. Well below the shortest time after which a history settles (two seconds)."""

Intent = Literal["open", "finished"]


class Noting(Protocol):
    """What is needed of a publisher."""

    def say(self, intent: Intent) -> None:
        """Queue a note of what the publisher intends."""

    def remind(self) -> None:
        """Say again that there is more; from any thread, and without waiting or raising."""


@contextmanager
def at_work(publisher: Noting, *, more_follows: bool = False) -> Iterator[None]:
    """Keep saying that there is more until the block ends, also while its own thread reads, sorts or sleeps.

    A block that ends well says that the history is finished, unless ``more_follows``. After an exception nothing is
    said: who publishes again soon is still in time.
    """
    publisher.say("open")
    ended = Event()
    reminder = Thread(target=_remind, args=(publisher, ended), name="at-work", daemon=True)
    reminder.start()
    try:
        yield
    finally:
        ended.set()
        reminder.join()
    if not more_follows:
        publisher.say("finished")


def _remind(publisher: Noting, ended: Event) -> None:
    while not ended.wait(EVERY_SECONDS):
        publisher.remind()
