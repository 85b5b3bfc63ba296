"""``crmstream sql`` and ``crmstream dead-letters`` against the real servers."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, TopicPartition
from support.installation import Crm, client_of_crm, migrated_crm

from contracts.events import TICK_KEY
from contracts.outputs import DeadLetter
from contracts.refused import REFUSED_KEY
from contracts.topics import INPUT_TOPICS
from crmstream.stack.endpoints import Endpoints
from sinks.dead_letters import dead_letters_table

pytestmark = pytest.mark.stack
TOPIC = "crm-transactions"
SECRET = "very-private-value"


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` on the shared servers, with a database of its own, in a terminal of 80 columns."""
    return migrated_crm(stack, monkeypatch, tmp_path, "warehouse")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    with client_of_crm(stack) as connected:
        yield connected


# crmstream sql


def test_one_query_prints_its_rows_and_the_time(crm: Crm) -> None:
    answer = crm("sql", "SELECT number AS n, 'a' AS t FROM numbers(2)")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines() == ["n  t", "─  ─", "0  a", "1  a"]
    assert "2 rows in" in answer.stderr


@pytest.mark.parametrize("how", ["argument", "file", "stdin"])
def test_statements_come_from_an_argument_a_file_or_standard_input(crm: Crm, tmp_path: Path, how: str) -> None:
    text = "SELECT 'a;b' AS one; -- first; a comment\nSELECT 2 AS two"
    file = tmp_path / "report.sql"
    file.write_text(text)
    given: dict[str, tuple[Any, ...]] = {"argument": (text,), "file": ("-f", file), "stdin": ()}
    answer = crm("sql", *given[how], "--format", "csv", input=text if how == "stdin" else None)
    assert (answer.exit_code, answer.stdout) == (0, "one\na;b\ntwo\n2\n"), answer.output


def test_formats_for_programs(crm: Crm) -> None:
    query = "SELECT 1 AS a, NULL AS b, toDateTime64('2026-05-01 10:00:00.5', 3, 'UTC') AS c, map('x', 2) AS d"
    (record,) = json.loads(crm("sql", query, "--format", "json").stdout)
    assert record == {"a": 1, "b": None, "c": "2026-05-01T10:00:00.500000Z", "d": {"x": 2}}
    (row,) = csv.DictReader(io.StringIO(crm("sql", query, "--format", "csv").stdout))
    assert row == {"a": "1", "b": "", "c": "2026-05-01 10:00:00.5", "d": '{"x":2}'}
    assert crm("sql", "SELECT 1 AS a FORMAT JSONEachRow").stdout == '{"a":1}\n'


def test_an_answer_that_is_wider_than_the_terminal_is_written_vertically(crm: Crm, client: Client) -> None:
    client.command("INSERT INTO customers (customer_id, version, orders) VALUES ('c-1', 1, 7)")
    answer = crm("sql", "SELECT * FROM customers FINAL")
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert ["orders", "7"] in [line.split() for line in answer.stdout.splitlines()]


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE customers", "INSERT INTO customers (customer_id) VALUES ('x')", "ALTER TABLE customers DELETE WHERE 1",
     "TRUNCATE TABLE customers", "SELECT 1 SETTINGS readonly = 0", "CREATE TABLE t (a Int8) ENGINE = Memory"],
)  # fmt: skip
def test_nothing_is_changed_without_write(crm: Crm, client: Client, statement: str) -> None:
    refused = crm("sql", statement)
    assert (refused.exit_code, "--write" in refused.stderr) == (1, True), refused.output
    tables = {row[0] for row in client.query("SHOW TABLES").result_rows}
    assert ("customers" in tables, "t" in tables) == (True, False)


def test_write_allows_changes(crm: Crm, client: Client) -> None:
    answer = crm("sql", "--write", "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a; INSERT INTO t VALUES (7)")
    assert answer.exit_code == 0, answer.output
    assert client.query("SELECT a FROM t").result_rows == [(7,)]


