"""Windows of transactions, and what a snapshot saw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.postgres.windows import MOST_AWAY, WRAP, Snapshot, TableWindow


def test_a_round_begins_moves_and_ends() -> None:
    first = TableWindow().opened(100)
    assert (first.start, first.below, first.after) == (None, 100, None)
    moved = first.moved(("2026-01-01", "7"))
    assert moved.newest == "2026-01-01"
    assert moved.opened(200).below == 100  # a round that was cut off goes on with its own horizon
    assert TableWindow.from_json(moved.to_json()) == moved
    closed = moved.closed()
    assert (closed.start, closed.below, closed.after, closed.newest) == (100, None, None, "2026-01-01")
    assert closed.opened(200).moved((None, "8")).newest == "2026-01-01"


def test_a_snapshot_sees_what_had_been_committed() -> None:
    snapshot = Snapshot.parse("100:110:103,107")
    assert [number for number in range(95, 115) if not snapshot.sees(number)] == [103, 107, *range(110, 115)]
    assert Snapshot.parse("100:100:").sees(99)
    assert snapshot.sees(2)  # frozen in a way of long ago


@given(st.integers(3, 2**40), st.integers(1, 50), st.integers(1, MOST_AWAY - 100))
def test_numbers_of_32_bits_are_compared_around_the_wrap(first: int, span: int, age: int) -> None:
    snapshot = Snapshot(first + 100, first + 100 + span, frozenset())
    seen = first + 100 + span - 1
    if seen % WRAP >= 3:
        assert snapshot.sees(seen % WRAP)
    if (later := (first + 100 + span) % WRAP) >= 3:
        assert not snapshot.sees(later)
    if first + 100 - age > 0 and (old := (first + 100 - age) % WRAP) >= 3:
        assert snapshot.sees(old)


@pytest.mark.parametrize("running", [frozenset({5}), frozenset[int]()])
def test_in_doubt_a_row_is_taken_again(running: frozenset[int]) -> None:
    snapshot = Snapshot(2**33, 2**33 + 10, running)
    assert not snapshot.sees((2**33 + 10 - MOST_AWAY - 1) % WRAP)
