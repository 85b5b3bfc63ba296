"""Delayed labels: a snapshot is released once per outcome, when its whole window has closed, and never before."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.blocks import CustomerBlock, Released, SweepBlock
from contracts.crossings import Absorbed
from contracts.outcomes import Outcome
from online_models.labels import HOUR, LabelState, label, window_slots

BUYS = Outcome(name="buys", within_days=2, happens=True)
STAYS_AWAY = Outcome(name="stays_away", within_days=3, happens=False, of="buyers")
CALLS = Outcome(name="calls", counter="tickets", within_days=2, happens=True)
OUTCOMES = (BUYS, STAYS_AWAY)
Labels = dict[tuple[int, int], bool]
"""By the boundary of the snapshot and the row of the customer."""


def sweep(
    boundary: int,
    orders: Sequence[int],
    *,
    train: Sequence[int] = (),
    rows: Sequence[int] | None = None,
    tickets: Sequence[int] | None = None,
) -> SweepBlock:
    """A sweep over ``rows`` (all, if not told) of a table with these counters; its features tell boundary and row."""
    at = np.arange(len(orders), dtype=np.int32) if rows is None else np.array(rows, np.int32)
    counters = {"orders": np.array(orders, np.int32), "tickets": np.array(tickets or [0] * len(orders), np.int32)}
    customers = CustomerBlock(
        bucket=5,
        boundary=boundary,
        sweep=True,
        ids=np.array([f"c{row}" for row in at], object),
        versions=np.zeros(len(at), np.int64),
        as_of=np.zeros(len(at), np.int64),
        features=np.column_stack((np.full(len(at), boundary), at)).astype(np.float32),
        buyers=counters["orders"][at] > 0,
        lifecycle=np.zeros(len(at), np.int8),
        segment=np.zeros(len(at), np.int8),
        farewell=np.zeros(len(at), np.bool_),
        recorded=True,
    )
    return SweepBlock(customers, at, counters, np.isin(at, train))


def feed(*sweeps: SweepBlock, outcomes: Sequence[Outcome] = OUTCOMES, interval_hours: int = 24) -> list[Released]:
    state = LabelState()
    return [label(state, each, outcomes, interval_hours) for each in sweeps]


def labels_of(released: Released, outcome: Outcome) -> Labels:
    examples = released.examples[outcome.name]
    told = zip(examples.features.astype(int).tolist(), examples.labels.tolist(), strict=True)
    return {(boundary, row): happened for (boundary, row), happened in told}


def test_a_snapshot_is_released_once_and_exactly_when_its_window_has_closed() -> None:
    released = feed(sweep(0, [1], train=[0]), *[sweep(boundary, [1]) for boundary in range(1, 7)])
    assert [each.boundary for each in released if labels_of(each, BUYS)] == [2]
    assert [each.boundary for each in released if labels_of(each, STAYS_AWAY)] == [3]


def test_positives_and_negatives_come_together() -> None:
    """c1 orders on the first day; nobody learns of it before the second is over."""
    _, first, second = feed(sweep(0, [1, 1], train=[0, 1]), sweep(1, [1, 2]), sweep(2, [1, 2]))
    assert labels_of(first, BUYS) == {}
    assert labels_of(second, BUYS) == {(0, 0): False, (0, 1): True}


def test_an_outcome_of_silence_is_true_of_those_who_did_nothing() -> None:
    *_, last = feed(sweep(0, [1, 1], train=[0, 1]), sweep(1, [1, 1]), sweep(2, [1, 2]), sweep(3, [1, 2]))
    assert labels_of(last, STAYS_AWAY) == {(0, 0): True, (0, 1): False}


def test_what_happens_after_the_window_does_not_count() -> None:
    released = feed(sweep(0, [1], train=[0]), sweep(1, [1]), sweep(2, [1]), sweep(3, [2]))
    assert labels_of(released[2], BUYS) == {(0, 0): False}


def test_a_question_about_buyers_is_asked_of_those_who_had_bought_at_the_snapshot() -> None:
    """c1 buys for the first time in the window: it is an example of who buys, not of who stays away."""
    released = feed(sweep(0, [1, 0], train=[0, 1]), sweep(1, [1, 1]), sweep(2, [1, 1]), sweep(3, [1, 1]))
    assert labels_of(released[2], BUYS) == {(0, 0): False, (0, 1): True}
    assert labels_of(released[3], STAYS_AWAY) == {(0, 0): True}


def test_each_outcome_watches_its_own_counter() -> None:
    sweeps = [sweep(0, [1, 1], train=[0, 1], tickets=[4, 4]), sweep(1, [1, 2], tickets=[5, 4])]
    *_, last = feed(*sweeps, sweep(2, [1, 2], tickets=[5, 4]), outcomes=(BUYS, CALLS))
    assert labels_of(last, BUYS) == {(0, 0): False, (0, 1): True}
    assert labels_of(last, CALLS) == {(0, 0): True, (0, 1): False}


def test_only_trainable_customers_are_snapshotted() -> None:
    *_, last = feed(sweep(0, [1, 1, 1], train=[1]), sweep(1, [1] * 3), sweep(2, [1] * 3))
    assert labels_of(last, BUYS) == {(0, 1): False}


def test_customers_are_known_by_their_row_whoever_else_is_swept() -> None:
    """c0 is swept no more, c3 and c4 are new, and the order of the sweep is another one."""
    first = sweep(0, [1, 2, 3], rows=[2, 0, 1], train=[0, 2])
    *_, last = feed(first, sweep(1, [1, 2, 4]), sweep(2, [1, 2, 4, 9, 9], rows=[4, 2, 3]))
    assert labels_of(last, BUYS) == {(0, 2): True, (0, 0): False}


@pytest.mark.parametrize(
    ("within_days", "interval_hours", "slots"),
    [(1, 24, 1), (90, 24, 90), (2, 36, 2), (3, 36, 2), (1, 31 * 24, 1), (2, 7, 7), (2, 1, 48)],
)
def test_a_window_is_rounded_up_to_sweeps(within_days: int, interval_hours: int, slots: int) -> None:
    assert window_slots(Outcome(name="x", within_days=within_days, happens=True), interval_hours) == slots


def test_a_window_that_is_no_multiple_of_the_interval_closes_at_the_next_sweep() -> None:
    released = feed(sweep(0, [1], train=[0]), *[sweep(boundary, [1]) for boundary in (1, 2)], interval_hours=36)
    assert [each.boundary for each in released if labels_of(each, BUYS)] == [2]


def test_where_nothing_is_released_there_are_examples_without_rows() -> None:
    (released,) = feed(sweep(4, [1, 1], train=[0]))
    assert (released.bucket, released.boundary, list(released.examples)) == (5, 4, ["buys", "stays_away"])
    for examples in released.examples.values():
        assert (examples.features.shape, examples.features.dtype.name) == ((0, 2), "float32")
        assert (examples.labels.shape, examples.labels.dtype.name) == ((0,), "bool")


def test_a_boundary_that_is_left_out_drops_what_it_would_have_released() -> None:
    state = LabelState()
    label(state, sweep(0, [1], train=[0]), OUTCOMES, 24)
    released = [label(state, sweep(boundary, [1]), OUTCOMES, 24) for boundary in (9, 10, 11)]
    assert not any(labels_of(each, outcome) for each in released for outcome in OUTCOMES)
    assert state.waiting == []


def test_no_more_snapshots_wait_than_the_longest_window_has_sweeps() -> None:
    state = LabelState()
    for boundary in range(20):
        label(state, sweep(boundary, [1], train=[0]), OUTCOMES, 24)
        assert len(state.waiting) <= 3


def by_hand(history: Sequence[Sequence[int]], train: Sequence[Sequence[int]], boundary: int) -> Mapping[str, Labels]:
    """What a look back from a boundary at the whole history says."""
    found: dict[str, Labels] = {}
    for outcome in OUTCOMES:
        then = boundary - outcome.within_days
        asked = [row for row in train[then] if outcome.of == "everyone" or history[then][row]] if then >= 0 else []
        found[outcome.name] = {
            (then, row): (history[boundary][row] > history[then][row]) == outcome.happens for row in asked
        }
    return found


@given(
    ordered=st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=9),
    train=st.lists(st.sets(st.integers(0, 2)), min_size=9, max_size=9),
    saved=st.integers(0, 8),
)
def test_releases_are_what_a_look_back_finds_also_after_pickling(
    ordered: list[list[int]], train: list[set[int]], saved: int
) -> None:
    history = np.cumsum(ordered, axis=0).tolist()
    chosen = [sorted(rows) for rows in train]
    state = LabelState()
    for boundary, orders in enumerate(history):
        if boundary == saved:
            state = pickle.loads(pickle.dumps(state))
        released = label(state, sweep(boundary, orders, train=chosen[boundary]), OUTCOMES, 24)
        assert {each.name: labels_of(released, each) for each in OUTCOMES} == by_hand(history, chosen, boundary)


def absorbed(rows: Sequence[int], growth: Sequence[int], newest: Sequence[int]) -> Absorbed:
    """Customers who took visitors over with so many orders, the newest at these times (days)."""
    times = np.array(newest, np.int64) * 24 * HOUR
    nothing = np.zeros(len(rows), np.int32)
    counters = {"orders": np.array(growth, np.int32), "tickets": nothing}
    return Absorbed(np.array(rows, np.int32), counters, {"orders": times, "tickets": np.full(len(rows), -1)})


def test_what_a_visitor_had_done_before_the_snapshot_is_no_growth_since_then() -> None:
    """Row 0 takes over an old order, row 1 one of after the snapshot, row 2 nothing, row 3 two old ones and buys."""
    taken = absorbed([3, 0, 1, 3], [1, 1, 1, 1], [0, 0, 2, 0])
    before = sweep(1, [1, 1, 1, 1], train=[0, 1, 2, 3])
    after = replace(sweep(3, [2, 2, 1, 4]), absorbed=taken)
    released = feed(before, sweep(2, [1, 1, 1, 1]), after)
    assert labels_of(released[-1], BUYS) == {(1, 0): False, (1, 1): True, (1, 2): False, (1, 3): True}


def test_taking_over_concerns_only_those_who_do() -> None:
    taken = absorbed([7], [1], [0])  # a row that no snapshot holds
    released = feed(sweep(1, [1, 1], train=[1]), sweep(2, [1, 1]), replace(sweep(3, [1, 2]), absorbed=taken))
    assert labels_of(released[-1], BUYS) == {(1, 1): True}
