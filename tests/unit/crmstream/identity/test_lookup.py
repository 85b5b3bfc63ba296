"""The owner of an identity follows from the decisions about it."""

from datetime import UTC, datetime, timedelta

import pytest

from crmstream.identity.lookup import Link, names_of, owners_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEVICE, ADDRESS = "anonymous:d", "email:1f"


def decisions(*rows: tuple[str, str, int]) -> list[Link]:
    """Decisions about one device: person, outcome, minutes after noon."""
    return [Link(DEVICE, person, outcome, NOON + timedelta(minutes=at)) for person, outcome, at in rows]


@pytest.mark.parametrize(
    ("rows", "owner"),
    [
        ([("c-1", "linked", 0)], "c-1"),
        ([("c-1", "linked", 0), ("c-2", "belongs_to_another", 5)], "c-1"),
        ([("c-1", "unlinked", 5)], None),
        ([("c-1", "unlinked", 5), ("c-2", "linked", 6)], "c-2"),
        ([("c-2", "belongs_to_another", 1), ("c-1", "unlinked", 5)], None),
        # A sign-in takes the place of a typed address, whenever it happened; unlinking undoes both.
        ([(ADDRESS, "linked", 0), ("c-1", "linked", 5)], "c-1"),
        ([("c-1", "linked", 0), (ADDRESS, "linked", 5)], "c-1"),
        ([(ADDRESS, "linked", 0), ("c-1", "unlinked", 5)], None),
        ([("c-1", "unlinked", 5), (ADDRESS, "linked", 7)], ADDRESS),
        ([("c-1", "is_a_customer", 0)], None),
    ],
)
def test_the_owner_of_a_device(rows: list[tuple[str, str, int]], owner: str | None) -> None:
    assert owners_of(decisions(*rows)).get(DEVICE) == owner


def test_an_id_has_three_names() -> None:
    assert names_of("x")[:2] == ["x", "anonymous:x"]
    assert names_of("x")[2].startswith("email:")
    assert names_of("anonymous:x") == ["anonymous:x"]
