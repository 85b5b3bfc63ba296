"""The .sql files as the code sees them."""

import re

from contracts.stored import TABLES
from sinks.queries import migrations, query, statements


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    script = "-- one; two;\nSELECT ';' ;\n\n  -- three\nSELECT 2\nFROM x;\n-- end\n"
    assert statements(script) == ["SELECT ';'", "SELECT 2\nFROM x"]


def test_migrations_are_numbered_without_gaps_and_in_order() -> None:
    assert [int(name[:3]) for name in migrations()] == list(range(1, len(migrations()) + 1))


def test_every_statement_may_be_repeated() -> None:
    for script in migrations().values():
        for statement in statements(script):
            made = r"(CREATE (TABLE|VIEW)|ALTER TABLE \w+ ADD COLUMN) IF NOT EXISTS|CREATE OR REPLACE (TABLE|VIEW)"
            assert re.match(rf"({made}) \w+", statement)


def test_every_table_of_the_contract_is_made_and_replaces_rows() -> None:
    made = [statement for script in migrations().values() for statement in statements(script)]
    creates = [re.match(r"CREATE (?:OR REPLACE )?TABLE (?:IF NOT EXISTS )?(\w+)", statement) for statement in made]
    tables = {found[1]: statement for found, statement in zip(creates, made, strict=True) if found}
    assert tables.keys() == TABLES.keys()
    assert all("ENGINE = ReplacingMergeTree" in statement for statement in tables.values())


def test_named_queries_are_found() -> None:
    assert "FINAL" in query("applied_migrations")
