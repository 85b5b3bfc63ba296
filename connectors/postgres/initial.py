"""The rows that were there before the stream: read in the snapshot that belongs to the beginning of a slot.

Delivery: a snapshot lasts only as long as its connection, so after a crash another one is taken, with a new slot. What
an earlier one saw and took is left out then, by the snapshots and keys that the position keeps: nothing is taken twice,
but for rows that were updated in between, and those have the same event ids.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from psycopg2 import sql

from connectors.databases.changes import Change
from connectors.postgres.catalog import TableFacts
from connectors.postgres.rows import Values, as_insert, identifiers, key_of, pages, select
from connectors.postgres.server import Connection, ask, run
from connectors.postgres.windows import Snapshot

WHOLE: Final = "whole"
Run = dict[str, Any]
"""One reading of the tables: its ``snapshot``, and by table :data:`WHOLE` or the key of the last row taken."""


def read_tables(
    database: Connection, snapshot: str, tables: Sequence[TableFacts], earlier: Sequence[Run]
) -> Iterator[tuple[list[Change], list[Run]]]:
    """Read all tables as of an exported snapshot; yields rows, and all runs as they are after them."""
    database.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    run(database, sql.SQL("SET TRANSACTION SNAPSHOT %s"), [snapshot])
    (row,) = ask(database, "horizon")
    done: dict[str, Any] = {}
    begun = [run for run in earlier if run["tables"]]
    for facts in tables:
        if "insert" not in facts.spec.operations:
            continue
        for rows in pages(database, *_query(facts, begun)):
            done = {**done, facts.spec.full_name: list(key_of(facts, rows[-1]))}
            fresh = [as_insert(facts, row) for row in rows if not _is_taken(row, begun)]
            yield fresh, [*begun, {"snapshot": row["snapshot"], "tables": done}]
        done = {**done, facts.spec.full_name: WHOLE}
    database.commit()


def _query(facts: TableFacts, runs: Sequence[Run]) -> tuple[sql.Composed, dict[str, object]]:
    """Select the rows in the order of the key, and for every earlier run whether it had come so far."""
    more, values = [sql.SQL(", xmin::text AS {}").format(sql.Identifier(_XMIN))], dict[str, object]()
    for number, earlier in enumerate(runs):
        reached = earlier["tables"].get(facts.spec.full_name)
        if reached is None or reached == WHOLE:
            passed: sql.Composable = sql.Literal(reached == WHOLE)
        else:
            names = [f"run_{number}_{place}" for place in range(len(reached))]
            values |= dict(zip(names, reached, strict=True))
            passed = sql.SQL("({}) <= ({})").format(
                identifiers(facts.key), sql.SQL(", ").join(map(sql.Placeholder, names))
            )
        more.append(sql.SQL(", ({})::text AS {}").format(passed, sql.Identifier(_passed(number))))
    return select(facts, sql.Composed(more), sql.SQL("true"), identifiers(facts.key)), values


_XMIN: Final = "crmstream xmin"


def _passed(number: int) -> str:
    return f"crmstream run {number}"


def _is_taken(row: Values, runs: Sequence[Run]) -> bool:
    """Whether an earlier run came past this row and saw it as it is."""
    return any(
        row[_passed(number)] == "true" and Snapshot.parse(earlier["snapshot"]).sees(int(row[_XMIN]))
        for number, earlier in enumerate(runs)
    )
