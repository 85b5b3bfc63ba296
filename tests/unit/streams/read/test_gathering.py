"""How long messages gather: as long as the steps worked, near the end of the log only, and never long."""

import pytest

from streams.read.gathering import GATHER, LONGEST_GATHER, Gathering


def near() -> bool:
    return True


def test_messages_gather_as_long_as_the_steps_worked() -> None:
    gathering = Gathering()
    assert gathering.seconds(0, 10.0, near) == 0
    gathering.found(0, 10.0)
    gathering.found(2, 10.001)  # of the same round
    assert gathering.seconds(1, 10.002, near) == 0  # lane 0 has not been asked again: the steps have not worked
    assert gathering.seconds(0, 10.010, near) == pytest.approx(GATHER * 0.010)
    assert gathering.seconds(1, 10.015, near) == pytest.approx(GATHER * 0.010 - 0.005)
    assert gathering.seconds(0, 10.010 + GATHER * 0.010, near) == pytest.approx(0.0)


def test_messages_never_gather_for_long() -> None:
    gathering = Gathering()
    gathering.found(0, 10.0)
    assert gathering.seconds(0, 99.0, near) == pytest.approx(LONGEST_GATHER)


def test_nothing_gathers_while_a_lane_catches_up() -> None:
    gathering = Gathering()
    gathering.found(0, 10.0)
    assert gathering.seconds(0, 10.010, lambda: False) == 0
    assert gathering.seconds(0, 10.011, near) == 0
