"""``crmstream replay``: the history in a file into Kafka, in event-time order.

Delivery: that of the publisher. Event ids come from the file's content, so a second replay doubles nothing.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from connectors.door.door import Door
from connectors.door.money import MoneyGate
from connectors.files.replay import FileConnector, Rejection, Report, write_rejections
from connectors.kafka.publisher import Summary, publish_history
from connectors.rows.mapping import Mapping, load_mapping
from contracts.errors import InputFileError
from contracts.settings import Settings, load_settings
from crmstream.commands.progress import FileBars, event_progress
from crmstream.commands.shared import console, new_app, notes, print_json
from crmstream.configured import FILE_STAGE, configured_doors
from crmstream.money.words import fed_lines
from crmstream.publishing import RoomGate, new_publisher, usable_kafka

app = new_app()

File = Annotated[Path, typer.Argument(help="CSV, JSON, XLSX, ODS or Parquet, plain or gzip.")]
MappingName = Annotated[str, typer.Option(help="Mapping file, or the name of one that is shipped.")]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Most events per second.")]
Rejects = Annotated[Path | None, typer.Option(help="CSV file for the rejected rows: line, field, problem.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
NOTHING_READ = 2
"""Exit code when no row of the file became an event."""


@app.command(name="replay")
def run(
    file: File, mapping: MappingName, rate: Rate = None, rejects: Rejects = None, as_json: AsJson = False
) -> None:
    """Publish the history in a file, by a mapping.

    A mapping says which column is which (docs/mapping.md). The privacy rules
    and the tracking plan of the mapping's source hold for the rows, or those
    of `default` in the file of sources (docs/sources). Rows that are
    no events are reported with their line and never stop the rest. Replaying
    a file again doubles nothing. Exit code 0: events were published, perhaps
    with rejected rows; 2: not one row was an event.

    [bold]Examples[/bold]

    crmstream replay CDNOW_master.txt --mapping cdnow

    crmstream replay orders.csv.gz --mapping orders.yaml --rejects rejected.csv

    crmstream replay orders.parquet --mapping orders.yaml --rate 500
      [dim]as a slow stream, to watch it[/dim]
    """
    settings = load_settings()
    chosen = load_mapping(mapping)
    doors = configured_doors(settings, FILE_STAGE)
    door = doors.door(chosen.source)
    if notice := doors.notice(chosen.source):
        notes.print(escape(notice), highlight=False, soft_wrap=True)
    _check_writable(rejects)
    summary, report = publish_file(file, chosen, door, settings, rate)
    _write_rejects(rejects, report)
    _print(summary, report, doors.money, as_json=as_json)
    if not summary.events:
        raise typer.Exit(NOTHING_READ)


def publish_file(
    file: Path, mapping: Mapping, door: Door, settings: Settings, rate: float | None = None
) -> tuple[Summary, Report]:
    """Publish a file through its mapping, with progress bars; returns what was published and became of the rows."""
    gate = RoomGate(settings, notes.print)
    kafka = usable_kafka(settings, gate)
    with event_progress() as progress, new_publisher(settings, kafka, gate) as publisher:
        display = FileBars(progress)
        connector = FileConnector(file, mapping, on_progress=display.reading, door=door)
        summary = publish_history(
            connector,
            publisher,
            rate=rate,
            on_progress=lambda done: display.publishing(done, connector.report),
        )
    return summary, connector.report


def _check_writable(path: Path | None) -> None:
    """Find out before the work and not after it; an old report is not kept."""
    if path is not None:
        _write_rows(path, [])


def _write_rejects(path: Path | None, report: Report) -> None:
    if path is None:
        return
    _write_rows(path, report.rejections)
    if report.rejected > len(report.rejections):
        notes.print(
            f"{path} holds the first {len(report.rejections):,} of {report.rejected:,} rejected rows."
        )


def _write_rows(path: Path, rejections: Iterable[Rejection]) -> None:
    try:
        write_rejections(path, rejections)
    except OSError as error:
        raise InputFileError(f"--rejects: {path} can't be written: {error.strerror}.") from None


def reasons(report: Report) -> list[dict[str, Any]]:
    """Count the rejected rows by reason, most frequent first, each with the first line of those listed."""
    first: dict[tuple[str, str], int] = {}
    for one in report.rejections:
        first.setdefault((one.field, one.problem), one.line)
    return [
        {"field": field, "problem": problem, "rows": rows, "first_line": first.get((field, problem))}
        for (field, problem), rows in report.problems.most_common()
    ]


def _print(summary: Summary, report: Report, money: MoneyGate, *, as_json: bool) -> None:
    if as_json:
        counts = {name: getattr(report, name) for name in ("rows", "skipped", "rejected", "replaced")}
        decision = money.decision
        print_json({
            **counts, "published": summary.events, "seconds": summary.seconds, "rejections": reasons(report),
            "base_currency": decision and decision.currency, "amounts_without_a_rate": money.waiting,
        })  # fmt: skip
        return
    console.print(report_table("Replayed", summary.events, report))
    if told := outcome(report):
        console.print(told)
    for line in fed_lines(money.decision, money.waiting):
        console.print(line, soft_wrap=True)


def outcome(report: Report) -> str | None:
    """Say in one sentence what became of the rows, if not all of them are in."""
    if not report.rows:
        return "The file has no rows."
    if not report.rejected:
        return None if report.accepted else "The mapping leaves out every row."
    if report.rejected == report.rows:
        return "The only row was rejected." if report.rows == 1 else f"All {report.rows:,} rows were rejected."
    were = "rows was" if report.rejected == 1 else "rows were"
    others = "the others are in" if not report.skipped else "the mapping leaves out " + (
        f"{report.skipped:,}; the others are in" if report.accepted else "the others"
    )
    return f"{report.rejected:,} of {report.rows:,} {were} rejected; {others}."


def report_table(title: str, published: int, report: Report) -> Table:
    """Lay out what became of a file's rows."""
    table = Table("rows", "", "first line", title=title)
    for name, rows in (
        ("read", report.rows),
        ("published", published),
        ("left out by the mapping", report.skipped),
        *([("replaced by a later row with the same key", report.replaced)] if report.replaced else []),
    ):
        table.add_row(f"{rows:,}", name, "")
    for reason in reasons(report):
        first = "" if reason["first_line"] is None else f"{reason['first_line']:,}"
        table.add_row(
            f"{reason['rows']:,}",
            f"[red]rejected[/]: {escape(reason['field'])} {escape(reason['problem'])}",
            first,
        )
    return table
