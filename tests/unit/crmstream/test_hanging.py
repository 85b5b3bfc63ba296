"""A worker whose flow hangs ends; one that waits for a store, or has not begun, does not."""

import logging

import pytest

from contracts.outages import waiting_for
from crmstream.hanging import LOOK_SECONDS, MOST_SILENT_SECONDS, Silence, end_if_hung

LOOKS = int(MOST_SILENT_SECONDS / LOOK_SECONDS)


class EnoughError(Exception):
    """The flow was looked at for long enough."""


def looks(beats: list[int]) -> int:
    """Look at a flow with these counts of beats; return the exit code, or raise EnoughError when they are used up."""
    left, codes = list(beats), list[int]()

    def rest(_: float) -> None:
        if not left:
            raise EnoughError

    end_if_hung(lambda: left.pop(0), codes.append, rest)
    return codes[0]


def test_a_flow_that_moves_no_more_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert looks([1, 2, *[3] * (LOOKS + 1)]) == 1
    assert "the flow has not moved for 900 s" in caplog.text


@pytest.mark.parametrize(
    "beats", [[0] * LOOKS * 2, list(range(LOOKS * 2)), [*[1] * LOOKS, *[2] * LOOKS]], ids=["not begun", "moves", "slow"]
)
def test_a_flow_that_moves_or_has_not_begun_goes_on(beats: list[int]) -> None:
    with pytest.raises(EnoughError):
        looks(beats)


def test_a_worker_whose_wall_clock_is_set_back_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Not at a step of a second, nor when the clock is set on."""
    ahead, codes, rested = iter([1_000.0, 999.0, 5_000.0, 1_400.0]), list[int](), list[float]()
    with caplog.at_level(logging.CRITICAL):
        end_if_hung(lambda: len(rested), codes.append, rested.append, lambda: next(ahead))
    assert (codes, len(rested)) == ([1], 3)
    assert "the wall clock was set back by 3600 s" in caplog.text


def test_a_flow_that_waits_for_a_store_goes_on() -> None:
    with waiting_for("ClickHouse"), pytest.raises(EnoughError):
        looks([1] * LOOKS * 2)


def test_what_was_silent_before_a_wait_does_not_count() -> None:
    silence = Silence()
    assert [silence.look(1, waits=waits) for waits in (False, False, True, False)] == [0, LOOK_SECONDS, 0, LOOK_SECONDS]
