"""``crmstream plan``: what comes in, held against a tracking plan. Reads only."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from connectors.plan.check import PlanChecker
from connectors.plan.draft import draft_plan
from connectors.plan.plan import load_plan
from connectors.plan.report import EventReport, PlanReport, Sample, as_dicts
from connectors.sources.source import load_sources
from contracts.errors import InputFileError
from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app, notes, print_json
from crmstream.configured import sources_file
from crmstream.planned_file import PlannedFile
from crmstream.planning import History, Refused, open_history

app = new_app()
_PROBLEMS_SHOWN = 10
"""Problems of one event that the table shows; --json has them all."""
_TELL_EVERY = 10_000

PlanFile = Annotated[Path, typer.Argument(help="The plan: a YAML file.")]
SourceName = Annotated[str | None, typer.Option("--source", help="Only what this source sent.")]
NeededSource = Annotated[str, typer.Option("--source", help="The source whose events are looked at.")]
Days = Annotated[float, typer.Option(min=0.001, max=3_650, help="Days to look back, by when events came in.")]
SampleFile = Annotated[Path | None, typer.Option("--file", help="JSON lines to check instead; no stack is needed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(no_args_is_help=True)
def _plan() -> None:
    """Hold what comes in against a tracking plan.

    A tracking plan is a YAML file that says which events and properties are
    expected, and what becomes of others: docs/sources/tracking-plan.md. A
    source that names a plan is held to it as events come in.

    [bold]Examples[/bold]

    crmstream plan draft --source web-shop > web-shop.plan.yaml

    crmstream plan check web-shop.plan.yaml

    crmstream plan check web-shop.plan.yaml --file events.jsonl
    """


@app.command(name="check")
def check(
    plan: PlanFile, source: SourceName = None, days: Days = 7, file: SampleFile = None, as_json: AsJson = False
) -> None:
    """Check a plan, and what came in the last days against it.

    Counts for each source and event what is not as planned; tells which
    planned events never came, and what the plan has refused at the door.
    Without --source: of the sources that name this plan, or else of all.
    With --file: the events in a file of JSON lines, our own or as SDKs send
    them, after all that the collector and the source's rules would do; lines
    that name no source are taken for that of --source. Exit code 1 when
    something is not as planned.

    [bold]Examples[/bold]

    crmstream plan check web-shop.plan.yaml

    crmstream plan check web-shop.plan.yaml --source web-shop --days 30

    crmstream plan check web-shop.plan.yaml --file events.jsonl --json
      [dim]in a test of the shop[/dim]
    """
    report = PlanReport(PlanChecker(load_plan(plan)))
    refused: list[Refused] = []
    broken: list[int] = []
    settings = load_settings()
    if file is not None:
        refused, broken = _check_file(file, _planned_file(settings, plan, source), report)
    else:
        history = _history(settings, plan, source, days)
        for sample in _watched(history.samples()):
            report.add(sample)
        refused = history.refused()
    if as_json:
        print_json(_document(plan, report, refused, broken))
    else:
        _show(report, refused, broken)
    if report.violating or refused or broken:
        raise typer.Exit(1)


@app.command(name="draft")
def draft(source: NeededSource, days: Days = 7) -> None:
    """Write a plan from what a source sent in the last days.

    It fits what came: a property that was always of one type has that type,
    one that was always there is required. Read it, and make it what should
    come.

    [bold]Example[/bold]

    crmstream plan draft --source web-shop > web-shop.plan.yaml
    """
    since = datetime.now(UTC) - timedelta(days=days)
    history = open_history(load_settings(), [source], since)
    text, events = draft_plan(_watched(history.samples()), f"What {source} sent since {since:%Y-%m-%d}")
    if not events:
        raise InputFileError(
            f"Nothing came from {source} in the last {days:g} days. `crmstream source list` names all."
        )
    typer.echo(text, nl=False)
    notes.print(f"Drafted from {events:,} events.", highlight=False)


def _watched(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Show how many events have been looked at, for there may be millions."""
    with notes.status("Reading events") as status:
        for number, sample in enumerate(samples, 1):
            if not number % _TELL_EVERY:
                status.update(f"{number:,} events")
            yield sample


