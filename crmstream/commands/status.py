"""``crmstream status``: which parts are up, how far behind the dataflow is, how fast it goes. Reads only."""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from contracts.settings import load_settings
from crmstream.commands.shared import console, new_app, print_json
from crmstream.commands.status_view import show_status
from crmstream.money.words import as_rows, read_waiting, stack_decision, stored_lines
from crmstream.observe.health import ask_supervisor
from crmstream.observe.status import Status, read_status
from crmstream.observe.waiting import wait_for_dataflow
from crmstream.stack.endpoints import resolve_endpoints

app = new_app()


@app.command(name="status")
def run(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="First wait until what is in the log is worked off.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that --wait waits at most.")] = 600,
) -> None:
    """Show which parts are up, how far the dataflow is behind, and how fast it goes.

    Records in the log are events and ticks, the marks of time between them.
    "Events waiting" counts the events that the dataflow has not read yet; with
    more than 20,000 waiting records it is an upper bound. The event clock says
    how far the dataflow is in the time of the events: scores are as of then.
    A lane is a partition of the topics. All lanes advance together: one that is
    ahead waits for the slowest, and a worker waits for a store that is away.
    With workers on several hosts it works on each of them: workers report
    every two seconds, and what is older than ten seconds is shown with its age.
    Takes about a second, in which the speed is measured.
    --wait returns when everything that is in the log now is in the stores.
    Exit code 1 when a part is down, a topic is paused because too many of its
    records are invalid, or the time of --wait is over.

    [bold]Examples[/bold]

    crmstream status

    crmstream status --wait

    crmstream status --json | jq .lag
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    if wait:
        wait_for_dataflow(endpoints.kafka, timeout)
    status = read_status(endpoints, settings)
    status = replace(status, parts=[*status.parts, *ask_supervisor(settings)])
    decision, waiting = stack_decision(settings), read_waiting(settings, endpoints)
    if as_json:
        base = decision and decision.currency
        print_json({**as_document(status), "base_currency": base, "waiting_amounts": as_rows(waiting)})
    else:
        show_status(console, status)
        for line in stored_lines(decision, waiting):
            console.print(line, highlight=False)
    if not all(part.up for part in status.parts) or any(lane.paused for lane in status.lanes):
        raise typer.Exit(1)


def as_document(status: Status) -> dict[str, object]:
    """The status for programs: one level of names, lists of parts and topics."""
    fields = asdict(status)
    counts = {name: value for name, value in fields.pop("counts").items() if name != "stored_at_most"}
    return {**fields, **counts, "lag": status.lag, "waiting_events": status.waiting_events}
