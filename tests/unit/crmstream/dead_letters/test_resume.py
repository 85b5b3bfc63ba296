"""Which topics a resume lets go on, and what it accepts."""

from pathlib import Path

import pytest

from contracts.resumed import read_resumed
from contracts.topics import INPUT_TOPICS
from crmstream.dead_letters.resume import NotPausedError, Resumed, chosen_topics, plan_resume, resume
from crmstream.observe.kafka import Offsets

WEB, ORDERS = INPUT_TOPICS[0].name, INPUT_TOPICS[1].name
PLACES = [(WEB, 0), (WEB, 1), (ORDERS, 0)]
OFFSETS = Offsets(dict.fromkeys(PLACES, 0), {(WEB, 0): 50, (WEB, 1): 9, (ORDERS, 0): 7}, {(WEB, 0): 20})


def test_all_paused_topics_go_on_unless_some_are_named() -> None:
    assert chosen_topics([], [(WEB, 0), (WEB, 1)]) == [WEB]
    assert chosen_topics([ORDERS], [(WEB, 0)]) == [ORDERS]


def test_a_topic_that_is_not_there_or_not_paused_is_an_error() -> None:
    with pytest.raises(NotPausedError, match=WEB):
        chosen_topics(["crm-web"], [(WEB, 0)])
    with pytest.raises(NotPausedError, match="--topic"):
        chosen_topics([], [])


def test_all_partitions_are_accepted_up_to_the_end_of_the_log(tmp_path: Path) -> None:
    assert plan_resume([WEB, ORDERS], [(WEB, 0)], OFFSETS) == [Resumed(WEB, (0,), 30), Resumed(ORDERS, (), 0)]
    resume(tmp_path, "cluster", [WEB], OFFSETS)
    resume(tmp_path, "cluster", [WEB], OFFSETS)
    assert read_resumed(tmp_path, "cluster") == {(WEB, 0): 50, (WEB, 1): 9}
