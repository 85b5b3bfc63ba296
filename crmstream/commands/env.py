"""``crmstream env``: the addresses of the running stack as shell variables. Reads only."""

import shlex
from collections.abc import Iterator
from typing import Annotated

import typer

from contracts.settings import load_settings
from crmstream.commands.shared import new_app, print_json
from crmstream.stack.endpoints import Endpoints, resolve_endpoints

app = new_app()


@app.command(name="env")
def run(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Print where the servers of the stack listen, as variables of a shell.

    Other programs (redis-cli, curl, kcat) then find them. The names have no
    CRM_ in front: those are settings, and name servers of your own. An address
    may hold a password.

    [bold]Examples[/bold]

    eval "$(crmstream env)"

    redis-cli -u "$REDIS_URL" ZREVRANGE crm:top:churn 0 9
    """
    variables = dict(variables_of(resolve_endpoints(load_settings())))
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def variables_of(endpoints: Endpoints) -> Iterator[tuple[str, str]]:
    """Yield the name and the address of each server that there is."""
    yield "KAFKA_BOOTSTRAP_SERVERS", endpoints.kafka
    yield "CLICKHOUSE_URL", endpoints.clickhouse_url
    yield "REDIS_URL", endpoints.redis_url
    if endpoints.collector_url is not None:
        yield "COLLECTOR_URL", endpoints.collector_url
