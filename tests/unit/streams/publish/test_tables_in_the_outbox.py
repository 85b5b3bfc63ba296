"""Rows that come out of the outbox are those that went in: with their types, vocabularies, maps and exact money."""

from pathlib import Path

import pytest
from support.scored import DAY, random_scored

from contracts.outputs import TableBlock
from sinks.outbox import Outbox
from streams.publish.tables import table_blocks


@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("kind", ["live", "sweep"])
def test_rows_survive_the_outbox(count: int, kind: str, tmp_path: Path) -> None:
    ids = [[f"{part}-{number}" for number in range(count)] for part in range(2)]
    scored = [random_scored(part, ids[part], kind=kind) for part in range(2)]
    made = [table_blocks(one, DAY, "EUR") for one in scored]
    blocks: list[list[TableBlock]] = [list(each) for each in zip(*made, strict=True)]
    tables = [(group[0].table, group[0].render(group[1:])) for group in blocks]
    assert {name for name, _ in tables} == ({"customers", "score_changes"} if kind == "live" else {"customer_daily"})
    first = Outbox(tmp_path)
    first.put(tables)
    first.close()
    found = [(ticket.piece.table, ticket.read()) for ticket in Outbox(tmp_path).left_over]
    assert [name for name, _ in found] == [name for name, _ in tables]
    for (_, before), (_, after) in zip(tables, found, strict=True):
        assert after.schema.equals(before.schema)
        assert repr(after.to_pylist()) == repr(before.to_pylist())
