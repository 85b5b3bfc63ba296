"""``crmstream collect``: the HTTP tracking API that SDKs speak, until Ctrl-C.

Delivery: a request is answered with 200 only when Kafka holds all of it (:mod:`connectors.collector.delivery`).
"""

from typing import Annotated

import typer

from contracts.settings import load_settings
from crmstream.commands.shared import new_app, notes
from crmstream.stack.disk import DiskWatch
from crmstream.stack.endpoints import resolve_kafka, stack_folder
from crmstream.stack.outside import find_problems

app = new_app()


@app.command(name="collect")
def run(
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port (CRM_COLLECTOR_PORT); 0 takes a free one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (CRM_COLLECTOR_HOST).")] = None,
) -> None:
    """Take events over HTTP, from the SDKs of Segment and RudderStack.

    An SDK needs this address and a write key, which `crmstream source add`
    makes (docs/sources/tracking-api.md). `crmstream up` runs a collector
    already; this one runs alone, beside any Kafka that the settings name, and
    there may be several. A request is answered with 200 when Kafka holds all
    of it, and with 503 while Kafka is away: SDKs send it again. Ctrl-C
    finishes what is under way.

    [bold]Examples[/bold]

    crmstream collect

    crmstream collect --port 9000

    CRM_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 crmstream collect --host 0.0.0.0
    """
    from crmstream.collecting import Started, run_collector  # noqa: PLC0415 - only when it runs

    given = {"collector_port": port, "collector_host": host}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})

    def told(started: Started) -> None:
        notes.print(f"Collecting at {started.url} [dim](open it in a browser); Ctrl-C ends it.[/]", highlight=False)
        if not started.sources:
            notes.print(f"No source in {started.sources_file} yet: make one with `crmstream source add`.")

    kafka = resolve_kafka(settings)
    for problem in find_problems({"kafka": kafka} if settings.kafka_bootstrap_servers else {}):
        notes.print(f"{problem}. Answering 503 until that is mended.", markup=False, highlight=False, soft_wrap=True)
    disk = None if settings.kafka_bootstrap_servers else DiskWatch(stack_folder(settings), settings)
    run_collector(settings, kafka, told, disk)
    notes.print("Stopped.")
