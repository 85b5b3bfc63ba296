"""``crmstream import``: a file that nobody has described yet, into Kafka.

Delivery: that of ``crmstream replay``, with the mapping that is written beside the file.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from connectors.door.door import Door
from connectors.door.doors import Doors
from connectors.door.money import MoneyGate
from connectors.files.replay import FileConnector, Report
from connectors.guess.proposal import Proposal, propose
from connectors.guess.wishes import Wishes
from connectors.guess.words import ROLES
from connectors.rows.mapping import Mapping
from contracts.errors import InputFileError
from contracts.settings import Settings, load_settings
from crmstream.commands.replay import NOTHING_READ, outcome, publish_file, reasons, report_table
from crmstream.commands.shared import console, new_app, notes
from crmstream.configured import FILE_STAGE, configured_doors
from crmstream.money.words import fed_lines

app = new_app()

File = Annotated[Path, typer.Argument(help="CSV, JSON, XLSX, ODS or Parquet, plain or gzip.")]
Yes = Annotated[bool, typer.Option("--yes", help="Publish without a question, for scripts.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the mapping, publish nothing.")]
Output = Annotated[Path | None, typer.Option("--output", help="Where the mapping goes; default: beside the file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a mapping that is there already.")]
SourceName = Annotated[str | None, typer.Option("--source", help="Name of the source; default: from the file's name.")]
Columns = Annotated[list[str] | None, typer.Option("--set", help=f"ROLE=COLUMN. Roles: {', '.join(ROLES)}.")]
CurrencyCode = Annotated[str | None, typer.Option("--currency", help="Currency of the amounts, such as EUR.")]
Zone = Annotated[str | None, typer.Option("--time-zone", help="Zone of times without one; default UTC.")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the text, such as cp1252.")]
_PREVIEW_ROWS: Final = 2_000
_SHOWN: Final = 10
_WORST: Final = 3


@app.command(name="import")
def run(  # noqa: PLR0913, PLR0917 - options of a command
    file: File,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = None,
    overwrite: Overwrite = False,
    source: SourceName = None,
    columns: Columns = None,
    currency: CurrencyCode = None,
    time_zone: Zone = None,
    encoding: Encoding = None,
) -> None:
    """Look at a file of orders, propose a mapping, and publish it after a yes.

    It finds out how the file is written (separator, encoding, dates, amounts),
    which column is what, and whether it is an export of a known shop, shows
    ten events and what it is not sure about, and writes the mapping beside
    the file. After a no, edit the mapping and go on with crmstream replay.
    Importing a later export of the same shop doubles nothing.

    [bold]Examples[/bold]

    crmstream import orders.csv

    crmstream import orders.csv --set customer="Card No" --currency EUR

    crmstream import orders.xlsx --dry-run
    """
    settings = load_settings()
    mapping_file = output or file.with_name(f"{_stem(file)}.yaml")
    doors = configured_doors(settings, FILE_STAGE)
    base = doors.money.decision
    wishes = Wishes(source, _roles(columns or ()), _code(currency), base.currency if base else None, time_zone)
    proposal = propose(file, mapping_file, wishes, encoding)
    if notice := doors.notice(proposal.mapping.source):
        notes.print(escape(notice), highlight=False, soft_wrap=True)
    trial = configured_doors(settings, FILE_STAGE, MoneyGate(decided=base))
    report = _preview(file, proposal, trial.door(proposal.mapping.source))
    _write(mapping_file, proposal.text, overwrite=overwrite)
    console.print(f"The mapping is in {escape(str(mapping_file))}.", highlight=False)
    if not report.accepted:
        raise InputFileError(f"None of the rows that were looked at is an event. {_first_reason(report)}")
    if dry_run or not (yes or _is_wanted()):
        _say_how_to_go_on(file, mapping_file)
        return
    _publish(file, proposal.mapping, doors, settings)


def _stem(file: Path) -> str:
    return file.name.split(".")[0] or file.name


def _roles(given: Sequence[str]) -> dict[str, str]:
    roles = {}
    for one in given:
        role, sign, column = one.partition("=")
        if not sign:
            raise InputFileError(f"--set {one}: write ROLE=COLUMN.")
        roles[role.strip().replace("_", " ")] = column.strip()
    return roles


def _code(currency: str | None) -> str | None:
    if currency is not None and not re.fullmatch("[A-Za-z]{3}", currency):
        raise InputFileError(f"--currency {currency}: give an ISO 4217 code such as EUR.")
    return None if currency is None else currency.upper()


def _preview(file: Path, proposal: Proposal, door: Door) -> Report:
    """Show the first events, on a terminal only: they are personal data. Returns what became of the rows."""
    connector = FileConnector(file, proposal.mapping, door=door, most_rows=_PREVIEW_ROWS)
    events = [msgspec.json.decode(record.value or b"{}") for record in connector.records()]
    if proposal.shipped:
        console.print(f"{escape(file.name)} is an export that is known: {proposal.shipped}.", highlight=False)
    if console.is_terminal:
        shown = [event for event in events if event["kind"] != "identity"] or events
        console.print(_table(shown[:_SHOWN]))
    console.print(escape(_origins(proposal.mapping)), highlight=False)
    for doubt in proposal.doubts:
        console.print(f"[yellow]?[/] {escape(doubt)}", highlight=False)
    for reason in reasons(connector.report)[:_WORST]:
        verb = "is" if reason["rows"] == 1 else "are"
        console.print(
            f"[yellow]?[/] {reason['rows']:,} of the first {connector.report.rows:,} rows {verb} rejected: "
            f"{escape(reason['field'])} {escape(reason['problem'])} (line {reason['first_line']:,}).",
            highlight=False,
        )
    return connector.report


def _origins(mapping: Mapping) -> str:
    """Say from which columns the events come."""
    event = mapping.every_event[0]
    ids = [spec.columns for spec in (event.customer_id, event.anonymous_id) if spec is not None]
    origins = {
        "customer": ", else ".join(column for columns in ids for column in columns),
        "time": " and ".join(event.occurred_at.parts),
        "total": " times ".join(event.properties["total"].columns) if "total" in event.properties else "",
        "rows of one event": ", ".join(mapping.group.by) if mapping.group else "",
    }
    return "Columns: " + "; ".join(f"{what} from {column}" for what, column in origins.items() if column) + "."


def _table(events: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="The first events", expand=False)
    table.add_column("time", no_wrap=True)
    table.add_column("customer", overflow="ellipsis", max_width=28)
    table.add_column("event", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("items", justify="right", no_wrap=True)
    for event in events:
        of = event["properties"]
        amount = f"{of['total']:,.2f} {of.get('currency', '')}".strip() if "total" in of else ""
        person = event.get("customer_id") or event.get("anonymous_id") or ""
        at = event["occurred_at"][:16].replace("T", " ")
        table.add_row(at, escape(person), escape(event["name"]), amount, str(of.get("items", "")))
    return table


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    """Write the mapping, but not over one that somebody may have edited."""
    try:
        if not overwrite and path.exists() and path.read_text(encoding="utf-8") != text:
            raise InputFileError(
                f"{path} is there already. Replay the file with it (crmstream replay FILE --mapping {path}), "
                f"or replace it: --overwrite."
            )
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise InputFileError(f"{path} can't be written: {why}. Give another place: --output.") from None


def _first_reason(report: Report) -> str:
    found = reasons(report)
    if not found:
        return "The mapping leaves all of them out."
    return f"Most often: {found[0]['field']} {found[0]['problem']} (line {found[0]['first_line']:,})."


def _is_wanted() -> bool:
    return typer.confirm("Publish the file with it?", default=False) if console.is_terminal else False


def _say_how_to_go_on(file: Path, mapping_file: Path) -> None:
    notes.print(
        f"Nothing was published. Look at {escape(str(mapping_file))}, edit it if need be (docs/mapping.md), then:\n"
        f"  crmstream replay {escape(str(file))} --mapping {escape(str(mapping_file))}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _publish(file: Path, mapping: Mapping, doors: Doors, settings: Settings) -> None:
    summary, report = publish_file(file, mapping, doors.door(mapping.source), settings)
    console.print(report_table("Imported", summary.events, report))
    for line in filter(None, [outcome(report), *fed_lines(doors.money.decision, doors.money.waiting)]):
        console.print(line, soft_wrap=True, highlight=False)
    if not summary.events:
        raise typer.Exit(NOTHING_READ)
    console.print("Next: crmstream status, then crmstream top churn.", highlight=False)
