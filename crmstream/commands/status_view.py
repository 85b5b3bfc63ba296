"""The layout of ``crmstream status``: two tables and lines of text, at most as wide as the terminal.

:data:`LINES` are functions from a :class:`~crmstream.observe.status.Status` to a line of text, or None where there is
nothing to say. They are shown in their order.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crmstream.observe.status import MOST_COUNTED, Status, TopicState

MOST_LANES: Final = 8
"""Lanes shown in the table."""


def show_status(console: Console, status: Status) -> None:
    """Print a status."""
    console.print(_parts(status))
    if status.topics:
        console.print()
        console.print(_topics(status))
    if status.lanes:
        console.print()
        console.print(_lanes(status))
    console.print()
    for line in LINES:
        text = line(status)
        if text is not None:
            console.print(text, highlight=False)


def _parts(status: Status) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for part in status.parts:
        table.add_row(part.name, "[green]up[/]" if part.up else "[bold red]down[/]", escape(part.detail))
    return table


def _topics(status: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("\ntopic", no_wrap=True)
    for name in ("events\nstored", "records\nin the log", "records\nread", "events\nwaiting"):
        table.add_column(name, justify="right")
    for topic in status.topics:
        table.add_row(topic.name, _stored(topic), figure(topic.end), figure(topic.committed), _waits(topic))
    return table


def _lanes(status: Status) -> Table:
    """The lanes; of many, those that others wait for, those that wait, and those furthest behind."""
    table = Table(box=None, pad_edge=False)
    for name, justify in (("lane", "right"), ("worker", "right"), ("event clock (UTC)", "left"), ("lag", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("")
    waited = {lane.waits_for for lane in status.lanes}
    foremost = sorted(
        status.lanes,
        key=lambda lane: (lane.partition not in waited, not lane.state, lane.clock is not None, lane.clock),
    )
    for lane in sorted(foremost[:MOST_LANES], key=lambda lane: lane.partition):
        clock = "–" if lane.clock is None else f"{lane.clock:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(lane.partition), str(lane.worker), clock, figure(lane.lag), escape(lane.state))
    if len(foremost) > MOST_LANES:
        table.add_row("...", "", f"{len(foremost) - MOST_LANES} more lanes", "", "")
    return table


def _stored(topic: TopicState) -> str:
    return f"{'≤' if topic.stored_at_most else ''}{figure(topic.stored_events)}"


def _waits(topic: TopicState) -> str:
    """The events that wait; of many records only the sum is known."""
    if topic.waiting_events is None and topic.lag:
        return f"≤{topic.lag:,}"
    return figure(0 if topic.lag == 0 else topic.waiting_events)


def _waiting(status: Status) -> str | None:
    """What the lag consists of."""
    lag = status.lag
    if lag is None:
        return None
    if not lag:
        return "Waiting: nothing; all records are read."
    events = status.waiting_events
    if events is None:
        return f"Waiting: {lag:,} records: events and ticks (counted separately up to {MOST_COUNTED:,})."
    ticks = sum(topic.waiting_ticks or 0 for topic in status.topics)
    return f"Waiting: {plural(events, 'event')} and {plural(ticks, 'tick')} (marks of time between the events)."


def _newest(status: Status) -> str | None:
    if not status.topics:
        return None
    if status.newest_entered_at is None:
        return "No event has come in lately."
    age = (datetime.now(UTC) - status.newest_entered_at).total_seconds()
    text = f"The newest event came in {duration(age)} ago"
    happened = status.newest_occurred_at
    return f"{text}; it happened at {happened:%Y-%m-%d %H:%M:%S} UTC." if happened else f"{text}."


def _clock(status: Status) -> str | None:
    if status.event_clock is None:
        return None
    return f"The event clock stands at {status.event_clock:%Y-%m-%d %H:%M:%S} UTC: scores are as of then."


def _time(status: Status) -> str | None:
    return None if status.time is None else escape(status.time.why)


def _speed(status: Status) -> str | None:
    if status.events_per_second is None:
        return None
    return f"Events per second: {status.events_per_second:,.0f}."


def _people(status: Status) -> str | None:
    counts = status.counts
    if counts.customers is None:
        return None
    return f"Customers: {counts.customers:,}. Visitors who are not identified: {figure(counts.visitors)}."


def _paused(status: Status) -> str | None:
    """Topics that the breaker for dead letters has paused, and what to do."""
    topics = sorted({topic for lane in status.lanes for topic in lane.paused})
    if not topics:
        return None
    lines = [
        f"[bold red]Paused:[/] {topic}, because too many of its newest records are invalid. Fix their cause, then run "
        f"`crmstream dead-letters resume --topic {topic}`."
        for topic in topics
    ]
    return "\n".join(lines)


def _dead_letters(status: Status) -> str | None:
    counts = status.counts
    if counts.dead_letters is None:
        return None
    text = f"Dead letters: {figure(counts.dead_letters_last_day)} in the last 24 hours, {counts.dead_letters:,} in all."
    if not counts.dead_letters:
        return text
    shown = counts.dead_letter_reasons
    reasons = "".join(f"\n  {each.count:,} × {escape(each.reason)}" for each in shown)
    return f"{text}{reasons}\n  See `crmstream dead-letters list`."


def _notes(status: Status) -> str | None:
    """What connectors changed in events, such as names that resemble known ones."""
    if not status.counts.notes:
        return None
    shown = "".join(f"\n  {each.count:,} × {escape(each.source)}: {escape(each.note)}" for each in status.counts.notes)
    return f"Notes on events of the last 24 hours (see docs/event-names.md):{shown}"


LINES: Final[tuple[Callable[[Status], str | None], ...]] = (
    _paused, _waiting, _newest, _clock, _time, _speed, _people, _dead_letters, _notes,
)  # fmt: skip
"""What is said below the tables, in its order."""


def figure(value: int | None) -> str:
    """A figure with separators, or a dash where it is unknown."""
    return "–" if value is None else f"{value:,}"


def plural(count: int, noun: str) -> str:
    """A count and its noun: ``1 event``, ``2 events``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time span in its largest fitting unit: ``0.4 s``, ``12 minutes``, ``3 days``."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return plural(int(seconds // size), unit)
    return f"{max(seconds, 0):,.1f} s"