def _planned_file(settings: Settings, plan: Path, source: str | None) -> PlannedFile:
    configured = load_sources(sources_file(settings)).sources
    return PlannedFile(load_plan(plan), configured, source, settings.privacy_key, datetime.now(UTC))


def _check_file(file: Path, planned: PlannedFile, report: PlanReport) -> tuple[list[Refused], list[int]]:
    """Report the events of a file; give what would be refused whatever the plan says, and the lines of that."""
    refused: Counter[tuple[str, str, str]] = Counter()
    lines = []
    for one in planned.read(file):
        if isinstance(one, Sample):
            report.add(one)
        else:
            refused[one.source, one.field, one.problem] += 1
            lines.append(one.line)
    return [Refused(*reason, count, None) for reason, count in refused.most_common()], lines


def _history(settings: Settings, plan: Path, source: str | None, days: float) -> History:
    """What is to be looked at: of the source that is asked for, or of those that name the plan, or of all."""
    if source is not None:
        wanted = [source]
    else:
        configured = load_sources(sources_file(settings)).sources.values()
        wanted = [one.name for one in configured if one.plan and one.plan.path.resolve() == plan.resolve()]
    return open_history(settings, wanted, datetime.now(UTC) - timedelta(days=days))


def _document(plan: Path, report: PlanReport, refused: Iterable[Refused], broken: Sequence[int]) -> dict[str, Any]:
    return {
        "plan": str(plan),
        "violating_events": report.violating,
        "events": list(as_dicts(report)),
        "never_came": report.never_came(),
        "refused": [asdict(one) for one in refused],
        "lines_without_event": broken,
    }


def _show(report: PlanReport, refused: Sequence[Refused], broken: Sequence[int]) -> None:
    events = report.events()
    table = Table("source", "event", "events", "not as planned", "newest", title="What came")
    for one in events:
        table.add_row(
            escape(one.source),
            escape(one.event) if one.planned else f"[yellow]{escape(one.event)}[/] (not planned)",
            f"{one.count:,}",
            f"[red]{one.violating:,}[/]" if one.violating else "0",
            f"{one.newest:%Y-%m-%d %H:%M}" if one.newest else "–",
        )
    console.print(table if events else "Nothing came.")
    if report.violating:
        console.print(_violations(events))
    if refused:
        console.print(_refusals(refused))
    for name in report.never_came():
        console.print(f"[yellow]Never came:[/] {escape(name)}", highlight=False)
    if broken:
        lines = ", ".join(map(str, broken[:_PROBLEMS_SHOWN]))
        console.print(f"[red]Lines without an event:[/] {len(broken):,}, first: {lines}.", highlight=False)
    if not (report.violating or refused or broken):
        console.print("[green]Everything is as planned.[/]")


def _violations(events: Iterable[EventReport]) -> Table:
    table = Table("source", "event", "field", "problem", "events", title="Not as planned")
    for one in events:
        shown = one.violations.most_common(_PROBLEMS_SHOWN)
        for (field, problem), count in shown:
            table.add_row(*map(escape, (one.source, one.event, field, problem)), f"{count:,}")
        if len(one.violations) > len(shown):
            table.add_row(escape(one.source), escape(one.event), f"and {len(one.violations) - len(shown)} more", "", "")
    return table


def _refusals(refused: Iterable[Refused]) -> Table:
    table = Table("source", "field", "problem", "events", "newest", title="Refused")
    for one in refused:
        texts = map(escape, (one.source, one.field, one.problem))
        table.add_row(*texts, f"{one.count:,}", f"{one.newest:%Y-%m-%d %H:%M}" if one.newest else "–")
    return table
