"""The .sql files as the code sees them."""

import re

from contracts.stored import TABLES
from sinks.queries import migrations, query, statements


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    script = "-- one; two;\nSELECT ';' ;\n\n  -- three\nSELECT 2\nFROM x;\n-- end\n"
    assert statements(script) == ["SELECT ';'", "SELECT 2\nFROM x"]


def test_migrations_are_numbered_without_gaps_and_in_order() -> None:
    assert [int(name[:3]) for name in migrations()] == list(range(1, len(migrations()) + 1))


REPEATABLE = (
    r"((CREATE (TABLE|VIEW)|ALTER TABLE \w+ (ADD|DROP|MODIFY) COLUMN) IF (NOT )?EXISTS|CREATE OR REPLACE (VIEW|TABLE)"
    r"|CREATE MATERIALIZED VIEW IF NOT EXISTS|ALTER TABLE \w+ MODIFY QUERY"
    r"|INSERT INTO (log_events|\w+_facts|account_members|known_ids)) "
)
EXCHANGED = (
    r"CREATE TABLE (?P<new>\w+_new_\{run\})\s", r"INSERT INTO (?P<new>\w+_new_\{run\}) SELECT .*? FROM (?P<old>\w+)",
    r"EXCHANGE TABLES (?P<old>\w+) AND (?P<new>\w+_new_\{run\})$", r"DROP TABLE (?P<new>\w+_new_\{run\})$",
)  # fmt: skip
"""How a table is made anew: each run has a copy of its own, which takes the table's place when it is complete."""


def test_every_statement_may_be_repeated() -> None:
    for script in migrations().values():
        exchanging = [statement for statement in statements(script) if not re.match(REPEATABLE, statement)]
        for start in range(0, len(exchanging), len(EXCHANGED)):
            parts = exchanging[start : start + len(EXCHANGED)]
            found = [re.match(pattern, part) for pattern, part in zip(EXCHANGED, parts, strict=True)]
            assert all(found), parts
            named = [match.groupdict() for match in found if match]
            (old,) = {each["old"] for each in named if "old" in each}
            assert {each["new"] for each in named} == {f"{old}_new_{{run}}"}


def test_every_table_of_the_contract_is_made_and_replaces_rows() -> None:
    made = [statement for script in migrations().values() for statement in statements(script)]
    tables = {
        re.sub(r"CREATE TABLE( IF NOT EXISTS)? (\w+?)(_new_\{run\})?\s.*", r"\2", statement, flags=re.DOTALL): statement
        for statement in made
        if statement.startswith("CREATE TABLE")
    }
    assert tables.keys() == TABLES.keys()
    assert all(re.search("ENGINE = (Replacing|Aggregating)MergeTree", statement) for statement in tables.values())


def test_named_queries_are_found() -> None:
    assert "FINAL" in query("applied_migrations")
