"""``crmstream rebuild``: makes the installation ready to compute all profiles and models anew."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer
from rich.table import Table

from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app, notes, print_lines
from crmstream.stack.endpoints import Endpoints

if TYPE_CHECKING:
    from crmstream.coverage import Coverage, Gap
    from crmstream.rebuilding import RebuildPlan, TopicPlan

app = new_app()
LOOK_SECONDS: Final = 0.5


@app.command(name="rebuild")
def run(
    from_warehouse: Annotated[
        bool, typer.Option("--from-warehouse", help="Read what Kafka no longer has from ClickHouse's facts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Rebuild also without records that neither ClickHouse nor Kafka has.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be read, and what is lost.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Only show how far a rebuild is, while `crmstream up` runs.")
    ] = False,
) -> None:
    """Compute all profiles and models anew, when state is lost or cannot be read.

    Stop `crmstream up` first. Servers are started as `up` does, rows in the
    outbox are sent to ClickHouse, the plan is shown, and after a yes the folder
    `recovery` is moved aside (never deleted).
    The next `crmstream up` then reads everything again; Ctrl-C, kill -9 and a
    restart go on where it was. Facts are not written again, and the rows that
    are made again replace the earlier ones. --watch shows the share that is
    read, records per second and the time left until everything is read that
    is in the log now.

    Kafka keeps web events for 30 days and the rest for a year. Without an
    option, profiles count only what Kafka still has. With --from-warehouse
    older records are read from ClickHouse, in the order of the log, and the
    result equals that of the whole log (docs/state.md says from when on).
    Some records may be in neither: Kafka deleted them before the dataflow had
    read them, or ClickHouse is empty. The rebuild is then refused, and shows
    how many there are by topic and partition. Connect or restore the right
    stores first. With --accept-loss it goes on, and these records never count.

    [bold]Examples[/bold]

    crmstream rebuild --from-warehouse --dry-run

    crmstream rebuild --from-warehouse

    crmstream rebuild --yes && crmstream up

    crmstream rebuild --watch     [dim]in another terminal[/dim]
    """
    if watch:
        _watch(load_settings())
        return
    from crmstream.running import servers_only  # noqa: PLC0415 - only when it runs

    settings = load_settings()
    with servers_only(settings, on_event=lambda what: notes.print(what, style="dim", markup=False)) as stack:
        wanted = _Wanted(from_warehouse, accept_loss, dry_run, yes)
        aside = _prepare(settings, stack.endpoints, wanted)
    if dry_run:
        return
    print_lines([
        f"The old state is in {aside}." if aside else "There was no state.",
        "`crmstream up` now rebuilds all profiles and models; `crmstream rebuild --watch` shows how far it is.",
    ])  # fmt: skip


class _Wanted(NamedTuple):
    """The options."""

    from_warehouse: bool
    accept_loss: bool
    dry_run: bool
    yes: bool


def _prepare(settings: Settings, endpoints: Endpoints, wanted: _Wanted) -> Path | None:
    """Show the plan, and carry it out; return where the old state is now."""
    from crmstream import rebuilding  # noqa: PLC0415
    from sinks.clients import clickhouse_client  # noqa: PLC0415

    client = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    sent = 0 if wanted.dry_run else rebuilding.send_waiting_rows(settings, client)
    if sent:
        print_lines([f"{sent:,} rows that waited for ClickHouse are in it now."])
    planned = rebuilding.plan(settings, endpoints.kafka, client, from_warehouse=wanted.from_warehouse)
    _show(planned, wanted)
    if wanted.dry_run:
        return None
    if not wanted.accept_loss:
        rebuilding.refuse_gaps(planned)
    if not wanted.yes:
        typer.confirm("Move the state aside and rebuild?", abort=True, err=True)
    return rebuilding.begin(settings, endpoints.kafka, planned.ends)


def _show(planned: "RebuildPlan", wanted: _Wanted) -> None:
    console.print(_plan_table(planned.topics, from_warehouse=wanted.from_warehouse))
    lost = sum(each.lost for each in planned.topics)
    if lost and not wanted.from_warehouse:
        print_lines([
            f"{lost:,} events are older than the log: they stay in ClickHouse and no longer count in profiles. "
            "--from-warehouse counts them."
        ])  # fmt: skip
    if wanted.dry_run and planned.coverage:
        console.print(_coverage_table(planned.coverage))
    if planned.gaps:
        console.print(_gap_table(planned.gaps))
    elif planned.coverage:
        print_lines(["ClickHouse and Kafka together have the whole log."])


def _watch(settings: Settings) -> None:
    """Show bars until everything is read."""
    from crmstream.commands.progress import RebuildBars, event_progress  # noqa: PLC0415
    from crmstream.observe.kafka import KafkaView  # noqa: PLC0415
    from crmstream.observe.rebuild import ends_now, rebuild_view  # noqa: PLC0415
    from crmstream.stack.endpoints import resolve_endpoints  # noqa: PLC0415
    from streams.rebuild import saved_ends  # noqa: PLC0415

    kafka, noted = KafkaView(resolve_endpoints(settings).kafka), saved_ends(settings.data_dir)
    offsets = kafka.offsets()
    ends = ends_now(offsets, settings.partitions)
    with event_progress() as progress:
        bars = RebuildBars(progress)
        while True:
            view = rebuild_view(offsets, ends, from_warehouse=noted is not None)
            bars.show(view)
            if view.is_done:
                break
            time.sleep(LOOK_SECONDS)
            offsets = kafka.offsets()
    print_lines([f"All {view.past + view.log:,} records of the log are read."])


def _plan_table(topics: Iterable["TopicPlan"], *, from_warehouse: bool) -> Table:
    table = Table("Topic", "From ClickHouse", "since", "From Kafka", title="What is read", title_justify="left")
    for each in topics:
        events = f"{each.lost:,} events" if from_warehouse else "nothing"
        since = f"{each.oldest:%Y-%m-%d}" if each.oldest and each.lost and from_warehouse else ""
        table.add_row(each.topic, events, since, f"{each.records:,} records")
    return table


def _coverage_table(covered: Iterable["Coverage"]) -> Table:
    table = Table(
        "Topic", "Partition", "ClickHouse has", "stored up to", "Kafka has", title="Offsets", title_justify="left"
    )
    for each in covered:
        rows = "nothing" if each.first is None else _span(each.first, each.reached)
        table.add_row(each.topic, str(each.partition), rows, f"{each.stored:,}", _span(each.low, each.end))
    return table


def _gap_table(gaps: Iterable[tuple["Coverage", "Gap"]]) -> Table:
    table = Table("Topic", "Partition", "Records", "Offsets", "Why", title="What is lost", title_justify="left")
    for each, gap in gaps:
        table.add_row(each.topic, str(each.partition), f"{gap.records:,}", gap.place, gap.why)
    return table


def _span(first: int, end: int) -> str:
    return f"{first:,} to {end - 1:,}" if first < end else f"nothing ({end:,} is next)"
