"""The rows that were there before the stream: read in the snapshot that belongs to the beginning of a slot.

Delivery: a snapshot lasts only as long as its connection, so after a crash a later one is taken. The slot stays, and is
followed from its beginning: what happened to rows in between, updates and deletions too, is in its stream. What an
earlier snapshot saw and took is left out, by the snapshots and keys that the position keeps. Rows that were inserted or
updated in between are taken again, here and from the stream. That does no harm: the id of an event follows from the
row's key, and where every change has an id of its own, an insert that this snapshot shows has that of the row as it is
read (:class:`connectors.postgres.stream.Shown`).
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


def open_snapshot(database: Connection, exported: str | None) -> str:
    """Begin a transaction that sees the tables as of a slot's beginning or, without its snapshot, as of now."""
    database.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    if exported is not None:
        run(database, sql.SQL("SET TRANSACTION SNAPSHOT %s"), [exported])
    return str(ask(database, "horizon")[0]["snapshot"])


def beyond_doubt(snapshot: str) -> str:
    """Narrow a snapshot to what it surely saw: one that no slot exported does not list the numbers of savepoints."""
    first = snapshot.partition(":")[0]
    return f"{first}:{first}:"


def read_tables(
    database: Connection, snapshot: str, tables: Sequence[TableFacts], earlier: Sequence[Run]
) -> Iterator[tuple[list[Change], list[Run]]]:
    """Read all tables in the open transaction, which sees ``snapshot``; yields rows, and all runs after them."""
    done: dict[str, Any] = {}
    begun = [run for run in earlier if run["tables"]]
    for facts in tables:
        if "insert" not in facts.spec.operations:
            continue
        for rows in pages(database, *_query(facts, begun)):
            done = {**done, facts.spec.full_name: list(key_of(facts, rows[-1]))}
            fresh = [as_insert(facts, row) for row in rows if not _is_taken(row, begun)]
            yield fresh, [*begun, {"snapshot": snapshot, "tables": done}]
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
