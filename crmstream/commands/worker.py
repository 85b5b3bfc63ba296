"""``crmstream worker``: this host's workers of a dataflow that runs on several hosts, until Ctrl-C."""

import contextlib
from datetime import datetime
from typing import Annotated

import typer

from contracts.errors import SettingsError
from contracts.settings import load_settings
from crmstream.commands.shared import console, new_app

app = new_app()


@app.command(name="worker")
def run(
    addresses: Annotated[
        str | None,
        typer.Option(help="host:port of each worker, with commas (CRM_CLUSTER_ADDRESSES).", show_default=False),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(help="Numbers of this host's workers, from 0 (CRM_CLUSTER_INDEX).", show_default=False),
    ] = None,
) -> None:
    """Run this host's workers of a dataflow on several hosts; Ctrl-C stops them.

    Start it on every host with the same addresses, in the same order: the
    first is worker 0. Without --index a host runs the workers whose address
    it has. Workers start when all are there, and say which ones they wait for.
    When one dies or stops, all start again together and go on exactly where
    they were; start a host that was down with the same command.

    All hosts need the same settings, Kafka, ClickHouse and Redis by their
    CRM_... settings, and the same CRM_DATA_DIR on shared storage: it has the
    state. The host of worker 0 also creates topics and tables, and runs the
    heartbeat. There are as many workers as addresses, at most CRM_PARTITIONS.

    [bold]Whoever reaches a worker's port can run code there:[/bold] name addresses of a
    private network or of WireGuard (docs/operations.md).

    [bold]Examples[/bold]

    crmstream worker --addresses 10.0.0.1:7000,10.0.0.2:7000

    crmstream worker --addresses a:7000,a:7001,b:7000 --index 0,1
    """
    from crmstream.cluster.addresses import describe_cluster, parse_addresses  # noqa: PLC0415 - only when it runs
    from crmstream.cluster.host import cluster_host  # noqa: PLC0415

    given = {"cluster_addresses": addresses, "cluster_index": index}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    if settings.cluster_addresses is None:
        raise SettingsError("name the workers of all hosts with --addresses or CRM_CLUSTER_ADDRESSES")
    workers = len(parse_addresses(settings.cluster_addresses))
    cluster = describe_cluster(settings.cluster_addresses, settings.cluster_index)
    settings = load_settings(**settings.model_dump(include={"cluster_addresses", "cluster_index"}), workers=workers)
    with cluster_host(settings, cluster, _say) as stack:
        own = ", ".join(f"worker {each} at {cluster.addresses[each]}" for each in cluster.own)
        console.print(f"Runs {own}, of {workers} workers.", markup=False, highlight=False, soft_wrap=True)
        stack.wait()
    with contextlib.suppress(OSError):  # the terminal may be gone
        console.print("Stopped. [dim]`crmstream worker` goes on where it was.[/dim]")


def _say(what: str) -> None:
    text = f"{datetime.now().astimezone():%H:%M:%S} {what}"
    console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
