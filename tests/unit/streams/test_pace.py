"""The pace of work between batches: rests after slices, shared by all steps, and longer while a store is behind."""

import time
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from streams.dataflow import _behind
from streams.pace import LEAST_SECONDS, REST, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize(("took", "rest"), [(1.0, REST), (0.001, LEAST_SECONDS)])
def test_after_a_slice_all_steps_rest(took: float, rest: float) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    assert pace.begin()
    clock.now += took
    pace.end()
    assert seconds_until(pace.next) == pytest.approx(rest, abs=0.01)
    clock.now += rest - 0.001
    assert not pace.begin()
    clock.now += 0.002
    assert pace.begin()


def test_no_slice_begins_while_a_store_is_behind() -> None:
    clock, behind = Clock(), [True]
    pace = Pace(lambda _: behind[0], clock)
    assert not pace.begin()
    assert seconds_until(pace.next) == pytest.approx(LEAST_SECONDS, abs=0.01)
    behind[0] = False
    clock.now += LEAST_SECONDS + 0.001
    assert pace.begin()


def test_a_wall_clock_that_is_set_back_makes_no_rest_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: wall)
    pace = Pace()
    assert pace.begin()
    pace.end()
    wall -= 3_600
    assert seconds_until(pace.next) <= LEAST_SECONDS
    time.sleep(LEAST_SECONDS + 0.005)
    assert pace.begin()


def test_a_pace_that_was_never_asked_has_no_work() -> None:
    pace = Pace(clock=Clock())
    assert not pace.is_asked
    assert pace.next <= datetime.now(UTC)
    assert pace.is_asked


@pytest.mark.parametrize(
    ("hashes", "rows", "sweeps", "others"),
    [(0, 0, True, True), (4_001, 0, False, False), (0, 250_000, True, True), (0, 250_001, False, True)],
)
def test_slices_wait_for_the_stores_that_they_write_to(hashes: int, rows: int, sweeps: bool, others: bool) -> None:
    def stores(waiting: int) -> Any:
        return SimpleNamespace(writer=SimpleNamespace(waiting=waiting))

    clock = Clock()
    pace = Pace(partial(_behind, stores(hashes), stores(rows)), clock)
    assert pace.begin(makes_rows=True) is sweeps
    clock.now += LEAST_SECONDS
    assert pace.begin(makes_rows=False) is others
