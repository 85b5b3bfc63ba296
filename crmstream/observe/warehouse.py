"""Counts of the warehouse: customers, events, dead letters. Reads only."""

from dataclasses import dataclass, field
from typing import Final

from clickhouse_connect.driver.client import Client

from sinks.queries import query

REASONS_SHOWN: Final = 3
MOST_EXACT: Final = 1_000_000
"""Tables with at most so many rows are counted exactly; of larger ones the rows are an upper bound."""


@dataclass(frozen=True)
class Reason:
    """Why records were rejected (the field at fault and the problem), and how many."""

    reason: str
    count: int


@dataclass(frozen=True)
class NoteCount:
    """What connectors changed or left out in events of a source, as a note says it, and in how many events."""

    source: str
    note: str
    count: int


@dataclass(frozen=True)
class Counts:
    """Figures of the warehouse. None means unknown: ClickHouse is down, or its tables are not there."""

    customers: int | None = None
    visitors: int | None = None
    """Visitors who have not been identified."""
    stored: dict[str, int] = field(default_factory=dict)
    """Events by table of facts."""
    dead_letters: int | None = None
    dead_letters_last_day: int | None = None
    """Dead letters whose record entered Kafka within the last 24 hours."""
    dead_letter_reasons: tuple[Reason, ...] = ()
    """The most frequent reasons of the last 24 hours, at most :data:`REASONS_SHOWN`."""
    notes: tuple[NoteCount, ...] = ()
    """Notes of events that came in within the last 24 hours, at most :data:`REASONS_SHOWN`: those on names come first,
    the most frequent next."""
    stored_at_most: frozenset[str] = frozenset()
    """The tables whose figure is an upper bound: in them, an event written twice may count twice."""


def read_counts(client: Client) -> Counts:
    """Read all figures. Raises ClickHouseError when a table is missing."""
    customers, visitors, dead_letters, last_day = client.query(query("status_counts")).result_rows[0]
    reasons = client.query(query("dead_letter_reasons"), parameters={"shown": REASONS_SHOWN}).result_rows
    notes = client.query(query("note_counts"), parameters={"shown": REASONS_SHOWN}).result_rows
    stored, large = read_stored(client)
    return Counts(
        customers=int(customers),
        visitors=int(visitors),
        stored=stored,
        stored_at_most=large,
        dead_letters=int(dead_letters),
        dead_letters_last_day=int(last_day),
        dead_letter_reasons=tuple(Reason(reason, int(count)) for reason, count in reasons),
        notes=tuple(NoteCount(source, note, int(count)) for source, note, count in notes),
    )


def read_stored(client: Client, most_exact: int = MOST_EXACT) -> tuple[dict[str, int], frozenset[str]]:
    """Return the events in each table of facts, and the tables with more than ``most_exact`` rows.

    Events in the former count once each; the figures of the latter are upper bounds.
    """
    stored = {name: int(rows) for name, rows in client.query(query("stored_events")).result_rows}
    large = frozenset(name for name, rows in stored.items() if rows > most_exact)
    for name in stored.keys() - large:
        exact = client.query(query("stored_exactly"), parameters={"table": name}).result_rows
        stored[name] = int(exact[0][0])
    return stored, large
