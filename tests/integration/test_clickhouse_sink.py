"""Migrations and the ClickHouse writer on the real engine, over HTTP."""

import math
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database
from support.rows import fill
from support.scored import DAY, random_scored

import sinks.migrations
from contracts.blocks import Departures, ProfileBlock
from contracts.errors import StoreRefusedError
from contracts.outputs import DeadLetter, TableRows
from contracts.stored import FACT_TABLES, TABLES
from crmstream.stack.endpoints import Endpoints
from sinks.clickhouse import ClickHouseWriter
from sinks.clients import clickhouse_client
from sinks.dead_letters import dead_letters_table
from sinks.exchange_rates import convert_amounts
from sinks.migrations import migrate
from sinks.queries import migrations, statements
from sinks.quick_inserts import QuickInserts
from streams.profiles.features import FEATURES
from streams.profiles.rows import NEVER, NOT_YET, UNITS, blank_rows
from streams.publish import few_columns
from streams.publish.reasons import signed_features
from streams.publish.tables import table_blocks

pytestmark = pytest.mark.stack
DATABASE = "crm_sink_tests"
WHEN = datetime(2026, 3, 1, 12, 30, 0, 123_456, UTC)


@pytest.fixture(scope="module")
def client(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, DATABASE) as made:
        yield made


@pytest.fixture
def writer(stack: Endpoints, client: Client) -> Iterator[ClickHouseWriter]:
    made = ClickHouseWriter.to(stack.clickhouse_url, DATABASE)
    yield made
    made.close()


@pytest.fixture
def empty(stack: Endpoints) -> Iterator[Client]:
    """A client whose database does not exist."""
    made = clickhouse_client(stack.clickhouse_url, "crm_migration_tests")
    yield made
    made.command("DROP DATABASE IF EXISTS crm_migration_tests", use_database=False)
    made.close()


def fact(event_id: str, offset: int, **changes: Any) -> dict[str, Any]:
    common = {
        "event_id": event_id, "name": "Order Completed", "customer_id": "c-1", "anonymous_id": "",
        "occurred_at": WHEN, "received_at": WHEN, "source": "shop", "properties": '{"total": 12.5}',
        "schema_version": 1, "is_late": 0, "log_partition": 2, "log_offset": offset,
    }  # fmt: skip
    return {**common, **changes}


def table(rows: list[dict[str, Any]], **types: pa.DataType) -> pa.Table:
    """Rows as Arrow, with microseconds, and labels as dictionaries, as the dataflow makes them."""
    known = {
        "occurred_at": pa.timestamp("us", tz="UTC"),
        "received_at": pa.timestamp("us", tz="UTC"),
        **types,
    }
    columns = {name: pa.array([row[name] for row in rows], known.get(name)) for name in rows[0]}
    columns["name"] = columns["name"].dictionary_encode() if "name" in columns else None
    return pa.table({name: values for name, values in columns.items() if values is not None})


VIEWS = {
    "visitor_owners", "order_events", "orders", "revenue", "order_items", "sessions", "tickets", "customer_traits",
    "memberships", "accounts", "preferences", "deals", "order_sources", "counted_order_facts", "order_channels",
    "feedback", "service_levels",
}  # fmt: skip
FILLING = {f"log_events_of_{name}" for name in FACT_TABLES.values()} | {
    "order_facts_of_transactions", "trait_facts_of_identity_events", "account_members_of_identity_events",
    "account_facts_of_identity_events", "trait_changes_of_identity_events", "trait_changes_of_customers",
    "known_ids_of_identity_links",
}  # fmt: skip
OTHERS = {"schema_migrations", "newest_scores", "daily_reasons", *FILLING, *VIEWS}
"""The views, and the table of migrations."""


def test_migrating_makes_every_table_once(empty: Client) -> None:
    assert migrate(empty, "crm_migration_tests") == list(migrations())
    assert migrate(empty, "crm_migration_tests") == []
    found = {str(row[0]) for row in empty.query("SHOW TABLES").result_rows}
    assert found == {*TABLES, *OTHERS}


