"""What a connector that runs shows, and how it is stopped. Moves no data."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as StopEvent
from typing import Any, Final, Self

from rich.live import Live
from rich.text import Text

from connectors.databases.pump import Figures, Source
from crmstream.commands.shared import notes

LINE_SECONDS: Final = 0.5
QUIET_LINE_SECONDS: Final = 60.0
"""How often the figures are told where no terminal shows them."""


class ConnectorLine:
    """The line that tells how it goes: renewed in a terminal, now and then elsewhere."""

    def __init__(self, name: str, source: Source):
        self._name = name
        self._source = source
        self._live = Live(Text(""), console=notes, auto_refresh=False, transient=True)
        self._told_at = 0.0
        self._events = 0

    def __enter__(self) -> Self:
        notes.print(f"Connecting {self._name}. [dim]Ctrl-C ends it.[/dim]", highlight=False)
        if notes.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if notes.is_terminal:
            self._live.stop()

    def progress(self, figures: Figures) -> None:
        """Tell how far it is, if it is time to."""
        now = time.monotonic()
        passed = now - self._told_at
        if passed < (LINE_SECONDS if notes.is_terminal else QUIET_LINE_SECONDS):
            return
        speed = (figures.events - self._events) / passed if self._told_at else figures.per_second
        self._told_at, self._events = now, figures.events
        line = f"{figures.events:,} events, {speed:,.0f}/s, {figures.refused:,} refused; {self._source.told()}"
        if notes.is_terminal:
            self._live.update(Text(line), refresh=True)
        else:
            notes.print(line, highlight=False, markup=False, soft_wrap=True)

    def trouble(self, problem: str, wait_seconds: float) -> None:
        """Tell what keeps it from going on."""
        notes.print(f"{problem} Trying again in {wait_seconds:g} s.", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def stopped_by_signals(stop: StopEvent) -> Iterator[None]:
    """Set ``stop`` at Ctrl-C and SIGTERM; at a second one end at once."""

    def end(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
