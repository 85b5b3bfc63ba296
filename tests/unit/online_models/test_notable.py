"""Which rows of a sweep readers see: those that moved since what they saw last."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_blocks import people
from support.restarting import STEPS, Restarting

from contracts.blocks import PeopleBlock
from contracts.model_blocks import OutcomeScores
from online_models.notable import Memory, new_memory, notable_rows

WEEK = 7


def scores_of(*chances: float, reasons: list[int] | None = None) -> dict[str, OutcomeScores]:
    count = len(chances)
    keys = np.full((count, 3), -1)
    if reasons is not None:
        keys[:, 0] = reasons
    place, usual = np.zeros(count, np.float32), np.zeros((1, 3))
    return {"buys": OutcomeScores(np.array(chances), place, keys, usual, np.zeros(count, np.int32))}


def block(kind: str, slot: int, count: int, positions: list[int] | None = None, **rest: object) -> PeopleBlock:
    at = np.arange(count, dtype=np.int32) if positions is None else np.array(positions, np.int32)
    boundaries = np.full(count, slot, np.int32)
    features = np.zeros((count, 3), np.float32)
    return people(features, kind=kind, slot=slot, boundaries=boundaries, positions=at, **rest)  # type: ignore[arg-type]


@dataclass
class Readers:
    """What readers see of one bucket."""

    memory: Memory = field(default_factory=new_memory)

    def parts(self) -> Memory:
        return self.memory

    def see(self, people: PeopleBlock, scores: dict[str, OutcomeScores]) -> list[bool]:
        found: list[bool] = notable_rows(self.memory, people, scores, WEEK).tolist()
        return found


@pytest.fixture
def readers() -> Readers:
    return Readers()


def test_what_was_never_published_is_notable(readers: Readers) -> None:
    assert readers.see(block("sweep", 1, 2), scores_of(0.5, 0.5)) == [True, True]
    assert readers.see(block("sweep", 2, 3), scores_of(0.5, 0.5, 0.5)) == [False, False, True]


@pytest.mark.parametrize(
    ("before", "now", "notable"),
    [
        (0.5, 0.5, False), (0.5, 0.525, False), (0.5, 0.527, True), (0.5, 0.473, True), (0.5, 0.475, False),
        (0.001, 0.002, False), (0.001, 0.0022, True), (0.0, 0.0009, False), (0.0, 0.0011, True),
        (float("nan"), float("nan"), False), (float("nan"), 0.1, True), (0.1, float("nan"), True),
    ],
)  # fmt: skip
def test_a_probability_moves_by_more_than_a_thousandth_and_a_twentieth(
    readers: Readers, before: float, now: float, notable: bool
) -> None:
    readers.see(block("sweep", 7, 1), scores_of(before))
    assert readers.see(block("sweep", 8, 1), scores_of(now)) == [notable]


def test_small_moves_add_up_to_one_that_is_seen(readers: Readers) -> None:
    """What is compared is what readers saw, not the sweep before."""
    chances = [0.5, 0.51, 0.52, 0.53, 0.54]
    seen = [readers.see(block("sweep", slot, 1), scores_of(chance)) for slot, chance in enumerate(chances, 7)]
    assert seen == [[True], [False], [False], [True], [False]]


@pytest.mark.parametrize("column", ["lifecycle", "segment"])
def test_another_lifecycle_or_segment_is_notable(readers: Readers, column: str) -> None:
    first = block("sweep", 7, 2)
    readers.see(first, scores_of(0.5, 0.5))
    changed: dict[str, Any] = {column: np.array([0, 3], np.int8)}
    later = replace(block("sweep", 8, 2), **changed)
    assert readers.see(later, scores_of(0.5, 0.5)) == [False, True]


@pytest.mark.parametrize(
    ("before", "now", "notable"),
    [(6, 6, False), (6, 10, True), (6, 7, True), (-1, 6, True), (6, -1, True), (6 + 64 * 5, 6 + 64 * 9, False)],
)
def test_another_feature_or_direction_of_the_first_reason_is_notable(
    readers: Readers, before: int, now: int, notable: bool
) -> None:
    """Another value of the same feature is not."""
    readers.see(block("sweep", 7, 1), scores_of(0.5, reasons=[before]))
    assert readers.see(block("sweep", 8, 1), scores_of(0.5, reasons=[now])) == [notable]


def test_who_leaves_is_notable(readers: Readers) -> None:
    readers.see(block("sweep", 7, 2), scores_of(0.5, 0.5))
    later = replace(block("sweep", 8, 2), leaving=np.array([True, False]))
    assert readers.see(later, scores_of(0.5, 0.5)) == [True, False]


def test_everybody_is_published_once_a_week_on_a_day_of_their_own(readers: Readers) -> None:
    days = [readers.see(block("sweep", slot, 21), scores_of(*[0.5] * 21)) for slot in range(70, 85)]
    seen = np.array(days)
    assert seen[0].all()
    assert seen[1:8].sum(axis=0).tolist() == seen[8:15].sum(axis=0).tolist() == [1] * 21
    assert seen[1:].sum(axis=1).tolist() == [3] * 14


def test_sweeps_of_a_catch_up_are_not_published_and_not_remembered(readers: Readers) -> None:
    assert readers.see(block("sweep", 7, 1, publish=False), scores_of(0.5)) == [False]
    assert readers.see(block("sweep", 8, 1), scores_of(0.5)) == [True]


def test_live_people_are_always_notable_and_remembered(readers: Readers) -> None:
    readers.see(block("sweep", 7, 2), scores_of(0.5, 0.5))
    assert readers.see(block("live", 7, 1, events=2), scores_of(0.9)) == [True]
    assert readers.see(block("live", 7, 1, events=3), scores_of(0.9)) == [True]
    assert readers.see(block("sweep", 8, 2), scores_of(0.5, 0.5)) == [True, False]


def test_a_sweep_that_comes_after_newer_live_people_is_not_seen(readers: Readers) -> None:
    readers.see(block("live", 8, 1, events=9), scores_of(0.9))
    older = replace(block("sweep", 8, 1, events=8), leaving=np.ones(1, np.bool_))
    assert readers.see(older, scores_of(0.1)) == [False]


def test_restated_people_are_seen_if_they_moved(readers: Readers) -> None:
    readers.see(block("live", 8, 2), scores_of(0.5, 0.5))
    assert readers.see(block("restated", 8, 3), scores_of(0.5, 0.7, 0.5)) == [False, True, True]


def test_tables_have_memories_of_their_own(readers: Readers) -> None:
    readers.see(block("live", 8, 1), scores_of(0.5))
    assert readers.see(block("restated", 8, 1, table="devices"), scores_of(0.5)) == [True]
    assert readers.see(block("restated", 8, 1, table="addresses"), scores_of(0.5)) == [True]


def test_a_visitor_at_the_position_of_one_who_left_is_new(readers: Readers) -> None:
    readers.see(block("live", 8, 2, table="devices", keys=[11, 12]), scores_of(0.5, 0.5))
    again = block("restated", 9, 2, table="devices", keys=[11, 13])
    assert readers.see(again, scores_of(0.5, 0.5)) == [False, True]


def test_an_outcome_that_is_new_is_notable(readers: Readers) -> None:
    first = scores_of(0.5)
    readers.see(block("sweep", 7, 1), first)
    assert readers.see(block("sweep", 8, 1), first | {"churn": first["buys"]}) == [True]


def test_nobody_is_seen_in_an_empty_block(readers: Readers) -> None:
    assert readers.see(block("sweep", 7, 0), scores_of()) == []


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["live", "sweep", "restated"]),
            st.sets(st.sampled_from([0, 1, 2, 5, 300, 700]), min_size=1),
            st.integers(0, 3),
        ),
        max_size=12,
    ),
    steps=st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=12),
)
def test_readers_never_miss_a_move_also_after_restarts(
    moves: list[tuple[str, set[int], int]], steps: list[int]
) -> None:
    """After every published block readers know everybody in it up to the tolerance, and nobody twice for nothing."""
    readers, known, turns = Restarting(Readers), dict[int, tuple[int, float]](), itertools.cycle(steps)
    for step, (kind, chosen, tenths) in enumerate(moves):
        readers.step(next(turns))
        positions, chance = sorted(chosen), tenths / 10
        seen = readers.machine.see(block(kind, step, len(chosen), positions), scores_of(*[chance] * len(chosen)))
        for position, shown in zip(positions, seen, strict=True):
            slot, before = known.get(position, (-1, -1.0))
            moved = (
                abs(chance - before) > 0.001 + 0.05 * before or (step + position) // WEEK > (slot + position) // WEEK
            )
            assert shown == (kind == "live" or position not in known or moved)
            if shown:
                known[position] = (step, chance)
