"""``crmstream rebuild``: makes the installation ready to compute all profiles and models anew."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app, notes, print_lines
from crmstream.stack.endpoints import Endpoints

if TYPE_CHECKING:
    from crmstream.rebuilding import TopicPlan

app = new_app()
LOOK_SECONDS: Final = 0.5


@app.command(name="rebuild")
def run(
    from_warehouse: Annotated[
        bool, typer.Option("--from-warehouse", help="Read what Kafka no longer has from ClickHouse's facts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
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
    was in the log when the rebuild began.

    Kafka keeps web events for 30 days and the rest for a year. Without an
    option, profiles count only what Kafka still has. With --from-warehouse
    older records are read from ClickHouse, in the order of the log, and the
    result equals that of the whole log (docs/state.md says from when on).

    [bold]Examples[/bold]

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
        aside = _prepare(settings, stack.endpoints, from_warehouse=from_warehouse, yes=yes)
    print_lines([
        f"The old state is in {aside}." if aside else "There was no state.",
        "`crmstream up` now rebuilds all profiles and models; `crmstream rebuild --watch` shows how far it is.",
    ])  # fmt: skip


def _prepare(settings: Settings, endpoints: Endpoints, *, from_warehouse: bool, yes: bool) -> Path | None:
    from crmstream import rebuilding  # noqa: PLC0415
    from sinks.clients import clickhouse_client  # noqa: PLC0415

    client = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    sent = rebuilding.send_waiting_rows(settings, client)
    if sent:
        print_lines([f"{sent:,} rows that waited for ClickHouse are in it now."])
    topics = rebuilding.plan(settings, endpoints.kafka, client, from_warehouse=from_warehouse)
    console.print(_plan_table(topics, from_warehouse=from_warehouse))
    lost = sum(each.lost for each in topics)
    if lost and not from_warehouse:
        print_lines([
            f"{lost:,} events are older than the log: they stay in ClickHouse and no longer count in profiles. "
            "--from-warehouse counts them."
        ])  # fmt: skip
    if not yes:
        typer.confirm("Move the state aside and rebuild?", abort=True, err=True)
    return rebuilding.begin(settings, endpoints.kafka, from_warehouse=from_warehouse)


def _watch(settings: Settings) -> None:
    """Show bars until everything is read."""
    from crmstream.commands.progress import RebuildBars, event_progress  # noqa: PLC0415
    from crmstream.observe.kafka import KafkaView  # noqa: PLC0415
    from crmstream.observe.rebuild import ends_now, rebuild_view  # noqa: PLC0415
    from crmstream.stack.endpoints import resolve_endpoints  # noqa: PLC0415
    from streams.rebuild import saved_ends  # noqa: PLC0415

    kafka, noted = KafkaView(resolve_endpoints(settings).kafka), saved_ends(settings.data_dir)
    offsets = kafka.offsets()
    ends = ends_now(offsets, settings.partitions) if noted is None else noted
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
