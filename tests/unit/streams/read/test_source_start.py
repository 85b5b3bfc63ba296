"""A reader that starts while no broker answers waits for one, like a running reader."""

import logging
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from contracts.errors import LogMismatchError, StoreUnavailableError
from streams.read.source import LaneReader


def reader(*answers: object, stopping: bool = False) -> LaneReader:
    """One whose connecting gives these answers in turn."""
    left = list(answers)

    def start(_resume: object) -> object:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = object.__new__(LaneReader)
    made._config = SimpleNamespace(stopping=lambda: stopping)  # type: ignore[assignment]
    made._start = start  # type: ignore[assignment,method-assign]
    return made


def kafka(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_a_broker_that_hangs_is_waited_for_and_told_once(code: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = reader(kafka(code), kafka(code), kafka(code), "there")._start_when_there(None)
    assert found == "there"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_who_is_asked_to_stop_waits_no_more() -> None:
    with pytest.raises(StoreUnavailableError, match="Kafka does not answer"):
        reader(kafka(KafkaError._TIMED_OUT), stopping=True)._start_when_there(None)


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_what_does_not_pass_by_itself_is_an_error(code: int) -> None:
    with pytest.raises(StoreUnavailableError):
        reader(kafka(code))._start_when_there(None)


def test_another_log_is_refused_at_once() -> None:
    with pytest.raises(LogMismatchError):
        reader(LogMismatchError("another"))._start_when_there(None)
