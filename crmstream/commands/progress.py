"""Progress bars of the commands that publish, on standard error. Moves no data."""

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from crmstream.commands.shared import notes


def event_progress() -> Progress:
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
        console=notes,
    )


def add_bar(progress: Progress, description: str, total: float | None, unit: str = "events") -> TaskID:
    """Add a bar; ``total`` is in whatever ``done`` counts later, None if unknown yet."""
    return progress.add_task(description, total=total, events=0, speed=0.0, unit=unit)


def move_bar(progress: Progress, bar: TaskID, done: float, events: int, seconds: float) -> None:
    """Move a bar to ``done`` of its total, reached with ``events`` in ``seconds``."""
    progress.update(bar, completed=done, events=events, speed=events / max(seconds, 1e-3))
