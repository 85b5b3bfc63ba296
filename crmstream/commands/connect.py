"""``crmstream connect``: the changes of a database, into Kafka, each exactly once.

Delivery: that of :mod:`connectors.databases.pump`: by position, in transactions of Kafka.
"""

import os
from pathlib import Path
from threading import Event as StopEvent
from typing import Annotated

import typer
from rich.markup import escape

from connectors.databases.connections import Connection, load_connection
from connectors.databases.pump import Figures, Pump, Rules, Source
from connectors.databases.seal import Seal
from connectors.debezium.config import DebeziumConnection
from connectors.debezium.source import DebeziumSource
from connectors.kafka.positions import Position, read_position
from connectors.kafka.transactions import TransactionalPublisher
from connectors.postgres.check import Sample, check
from connectors.postgres.config import DSN_VARIABLE, PostgresConnection
from connectors.postgres.replication import ReplicationSource
from connectors.postgres.server import Server, explained
from connectors.postgres.slots import drop_slot
from connectors.postgres.watermark import WatermarkSource
from contracts.errors import SettingsError
from contracts.settings import Settings, load_settings
from crmstream.commands.connector_line import ConnectorLine, stopped_by_signals
from crmstream.commands.shared import console, new_app, notes
from crmstream.connection_rules import ConnectionRules
from crmstream.publishing import RoomGate, usable_kafka

app = new_app()

File = Annotated[Path, typer.Argument(help="Connection file.")]
Once = Annotated[bool, typer.Option("--once", help="Take what is there, and end.")]


@app.callback(no_args_is_help=True)
def _connect() -> None:
    """Publish the changes of a database, each exactly once.

    The events and the position after them reach Kafka in one transaction, so
    the command can be killed and started again at any moment. One connector
    runs per name; a second one takes over. The rules of the file's source hold
    for the rows (docs/sources), changed ones within a second, or those of
    `default` in the file of sources.

    [bold]Examples[/bold]

    crmstream connect postgres shop.yaml --check

    crmstream connect postgres shop.yaml

    crmstream connect debezium shop.public.orders --mapping shop.yaml
    """


@app.command()
def postgres(
    file: File,
    once: Once = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Look whether it would work, show some events, write nothing.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Drop the replication slot, forget the position, and end.")
    ] = False,
) -> None:
    """Publish the rows of PostgreSQL tables, or of an outbox.

    The connection file names the tables and says what their rows mean
    (docs/sources/postgres.md). The connection string comes from the
    environment variable CRM_POSTGRES_URL, or the one the file names.
    In mode replication the server keeps its log for a connector that is
    stopped: one that is not started again must be dropped.

    [bold]Examples[/bold]

    crmstream connect postgres shop.yaml --check

    crmstream connect postgres shop.yaml

    crmstream connect postgres shop.yaml --once
      [dim]from cron[/dim]

    crmstream connect postgres shop.yaml --drop
      [dim]the server no longer keeps its log for it[/dim]
    """
    settings = load_settings()
    connection = load_connection(file, PostgresConnection)
    server = Server(_connection_string(connection, settings), connection.dsn_from, connection.name)
    if check_only:
        _check(server, connection, settings)
        return
    kafka = _kafka(settings)
    if drop:
        _drop(server, connection, kafka, settings.partitions)
        return
    stop = StopEvent()
    source: Source = (
        ReplicationSource(server, connection)
        if _follows(connection)
        else WatermarkSource(server, connection, stop)
    )
    _run(source, connection, kafka, stop, once=once)


