"""What a replay says about a file's rows, in the singular and the plural."""

import pytest

from connectors.files.replay import Report
from crmstream.commands.replay import outcome
from crmstream.commands.watch import _events, _why_nothing


@pytest.mark.parametrize(
    ("rows", "accepted", "skipped", "rejected", "told"),
    [
        (11_723, 0, 0, 11_723, "All 11,723 rows were rejected."),
        (1, 0, 0, 1, "The only row was rejected."),
        (5, 4, 0, 1, "1 of 5 rows was rejected; the others are in."),
        (5, 3, 0, 2, "2 of 5 rows were rejected; the others are in."),
        (5, 0, 3, 2, "2 of 5 rows were rejected; the mapping leaves out the others."),
        (5, 1, 2, 2, "2 of 5 rows were rejected; the mapping leaves out 2; the others are in."),
        (5, 0, 5, 0, "The mapping leaves out every row."),
        (0, 0, 0, 0, "The file has no rows."),
        (5, 5, 0, 0, None),
    ],
)
def test_the_outcome_is_a_true_sentence(
    rows: int, accepted: int, skipped: int, rejected: int, told: str | None
) -> None:
    assert outcome(Report(rows, accepted, skipped, rejected)) == told


@pytest.mark.parametrize(
    ("rows", "told"),
    [(0, "it has no rows"), (1, "its only row is no event"), (2_000, "none of its 2,000 rows is an event")],
)
def test_why_a_file_is_no_event(rows: int, told: str) -> None:
    assert _why_nothing(Report(rows)).startswith(told)


def test_events_are_counted() -> None:
    assert [_events(1), _events(1_200)] == ["1 event", "1,200 events"]
