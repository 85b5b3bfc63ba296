"""The pace of work between batches: rests after slices, shared by all steps, and longer while a store is behind."""

import pytest

from streams.pace import LEAST_SECONDS, REST, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("took", "rest"), [(1.0, REST), (0.001, LEAST_SECONDS)])
def test_after_a_slice_all_steps_rest(took: float, rest: float) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    assert pace.begin()
    clock.now += took
    pace.end()
    assert pace.next.timestamp() == pytest.approx(clock.now + rest)
    clock.now += rest - 0.001
    assert not pace.begin()
    clock.now += 0.002
    assert pace.begin()


def test_no_slice_begins_while_a_store_is_behind() -> None:
    clock, behind = Clock(), [True]
    pace = Pace(lambda: behind[0], clock)
    assert not pace.begin()
    assert pace.next.timestamp() == pytest.approx(clock.now + LEAST_SECONDS)
    behind[0] = False
    clock.now += LEAST_SECONDS + 0.001
    assert pace.begin()
