"""Delayed labels: a snapshot is released once per outcome, when its whole window has closed, and never before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.restarting import STEPS, Restarting

from contracts.model_blocks import Examples, SweptPeople
from contracts.outcomes import Outcome
from contracts.state import Part
from contracts.times import HOUR
from online_models.labels import LabelState, label, window_slots

BUYS = Outcome(name="buys", within_days=2, happens=True)
STAYS_AWAY = Outcome(name="stays_away", within_days=3, happens=False, of="buyers")
CALLS = Outcome(name="calls", counter="tickets", within_days=2, happens=True)
OUTCOMES = (BUYS, STAYS_AWAY)
MOST = 100
DAY = 24 * HOUR
NEVER = -(2**62)
Labels = dict[tuple[int, int], bool]
"""By the boundary of the snapshot and the key of the customer."""
Released = Mapping[str, Examples]


def times(days: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([NEVER if day is None else int(day * DAY) for day in days], np.int64)


def sweep(
    boundary: int,
    ordered: Sequence[float | None],
    *,
    train: Sequence[int] = (),
    keys: Sequence[int] | None = None,
    called: Sequence[float | None] | None = None,
) -> SweptPeople:
    """A sweep by the day of the last order; ``train`` are keys. Features hold boundary and key."""
    at = np.arange(len(ordered), dtype=np.uint64) if keys is None else np.array(keys, np.uint64)
    last = {"orders": times(ordered), "tickets": times(called or [None] * len(ordered))}
    chosen = np.isin(at, train)
    return SweptPeople(
        bucket=5,
        boundary=boundary,
        keys=at,
        trainable=chosen,
        features=np.column_stack((np.full(len(at), boundary), at)).astype(np.float32)[chosen].__getitem__,
        buyers=(last["orders"] > NEVER)[chosen],
        last=lambda counter, some: last[counter][some],
    )


def feed(
    *sweeps: SweptPeople, outcomes: Sequence[Outcome] = OUTCOMES, interval_hours: int = 24, most: int = MOST
) -> list[Released]:
    state = LabelState()
    return [label(state, each, outcomes, interval_hours, most) for each in sweeps]


def labels_of(released: Released, outcome: Outcome) -> Labels:
    examples = released[outcome.name]
    pairs = zip(examples.features.astype(int).tolist(), examples.labels.tolist(), strict=True)
    return {(boundary, key): happened for (boundary, key), happened in pairs}


def test_a_snapshot_is_released_once_and_exactly_when_its_window_has_closed() -> None:
    released = feed(sweep(0, [-1], train=[0]), *[sweep(boundary, [-1]) for boundary in range(1, 7)])
    assert [at for at, each in enumerate(released) if labels_of(each, BUYS)] == [2]
    assert [at for at, each in enumerate(released) if labels_of(each, STAYS_AWAY)] == [3]


def test_positives_and_negatives_are_released_together() -> None:
    """c1 orders on the first day; its label is not released before the second day is over."""
    _, first, second = feed(sweep(0, [-1, -1], train=[0, 1]), sweep(1, [-1, 0.5]), sweep(2, [-1, 0.5]))
    assert labels_of(first, BUYS) == {}
    assert labels_of(second, BUYS) == {(0, 0): False, (0, 1): True}


def test_an_outcome_of_silence_is_true_for_customers_without_events() -> None:
    *_, last = feed(sweep(0, [-1, -1], train=[0, 1]), sweep(1, [-1, -1]), sweep(2, [-1, 1.5]), sweep(3, [-1, 1.5]))
    assert labels_of(last, STAYS_AWAY) == {(0, 0): True, (0, 1): False}


@pytest.mark.parametrize(("ordered", "bought"), [(3.0, True), (3.0 - 1e-9, False), (2.0, False), (4.9, True)])
def test_only_events_at_or_after_the_snapshots_boundary_count(ordered: float, bought: bool) -> None:
    """An older event may arrive after the snapshot: it is late, or came with a visitor's history."""
    released = feed(sweep(3, [1], train=[0]), sweep(4, [1]), sweep(5, [ordered]))
    assert labels_of(released[-1], BUYS) == {(3, 0): bought}


def test_events_after_the_window_do_not_count() -> None:
    released = feed(sweep(0, [-1], train=[0]), sweep(1, [-1]), sweep(2, [-1]), sweep(3, [2.5]))
    assert labels_of(released[2], BUYS) == {(0, 0): False}


def test_a_question_about_buyers_is_asked_of_those_who_had_bought_at_the_snapshot() -> None:
    """c1 buys for the first time in the window: it is an example of who buys, not of who stays away."""
    people = [sweep(boundary, [-1, 0.5]) for boundary in (1, 2, 3)]
    released = feed(sweep(0, [-1, None], train=[0, 1]), *people)
    assert labels_of(released[2], BUYS) == {(0, 0): False, (0, 1): True}
    assert labels_of(released[3], STAYS_AWAY) == {(0, 0): True}


