"""``docs/contracts.md`` says what is: every topic, key and table, every column, and lines that work."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from contracts import stored
from contracts.topics import ALL_TOPICS, Topic
from crmstream.stack.endpoints import Endpoints
from sinks.clients import redis_client

PAGE = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
DATABASE = "crm_page_tests"
COLUMNS = """
    SELECT name, type FROM system.columns
    WHERE database = {database:String} AND table = {table:String} ORDER BY position
"""
SORTING_KEY = "SELECT sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}"


@pytest.fixture(scope="module")
def client(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, DATABASE) as made:
        yield made


def section(heading: str) -> str:
    """What stands under a heading of the third level."""
    _, found, rest = PAGE.partition(f"\n### `{heading}`\n")
    assert found, f"docs/contracts.md has no section {heading}"
    return re.split(r"\n###? ", rest)[0]


def examples(language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_there_with_its_retention(topic: Topic) -> None:
    kept = "the newest of each key | "
    if topic.retention_days is not None and topic.retention_bytes_per_partition is not None:
        kept = f"{topic.retention_days} days | {topic.retention_bytes_per_partition >> 30} GiB"
    wanted = f"| `{topic.name}` | {topic.owner} | {topic.about} | {kept} |"
    assert wanted in PAGE.splitlines()


def test_no_topic_is_made_up() -> None:
    named = re.findall(r"^\| `(crm-[a-z-]+)`", PAGE, re.MULTILINE)
    assert named == [topic.name for topic in ALL_TOPICS]


@pytest.mark.parametrize(
    "key",
    [
        stored.score_key("<customer_id>"),
        stored.profile_key("<customer_id>"),
        stored.traits_key("<customer_id>"),
        stored.account_key("<account_id>"),
        stored.top_key("<outcome>"),
        stored.ALERTS_STREAM,
    ],
)
def test_every_key_is_there_with_a_line_to_try(key: str) -> None:
    assert f"redis-cli {'HGETALL' if '{' in key else ''}" in section(key)
    assert key.partition("<")[0] in section(key)


@pytest.mark.parametrize("table", stored.TABLES)
def test_every_table_is_there_with_its_columns_and_key(table: str, client: Client) -> None:
    text = section(table)
    meaning = stored.TABLES[table]
    assert meaning[0].upper() + meaning[1:] in text
    asked = {"database": DATABASE, "table": table}
    columns = client.query(COLUMNS, parameters=asked).result_rows
    assert re.findall(r"^\| `(\w+)` \| `(.+)` \|$", text, re.MULTILINE) == columns
    assert f"Key: `{client.query(SORTING_KEY, parameters=asked).result_rows[0][0]}`." in text


def test_no_table_is_made_up() -> None:
    _, _, clickhouse = PAGE.partition("\n## ClickHouse\n")
    named = set(re.findall(r"^### `(\w+)`", clickhouse, re.MULTILINE))
    assert named == {*stored.TABLES, "newest_scores", "daily_reasons"}


@pytest.mark.parametrize("query", examples("sql"))
def test_every_query_runs_and_says_final(query: str, client: Client) -> None:
    client.query(query)
    assert " FINAL" in query or "newest_scores" in query


@pytest.mark.parametrize("line", "".join(examples("sh")).splitlines())
def test_every_redis_line_runs(line: str, stack: Endpoints) -> None:
    program, *command = shlex.split(line)
    assert program == "redis-cli"
    store = redis_client(stack.redis_url)
    store.execute_command(*command)
    store.close()
