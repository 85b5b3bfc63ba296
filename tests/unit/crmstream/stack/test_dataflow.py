"""When the dataflow's processes are started again."""

import pytest

from crmstream.stack.dataflow import RestartPolicy


def test_each_wait_doubles_and_the_sixth_death_in_five_minutes_is_the_last() -> None:
    policy = RestartPolicy()
    starts = [policy.next_start(now) for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)]
    assert starts == [0.5, 2.0, 4.0, 7.0, 12.0, None]


def test_old_deaths_are_forgotten() -> None:
    policy = RestartPolicy()
    for now in (0.0, 1.0, 2.0, 3.0, 4.0):
        policy.next_start(now)
    assert policy.next_start(302.5) == pytest.approx(302.5 + 2.0)  # those at 3 and 4 still count
    assert policy.next_start(900.0) == pytest.approx(900.5)