def test_each_outcome_watches_its_own_counter() -> None:
    before = sweep(0, [-1, -1], train=[0, 1], called=[-1, -1])
    after = [sweep(boundary, [-1, 0.5], called=[0.2, -1]) for boundary in (1, 2)]
    *_, last = feed(before, *after, outcomes=(BUYS, CALLS))
    assert labels_of(last, BUYS) == {(0, 0): False, (0, 1): True}
    assert labels_of(last, CALLS) == {(0, 0): True, (0, 1): False}


def test_only_trainable_customers_are_snapshotted() -> None:
    *_, last = feed(sweep(0, [-1] * 3, train=[1]), sweep(1, [-1] * 3), sweep(2, [-1] * 3))
    assert labels_of(last, BUYS) == {(0, 1): False}


def test_customers_are_known_by_their_key_whoever_else_is_swept() -> None:
    """Customer 0 is dormant at the end, 3 and 4 are new: what is missing has done nothing."""
    first = sweep(0, [-1, -1, -1], train=[0, 2])
    *_, last = feed(first, sweep(1, [-1, -1, -1]), sweep(2, [0.5, 1, 1], keys=[2, 3, 4]))
    assert labels_of(last, BUYS) == {(0, 0): False, (0, 2): True}


@pytest.mark.parametrize("keys", [[], [7], [0]])
def test_a_snapshot_is_released_also_when_none_of_its_customers_is_swept(keys: list[int]) -> None:
    ordered = [1.0] * len(keys)
    *_, last = feed(sweep(0, [-1, -1, -1], train=[1, 2]), sweep(2, ordered, keys=keys))
    assert labels_of(last, BUYS) == {(0, 1): False, (0, 2): False}


@pytest.mark.parametrize(
    ("within_days", "interval_hours", "slots"),
    [(1, 24, 1), (90, 24, 90), (2, 36, 2), (3, 36, 2), (1, 31 * 24, 1), (2, 7, 7), (2, 1, 48)],
)
def test_a_window_is_rounded_up_to_sweeps(within_days: int, interval_hours: int, slots: int) -> None:
    assert window_slots(Outcome(name="x", within_days=within_days, happens=True), interval_hours) == slots


def test_a_window_that_is_no_multiple_of_the_interval_closes_at_the_next_sweep() -> None:
    released = feed(sweep(0, [-1], train=[0]), *[sweep(boundary, [-1]) for boundary in (1, 2)], interval_hours=36)
    assert [at for at, each in enumerate(released) if labels_of(each, BUYS)] == [2]


def test_the_time_of_a_boundary_follows_from_the_interval() -> None:
    """Boundary 1 of 36 hours is day 1.5."""
    released = feed(sweep(1, [-1, -1], train=[0, 1]), sweep(2, [1.4, 1.5]), sweep(3, [1.4, 1.5]), interval_hours=36)
    assert labels_of(released[-1], BUYS) == {(1, 0): False, (1, 1): True}


def test_where_nothing_is_due_there_are_examples_without_rows() -> None:
    (released,) = feed(sweep(4, [-1, -1], train=[0]))
    assert list(released) == ["buys", "stays_away"]
    for examples in released.values():
        assert (examples.features.shape, examples.features.dtype.name) == ((0, 2), "float32")
        assert (examples.labels.shape, examples.labels.dtype.name) == ((0,), "bool")


def test_a_boundary_that_is_skipped_drops_its_examples() -> None:
    state = LabelState()
    label(state, sweep(0, [-1], train=[0]), OUTCOMES, 24, MOST)
    released = [label(state, sweep(boundary, [-1]), OUTCOMES, 24, MOST) for boundary in (9, 10, 11)]
    assert not any(labels_of(each, outcome) for each in released for outcome in OUTCOMES)
    assert state.waiting == {}


def test_no_more_snapshots_wait_than_the_longest_window_has_sweeps() -> None:
    state = LabelState()
    for boundary in range(20):
        label(state, sweep(boundary, [-1], train=[0]), OUTCOMES, 24, MOST)
        assert len(state.waiting) <= 3


def test_a_snapshot_keeps_its_features_when_the_sweeps_arrays_change() -> None:
    state, values = LabelState(), np.array([[0, 0], [0, 1]], np.float32)
    swept = replace(sweep(0, [-1, -1], train=[0, 1]), features=values.__getitem__)
    label(state, swept, OUTCOMES, 24, MOST)
    values[:] = 9
    assert state.waiting[0].features.tolist() == [[0, 0], [0, 1]]


