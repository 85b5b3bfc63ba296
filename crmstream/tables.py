"""Makes the tables and views of an installation ready."""

from contracts.settings import Settings
from crmstream.declared_traits import declared_traits
from sinks.clients import clickhouse_client
from sinks.migrations import ANSWER_SECONDS, migrate
from sinks.order_sources import declare_order_sources
from sinks.traits import check_names, declare_traits


def prepare_tables(settings: Settings, clickhouse_url: str) -> list[str]:
    """Migrate the database, give the view of customers a column per declared trait, and note which sources lead.

    Returns the migrations that were applied. Raises :class:`contracts.errors.CrmError` for a wrong file of traits, and
    if a trait has the name of another column, before it changes a table.
    """
    traits = declared_traits(settings)
    check_names(traits)
    client = clickhouse_client(clickhouse_url, settings.clickhouse_database, answer_seconds=ANSWER_SECONDS)
    try:
        applied = migrate(client, settings.clickhouse_database)
        declare_traits(client, traits)
        declare_order_sources(client, settings.order_source_groups)
        return applied
    finally:
        client.close()
