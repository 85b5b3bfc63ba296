"""``crmstream up``: the local stack and the dataflow, until Ctrl-C. The next start goes on where it was."""

import contextlib
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.table import Table

from contracts.errors import SettingsError
from contracts.settings import load_settings
from crmstream.commands.init import ask
from crmstream.commands.shared import console, new_app
from crmstream.money.words import base_line
from crmstream.stack.endpoints import Endpoints

LOUD: Final = ("DISK FULL", "PORT ")
"""The beginnings of messages that a person must act on."""
app = new_app()


@app.command(name="up")
def run(
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes of the dataflow (CRM_WORKERS).", show_default=False)
    ] = None,
) -> None:
    """Start the local stack and the dataflow; Ctrl-C stops them.

    Kafka, ClickHouse and Redis run as processes of this machine, bound to
    loopback, with their data, logs and state under CRM_DATA_DIR (.crmstream).
    SDKs may send events to the collector (docs/sources/tracking-api.md).
    After a stop, or a crash, up goes on exactly where it was. Servers that are
    named by CRM_KAFKA_BOOTSTRAP_SERVERS, CRM_CLICKHOUSE_URL or CRM_REDIS_URL
    are used instead and not started.

    [bold]Examples[/bold]

    crmstream up

    crmstream up --workers 2

    CRM_DATA_DIR=/tmp/second crmstream up
    """
    from crmstream.money.installation import installation_rates  # noqa: PLC0415 - only when it runs
    from crmstream.running import full_stack  # noqa: PLC0415

    settings = load_settings() if workers is None else load_settings(workers=workers)
    if settings.cluster_addresses is not None:
        raise SettingsError("CRM_CLUSTER_ADDRESSES is set: run `crmstream worker` on each of its hosts, or unset it")
    decision = installation_rates(settings)[1]
    if decision is None and sys.stdin.isatty() and sys.stdout.isatty():
        decision = ask(settings)
    stack = full_stack(
        settings, on_event=_say, with_collector=settings.collector
    )
    with stack:
        console.print(_address_table(stack.endpoints))
        console.print(base_line(decision), soft_wrap=True)
        try:
            _say_up(stack.wait_ready())
        except KeyboardInterrupt:
            pass
        else:
            stack.wait()
    with contextlib.suppress(OSError):  # the terminal may be gone
        console.print("Stopped. [dim]`crmstream up` goes on where it was.[/dim]")


def _say(what: str) -> None:
    """Print what happens, with the time; what a person must act on stands out."""
    style, text = "bold red" if what.startswith(LOUD) else "dim", f"{datetime.now().astimezone():%H:%M:%S} {what}"
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _say_up(unready: Sequence[str]) -> None:
    if unready:
        console.print(f"Up, but {', '.join(unready)} does not answer yet: see its log.", style="yellow")
    else:
        console.print("Up. [dim]Feed it with `crmstream simulate` or `crmstream replay`; Ctrl-C stops it.[/dim]")


def _address_table(endpoints: Endpoints) -> Table:
    table = Table("Part", "Address", title="crmstream", title_justify="left")
    table.add_row("Kafka", endpoints.kafka)
    table.add_row("ClickHouse", _without_password(endpoints.clickhouse_url))
    table.add_row("Redis", _without_password(endpoints.redis_url))
    if endpoints.collector_url is not None:
        table.add_row("Collector", f"{endpoints.collector_url} [dim](for SDKs; open it in a browser)[/dim]")
    for index, url in enumerate(endpoints.worker_metrics):
        table.add_row(f"Worker {index}", f"{url} [dim](metrics)[/dim]")
    return table


def _without_password(url: str) -> str:
    """The address without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