def test_no_more_customers_are_taken_than_the_sample_holds() -> None:
    *_, last = sampled(3, 0)
    keys = last["buys"].features[:, 1].tolist()
    assert len(keys) == 3
    assert keys == sorted(keys)


def sampled(most: int, boundary: int, count: int = 40) -> list[Released]:
    """What is released of the snapshot of ``count`` customers at a boundary."""
    ordered = [-1.0] * count
    first = sweep(boundary, ordered, train=range(count))
    return feed(first, *[sweep(boundary + day, ordered) for day in (1, 2)], most=most)


def test_the_sample_does_not_depend_on_who_else_is_swept() -> None:
    """Half of the customers are there in both cases; who is drawn of them follows from their keys alone."""
    keys = {key for _, key in labels_of(sampled(20, 5)[-1], BUYS)}
    fewer = sorted(keys | {38, 39})
    ordered = [-1.0] * len(fewer)
    first = sweep(5, ordered, train=fewer, keys=fewer)
    *_, last = feed(first, *[sweep(day, ordered, keys=fewer) for day in (6, 7)], most=20)
    assert {key for _, key in labels_of(last, BUYS)} == keys


def test_every_customer_is_drawn_equally_often() -> None:
    drawn = np.zeros(200)
    for boundary in range(400):
        released = sampled(50, boundary, 200)[-1]
        drawn[released["buys"].features[:, 1].astype(int)] += 1
    assert drawn.sum() == 400 * 50
    assert 60 < drawn.min() <= 100 <= drawn.max() < 140  # a mean of 100, a standard deviation of 8.7


@given(st.dictionaries(st.integers(0, 2_000), st.booleans(), max_size=30), st.integers(1, 12), st.integers(0, 50_000))
def test_each_outcome_has_the_sample_that_it_would_have_alone(
    people: Mapping[int, bool], most: int, boundary: int
) -> None:
    keys = sorted(people)
    ordered = [-1.0 if people[key] else None for key in keys]
    sweeps = [sweep(boundary + day, ordered, keys=keys, train=keys if day == 0 else ()) for day in range(4)]
    together = feed(*sweeps, most=most)
    for outcome, day in ((BUYS, 2), (STAYS_AWAY, 3)):
        alone = feed(*sweeps, outcomes=[outcome], most=most)[day][outcome.name].features[:, 1].tolist()
        assert together[day][outcome.name].features[:, 1].tolist() == alone
        assert len(alone) == min(most, len(keys) if outcome is BUYS else sum(people.values()))


def test_features_wait_in_half_precision_and_stay_finite() -> None:
    values = np.array([0.0, 1e-3, 0.5, 12.345, 2_000.4, 1e9, -1e9], np.float32)
    sweeps = [sweep(day, [-1], train=[0]) for day in range(3)]
    found = feed(*[replace(each, features=values[None, :].__getitem__) for each in sweeps])[-1]["buys"].features[0]
    assert found.dtype == np.float32
    assert np.allclose(found[:5], values[:5], rtol=2**-11, atol=1e-7)
    assert found[5:].tolist() == [65_504, -65_504]


def by_hand(history: Sequence[Sequence[float | None]], train: Sequence[Sequence[int]], at: int) -> Mapping[str, Labels]:
    """The labels that follow from all days on which customers ordered; ``history`` is the last order by boundary."""
    found: dict[str, Labels] = {}
    for outcome in OUTCOMES:
        then = at - outcome.within_days
        trained = train[then] if then >= 0 else []
        asked = [c for c in trained if outcome.of == "everyone" or history[then][c] is not None]
        found[outcome.name] = {
            (then, c): (history[at][c] is not None and history[at][c] != history[then][c]) == outcome.happens
            for c in asked
        }
    return found


class Bucket:
    def __init__(self) -> None:
        self.labels = LabelState()

    def parts(self) -> dict[str, Part]:
        return {"labels": self.labels}


@given(
    ordered=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=9),
    train=st.lists(st.sets(st.integers(0, 2)), min_size=9, max_size=9),
    steps=st.lists(st.integers(0, STEPS - 1), min_size=9, max_size=9),
)
def test_releases_agree_with_the_whole_history_also_after_restarts(
    ordered: list[list[bool]], train: list[set[int]], steps: list[int]
) -> None:
    history: list[list[float | None]] = []
    for boundary, each in enumerate(ordered):
        before = history[-1] if history else [None] * 3
        history.append([boundary - 0.5 if bought else old for bought, old in zip(each, before, strict=True)])
    chosen = [sorted(keys) for keys in train]
    state = Restarting(Bucket)
    for boundary, last in enumerate(history):
        state.step(steps[boundary])
        released = label(state.machine.labels, sweep(boundary, last, train=chosen[boundary]), OUTCOMES, 24, MOST)
        assert {each.name: labels_of(released, each) for each in OUTCOMES} == by_hand(history, chosen, boundary)