def test_two_migrations_at_once_do_no_harm(stack: Endpoints, empty: Client) -> None:
    def run() -> None:
        one = clickhouse_client(stack.clickhouse_url, "crm_migration_tests")
        migrate(one, "crm_migration_tests")
        one.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert migrate(empty, "crm_migration_tests") == []
    noted = [row[0] for row in empty.query("SELECT name FROM schema_migrations FINAL ORDER BY name").result_rows]
    assert noted == list(migrations())


def test_a_migration_that_died_half_way_is_finished(empty: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**migrations(), "003_scores": migrations()["003_scores"].replace("CREATE VIEW", "CREATE VEIW")}
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: broken)
    with pytest.raises(Exception, match="Syntax error"):
        migrate(empty, "crm_migration_tests")
    monkeypatch.undo()
    assert migrate(empty, "crm_migration_tests") == [name for name in migrations() if name >= "003"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ours: {**ours, "001_facts": ours["001_facts"] + "-- changed\n"},
            "001_facts .* with another text",
        ),
        (
            lambda ours: {name: ours[name] for name in list(ours)[:-1]},
            f"{list(migrations())[-1]} .* unknown to this version",
        ),
    ],
)
def test_another_history_of_migrations_is_refused(
    empty: Client, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    migrate(empty, "crm_migration_tests")
    changed = change(migrations())
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: changed)
    with pytest.raises(StoreRefusedError, match=message):
        migrate(empty, "crm_migration_tests")


OLD = {
    "web_events": [fact("e1", 5, customer_id="", anonymous_id="v"), fact("e2", 6), fact("e2", 9)],
    "transactions": [fact("t1", 5)],
    "identity_events": [fact("i1", 5)],
}


def test_tables_made_anew_keep_their_rows_wherever_a_run_dies(empty: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = migrations()
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: {n: s for n, s in ours.items() if n < "010"})
    migrate(empty, "crm_migration_tests")
    for name, rows in OLD.items():
        empty.insert_arrow(name, table(rows))
    empty.insert_arrow("dead_letters", dead_letters_table([letter(4), letter(2), letter(3, b"other")]))
    empty.command(
        "INSERT INTO identity_links VALUES ('anonymous:a', 'c-1', 'linked', '2026-01-01 10:00:00', '2026-01-02')"
    )
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: ours)
    deaths = 0
    for name in ("010_fact_owners", "011_identity_links"):
        for at in range(1, len(statements(ours[name]))):
            kill_after(empty, monkeypatch, at, name)
            deaths += 1
    assert deaths > 20
    assert migrate(empty, "crm_migration_tests") == [name for name in ours if name >= "011"]
    found = {name: empty.query(f"SELECT event_id, visitor, log_offset FROM {name} FINAL ORDER BY 1").result_rows
             for name in FACT_TABLES.values()}  # fmt: skip
    assert found == {
        "web_events": [("e1", "v", 5), ("e2", "", 9)],  # an older table has kept only the last of a record
        "transactions": [("t1", "", 5)], "service_events": [], "identity_events": [("i1", "", 5)],
    }  # fmt: skip
    assert empty.query("SELECT log_offset FROM dead_letters FINAL ORDER BY 1").result_rows == [(2,), (3,)]
    assert empty.query("SELECT identity, person, outcome FROM identity_links FINAL").result_rows == [
        ("anonymous:a", "c-1", "linked")
    ]
    assert empty.query("SELECT order_id, name FROM order_facts FINAL").result_rows == [("t1 c-1", "Order Completed")]
    left = {str(row[0]) for row in empty.query("SHOW TABLES").result_rows}
    assert {re.sub(r"_new_[0-9a-f]{8}$", "", name) for name in left} == {
        *TABLES,
        *OTHERS,
    }
    assert empty.query("SELECT kind, log_offset FROM log_events FINAL ORDER BY ALL").result_rows == [
        ("identity", 5), ("transaction", 5), ("web", 5), ("web", 9),
    ]  # fmt: skip


