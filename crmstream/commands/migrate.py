"""``crmstream migrate``: creates topics and tables. Idempotent."""

from connectors.kafka.topics import ensure_topics
from contracts.settings import load_settings
from contracts.topics import ALL_TOPICS
from crmstream.commands.shared import console, new_app
from crmstream.stack.endpoints import resolve_endpoints
from crmstream.tables import prepare_tables

app = new_app()


@app.command(name="migrate")
def run() -> None:
    """Create the Kafka topics and bring the ClickHouse database up to date.

    `crmstream up` does this by itself; run it by hand for outside servers, and
    when traits.yaml or CRM_ORDER_SOURCES has changed. Stop `up` first: a
    migration may copy tables, and rows that are written meanwhile are lost.
    Topics get CRM_PARTITIONS partitions, which cannot be changed later.

    [bold]Examples[/bold]

    crmstream migrate

    CRM_CLICKHOUSE_URL=http://default@ch.example:8123 crmstream migrate
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    ensure_topics(endpoints.kafka, settings.partitions)
    console.print(f"{len(ALL_TOPICS)} topics are there, those of events with {settings.partitions} partitions each.")
    database = settings.clickhouse_database
    applied = prepare_tables(settings, endpoints.clickhouse_url)
    for name in applied:
        console.print(f"Migration {name} applied to database {database}.")
    if not applied:
        console.print(f"Database {database} is up to date.")
    for leading, *others in settings.order_source_groups:
        console.print(f"Orders of {leading} lead those of {', '.join(others) or 'no other source'}.", markup=False)
