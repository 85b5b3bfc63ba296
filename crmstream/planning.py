"""The events that a tracking plan is held against: those of the last days, read from ClickHouse. Reads only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from connectors.plan.report import Sample
from contracts.errors import StoreRefusedError, StoreUnavailableError
from contracts.settings import Settings
from crmstream.stack.endpoints import resolve_endpoints
from sinks.clients import clickhouse_client, clickhouse_is_out
from sinks.queries import query


@dataclass(frozen=True)
class Refused:
    """Events that are refused: how many, for which reason, the newest one's arrival in Kafka if they have come."""

    source: str
    field: str
    problem: str
    count: int
    newest: datetime | None


@dataclass(frozen=True)
class History:
    """What came from some sources (none named: from all) since a moment."""

    client: Client
    sources: Sequence[str]
    since: datetime

    def samples(self) -> Iterator[Sample]:
        """Stream the events. Raises StoreRefusedError or StoreUnavailableError."""
        try:
            with self.client.query_rows_stream(query("recent_events"), self._parameters(), tz_mode="aware") as rows:
                for source, kind, name, properties, at in rows:
                    yield Sample(source, name, orjson.loads(properties or "{}"), at.astimezone(UTC), kind)
        except ClickHouseError as error:
            raise _problem(error) from None

    def refused(self) -> list[Refused]:
        """Read what plans have refused. Raises as :meth:`samples`."""
        try:
            rows = self.client.query(query("plan_refusals"), self._parameters(), tz_mode="aware").result_rows
        except ClickHouseError as error:
            raise _problem(error) from None
        return [Refused(*row) for row in rows]

    def _parameters(self) -> dict[str, Any]:
        return {"since": int(self.since.timestamp()), "sources": list(self.sources)}


def open_history(settings: Settings, sources: Sequence[str], since: datetime) -> History:
    """Connect to ClickHouse. Raises StackError where none runs."""
    client = clickhouse_client(resolve_endpoints(settings).clickhouse_url, settings.clickhouse_database)
    return History(client, sources, since)


def _problem(error: ClickHouseError) -> StoreRefusedError | StoreUnavailableError:
    if clickhouse_is_out(error):
        return StoreUnavailableError("ClickHouse does not answer. `crmstream status` shows which parts are up.")
    return StoreRefusedError("ClickHouse can't be read: is the database there? `crmstream migrate` makes it.")
