"""Rows that one insert brings twice, before any merge, change nothing that is read.

Inserts do not look for rows of equal keys (``optimize_on_insert`` is off), so a part may hold a row twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import pytest
from clickhouse_connect.driver.client import Client

from crmstream.observe.warehouse import read_counts
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from sinks.migrations import migrate
from sinks.queries import query

pytestmark = pytest.mark.stack
NOW: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
EVENT: Final = (
    "concat('e-', toString(number)) AS event_id, 'Order Completed' AS name, concat('c-', toString(number)) AS "
    "customer_id, at AS occurred_at, at AS received_at, 'shop' AS source, '{\"crm_notes\": [\"name: x\"]}' AS "
    "properties, 1 AS log_partition, number AS log_offset"
)
IDENTIFY: Final = EVENT.replace("'Order Completed'", "if(number = 2, 'Delete User', 'Identify')").replace(
    '{"crm', '{"traits": {"plan": "gold"}, "crm'
)
SCORES: Final = (
    "concat('anonymous:', toString(number)) AS customer_id, at AS as_of, number AS version, 'new' AS segment, "
    "map('churn', toFloat64(number) / 100) AS probability"
)
ROWS: Final = {
    "web_events": EVENT,
    "transactions": f"{EVENT}, 5 AS amount, 'GBP' AS currency, number % 2 AS amount_waits",
    "service_events": EVENT,
    "identity_events": IDENTIFY,
    "customers": "concat('c-', toString(number)) AS customer_id, number AS version, number AS events, 3 AS orders, "
    "if(number > 8, 'c-1', '') AS merged_into",
    "customer_daily": SCORES,
    "score_changes": SCORES,
    "model_quality": "at AS as_of, if(number % 2, 'churn', 'opportunity') AS outcome, 0.5 AS auc, 0.1 AS log_loss",
    "dead_letters": "'crm-web-events' AS topic, number AS log_partition, number AS log_offset, at AS entered_at, "
    "'plan' AS stage, 'name' AS field, 'is unknown' AS reason, toString(number) AS body",
    "identity_links": "concat('anonymous:', toString(number)) AS identity, 'c-1' AS person, 'linked' AS outcome, "
    "at AS occurred_at",
    "exchange_rates": "if(number % 2, 'GBP', 'USD') AS currency, toDate32('1970-01-01') AS valid_from, 2 AS rate",
    "log_clocks": "'crm-web-events' AS topic, 1 AS log_partition, number AS log_offset, at AS clock",
}  # fmt: skip
"""The columns of each table's rows, by a number."""
FILTER: Final = {"since": 0, "before": 2**32 - 1, "source": "", "stage": "", "topic": "", "reason": "", "sources": []}
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "any_amount_waits": {},
    "changed_traits": {
        "since": "2000-01-01 00:00:00.000", "until": "2200-01-01 00:00:00.000",
        "since_again": "2000-01-01 00:00:00.000", "until_again": "2000-01-01 00:00:00.000", "most": 50,
    },
    "claimants_of": {"ids": ["anonymous:1", "anonymous:2"]},
    "count_changed_traits": {"since": "2000-01-01 00:00:00.000"},
    "count_people_with_traits": {},
    "dead_letter_at": {"topic": "crm-web-events", "partition": 2, "offset": 2},
    "dead_letter_count": FILTER,
    "dead_letter_groups": {**FILTER, "shown": 50},
    "dead_letter_reasons": {"shown": 9},
    "dead_letters_after": {**FILTER, "after_topic": "", "after_partition": 0, "after_offset": -1, "shown": 50},
    "deletion_requests": {"source": "shop"},
    "profiles_seen": {},
    "events_of": {
        "customers": ["c-1", "c-2"], "visitors": [], "kinds": [], "most": 50, "before": "2299-01-01 00:00:00",
        "before_kind": "", "before_id": "",
    },
    "exchange_rates": {},
    "known_ids_of": {"people": ["c-1"]},
    "links_of": {"identities": ["anonymous:1", "anonymous:2"], "persons": ["c-1"]},
    "log_clocks": {"topic": "crm-web-events", "partition": 1},
    "dead_letter_extents": {"topic": "crm-web-events"},
    "log_clock_extents": {"topic": "crm-web-events"},
    "log_events": {"kind": "transaction", "partition": 1, "start": 0, "end": 99, "most": 50},
    "log_extents": {"kind": "transaction", "starts": [5, 5]},
    "note_counts": {"shown": 9},
    "owners_of": {"ids": ["c-8", "c-9"]},
    "people_with": {"text": "c-", "digits": "", "most": 50},
    "plan_refusals": FILTER,
    "profiles_of": {"ids": ["c-1", "c-2"]},
    "quality_at": {"until": 2**32 - 1},
    "recent_events": FILTER,
    "scores_at": {"first": "churn", "second": "x", "times": [int(NOW.timestamp())]},
    "status_counts": {},
    "traits_of": {"ids": ["c-1", "c-2"]},
    "top_visitors": {"outcome": "churn", "days": 30, "shown": 50},
    "unscored_at": {"time": int(NOW.timestamp())},
    "waiting_amounts": {},
}  # fmt: skip
"""The queries that read these tables, with parameters that find rows."""
NOT_HERE: Final = {
    "accounts", "applied_migrations", "leftover_copies", "facts_not_in_log_events", "stored_events", "stored_exactly",
    "traits_of_owners", "traits_of_part",
}  # fmt: skip
"""They read other tables, find nothing in these, are completed in code, or are read together: below."""


