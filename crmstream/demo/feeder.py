"""Feeds the simulated shop into Kafka beside the terminal view: its history at full speed, then live.

Delivery: that of the publisher. Only this thread touches shop and publisher.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Thread

from connectors.kafka.publisher import Publisher, Summary, publish_history
from connectors.protocol import Record
from connectors.simulator.live import LiveProgress, publish_live
from connectors.simulator.shop import Shop


@dataclass(frozen=True)
class _Until:
    """What the shop receives before ``until_us``, unless stopped: a connector."""

    shop: Shop
    until_us: int
    stop: Event

    def records(self) -> Iterator[Record]:
        for record in self.shop.records(self.until_us):
            if self.stop.is_set():
                return
            yield record


class Feeder(Thread):
    """Publishes the history, waits for :meth:`go_live`, and then goes on until :meth:`end`."""

    def __init__(self, shop: Shop, publisher: Publisher, acceleration: float):
        super().__init__(name="feeder", daemon=True)
        self.history = Summary()
        self.live: LiveProgress | None = None
        self._shop = shop
        self._publisher = publisher
        self._acceleration = acceleration
        self._published = Event()
        self._live = Event()
        self._stop_asked = Event()
        self._failure: BaseException | None = None

    @property
    def published(self) -> bool:
        """Whether Kafka holds the whole history."""
        return self._published.is_set()

    def check(self) -> None:
        """Raise what ended the feeding, if anything did."""
        if self._failure is not None:
            raise self._failure

    def go_live(self) -> None:
        """Let the live part begin."""
        self._live.set()

    def end(self) -> None:
        """Stop, and return when Kafka holds what was published. Harmless before the start and after the end."""
        self._stop_asked.set()
        self._live.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Publish until the end; a failure is kept for :meth:`check`."""
        try:
            self._publish()
        except BaseException as error:  # noqa: BLE001 - raised again by check(), in the main thread
            self._failure = error

    def _publish(self) -> None:
        end = self._shop.config.end_us
        history = _Until(self._shop, end, self._stop_asked)
        self.history = publish_history(history, self._publisher, on_progress=self._note_history, until=end)
        self._published.set()
        self._live.wait()
        if not self._stop_asked.is_set():
            self.live = publish_live(
                self._shop, self._publisher,
                acceleration=self._acceleration, stop=self._stop_asked, on_progress=self._note_live,
            )  # fmt: skip

    def _note_history(self, summary: Summary) -> None:
        self.history = summary

    def _note_live(self, progress: LiveProgress) -> None:
        self.live = progress
