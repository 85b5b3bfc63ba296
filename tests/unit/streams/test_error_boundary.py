"""What ends a dataflow is kept and logged before it gets to the engine, and goes on unchanged."""

import logging

import pytest

from contracts.errors import StoreRefusedError
from streams import error_boundary as edge
from streams.error_boundary import error_boundary


@pytest.fixture(autouse=True)
def failures(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    kept: list[BaseException] = []
    monkeypatch.setattr(edge, "failures", kept)
    return kept


@error_boundary
def divide(number: int, *, by: int) -> float:
    return number / by


@error_boundary
def fail(error: BaseException) -> None:
    raise error


def test_what_works_is_not_touched(failures: list[BaseException]) -> None:
    assert divide(3, by=2) == 1.5
    assert divide.__name__ == "divide"
    assert failures == []


@pytest.mark.parametrize("error", [ValueError("x"), StoreRefusedError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_is_raised_is_kept_and_goes_on(error: BaseException, failures: list[BaseException]) -> None:
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error
    assert failures == [error]


def test_the_first_cause_comes_first(failures: list[BaseException]) -> None:
    first, second = ValueError("first"), KeyError("second")
    for error in (first, second):
        with pytest.raises(type(error)):
            fail(error)
    assert failures == [first, second]


def test_the_end_of_the_input_is_no_failure(failures: list[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StopIteration):
        fail(StopIteration())
    assert failures == []
    assert caplog.records == []


def test_a_mistake_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        divide(1, by=0)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.CRITICAL, "division by zero")
    assert record.exc_info


def test_what_a_person_must_act_on_is_logged_in_its_own_words_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StoreRefusedError):
        fail(StoreRefusedError("the table has another shape"))
    (record,) = caplog.records
    assert record.getMessage() == "the table has another shape"
    assert not record.exc_info
