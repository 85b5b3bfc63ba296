"""Progress bars of the commands that publish, on standard error. Moves no data."""

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from connectors.files.replay import Progress as Reading
from connectors.files.replay import Report
from connectors.kafka.publisher import Summary
from crmstream.commands.shared import notes
from crmstream.observe.rebuild import RebuildView

REBUILT_FROM: Final = ("ClickHouse", "Kafka")


def event_progress(console: Console = notes) -> Progress:
    """Make a progress display whose tasks carry ``events``, their ``unit`` and the ``speed`` per second."""
    return Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:>10,} {task.fields[unit]}"),
        TextColumn("{task.fields[speed]:>8,.0f}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def add_bar(progress: Progress, description: str, total: float | None, unit: str = "events") -> TaskID:
    """Add a bar; ``total`` is in whatever ``done`` counts later, None if unknown yet."""
    return progress.add_task(description, total=total, events=0, speed=0.0, unit=unit)


def move_bar(progress: Progress, bar: TaskID, done: float, events: int, seconds: float) -> None:
    """Move a bar to ``done`` of its total, reached with ``events`` in ``seconds``."""
    progress.update(bar, completed=done, events=events, speed=events / max(seconds, 1e-3))


class FileBars:
    """Two bars for a file: it is read first, then published."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._reading = add_bar(progress, "Reading", None, unit="rows")
        self._publishing = add_bar(progress, "Publishing", None)
        self._began = time.monotonic()
        self._read_seconds = 0.0

    def reading(self, state: Reading) -> None:
        """Show how far the reading is."""
        self._read_seconds = time.monotonic() - self._began
        self._progress.update(self._reading, total=max(state.bytes_total, 1))
        move_bar(self._progress, self._reading, state.bytes_read, state.rows, self._read_seconds)

    def publishing(self, summary: Summary, report: Report) -> None:
        """Show how far the publishing is."""
        self._progress.update(self._publishing, total=max(report.events, 1))
        seconds = summary.seconds - self._read_seconds  # the summary's clock starts with the reading
        move_bar(self._progress, self._publishing, summary.events, summary.events, seconds)


class RebuildBars:
    """Two bars for a rebuild: one for the records that only ClickHouse has, one for the records of Kafka."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._past, self._log = (Steps(progress, add_bar(progress, name, None, "records")) for name in REBUILT_FROM)

    def show(self, view: RebuildView) -> None:
        """Show how far the rebuild is."""
        now = self._clock()
        self._past.show(view.past_read, view.past, now)
        self._log.show(view.log_read, view.log, now)


class Steps:
    """A bar that moves in steps, such as epochs: its speed is that since the first step that was seen."""

    def __init__(self, progress: Progress, bar: TaskID):
        self._progress, self._bar = progress, bar
        self._start: int | None = None
        self._base: tuple[int, float] | None = None

    def show(self, done: int, total: int, now: float) -> None:
        """Show that so much is done; ``now`` in seconds."""
        if self._start is None:
            self._start = done
        if self._base is None and done > self._start:
            self._base = done, now
        first, began = self._base or (done, now)
        speed = (done - first) / max(now - began, 1e-3)
        self._progress.update(self._bar, total=total, completed=done, events=done, speed=speed)
