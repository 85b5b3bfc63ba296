"""Waiting ends when what stood in the log has been read, and says so when it takes too long."""

from dataclasses import replace

import pytest

from contracts.topics import INPUT_TOPICS
from crmstream.observe import waiting
from crmstream.observe.kafka import Offsets, Waiting
from crmstream.observe.waiting import NotDoneError, is_done, wait_for_dataflow

TOPIC = INPUT_TOPICS[0].name
OFFSETS = Offsets({(TOPIC, 0): 0, ("crm-dead-letters", 0): 0}, {(TOPIC, 0): 10, ("crm-dead-letters", 0): 9}, {})


@pytest.mark.parametrize(("read", "done"), [(0, False), (9, False), (10, True), (12, True)])
def test_only_what_the_dataflow_reads_counts(read: int, done: bool) -> None:
    assert is_done(replace(OFFSETS, committed={(TOPIC, 0): read}), OFFSETS.end) is done


class View:
    """A Kafka whose group reads one record more each time it is asked, up to ``end``."""

    end, left, asked = 10, Waiting(1, 0), 0

    def __init__(self, _: str):
        type(self).asked = 0

    def offsets(self) -> Offsets:
        type(self).asked += 1
        return replace(OFFSETS, committed={(TOPIC, 0): min(self.asked, self.end)})

    def waiting(self, _: Offsets, __: int) -> dict[str, Waiting]:
        return {TOPIC: self.left}


def test_waiting_ends_at_the_goal_or_when_no_record_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "KafkaView", View)
    wait_for_dataflow("k", 60, lambda _: None)
    assert View.asked == 10
    monkeypatch.setattr(View, "end", 9)
    with pytest.raises(NotDoneError):
        wait_for_dataflow("k", 0.01, lambda _: None)
    monkeypatch.setattr(View, "left", Waiting(0, 0))
    wait_for_dataflow("k", 60, lambda _: None)
