"""``crmstream watch``: the files that appear in a folder, into Kafka, one after another.

Delivery: that of the publisher; a file stays in the folder until Kafka holds it (:mod:`connectors.files.inbox`).
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.markup import escape

from connectors.door.door import Door
from connectors.door.doors import Doors
from connectors.files.inbox import Inbox
from connectors.files.replay import FileConnector, Rejection, Report
from connectors.kafka.publisher import Publisher, publish_history
from connectors.look import Look
from connectors.rows.mapping import Mapping, load_mapping
from contracts.errors import InputFileError, StoreUnavailableError
from contracts.settings import Settings, load_settings
from crmstream.commands.progress import FileBars, event_progress
from crmstream.commands.shared import console, new_app, notes
from crmstream.configured import FILE_STAGE, configured_doors
from crmstream.money.words import waiting_line
from crmstream.publishing import RoomGate, new_publisher, usable_kafka

app = new_app()
LOOK_SECONDS: Final = 0.5
CHANGED: Final = "It has changed meanwhile: it will be read again, which doubles nothing."
FIRST_WAIT_SECONDS: Final = 1.0
MOST_WAIT_SECONDS: Final = 60.0

Looks = dict[Path, Look]
"""Files, and how they looked."""
Folder = Annotated[Path, typer.Argument(help="The folder to watch.")]
MappingName = Annotated[str, typer.Option(help="Mapping file, or the name of one that is shipped.")]
Once = Annotated[bool, typer.Option("--once", help="Take what is there, and end.")]
Settle = Annotated[float, typer.Option(min=0, help="Seconds without a change after which a file is complete.")]


@app.command(name="watch")
def run(folder: Folder, mapping: MappingName, once: Once = False, settle: Settle = 2.0) -> None:
    """Publish every file that appears in a folder.

    A file is taken when it has not changed for some seconds. When Kafka holds
    all its events it goes to the subfolder done, with a list of its rejected
    rows beside it; a file that cannot be read, or of which no row is an event,
    goes to failed, with the reason. One that changes while it is read is read
    again, after a pause that grows; with --once it is left for the next run,
    as is all that comes or changes after the start. Hidden files and those
    that end in .tmp or .part are left alone. All files follow one mapping
    (docs/mapping.md), and the rules of its source, or of `default` in the file
    of sources (docs/sources). A file that comes twice doubles nothing, and
    neither does a crash.

    [bold]Examples[/bold]

    crmstream watch /srv/exports --mapping orders.yaml

    crmstream watch /srv/exports --mapping orders.yaml --once
      [dim]from cron[/dim]
    """
    settings = load_settings()
    chosen = load_mapping(mapping)
    doors = configured_doors(settings, FILE_STAGE)
    doors.door(chosen.source)  # what is wrong with it is told before the first file
    if notice := doors.notice(chosen.source):
        notes.print(escape(notice), highlight=False, soft_wrap=True)
    gate = RoomGate(settings, notes.print)
    kafka = usable_kafka(settings, gate)
    with Inbox(folder, settle) as inbox:
        if not once:
            notes.print(f"Watching {folder}. [dim]Ctrl-C ends it.[/dim]", highlight=False)
        try:
            _Watch(inbox, chosen, doors, Target(settings, kafka, gate)).run(once=once)
        except KeyboardInterrupt:
            notes.print("Stopped. [dim]What is in the folder still will be taken next time.[/dim]")


class Target(NamedTuple):
    """Where the events go, and whether there is room for them."""

    settings: Settings
    kafka: str
    gate: RoomGate


class _Watch:
    """One run over a folder."""

    def __init__(self, inbox: Inbox, mapping: Mapping, doors: Doors, target: Target):
        self._inbox = inbox
        self._mapping = mapping
        self._doors = doors
        self._target = target
        self._publisher: Publisher | None = None  # connecting takes a second, so one serves all files

    def run(self, *, once: bool) -> None:
        if once:
            self._run_once()
        else:
            self._run_on()

    def _run_on(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                self._take_complete()
                wait = FIRST_WAIT_SECONDS
            except StoreUnavailableError as error:
                self._publisher = None
                notes.print(f"{error} Trying again in {wait:g} s; the file stays where it is.", highlight=False)
                time.sleep(wait)
                wait = min(MOST_WAIT_SECONDS, 2 * wait)
            time.sleep(LOOK_SECONDS)

    def _run_once(self) -> None:
        """Take what is there now, and leave what changes from now on: else this might never end."""
        waiting = self._inbox.waiting()
        while waiting:
            self._take_complete(waiting)
            waiting = self._unchanged(waiting)
            if waiting:
                time.sleep(LOOK_SECONDS)

    def _unchanged(self, before: Looks) -> Looks:
        """Those of the files that are there still, as they were; tells which are left."""
        there = self._inbox.waiting()
        for path in (path for path, look in before.items() if there.get(path, look) != look):
            notes.print(f"{escape(path.name)} is being changed: it is left for the next run.", highlight=False)
        return {path: look for path, look in before.items() if there.get(path) == look}

    def _take_complete(self, wanted: Looks | None = None) -> None:
        """Take the files that are complete; all, or only of these."""
        for path in self._inbox.complete(time.monotonic()):
            if wanted is None or path in wanted:
                self._take(path)

    def _take(self, path: Path) -> None:
        if self._inbox.has_changed(path):  # the files before it took their time
            return
        self._target.gate.require()
        door = self._doors.door(self._mapping.source)  # of a source that is gone nothing more is taken, or put away
        try:
            told = self._publish(path, door)
        except InputFileError as error:
            if not path.exists():  # somebody took it back
                return
            refused = self._inbox.refuse(path, str(error))
            told = f"[red]refused[/]: {escape(str(error))}" if refused else CHANGED
        console.print(f"{escape(path.name)}: {told}", highlight=False, soft_wrap=True)
        money = self._doors.money
        for code, count in sorted(money.waiting.items()):
            console.print(waiting_line(code, count, money.decision), highlight=False, soft_wrap=True)
        money.waiting.clear()

    def _publish(self, path: Path, door: Door | None) -> str:
        if self._publisher is None:
            self._publisher = new_publisher(*self._target)
        publisher = self._publisher
        with event_progress() as progress:
            bars = FileBars(progress)
            connector = FileConnector(path, self._mapping, on_progress=bars.reading, door=door)
            summary = publish_history(
                connector,
                publisher,
                on_progress=lambda done: bars.publishing(done, connector.report),
                more_follows=len(self._inbox.waiting()) > 1,
            )
        report = connector.report
        if not summary.events:
            raise InputFileError(_why_nothing(report))
        target = self._inbox.finish(path, report)
        if target is None:
            return f"{_events(summary.events)} published. {CHANGED}"
        published = f"{_events(summary.events)} published"
        if not report.rejected:
            return published
        rows = "row" if report.rejected == 1 else "rows"
        return f"{published}, {report.rejected:,} {rows} rejected ({target.name}.rejected.csv)"


def _events(count: int) -> str:
    return f"{count:,} event" if count == 1 else f"{count:,} events"


def _why_nothing(report: Report) -> str:
    if not report.rows:
        return "it has no rows."
    none = "its only row is no event" if report.rows == 1 else f"none of its {report.rows:,} rows is an event"
    return f"{none}. {_first(report.rejections)}"


def _first(rejections: Sequence[Rejection]) -> str:
    if not rejections:
        return "The mapping leaves all of them out."
    first = rejections[0]
    return f"The first problem is in line {first.line:,}: {first.field} {first.problem}."