def test_orders_of_an_older_version_get_what_their_records_say(empty: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channel, payment method and other number, of the newest record that says them; new records fill them too."""
    ours = migrations()
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: {n: s for n, s in ours.items() if n < "017"})
    migrate(empty, "crm_migration_tests")
    columns = ["event_id", "name", "customer_id", "order_id", "occurred_at", "received_at", "properties", "log_offset"]

    def order(event: str, number: str, properties: str, offset: int) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        empty.insert(
            "transactions", [[event, "Order Completed", "c", number, at, at, properties, offset]], column_names=columns
        )

    order("e1", "o1", '{"channel": "app", "order_name": "#1"}', 1)
    order("e2", "o1", '{"payment_method": "card"}', 2)
    monkeypatch.setattr(sinks.migrations, "migrations", lambda: ours)
    migrate(empty, "crm_migration_tests")
    order("e3", "o2", '{"channel": "web", "order_number": 7}', 3)
    found = empty.query(
        "SELECT order_id, identity(newest_channel).value, identity(newest_payment).value, "
        "identity(newest_number).value FROM order_facts FINAL ORDER BY order_id"
    )
    assert found.result_rows == [("o1", "app", "card", "#1"), ("o2", "web", "", "7")]
    assert empty.query("SELECT order_id, channel, payment_method FROM orders ORDER BY 1").result_rows == [
        ("o1", "app", "card"), ("o2", "web", ""),
    ]  # fmt: skip


def kill_after(client: Client, monkeypatch: pytest.MonkeyPatch, at: int, name: str) -> None:
    """Run the migration, and die after so many of its statements."""
    whole = sinks.migrations.migrations
    parts = whole()[name].split(";\n")
    broken = {**whole(), name: ";\n".join([*parts[:at], "DIE"])}
    with monkeypatch.context() as patch:
        patch.setattr(sinks.migrations, "migrations", lambda: broken)
        with pytest.raises(Exception, match="DIE"):
            migrate(client, "crm_migration_tests")


def test_a_database_name_is_an_identifier(stack: Endpoints) -> None:
    name = "odd`name"
    client = clickhouse_client(stack.clickhouse_url, name)
    migrate(client, name)
    assert name in [row[0] for row in client.query("SHOW DATABASES").result_rows]
    client.command("DROP DATABASE `odd``name`", use_database=False)
    client.close()


@pytest.mark.parametrize("name", FACT_TABLES.values())
def test_an_event_written_twice_is_one_row(name: str, writer: ClickHouseWriter, client: Client) -> None:
    twice = [fact("e1", 5), fact("e2", 6), fact("e1", 5)]
    for rows in (twice, twice[:1]):
        writer.write([TableRows(name, table(rows))])
        writer.flush()
    found = client.query(f"SELECT event_id, occurred_at, log_offset FROM {name} FINAL ORDER BY event_id").result_rows
    assert found == [("e1", WHEN.replace(tzinfo=None), 5), ("e2", WHEN.replace(tzinfo=None), 6)]


def test_the_first_record_in_the_log_wins_whatever_comes_last(client: Client, writer: ClickHouseWriter) -> None:
    for offset in (40, 7, 41):
        writer.write([TableRows("web_events", table([fact("again", offset, is_late=int(offset > 7))]))])
        writer.flush()
    writer.write([TableRows("web_events", table([fact("again", 7, log_partition=3), fact("again", 7)]))])
    writer.flush()
    found = client.query("SELECT log_partition, log_offset, is_late FROM web_events FINAL WHERE event_id = 'again'")
    assert found.result_rows == [(2, 7, 0)]


def test_visitors_have_events_of_their_own(client: Client, writer: ClickHouseWriter) -> None:
    people = [("", "one"), ("", "two"), ("c-9", "one"), ("c-9", "two"), ("one", "")]
    rows = [fact("same", at, customer_id=customer, anonymous_id=device) for at, (customer, device) in enumerate(people)]
    for _ in range(2):
        writer.write([TableRows("web_events", table(rows))])
        writer.flush()
    found = client.query(
        "SELECT customer_id, visitor, log_offset FROM web_events FINAL WHERE event_id = 'same' ORDER BY ALL"
    )
    assert found.result_rows == [("", "one", 0), ("", "two", 1), ("c-9", "", 2), ("one", "", 4)]


def test_converted_money_wins_over_the_record_that_waits(client: Client, writer: ClickHouseWriter) -> None:
    money = {"amount": pa.decimal128(18, 4), "amount_base": pa.decimal128(18, 4), "amount_waits": pa.uint8()}
    ten, none = Decimal("10.0000"), Decimal(0)

    def order(offset: int, waits: int, base: Decimal = none) -> TableRows:
        row = fact("yen", offset, currency="JPY", amount=ten, amount_base=base, amount_waits=waits)
        return TableRows("transactions", table([row], **money))

    writer.write([order(5, 1), order(9, 1)])
    writer.flush()
    client.command("INSERT INTO exchange_rates VALUES ('JPY', '1970-01-01', 0.5, 'EUR')")
    convert_amounts(client)
    writer.write([order(5, 1)])  # a replay of the log
    writer.flush()
    found = client.query("SELECT log_offset, amount_base, amount_waits FROM transactions FINAL WHERE event_id = 'yen'")
    assert found.result_rows == [(5, Decimal("5.0000"), 0)]


def test_money_is_exact_and_absent_columns_have_their_default(writer: ClickHouseWriter, client: Client) -> None:
    amounts = [Decimal("0.1000"), Decimal("0.2000"), Decimal("99999999999999.9999")]
    rows = [fact(f"m{i}", i, customer_id="money", amount=amount) for i, amount in enumerate(amounts)]
    writer.write([TableRows("transactions", table(rows, amount=pa.decimal128(18, 4)))])
    writer.flush()
    found = client.query(
        "SELECT sum(amount), any(currency), max(items) FROM transactions FINAL WHERE customer_id = 'money'"
    )
    assert found.result_rows == [(Decimal("100000000000000.2999"), "", 0)]


def test_the_newest_profile_wins_whatever_comes_last(writer: ClickHouseWriter, client: Client) -> None:
    for version in (1, 3, 2):
        row = {
            "customer_id": "c-1",
            "version": version,
            "orders": version * 10,
            "last_order": WHEN if version == 3 else None,
        }
        writer.write([TableRows("customers", table([row], last_order=pa.timestamp("us", tz="UTC")))])
        writer.flush()
    found = client.query("SELECT version, orders, last_order FROM customers FINAL").result_rows
    assert found == [(3, 30, WHEN.replace(tzinfo=None))]


def scores(probabilities: dict[str, float]) -> pa.Array:
    return pa.array([probabilities], pa.map_(pa.string(), pa.float64()))


def test_newest_scores_come_from_sweeps_and_from_events(writer: ClickHouseWriter, client: Client) -> None:
    def sweep(customer: str, version: int, churn: float) -> TableRows:
        row = {
            "customer_id": [customer],
            "version": [version],
            "as_of": pa.array([WHEN], pa.timestamp("s", tz="UTC")),
        }
        return TableRows(
            "customer_daily", pa.table({**row, "probability": scores({"churn": churn}), "log_orders": [1.5]})
        )

    def change(customer: str, version: int, churn: float) -> TableRows:
        row = {
            "customer_id": [customer],
            "version": [version],
            "as_of": pa.array([WHEN], pa.timestamp("us", tz="UTC")),
        }
        return TableRows("score_changes", pa.table({**row, "probability": scores({"churn": churn})}))

    writer.write([sweep("c-1", 1, 0.1), change("c-1", 2, 0.2), change("c-2", 1, 0.3), sweep("c-2", 2, 0.4)])
    writer.write([sweep("c-2", 2, 0.4)])
    writer.flush()
    found = client.query("SELECT customer_id, version, probability['churn'] FROM newest_scores ORDER BY customer_id")
    assert found.result_rows == [("c-1", 2, 0.2), ("c-2", 2, 0.4)]
    assert client.query("SELECT count() FROM customer_daily FINAL").result_rows == [(2,)]


def test_visitors_are_not_in_newest_scores(writer: ClickHouseWriter, client: Client) -> None:
    ids = ["anonymous:v", "email:0123", "c-visitors"]
    writer.write([*table_blocks(random_scored(5, ids), DAY, "EUR")])
    writer.flush()
    found = client.query("SELECT customer_id FROM newest_scores WHERE customer_id IN {ids:Array(String)}",
                         parameters={"ids": ids}).result_rows  # fmt: skip
    assert found == [("c-visitors",)]


def test_profiles_are_readable(writer: ClickHouseWriter, client: Client) -> None:
    rows = blank_rows(2)
    fill(rows, first_seen=[0, DAY], last_seen=[0, DAY], first_order=[0, NOT_YET], last_order=[10 * DAY, NEVER], slot=10,
         orders=[3, 0], revenue=[1_234_500, 0], revenue_90d=[617, 0], orders_30d=[5 * UNITS["orders_30d"] // 2, 0],
         satisfaction_sum=[90, 0], satisfaction_count=[2, 0])  # fmt: skip
    block = ProfileBlock(0, np.array(["p-1", "p-2"], object), np.array([7, 8]), rows)
    older = ProfileBlock(0, block.ids, np.array([6, 9]), blank_rows(2))
    fill(older.rows, first_seen=0, last_seen=0, slot=9)
    writer.write([*table_blocks(block, DAY, "EUR"), *table_blocks(older, DAY, "EUR")])
    writer.flush()
    found = client.query(
        "SELECT version, orders, revenue, currency, revenue_90d, orders_30d, satisfaction, mean_gap_days, last_order,"
        " decayed_at FROM customers FINAL WHERE startsWith(customer_id, 'p-') ORDER BY customer_id"
    ).result_rows
    assert found[0] == (
        10 << 32, 3, Decimal("123.45"), "EUR", 61.7, 2.5, 4.5, 5.0, datetime(1970, 1, 11), datetime(1970, 1, 12)  # noqa: DTZ001
    )  # fmt: skip
    assert found[1][0] == 10 << 32
    assert (found[1][6], found[1][7], found[1][8]) == (None, None, None)


def test_a_sweep_and_its_reasons_can_be_read_in_words(writer: ClickHouseWriter, client: Client) -> None:
    block = random_scored(3, ["r-1", "r-2", "r-3"], kind="sweep", rows=None)
    writer.write([*table_blocks(block, DAY, None), *table_blocks(block, DAY, None)])
    writer.flush()
    numbers, words = (
        client.query(f"SELECT reasons FROM {table} WHERE customer_id LIKE 'r-%' ORDER BY customer_id").result_rows
        for table in ("customer_daily FINAL", "daily_reasons")
    )
    assert [set(row[0]) for row in numbers] == [
        {"churn", "opportunity"} if buyer else {"opportunity"} for buyer in block.people.buyers.tolist()
    ]
    signed = signed_features(block.scores["opportunity"].reasons).tolist()
    assert [row[0]["opportunity"] for row in numbers] == signed
    assert [row[0]["opportunity"] for row in words] == [
        [f"{'+' if number > 0 else '-'} {FEATURES[abs(number) - 1]}" for number in row] for row in signed
    ]


def test_departures_and_changes_are_rows(writer: ClickHouseWriter, client: Client) -> None:
    ids = np.array(["anonymous:m", "anonymous:f"], object)
    left = Departures(0, ids[:1], np.array(["c-9"], object), np.full(1, 20_001 << 32), False)
    writer.write([*table_blocks(random_scored(4, ids.tolist()), DAY, "EUR"), *table_blocks(left, DAY, "EUR")])
    writer.flush()
    found = client.query("SELECT merged_into, events > 0 FROM customers FINAL WHERE customer_id IN {ids:Array(String)}"
                         " ORDER BY merged_into DESC", parameters={"ids": ids.tolist()}).result_rows  # fmt: skip
    assert found == [("c-9", 0), ("", 1)]
    changes = client.query("SELECT count(), min(length(reasons)) FROM score_changes FINAL"
                           " WHERE customer_id IN {ids:Array(String)}", parameters={"ids": ids.tolist()})  # fmt: skip
    assert changes.result_rows[0][0] == 2


def test_unknown_measures_are_nan(writer: ClickHouseWriter, client: Client) -> None:
    row = {"as_of": pa.array([WHEN], pa.timestamp("s", tz="UTC")), "outcome": ["churn"], "auc": [math.nan]}
    weights = pa.array([{"log_orders": -0.5}], pa.map_(pa.string(), pa.float64()))
    writer.write([TableRows("model_quality", pa.table({**row, "weights": weights}))])
    writer.flush()
    auc, kept = client.query("SELECT auc, weights FROM model_quality FINAL").result_rows[0]
    assert math.isnan(auc)
    assert kept == {"log_orders": -0.5}


def letter(offset: int, body: bytes = b"{", problem: str = "is wrong", source: str = "") -> DeadLetter:
    return DeadLetter("crm-web-events", 1, offset, 1_700_000_000_000 + offset, b"k", body, "decode", "body", problem,
                      source=source)  # fmt: skip


def test_the_same_invalid_record_is_one_dead_letter(client: Client, writer: ClickHouseWriter) -> None:
    client.command("TRUNCATE TABLE dead_letters")
    for letters in ([letter(9), letter(4)], [letter(12)], [letter(5, b"["), letter(6, problem="is late")],
                    [letter(7, source="shop")]):  # fmt: skip
        writer.write([TableRows("dead_letters", dead_letters_table(letters))])
        writer.flush()
    found = client.query("SELECT log_offset FROM dead_letters FINAL ORDER BY 1").result_rows
    assert found == [(4,), (5,), (6,), (7,)]
    client.command("TRUNCATE TABLE dead_letters")


def test_dead_letters_keep_every_byte(writer: ClickHouseWriter, client: Client) -> None:
    letters = [
        DeadLetter("crm-web-events", 0, offset, 1_700_000_000_000, key, body, "decode", "body", "is wrong")
        for offset, key, body in [
            (1, b"\xff\x00", bytes(range(256))),
            (2, None, None),
            (3, b"k", "東京".encode()),
        ]
    ]
    for _ in range(2):
        writer.write([TableRows("dead_letters", dead_letters_table(letters))])
        writer.flush()
    found = client.query("SELECT log_offset, hex(key), hex(body), reason FROM dead_letters FINAL ORDER BY log_offset")
    assert found.result_rows == [
        (1, "FF00", bytes(range(256)).hex().upper(), "body: is wrong"),
        (2, "", "", "body: is wrong"),
        (3, "6B", "東京".encode().hex().upper(), "body: is wrong"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TableRows("customers", pa.table({"nobody": [1]})), "table customers: .*No such column nobody"),
        (TableRows("no_such_table", pa.table({"x": [1]})), "table no_such_table"),
        (
            TableRows("customers", pa.table({"customer_id": ["c-1"], "orders": ["c-1"]})),
            "table customers: ",
        ),
    ],
)
def test_rows_of_a_wrong_shape_are_a_clear_error(rows: TableRows, message: str, writer: ClickHouseWriter) -> None:
    writer.write([rows])
    with pytest.raises(StoreRefusedError, match=message) as caught:
        writer.flush()
    assert "c-1" not in str(caught.value)


class _NoClient:
    """Stands in for the driver's client: nothing may be left to it."""

    def insert_arrow(self, table: str, rows: pa.Table, *, settings: dict[str, Any]) -> None:
        raise AssertionError(f"{rows.num_rows} rows of {table} were not stored over the plain connection")


def test_few_rows_are_stored_over_the_plain_connection_as_many_are(stack: Endpoints, client: Client) -> None:
    quick = QuickInserts(_NoClient, str(stack.clickhouse_url), DATABASE)  # type: ignore[arg-type]
    few = random_scored(7, ["few-1", "few-2"])
    for block in table_blocks(few, DAY, "EUR"):
        quick.insert_arrow(block.table, block.render([]), settings={"async_insert": 0})
        stored = client.query_arrow(
            f"SELECT * FROM {block.table} FINAL WHERE customer_id LIKE 'few-%' ORDER BY customer_id", use_strings=True
        )
        with patch.object(few_columns, "FEW", 0):
            again = block.render([])
        client.command(f"DELETE FROM {block.table} WHERE customer_id LIKE 'few-%'")
        client.insert_arrow(block.table, again)
        expected = client.query_arrow(
            f"SELECT * FROM {block.table} FINAL WHERE customer_id LIKE 'few-%' ORDER BY customer_id", use_strings=True
        )
        assert stored.num_rows == 2
        assert repr(stored.to_pylist()) == repr(expected.to_pylist())
        client.command(f"DELETE FROM {block.table} WHERE customer_id LIKE 'few-%'")
    quick.close()
