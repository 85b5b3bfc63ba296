"""Lanes and workers say what they wait for."""

from datetime import UTC, datetime

import pytest

from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets
from crmstream.observe.lanes import LaneView, paused_topics, read_lanes, store_waits
from crmstream.observe.metrics import parse_samples

WEB = INPUT_TOPICS[0].name
AHEAD, BEHIND = 1_714_521_600, 1_714_521_600 - 4 * 3_600


def page(*lines: str) -> str:
    names = dict.fromkeys(line.split("{")[0] for line in lines)
    return "".join(
        f"# TYPE {name} gauge\n" + "".join(f"{line}\n" for line in lines if line.startswith(f"{name}{{"))
        for name in names
    )  # fmt: skip


ONE = parse_samples(page(
    f'crm_event_clock_seconds{{partition="0"}} {AHEAD}', 'crm_waits_for_partition{partition="0"} 3',
    'crm_waits_for_partition{partition="2"} 2',
    'crm_waits_for_store_since_seconds{store="Redis"} 100', 'crm_waits_for_store_since_seconds{store="Kafka"} 0',
))  # fmt: skip
TWO = parse_samples(page(
    f'crm_event_clock_seconds{{partition="3"}} {BEHIND}', 'crm_waits_for_partition{partition="3"} -1',
    'crm_boundaries_left{} 14',
    f'crm_topic_paused{{topic="{WEB}",partition="3"}} 1', f'crm_topic_paused{{topic="{WEB}",partition="1"}} 0',
))  # fmt: skip


def test_lanes_of_all_workers_with_what_they_wait_for() -> None:
    low = dict.fromkeys(((WEB, 0), (WEB, 3)), 0)
    lanes = read_lanes([ONE, None, TWO], Offsets(low, {(WEB, 0): 10, (WEB, 3): 70}, {(WEB, 0): 8}), 112.0)
    ahead = datetime.fromtimestamp(AHEAD, UTC)
    behind = datetime.fromtimestamp(BEHIND, UTC)
    assert lanes == (
        LaneView(0, 0, ahead, 2, 3, 4 * 3_600.0, stores={"Redis": 12.0}),
        LaneView(2, 0, None, 0, 2, stores={"Redis": 12.0}),
        LaneView(3, 2, behind, 70, paused=(WEB,), boundaries=14),
    )
    assert [lane.state for lane in lanes] == [
        "waits for Redis since 12 s; waits for lane 3 (behind by 4 h)",
        "waits for Redis since 12 s; waits for its own slowest topic",
        f"paused: {WEB} (too many invalid records; no sweep until it goes on); "
        "waits until customers have crossed 14 boundaries",
    ]  # fmt: skip
    assert paused_topics([ONE, None, TWO]) == [(WEB, 3)]


def test_without_offsets_the_lag_is_unknown() -> None:
    assert [lane.lag for lane in read_lanes([TWO], None)] == [None]


@pytest.mark.parametrize(("now", "span"), [(112, "12 s"), (99, "0 s"), (400, "5 min"), (100 + 86_400 * 3, "3 d")])
def test_a_worker_says_since_when_it_waits_for_a_store(now: float, span: str) -> None:
    assert store_waits(ONE, now) == f"waits for Redis since {span}"
    assert store_waits(TWO, now) == ""
