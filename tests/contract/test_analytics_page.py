"""``docs/analytics.md`` lists every view for analysts with its columns and their meaning, as the database has them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from support.installation import migrated_database

from crmstream.stack.endpoints import Endpoints

PAGE = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text(encoding="utf-8")
VIEWS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
DATABASE = "crm_analytics_page"
ELSEWHERE = {"newest_scores", "daily_reasons"}
"""Views that ``docs/contracts.md`` describes."""


@pytest.fixture(scope="module")
def client(stack: Endpoints) -> Iterator[Client]:
    with migrated_database(stack, DATABASE) as made:
        yield made


def test_every_view_is_on_the_page_and_no_other(client: Client) -> None:
    query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'"
    assert {row[0] for row in client.query(query).result_rows} - ELSEWHERE == set(VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_columns_have_a_meaning_there_and_in_the_database(view: str, client: Client) -> None:
    query = """
        SELECT name, type, comment FROM system.columns
        WHERE database = currentDatabase() AND table = {view:String} ORDER BY position
    """
    columns = client.query(query, parameters={"view": view}).result_rows
    assert re.findall(r"^\| `(\w+)` \| `(.+)` \| (.+) \|$", VIEWS[view], re.MULTILINE) == columns
    assert all(meaning for _, _, meaning in columns)
