"""Dead letters in the warehouse: a filter, groups of them, single ones, their removal.

The warehouse has one dead letter per content (topic, stage, source, reason, key and body), that of the first such
record in the log. The topic ``crm-dead-letters`` has each record, for its 90 days.

Delivery: removing twice removes nothing more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from contracts.errors import CrmError
from sinks.queries import query

PAGE: Final = 500
_REMOVED_AT_ONCE: Final = 2_000
_LATEST: Final = 2**32 - 1
_BYTES: Final = {"key": "bytes", "body": "bytes"}


class Place(NamedTuple):
    """The position of a rejected record in the log; of equal records that of the first.

    As text: ``crm-web-events/2/1234``.
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return "/".join(map(str, self))


class PlaceError(CrmError):
    """The text is not a position, or no dead letter has this position."""


def read_place(text: str) -> Place:
    """Read a position as :class:`Place` writes it. Raises :class:`PlaceError`."""
    topic, _, rest = text.partition("/")
    numbers = rest.split("/")
    if not topic or len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise PlaceError(
            "A position is TOPIC/PARTITION/OFFSET, such as crm-transactions/2/1234; `crmstream dead-letters list` "
            "shows them."
        )
    return Place(topic, int(numbers[0]), int(numbers[1]))


@dataclass(frozen=True)
class Filter:
    """Selects dead letters. Empty fields select all; ``reason`` is a part of the reason's text."""

    since: datetime | None = None
    before: datetime | None = None
    source: str = ""
    stage: str = ""
    topic: str = ""
    reason: str = ""

    def parameters(self) -> dict[str, Any]:
        """The parameters of the queries that take a filter; times in whole seconds since 1970."""
        return {
            "since": _seconds(self.since, 0), "before": _seconds(self.before, _LATEST),
            "source": self.source, "stage": self.stage, "topic": self.topic, "reason": self.reason,
        }  # fmt: skip


def _seconds(moment: datetime | None, unset: int) -> int:
    return unset if moment is None else min(max(int(moment.timestamp()), 0), _LATEST)


@dataclass(frozen=True)
class Group:
    """Dead letters of one day and cause. ``newest`` is the position of the newest of them."""

    day: date
    topic: str
    stage: str
    source: str
    field: str
    reason: str
    count: int
    newest: Place


@dataclass(frozen=True)
class Letter:
    """One rejected record: its position, the reason, and its bytes as they came."""

    place: Place
    entered_at: datetime
    stage: str
    source: str
    field: str
    reason: str
    error: str
    key: bytes
    body: bytes


def read_groups(client: Client, wanted: Filter, limit: int) -> list[Group]:
    """Read the groups that pass a filter, the newest day first, at most ``limit``."""
    rows = client.query(query("dead_letter_groups"), parameters={**wanted.parameters(), "shown": limit}).result_rows
    return [
        Group(day, topic, stage, source, field, reason, int(count), Place(*newest[1:]))
        for day, topic, stage, source, field, reason, count, newest in rows
    ]


def count_letters(client: Client, wanted: Filter) -> int:
    """Count the dead letters that pass a filter."""
    return int(client.query(query("dead_letter_count"), parameters=wanted.parameters()).first_row[0])


def read_letter(client: Client, place: Place) -> Letter:
    """Read one dead letter. Raises :class:`PlaceError` if there is none."""
    rows = client.query(query("dead_letter_at"), parameters=place._asdict(), column_formats=_BYTES).result_rows
    if not rows:
        raise PlaceError(
            f"There is no dead letter of {place}: it was purged or retried, was never rejected, or is a copy of an "
            "earlier record, whose position `crmstream dead-letters list` shows."
        )
    return _letter(rows[0])


def read_letters(client: Client, wanted: Filter) -> Iterator[Letter]:
    """Read the dead letters that pass a filter, a page at a time, in the order of their positions."""
    after = Place("", 0, -1)
    while True:
        place = {f"after_{name}": value for name, value in after._asdict().items()}
        asked = {**wanted.parameters(), **place, "shown": PAGE}
        rows = client.query(query("dead_letters_after"), parameters=asked, column_formats=_BYTES).result_rows
        yield from map(_letter, rows)
        if len(rows) < PAGE:
            return
        after = _letter(rows[-1]).place


def remove_letters(client: Client, wanted: Filter) -> None:
    """Remove the dead letters that pass a filter, with all copies of their records."""
    client.command(query("delete_dead_letters"), parameters=wanted.parameters())


def remove_places(client: Client, places: Sequence[Place], before: datetime) -> None:
    """Remove dead letters by their positions, with the copies of their records that entered Kafka before a moment."""
    milliseconds = int(before.timestamp() * 1_000)
    for start in range(0, len(places), _REMOVED_AT_ONCE):
        some = [tuple(place) for place in places[start : start + _REMOVED_AT_ONCE]]
        client.command(query("delete_dead_letters_at"), parameters={"places": some, "before": milliseconds})


def _letter(row: Sequence[Any]) -> Letter:
    return Letter(Place(*row[:3]), *row[3:])