@app.command()
def debezium(
    topics: Annotated[list[str], typer.Argument(help="Topics that Debezium writes.")],
    mapping: Annotated[Path, typer.Option(help="Connection file: what the tables' rows mean.")],
    once: Once = False,
    servers: Annotated[
        str | None, typer.Option("--from", help="Kafka that has the topics (host:port,...). Default: our own.")
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Forget the position, and end.")] = False,
) -> None:
    """Publish the changes that Debezium has written to Kafka topics as JSON.

    With or without schemas, whole envelopes or flattened ones
    (docs/sources/debezium.md). The file is that of `connect postgres`, without
    what says how to read the database.

    [bold]Examples[/bold]

    crmstream connect debezium shop.public.orders --mapping shop.yaml

    crmstream connect debezium shop.public.orders shop.public.tickets
      --mapping shop.yaml --from kafka.example:9092

    crmstream connect debezium shop.public.orders --mapping shop.yaml --drop
      [dim]the next start reads the topics from their beginning[/dim]
    """
    settings = load_settings()
    connection = load_connection(mapping, DebeziumConnection)
    kafka = _kafka(settings)
    if drop:
        TransactionalPublisher(kafka, settings.partitions, connection.position_name).write((), None)
        console.print("The position is forgotten. The next start reads the topics from their beginning.")
        return
    source = DebeziumSource(kafka, servers or kafka, topics, connection)
    _run(source, connection, kafka, StopEvent(), once=once)


def _kafka(settings: Settings) -> str:
    return usable_kafka(settings, _gate(settings))


def _gate(settings: Settings) -> RoomGate:
    return RoomGate(settings, notes.print)


def _connection_string(connection: PostgresConnection, settings: Settings) -> str:
    """Read the connection string from its variable; it never stands in a file."""
    variable = connection.dsn_from
    if variable == DSN_VARIABLE:
        found = settings.postgres_url.get_secret_value() if settings.postgres_url else None
    else:
        found = os.environ.get(variable)
    if not found:
        raise SettingsError(f"{variable} is not set; it says where the database is: postgresql://user:password@host/db")
    return found


def _run(source: Source, connection: Connection, kafka: str, stop: StopEvent, *, once: bool) -> None:
    settings, name = load_settings(), connection.position_name
    rules, gate = _rules(connection, settings), _gate(settings)

    def rules_of_step() -> Rules:
        gate.require()  # without room the pump says so, and waits before it writes the step
        return rules()

    with ConnectorLine(connection.name, source) as line, stopped_by_signals(stop):
        pump = Pump(
            source, rules_of_step, kafka, settings.partitions, name, stop, line.progress, line.trouble, Seal(rules.keys)
        )
        figures = pump.run(once=once)
        told = source.told()
    notes.print(_summary(figures, told, once=once), highlight=False, soft_wrap=True)


def _summary(figures: Figures, told: str, *, once: bool) -> str:
    how = "Up to date" if once else "Stopped"
    left = f", the mapping leaves out {figures.left_out:,}" if figures.left_out else ""
    refused = f", [yellow]{figures.refused:,} refused (see dead_letters)[/]" if figures.refused else ""
    return f"{how}: {figures.events:,} events{refused}{left}. Position: [dim]{_position(figures.position, told)}[/]"


def _position(position: Position | None, told: str) -> str:
    """The part of a position that a person can use: that of the server's log, else what the source tells."""
    if position is None:
        return "none"
    log = f"{position['start']} in the server's log" if "start" in position else ""
    return escape(", ".join(filter(None, [log, told])) or "the beginning")


def _check(server: Server, connection: PostgresConnection, settings: Settings) -> None:
    """Print what was found; exit code 1 where something is missing."""
    well, rules = True, _rules(connection, settings)
    for found in check(server, connection, rules.door(), rules.ids):
        if isinstance(found, Sample):
            _show(found)
            continue
        well = well and found.well
        verdict = "[green]well[/]" if found.well else "[bold red]lacks[/]"
        console.print(f"{verdict}  {escape(found.text)}", soft_wrap=True)
    if not well:
        raise typer.Exit(1)


def _rules(connection: Connection, settings: Settings) -> ConnectionRules:
    """Give the rules of a connection, and say so if the file of sources has none for it."""
    rules = ConnectionRules(connection, settings)
    if notice := rules.notice:
        notes.print(escape(notice), highlight=False, soft_wrap=True)
    return rules


def _show(sample: Sample) -> None:
    for record in sample.records:
        if record.headers:
            reasons = {name: value.decode(errors="replace") for name, value in record.headers}
            told = f"refused: {reasons.get('crm-refused-field')} {reasons.get('crm-refused-problem')}"
        else:
            told = (record.value or b"").decode()
        console.print(f"       {told}", markup=False, highlight=False, soft_wrap=True)
    if not sample.records:
        console.print("       a row that is no event: the mapping leaves it out", highlight=False)


def _drop(server: Server, connection: PostgresConnection, kafka: str, partitions: int) -> None:
    publisher = TransactionalPublisher(kafka, partitions, connection.position_name)
    position = read_position(kafka, connection.position_name) or {}
    # the slot that was read may have had another name, and only the position tells it
    slots = sorted({connection.slot, str(position.get("slot", connection.slot))}) if _follows(connection) else []
    with explained():
        database = server.connect()
        dropped = [slot for slot in slots if drop_slot(database, slot)]
        database.close()
    publisher.write((), None)
    told = f"The slot {' and the slot '.join(dropped)} is dropped" if dropped else "There was no slot"
    console.print(f"{told}, and the position is forgotten. The next start begins anew.", soft_wrap=True)


def _follows(connection: PostgresConnection) -> bool:
    return connection.mode == "replication"
