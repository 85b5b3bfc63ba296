"""The query of a look with `lookback`."""

import pytest
from psycopg2 import sql

from connectors.databases.connections import TableSpec
from connectors.postgres.catalog import TableFacts
from connectors.postgres.watermark import window_query
from connectors.postgres.windows import TableWindow


def written(part: sql.Composable) -> str:
    """The text of a statement, as far as it is one without a connection."""
    if isinstance(part, sql.Composed):
        return "".join(map(written, part.seq))
    return part.string if isinstance(part, sql.SQL) else "?"


@pytest.mark.parametrize(
    ("kind", "newest"),
    [
        ("timestamp with time zone", "least(%(newest)s::timestamp with time zone, now())"),
        ("timestamp without time zone", "least(%(newest)s::timestamp without time zone, (now() AT TIME ZONE"),
        ("date", "least(%(newest)s::date, (now() AT TIME ZONE"),
        ("bigint", "? >= %(newest)s::bigint - %(lookback)s::numeric"),
    ],
)
def test_a_watermark_of_the_future_hides_no_later_row(kind: str, newest: str) -> None:
    spec = TableSpec(schema_name="public", name="orders", key=("id",), watermark="up", lookback="1")
    facts = TableFacts(spec, {"id": "integer", "up": kind}, ("id",), (), 1)
    statement, values = window_query(facts, TableWindow(5, 9, newest="2099-01-01"), 10)
    assert newest in written(statement)
    assert values["newest"] == "2099-01-01"
