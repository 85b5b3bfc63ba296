"""``crmstream status``: which parts are up, how far behind the dataflow is, how fast it goes. Reads only."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from contracts.settings import load_settings
from crmstream.commands.shared import console, new_app, print_json
from crmstream.money.words import as_rows, read_waiting, stack_decision, stored_lines
from crmstream.observe.status import Status, read_status
from crmstream.stack.endpoints import resolve_endpoints

app = new_app()


@app.command(name="status")
def run(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show which parts are up, how far the dataflow is behind, and how fast it goes.

    Lag is the number of records (events, and the marks of time between them)
    that wait in Kafka. The event clock says how far they have been worked off
    in the time of the events: scores are as of then. Takes about a second, in
    which the speed is measured.
    Exit code 1 when a part is down.

    [bold]Examples[/bold]

    crmstream status

    crmstream status --json | jq .lag
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    status = read_status(endpoints, settings.clickhouse_database)
    decision, waiting = stack_decision(settings), read_waiting(settings, endpoints)
    if as_json:
        base = decision and decision.currency
        print_json({**asdict(status), "lag": status.lag, "base_currency": base, "waiting_amounts": as_rows(waiting)})
    else:
        _show(status)
        for line in stored_lines(decision, waiting):
            console.print(line, soft_wrap=True)
    if not all(part.up for part in status.parts):
        raise typer.Exit(1)


def _show(status: Status) -> None:
    parts = Table("part", "", "", title="Parts")
    for part in status.parts:
        parts.add_row(part.name, "[green]up[/]" if part.up else "[bold red]down[/]", part.detail)
    topics = Table("topic", "records", "read", "lag", title="Topics")
    for topic in status.topics:
        topics.add_row(topic.name, f"{topic.end:,}", _figure(topic.committed), _figure(topic.lag))
    console.print(parts)
    if status.topics:
        console.print(topics)
    console.print(_newest(status))
    if status.event_clock is not None:
        console.print(f"The event clock stands at {status.event_clock:%Y-%m-%d %H:%M:%S} UTC.")
    speed = "–" if status.events_per_second is None else f"{status.events_per_second:,.0f}"
    console.print(
        f"Events per second: {speed}. Customers: {_figure(status.customers)}. Visitors: {_figure(status.visitors)}. "
        f"Dead letters: {_figure(status.dead_letters)}."
    )


def _newest(status: Status) -> str:
    if status.newest_entered_at is None:
        return "No event has come in lately."
    age = (datetime.now(UTC) - status.newest_entered_at).total_seconds()
    text = f"The newest event came in {max(age, 0):,.1f} s ago"
    happened = status.newest_occurred_at
    return f"{text}; it happened at {happened:%Y-%m-%d %H:%M:%S} UTC." if happened else f"{text}."


def _figure(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
