"""What the warehouse holds: customers, events, dead letters. Reads only."""

from dataclasses import dataclass, field
from typing import Final

from clickhouse_connect.driver.client import Client

from sinks.queries import query

REASONS_SHOWN: Final = 3


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
    """Rows by table of facts. An event written twice counts twice until ClickHouse merges the two."""
    dead_letters: int | None = None
    dead_letters_last_day: int | None = None
    """Dead letters whose record entered Kafka within the last 24 hours."""
    dead_letter_reasons: tuple[Reason, ...] = ()
    """The most frequent reasons of the last 24 hours, at most :data:`REASONS_SHOWN`."""
    notes: tuple[NoteCount, ...] = ()
    """The most frequent notes of events that came in within the last 24 hours: at most :data:`REASONS_SHOWN` on names, and
    as many others."""


def read_counts(client: Client) -> Counts:
    """Read all figures. Raises ClickHouseError when a table is missing."""
    customers, visitors, dead_letters, last_day = client.query(query("status_counts")).result_rows[0]
    reasons = client.query(query("dead_letter_reasons"), parameters={"shown": REASONS_SHOWN}).result_rows
    notes = client.query(query("note_counts"), parameters={"shown": REASONS_SHOWN}).result_rows
    return Counts(
        customers=int(customers),
        visitors=int(visitors),
        stored={name: int(count) for name, count in client.query(query("stored_events")).result_rows},
        dead_letters=int(dead_letters),
        dead_letters_last_day=int(last_day),
        dead_letter_reasons=tuple(Reason(reason, int(count)) for reason, count in reasons),
        notes=tuple(NoteCount(source, note, int(count)) for source, note, count in notes),
    )
