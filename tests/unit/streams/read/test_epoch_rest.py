"""The rest of a lane while other workers end an epoch."""

from math import inf

import pytest

from streams.read.epoch_rest import LONGEST_SECONDS, PART, EpochRest


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def waited(rest: EpochRest, clock: Clock, seconds: float, epoch: float = 2.0) -> None:
    """Let an epoch end, the other workers take so long, and the next epoch pass."""
    rest.end()
    clock.now += seconds
    rest.go_on()
    clock.now += max(0.0, epoch - seconds)


def test_a_lane_rests_with_the_last_batch_of_an_epoch_only(clock: Clock) -> None:
    rest = EpochRest(2.0, clock)
    for _ in range(3):
        waited(rest, clock, 0.4)
    assert rest.seconds() == pytest.approx(PART * 0.4)
    rest.end()
    clock.now += 0.4
    rest.go_on()
    assert rest.seconds() == 0.0, "an epoch that has just begun"
    clock.now += 1.5
    assert rest.seconds() == 0.0
    clock.now += 0.1
    assert rest.seconds() > 0


def test_the_shortest_of_the_last_waits_counts(clock: Clock) -> None:
    rest = EpochRest(2.0, clock)
    for seconds in (5.0, 0.8, 1.0):
        waited(rest, clock, seconds)
    assert rest.seconds() == pytest.approx(PART * 0.8)
    for _ in range(3):
        waited(rest, clock, 1.2)
    assert rest.seconds() == pytest.approx(PART * 1.2), "old waits are forgotten"


def test_a_rest_is_never_long(clock: Clock) -> None:
    rest = EpochRest(2.0, clock)
    for _ in range(3):
        waited(rest, clock, 120.0)
    assert rest.seconds() == LONGEST_SECONDS


def test_a_rest_that_was_too_long_becomes_shorter(clock: Clock) -> None:
    rest = EpochRest(2.0, clock)
    for _ in range(3):
        waited(rest, clock, 1.0)
    for _ in range(20):  # the others are ready at once, so that the wait is as long as the rest
        waited(rest, clock, rest.seconds())
    assert rest.seconds() < 0.01


def test_nothing_rests_before_the_first_waits_are_known(clock: Clock) -> None:
    rest = EpochRest(2.0, clock)
    clock.now += 10
    rest.go_on()
    assert rest.seconds() == 0.0
    waited(rest, clock, 3.0)
    assert rest.seconds() == 0.0, "one long wait says nothing yet"


def test_a_single_worker_never_rests(clock: Clock) -> None:
    rest = EpochRest(inf, clock)
    for _ in range(5):
        waited(rest, clock, 1.0, 1_000_000.0)
    assert rest.seconds() == 0.0