@pytest.fixture(scope="module")
def databases(stack: Endpoints) -> Iterator[tuple[Client, Client]]:
    """Two databases of the same rows: once each, and twice each in the same insert."""
    made = []
    for copies in (1, 2):
        name = f"crm_stored_{copies}_times"
        client = clickhouse_client(stack.clickhouse_url, name)
        migrate(client, name)
        for table in [*ROWS, "log_events"]:
            client.command(f"SYSTEM STOP MERGES {table}")
        for table, columns in ROWS.items():
            for first in (1, 6):  # two parts whose keys do not overlap
                client.command(_insert(table, columns, first, copies))
        made.append((client, name))
    yield made[0][0], made[1][0]
    for client, name in made:
        client.command(f"DROP DATABASE {name}", use_database=False)
        client.close()


def _insert(table: str, columns: str, first: int, copies: int) -> str:
    numbers = f"SELECT number + {first} AS number FROM numbers(4) ARRAY JOIN range({copies}) AS copy"
    at = f"toDateTime('{NOW:%Y-%m-%d %H:%M:%S}', 'UTC') AS at"
    names = ", ".join(part.rpartition(" AS ")[2] for part in _parts(columns))
    return (
        f"INSERT INTO {table} ({names}) SETTINGS optimize_on_insert = 0 "
        f"SELECT {names} FROM (WITH {at} SELECT {columns} FROM ({numbers}))"
    )


def _parts(columns: str) -> list[str]:
    """Split a list of columns at its outer commas."""
    parts, depth, quoted = [""], 0, False
    for character in columns:
        quoted ^= character == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def test_the_rows_are_there_twice(databases: tuple[Client, Client]) -> None:
    for table in [*ROWS, "log_events"]:
        once, twice = (int(each.command(f"SELECT count() FROM {table}")) for each in databases)
        assert twice == 2 * once > 0, table


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_query_counts_them_once(databases: tuple[Client, Client], name: str) -> None:
    once, twice = (each.query(query(name), parameters=PARAMETERS[name]).result_rows for each in databases)
    assert sorted(map(repr, twice)) == sorted(map(repr, once))
    assert once, "it finds rows"


@pytest.mark.parametrize("view", ["newest_scores", "daily_reasons"])
def test_a_view_has_them_once(databases: tuple[Client, Client], view: str) -> None:
    once, twice = (each.query(f"SELECT * FROM {view} ORDER BY customer_id").result_rows for each in databases)
    assert twice == once


def test_status_counts_them_once(databases: tuple[Client, Client]) -> None:
    once, twice = map(read_counts, databases)
    assert twice == once
    assert once.stored["web_events"] == 8


def test_all_queries_that_read_are_here() -> None:
    folder = files("sinks") / "sql" / "queries"
    names = {file.name.removesuffix(".sql") for file in folder.iterdir()}
    assert {name for name in names if _reads(name)} == PARAMETERS.keys() | NOT_HERE


def _reads(name: str) -> bool:
    code = [line for line in query(name).splitlines() if not line.startswith("--")]
    return code[0].startswith("SELECT")