def test_rows_are_limited_with_a_notice(crm: Crm) -> None:
    answer = crm("sql", "SELECT number FROM numbers(50)", "--limit", 3, "--format", "csv")
    assert answer.stdout == "number\n0\n1\n2\n"
    assert "Only the first 3 rows" in answer.stderr
    whole = crm("sql", "SELECT number FROM numbers(5000)", "--limit", 0, "--format", "csv")
    assert len(whole.stdout.splitlines()) == 5_001
    assert "Only" not in whole.stderr


@pytest.mark.parametrize(
    ("statement", "told"),
    [("SELECT * FROM carts", "SHOW TABLES"), ("SELECT nix FROM customers", "DESCRIBE TABLE"), ("SELECT (", "Syntax")],
)
def test_errors_are_in_plain_words(crm: Crm, statement: str, told: str) -> None:
    answer = crm("sql", statement)
    assert (answer.exit_code, told in answer.stderr) == (1, True), answer.output
    assert not {"DB::Exception", "HTTP", "FORMAT Native", "version"} & {*answer.stderr.split()}


# crmstream dead-letters


def order(number: int, **changes: Any) -> bytes:
    event = {
        "event_id": f"e-{number}", "kind": "transaction", "name": "Order Completed", "customer_id": f"c-{number}",
        "occurred_at": "2024-03-01T12:00:00Z", "received_at": "2024-03-01T12:00:00Z", "source": "shop",
        "properties": {"total": 5, "currency": "EUR"}, "schema_version": 1,
    }  # fmt: skip
    return json.dumps(event | changes).encode()


def letter(
    offset: int, body: bytes, field: str = "properties.currency", hours_ago: float = 1, **more: Any
) -> DeadLetter:
    at = int((datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp() * 1_000)
    return DeadLetter(**{
        "topic": TOPIC, "partition": 3, "offset": offset, "timestamp_ms": at, "key": b"c-1", "body": body,
        "stage": "decode", "field": field, "problem": "has no exchange rate", **more,
    })  # fmt: skip


@pytest.fixture
def letters(client: Client) -> list[DeadLetter]:
    """Three orders that are fine by now, one that is not, one refused at a door, a tick, an empty one; one is old."""
    given = [
        letter(1, order(1)),
        letter(2, order(2)),
        letter(3, order(3), hours_ago=100),
        letter(4, order(4, properties={"note": SECRET}), "properties.total", problem="is missing"),
        letter(5, b'{"type":"track"}', "name", key=REFUSED_KEY, stage="collect", source="shop", problem="is empty"),
        letter(6, b"no tick", "body", key=TICK_KEY, problem="is no tick"),
        letter(7, b"", "body", problem="is empty"),
    ]
    for _ in range(2):  # written twice after a crash, each is one
        client.insert_arrow("dead_letters", dead_letters_table(given))
    return given


def left(client: Client) -> list[int]:
    return [row[0] for row in client.query("SELECT log_offset FROM dead_letters FINAL ORDER BY 1").result_rows]


@pytest.mark.usefixtures("letters")
def test_list_groups_by_day_and_cause(crm: Crm) -> None:
    answer = crm("dead-letters", "list")
    assert answer.exit_code == 0, answer.output
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert "7 dead letters in all" in answer.stdout
    assert SECRET not in answer.stdout
    document = json.loads(crm("dead-letters", "list", "--json", "--since", "24h").stdout)
    assert document["count"] == 6
    (first, *_) = document["groups"]
    assert (first["count"], first["reason"]) == (2, "properties.currency: has no exchange rate")
    assert first["newest"] in {f"{TOPIC}/3/1", f"{TOPIC}/3/2"}


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("given", "count"),
    [(("--reason", "EXCHANGE rate"), 3), (("--source", "shop"), 1), (("--stage", "decode"), 6),
     (("--topic", "crm-web-events"), 0), (("--since", "3d"), 6), (("--since", "2099-01-01"), 0)],
)  # fmt: skip
def test_filters(crm: Crm, given: tuple[str, ...], count: int) -> None:
    assert json.loads(crm("dead-letters", "list", "--json", *given).stdout)["count"] == count


