"""Retrying: pauses that grow, one line per outage, and a way to give up."""

import pytest

from contracts.errors import StoreUnavailableError
from sinks.retries import Retrying, first_line


def failing(times: int, error: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def action() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return calls, action


def retrying(pauses: list[float], give_up_after: int = 1_000) -> Retrying:
    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) >= give_up_after

    return Retrying("Store", lambda error: isinstance(error, OSError), wait)


def test_pauses_double_up_to_five_seconds_with_jitter() -> None:
    pauses: list[float] = []
    _, action = failing(40, OSError("down"))
    assert retrying(pauses).call(action) == "done"  # type: ignore[arg-type]
    assert len(pauses) == 40
    for failure, pause in enumerate(pauses):
        longest = min(5.0, 0.1 * 2**failure)
        assert longest / 2 <= pause <= longest
    assert len({round(pause, 6) for pause in pauses[10:]}) > 1


def test_an_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    _, action = failing(9, OSError("no route to 'c-1@example.org'"))
    retrying([]).call(action)  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "c-1" not in caplog.text


def test_other_errors_are_raised_at_once() -> None:
    calls, action = failing(9, KeyError("x"))
    with pytest.raises(KeyError):
        retrying([]).call(action)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_giving_up_is_an_error_that_says_so() -> None:
    _, action = failing(9, OSError("down"))
    with pytest.raises(StoreUnavailableError, match="Store did not answer before its writer was closed"):
        retrying([], give_up_after=3).call(action)  # type: ignore[arg-type]


def test_first_line_is_short_and_quotes_nothing() -> None:
    assert first_line(ValueError("bad 'c-1' here\nsecond")) == "bad '...' here"
    assert len(first_line(ValueError("x" * 1_000))) == 300
    assert first_line(ValueError()) == ""
