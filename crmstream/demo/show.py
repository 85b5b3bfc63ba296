"""The course of a demo on a stack that runs: history, catching up, live. Looks after the stack all the while."""

import time
from dataclasses import dataclass
from typing import Final

from connectors.kafka.publisher import Publisher
from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.shop import Shop
from contracts.settings import Settings
from crmstream.demo.feeder import Feeder
from crmstream.demo.screen import Screen
from crmstream.demo.summary import Ending
from crmstream.demo.views import HistoryView, LiveView, Reader
from crmstream.drain import wait_until_drained
from crmstream.observe.kafka import KafkaView
from crmstream.stack.supervisor import LocalStack
from streams.recovery import outbox_folder

STEP_SECONDS: Final = 0.1
READ_SECONDS: Final = 0.5
TOP: Final = 5
"""Customers listed per outcome."""


@dataclass(frozen=True)
class Plan:
    """What a demo shows. Live goes on for ``live_seconds``, or without them until Ctrl-C.

    ``began`` is when the command started, in seconds of the monotonic clock.
    """

    shop: ShopConfig
    acceleration: float
    live_seconds: float | None
    began: float


class Show:
    """One demo. Close it when the stack is still up."""

    def __init__(self, plan: Plan, settings: Settings, stack: LocalStack, screen: Screen):
        kafka = stack.endpoints.kafka
        publisher = Publisher(kafka, settings.partitions, settings.sweep_hours, source="simulator")
        self._plan = plan
        self._settings = settings
        self._outbox = outbox_folder(settings)
        self._feeder = Feeder(Shop(plan.shop), publisher, plan.acceleration)
        self._reader = Reader(stack.endpoints, settings, TOP)
        self._offsets = KafkaView(kafka)
        self._poll = stack.poll
        self._screen = screen
        self._history_began = time.monotonic()
        self._history: HistoryView | None = None
        self._live: LiveView | None = None
        self._ready_seconds: float | None = None
        self._read_at = float("-inf")

    def close(self) -> None:
        """Stop feeding, and leave stores and screen."""
        self._feeder.end()
        self._reader.close()
        self._screen.close()

    def run(self) -> None:
        """Show everything. Raises what ends the stack or the feeding, and KeyboardInterrupt at Ctrl-C."""
        self._feeder.start()
        while not self._feeder.published:
            self._step()
            self._feeder.check()
            self._show_history()
        wait_until_drained(self._offsets, self._poll, lambda _: self._show_history(), outbox=self._outbox)
        self._history = self._history_view()
        self._screen.history(self._history)
        self._go_live(self._plan.live_seconds)
        self._feeder.end()
        self._feeder.check()
        self._screen.say("working off what is left")
        wait_until_drained(self._offsets, self._poll, outbox=self._outbox)
        self._show_live()

    def ending(self, *, completed: bool) -> Ending:
        """What it came to, whenever it ended. The stack must still be up for the last count."""
        return Ending(
            shop=self._plan.shop,
            history=self._history or self._history_view(),
            live=self._live,
            ranked=self._reader.ranked_customers(),
            seconds_to_scores=self._ready_seconds,
            completed=completed,
        )

    def _go_live(self, live_seconds: float | None) -> None:
        self._reader.begin_live()
        self._feeder.go_live()
        deadline = None if live_seconds is None else time.monotonic() + live_seconds
        while deadline is None or time.monotonic() < deadline:
            self._step()
            self._feeder.check()
            if self._is_time():
                self._show_live()

    def _step(self) -> None:
        self._poll()
        time.sleep(STEP_SECONDS)

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._read_at < READ_SECONDS:
            return False
        self._read_at = now
        return True

    def _show_live(self) -> None:
        self._live = self._reader.live(self._feeder.live)
        if self._ready_seconds is None:
            self._ready_seconds = time.monotonic() - self._plan.began
        self._screen.live(self._live)

    def _show_history(self) -> None:
        if self._is_time():
            self._screen.history(self._history_view())

    def _history_view(self) -> HistoryView:
        published, metrics, days = self._feeder.history, self._reader.metrics(), self._plan.shop.history_days
        reached = published.last_us or self._plan.shop.start_us
        swept = metrics.sweeps / self._settings.buckets * self._settings.sweep_hours / 24
        return HistoryView(
            days=days,
            published_days=days if self._feeder.published else (reached - self._plan.shop.start_us) / DAY_US,
            published=published,
            swept_days=min(swept, days),
            metrics=metrics,
            seconds=time.monotonic() - self._history_began,
        )
