"""The merged profile of a visitor and a customer is the profile of one person who did everything."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.columns import DAY, HOUR, MINUTE, Happening, columns, happenings

from streams import codes
from streams.profiles.merging import absorb_rows, in_turns
from streams.profiles.table import DECAYED, ROW_DTYPE, ProfileTable, apply_events, blank_rows, fade

DAYS = 4
OWN = {"key", "unpublished"}
NEIGHBOURS = {"sessions", "gap_count", "gap_sum_squares"}
"""What is told by comparing an event with the one before it."""


def profile(events: list[Happening]) -> NDArray[np.void]:
    """The row of one person who did all this, as of the end of the last day."""
    table = ProfileTable()
    for day in range(DAYS):
        some = [each for each in events if each.occurred // DAY == day]
        apply_events(table, *columns(some), (day + 1) * DAY)
        if day < DAYS - 1:
            fade(table, DAY)
    return table.used.copy() if len(table) else blank_rows(1)


def in_time(events: list[Happening]) -> list[Happening]:
    return sorted(events, key=lambda each: each.occurred)


def differing(one: NDArray[np.void], other: NDArray[np.void]) -> set[str]:
    """Columns that differ; decayed ones by more than the rounding of each day."""
    names = set(ROW_DTYPE.names or ()) - OWN - set(DECAYED)
    different = {name for name in names if one[name][0] != other[name][0]}
    slack = dict.fromkeys(DECAYED, 4 * DAYS + 40)
    return different | {name for name in DECAYED if abs(int(one[name][0]) - int(other[name][0])) > slack[name]}


@given(visitor=happenings(DAYS, "p", max_size=15), customer=happenings(DAYS, "p", max_size=15))
def test_what_does_not_compare_neighbours_merges_exactly(visitor: list[Happening], customer: list[Happening]) -> None:
    merged = absorb_rows(profile(in_time(customer)), profile(in_time(visitor)))
    assert differing(merged, profile(in_time(visitor + customer))) <= NEIGHBOURS


@given(events=happenings(DAYS, "p", max_size=20), cut=st.integers(0, 20), visitor_first=st.booleans())
def test_histories_that_follow_one_another_merge_exactly(
    events: list[Happening], cut: int, visitor_first: bool
) -> None:
    """Anonymous first and known then, or on a second device later: the gap in between counts as any other."""
    ordered = in_time(events)
    assume(not 0 < cut < len(ordered) or ordered[cut - 1].occurred // 1_000_000 < ordered[cut].occurred // 1_000_000)
    halves = profile(ordered[:cut]), profile(ordered[cut:])
    merged = absorb_rows(*halves) if visitor_first else absorb_rows(*reversed(halves))
    assert differing(merged, profile(ordered)) == set()


def test_a_session_that_goes_on_after_the_sign_in_is_one() -> None:
    before = profile([Happening("p", HOUR, codes.PAGE_VIEW), Happening("p", HOUR + 20 * MINUTE, codes.PAGE_VIEW)])
    soon = profile([Happening("p", HOUR + 40 * MINUTE, codes.PAGE_VIEW)])
    later = profile([Happening("p", 3 * HOUR, codes.PAGE_VIEW)])
    assert absorb_rows(soon, before)["sessions"].tolist() == [1]
    assert absorb_rows(later, before)["sessions"].tolist() == [2]


def test_one_moment_within_another_history_joins_nothing() -> None:
    """A guest order between two of the customer's is two gaps, and its page view a session of its own."""
    customer = profile([Happening("p", HOUR, amount=1), Happening("p", 3 * DAY, amount=1),
                        Happening("p", HOUR, codes.PAGE_VIEW), Happening("p", 3 * DAY, codes.PAGE_VIEW)])  # fmt: skip
    guest = profile([Happening("p", DAY + HOUR, amount=1), Happening("p", DAY + HOUR, codes.PAGE_VIEW)])
    for merged in (absorb_rows(customer, guest), absorb_rows(guest, customer)):
        assert (merged["gap_count"].tolist(), merged["sessions"].tolist()) == ([2], [3])


def test_merging_nobody_changes_nothing() -> None:
    row = profile([Happening("p", HOUR, codes.ORDER, amount=5), Happening("p", DAY, codes.ORDER, amount=7)])
    assert differing(absorb_rows(row, blank_rows(1)), row) == set()


@given(st.lists(st.integers(0, 4), max_size=20))
def test_turns_hold_each_row_once_and_every_position_in_order(at: list[int]) -> None:
    turns = [turn.tolist() for turn in in_turns(np.array(at, np.int64))]
    assert sorted(position for turn in turns for position in turn) == list(range(len(at)))
    for turn in turns:
        assert len({at[position] for position in turn}) == len(turn)
    for row in set(at):
        mine = [position for turn in turns for position in turn if at[position] == row]
        assert mine == sorted(mine)