@pytest.mark.usefixtures("letters")
def test_show_prints_one_with_its_bytes(crm: Crm) -> None:
    shown = crm("dead-letters", "show", f"{TOPIC}/3/4")
    assert shown.exit_code == 0, shown.output
    assert SECRET in shown.stdout
    assert "properties.total: is missing" in shown.stdout
    assert "send it again from its source" in crm("dead-letters", "show", f"{TOPIC}/3/5").stdout
    for wrong in (f"{TOPIC}/3/99", f"{TOPIC}/3", "nonsense", f"{TOPIC}/x/1"):
        answer = crm("dead-letters", "show", wrong)
        assert (answer.exit_code, "Error:" in answer.stderr) == (1, True), answer.output


def published(stack: Endpoints, before: dict[int, int]) -> list[tuple[bytes | None, bytes | None]]:
    """Key and body of the transactions published since, by partition."""
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": uuid4().hex, "enable.partition.eof": False})
    found: list[tuple[bytes | None, bytes | None]] = []
    for partition, end in ends(stack).items():
        consumer.assign([TopicPartition(TOPIC, partition, before[partition])])
        if end > before[partition]:
            found += [(message.key(), message.value()) for message in consumer.consume(end - before[partition], 10)]
    consumer.close()
    return sorted(found, key=str)


def ends(stack: Endpoints) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": "test-warehouse"})
    found = {at: consumer.get_watermark_offsets(TopicPartition(TOPIC, at), timeout=10)[1] for at in range(4)}
    consumer.close()
    return found


@pytest.mark.usefixtures("letters")
def test_retry_publishes_what_is_an_event_by_now_and_removes_it(crm: Crm, stack: Endpoints, client: Client) -> None:
    before = ends(stack)
    dry = crm("dead-letters", "retry", "--all", "--dry-run")
    assert "3 records would be published again" in dry.stdout, dry.output
    assert (ends(stack), left(client)) == (before, [1, 2, 3, 4, 5, 6, 7])
    answer = crm("dead-letters", "retry", "--all")
    assert answer.exit_code == 0, answer.output
    assert "3 records published again" in answer.stdout
    assert "1 still rejected: properties.total" in answer.stdout
    assert "1 left out: refused before it was an event" in answer.stdout
    assert published(stack, before) == [(f"c-{n}".encode(), order(n)) for n in (1, 2, 3)]
    assert left(client) == [4, 5, 6, 7]


@pytest.fixture
def republished(letters: list[DeadLetter], client: Client) -> None:
    """The same records a second time, later in the log."""
    again = [replace(each, offset=each.offset + 100, timestamp_ms=each.timestamp_ms + 1_000) for each in letters]
    client.insert_arrow("dead_letters", dead_letters_table(again))


@pytest.mark.usefixtures("republished")
def test_a_record_that_is_rejected_again_is_one_letter_and_leaves_with_its_copies(
    crm: Crm, stack: Endpoints, client: Client
) -> None:
    assert left(client) == [1, 2, 3, 4, 5, 6, 7]
    assert json.loads(crm("dead-letters", "list", "--json").stdout)["count"] == 7
    assert crm("dead-letters", "show", f"{TOPIC}/3/1").exit_code == 0
    copy = crm("dead-letters", "show", f"{TOPIC}/3/101")
    assert (copy.exit_code, "a copy of an earlier record" in " ".join(copy.stderr.split())) == (1, True)
    later = letter(300, order(2), hours_ago=-1)  # rejected once more after the retry
    client.insert_arrow("dead_letters", dead_letters_table([later]))
    before = ends(stack)
    assert "1 record published" in crm("dead-letters", "retry", f"{TOPIC}/3/1").stdout
    assert "1 record published" in crm("dead-letters", "retry", f"{TOPIC}/3/2").stdout
    assert len(published(stack, before)) == 2, "copies are published once"
    assert left(client) == [3, 4, 5, 6, 7, 300]
    assert "5 dead letters removed" in crm("dead-letters", "purge", "--before", "30m", "--yes").stdout
    assert left(client) == [300]


