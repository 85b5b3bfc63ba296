"""What is asked of Kafka just after a broker's start, when nobody coordinates groups yet."""

from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from contracts.errors import StoreUnavailableError
from crmstream.observe import kafka as module
from crmstream.observe.kafka import KafkaView

PLACE = ("crm-transactions", 0)


def view(*answers: object, monkeypatch: pytest.MonkeyPatch) -> KafkaView:
    """A view whose group answers so, one call after the other; the log has one partition."""
    monkeypatch.setattr(module, "COORDINATOR_PAUSE_SECONDS", 0)
    made = KafkaView("127.0.0.1:1")
    topic = Mock(topic=PLACE[0], partitions={0: None})
    made._admin = Mock(list_topics=Mock(return_value=Mock(topics={PLACE[0]: topic})))
    made._list = Mock(return_value={PLACE: 9})
    made._group = Mock(committed=Mock(side_effect=answers))
    return made


def problem(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_a_group_without_coordinator_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    position = TopicPartition(*PLACE, 7)
    asked = view(problem(KafkaError.NOT_COORDINATOR), problem(KafkaError.COORDINATOR_LOAD_IN_PROGRESS), [position],
                 monkeypatch=monkeypatch)  # fmt: skip
    assert asked.offsets().committed == {PLACE: 7}


def test_another_refusal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = view(problem(KafkaError.GROUP_AUTHORIZATION_FAILED), [], monkeypatch=monkeypatch)
    with pytest.raises(StoreUnavailableError, match="authoriz"):
        asked.offsets()
    assert asked._group.committed.call_count == 1
