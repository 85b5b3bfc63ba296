"""When a process counts as up, silent or frozen."""

from datetime import UTC, datetime, timedelta

import pytest

from crmstream.stack.pulse import Pulse, State

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def asked(pulse: Pulse, answers: str, seconds: float, pid: int = 1) -> State:
    """Note answers (``+``) and misses (``-``), so many seconds apart."""
    for number, answer in enumerate(answers):
        pulse.note(pid, answer == "+", NOW + timedelta(seconds=seconds * number), seconds)
    return pulse.state(pid)


@pytest.mark.parametrize(
    ("answers", "seconds", "state"),
    [
        ("", 2, State.STARTING),
        ("-----", 2, State.STARTING),
        ("+", 2, State.UP),
        ("+--", 8, State.UP),  # two misses are none yet
        ("+----", 2, State.UP),  # for eight seconds
        ("+-----", 2, State.SILENT),
        ("+-----+", 2, State.UP),
        ("+" + "-" * 29, 2, State.SILENT),
        ("+" + "-" * 30, 2, State.FROZEN),
        ("-" * 149, 2, State.STARTING),
        ("-" * 150, 2, State.FROZEN),  # five minutes
        ("+---", 3_600, State.SILENT),  # the supervisor itself was stopped
    ],
)
def test_the_state_follows_from_answers_and_time(answers: str, seconds: float, state: State) -> None:
    assert asked(Pulse(), answers, seconds) is state


def test_silence_is_dated_by_its_first_question() -> None:
    pulse = Pulse()
    asked(pulse, "+-----", 2)
    assert pulse.since == NOW + timedelta(seconds=2)
    asked(pulse, "+", 2)
    assert pulse.since is None


def test_another_process_begins_anew() -> None:
    pulse = Pulse()
    asked(pulse, "+-------", 5)
    assert pulse.state(2) is State.STARTING
    assert pulse.state(None) is State.DOWN
    assert asked(pulse, "-", 2, pid=2) is State.STARTING
    assert asked(pulse, "+", 2, pid=2) is State.UP