@pytest.mark.usefixtures("letters")
def test_retry_of_some(crm: Crm, stack: Endpoints, client: Client) -> None:
    before = ends(stack)
    assert crm("dead-letters", "retry").exit_code == 1, "it must be said which"
    assert "1 record published" in crm("dead-letters", "retry", f"{TOPIC}/3/2").stdout
    assert "1 record published" in crm("dead-letters", "retry", "--reason", "currency", "--since", "24h").stdout
    assert len(published(stack, before)) == 2
    assert left(client) == [3, 4, 5, 6, 7]


@pytest.mark.usefixtures("letters")
def test_purge_asks_then_removes(crm: Crm, client: Client) -> None:
    assert crm("dead-letters", "purge", "--all", input="n\n").exit_code == 1
    assert len(left(client)) == 7
    assert "1 dead letter removed" in crm("dead-letters", "purge", "--before", "48h", input="y\n").stdout
    assert left(client) == [1, 2, 4, 5, 6, 7]
    assert "6 dead letters removed" in crm("dead-letters", "purge", "--all", "--yes").stdout
    assert left(client) == []
    assert json.loads(crm("status", "--json").stdout)["dead_letters"] == 0
    assert crm("dead-letters", "purge").exit_code == 1, "it must be said which"


@pytest.mark.usefixtures("letters")
def test_status_tells_the_last_day_and_the_commonest_reasons(crm: Crm) -> None:
    status = crm("status").stdout
    assert "Dead letters: 6 in the last 24 hours, 7 in all" in status
    assert "2 × properties.currency: has no exchange rate" in status
    assert max(map(len, status.splitlines())) <= 80
    assert [line for line in status.splitlines() if line.startswith(tuple(topic.name for topic in INPUT_TOPICS))]


# crmstream top --visitors


def test_top_ranks_visitors_apart_and_leaves_out_those_who_are_customers(crm: Crm, client: Client) -> None:
    columns = ["customer_id", "version", "as_of", "segment", "lifecycle", "model_version", "probability", "percentile",
               "reasons"]  # fmt: skip
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)

    def scored(who: str, version: int, chance: float, days_ago: float = 0) -> list[Any]:
        at = noon - timedelta(days=days_ago)
        return [who, version, at, "prospects", "prospect", "m", {"opportunity": chance}, {"opportunity": 40.0},
                {"opportunity": "+ products in carts: 1, usually none"}]  # fmt: skip

    rows = [
        scored("anonymous:low", 1, 0.03), scored("anonymous:high", 1, 0.01), scored("anonymous:high", 2, 0.09),
        scored("anonymous:moved", 1, 0.5), scored("email:1f", 1, 0.05), scored("email:2f", 1, 0.6),
        scored("anonymous:old", 1, 0.7, days_ago=200), scored("c-1", 1, 0.9), scored("anonymous:undone", 1, 0.8),
    ]  # fmt: skip
    client.insert("score_changes", rows, column_names=columns)
    moved = "('anonymous:moved', 1, 'c-1'), ('email:2f', 1, 'c-1'), ('anonymous:undone', 2, '')"
    client.command(f"INSERT INTO customers (customer_id, version, merged_into) VALUES {moved}")
    found = json.loads(crm("top", "opportunity", "--visitors", "--json").stdout)
    assert [(one["customer_id"], one["probability"]) for one in found] == [
        ("anonymous:high", 0.09), ("email:1f", 0.05), ("anonymous:low", 0.03),
    ]  # fmt: skip
    assert (found[0]["percentile"], found[0]["as_of"]) == (40.0, "2024-03-01T12:00:00Z")
    shown = crm("top", "opportunity", "--visitors")
    assert "Top opportunity of visitors, as of 2024-03-01 12:00 UTC" in shown.stdout
    assert "products in carts" in crm("top", "opportunity", "--visitors", "--wide").stdout
    assert crm("top", "churn", "--visitors").stdout == ""
