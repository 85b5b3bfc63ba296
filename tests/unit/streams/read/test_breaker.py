"""The breaker for dead letters: trips by the log alone, diverts nothing that was not accepted, goes on once."""

import json
import pickle
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.consumer import FakeConsumer, Place
from support.records import DAY, NOW, POLICY, Record, event

from contracts.events import TICK_KEY
from contracts.resumed import FILE, add_resumed, read_resumed
from contracts.topics import INPUT_TOPICS, WEB_EVENTS
from streams.read.breaker import Breaker, BreakerPolicy, Records
from streams.read.config import SourceConfig
from streams.read.consumer import Bound, SharedConsumer
from streams.read.lane import LanePolicy, LaneState
from streams.read.pausing import AcceptedOffsets
from streams.read.source import LaneReader

HALF = BreakerPolicy.of(0.5, 8, 1)
assert HALF is not None
WEB = (WEB_EVENTS.name, 0)


# The rule


def too_many(kinds: list[bool], policy: BreakerPolicy) -> int | None:
    """The first record, of kinds (True: invalid), with which too many of the newest ones are invalid."""
    for at in range(len(kinds)):
        if kinds[at] and sum(kinds[max(0, at + 1 - policy.window) : at + 1]) > policy.most:
            return at
    return None


@given(kinds=st.lists(st.booleans(), max_size=60), cuts=st.lists(st.integers(1, 9)), share=st.integers(0, 10))
def test_it_trips_at_the_same_record_however_batches_are_cut(kinds: list[bool], cuts: list[int], share: int) -> None:
    policy = BreakerPolicy.of(share / 10, 8, 1)
    assert policy is not None
    breaker, at, tripped = Breaker(), 0, None
    while at < len(kinds) and tripped is None:
        size = cuts.pop() if cuts else 4
        offsets = range(at, min(at + size, len(kinds)))
        invalid = [offset for offset in offsets if kinds[offset]]
        if invalid:
            tripped = breaker.judge(Records(offsets, invalid), policy)
        else:
            breaker.pass_valid(len(offsets), policy)
        at += size
    assert tripped == breaker.tripped_at == too_many(kinds, policy)
    assert len(breaker.bad) <= policy.most, "its memory is bounded"


def test_each_lane_looks_at_its_part_of_the_newest_records() -> None:
    assert BreakerPolicy.of(0.5, 1_000, 4) == BreakerPolicy(250, 125)
    assert BreakerPolicy.of(None, 1_000, 4) is None


# Lanes


@dataclass
class Accepted:
    """What somebody has accepted."""

    before: int = 0

    def __call__(self, cluster: str, topic: str, partition: int) -> int:
        return self.before if cluster == FakeConsumer.cluster and topic == WEB_EVENTS.name and partition == 0 else 0


@dataclass
class Reading:
    """One lane over logs in memory, with what it made of them."""

    logs: dict[Place, list[Record]]
    policy: BreakerPolicy | None = HALF
    accepted: Any = field(default_factory=Accepted)
    batch: int = 3
    events: list[str] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start(None)

    def start(self, resume: LaneState | None) -> None:
        config = SourceConfig(
            "", POLICY, LanePolicy(7 * DAY, 90 * DAY, self.batch), 10, lambda: False,
            breaker=self.policy, accepted=self.accepted,
        )  # fmt: skip
        self.lane = LaneReader(0, config, SharedConsumer(FakeConsumer(self.logs), Bound(), Ticking()), resume)

    def restart(self) -> None:
        """End with a snapshot, and start from its bytes."""
        self.start(pickle.loads(pickle.dumps(self.lane.snapshot())))

    def run(self, rounds: int = 40) -> None:
        for _ in range(rounds):
            for batch in self.lane.next_batch():
                self.dead += [letter.offset for letter in batch.dead]
                self.events += [
                    one for rows in batch.facts for one in rows.render([]).column("event_id").to_pylist()
                ]  # fmt: skip

    @property
    def tripped_at(self) -> int | None:
        breaker = self.lane._state.topics[WEB_EVENTS.name].breaker
        return None if breaker is None else breaker.tripped_at


class Ticking:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def tick() -> Record:
    body = {"kind": "tick", "occurred_at": NOW.isoformat(), "source": "t"}
    return Record(json.dumps(body).encode(), record_key=TICK_KEY)


def web(kinds: list[bool | None]) -> dict[Place, list[Record]]:
    """A web log: invalid records (True), events (False), and ticks (None)."""
    logs = {(topic.name, 0): [tick()] for topic in INPUT_TOPICS}
    logs[WEB] = [
        tick() if bad is None else Record(b"broken" if bad else json.dumps(event(event_id=f"e-{at}")).encode())
        for at, bad in enumerate(kinds)
    ]
    return logs


GOOD, BAD, TICK = False, True, None
MIXED = [TICK, GOOD, BAD, GOOD, BAD, TICK, BAD, GOOD, BAD, TICK, BAD, GOOD, BAD, GOOD, GOOD]
"""The fifth invalid one of eight is at offset 10."""


def everything(kinds: list[bool | None]) -> tuple[list[str], list[int]]:
    return [f"e-{at}" for at, bad in enumerate(kinds) if bad is False], [at for at, bad in enumerate(kinds) if bad]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_topic_is_read_up_to_the_record_that_is_one_too_many(batch: int) -> None:
    reading = Reading(web(MIXED), batch=batch)
    reading.run()
    assert reading.tripped_at == 10
    assert (reading.events, reading.dead) == everything(MIXED[:10])
    assert reading.lane._state.topics[WEB_EVENTS.name].offset == 10
    reading.run()
    assert reading.dead == [2, 4, 6, 8], "nothing more is diverted"


def test_other_topics_are_read_on_while_one_is_paused() -> None:
    reading = Reading(web([BAD] * 20))
    reading.run()
    order = event("transaction", "Order Completed", event_id="o-1", properties={"total": 5, "currency": "USD"})
    reading.logs["crm-transactions", 0].append(Record(json.dumps(order).encode()))
    reading.run()
    assert reading.events == ["o-1"]
    assert not reading.lane._state.at_end


def test_a_paused_topic_does_not_stop_live_scores_of_the_others() -> None:
    """However many of its records wait: ten are a backlog here."""
    reading = Reading(web([BAD] * 200))
    reading.run()
    assert reading.tripped_at is not None
    assert reading.lane._progress().fresh
    reading.accepted.before = 1_000
    reading.lane.next_batch()
    assert not reading.lane._progress().fresh, "it catches up"


def test_without_a_breaker_everything_is_diverted() -> None:
    reading = Reading(web(MIXED), policy=None)
    reading.run()
    assert (reading.events, reading.dead) == everything(MIXED)


def test_it_stays_paused_over_restarts_and_goes_on_without_loss_or_doubles() -> None:
    reading = Reading(web(MIXED))
    reading.run()
    reading.restart()
    reading.run()
    assert reading.tripped_at == 10
    assert reading.dead == [2, 4, 6, 8]
    reading.accepted.before = len(MIXED)
    reading.run()
    reading.restart()
    reading.run()
    assert (reading.events, reading.dead) == everything(MIXED)


def test_it_does_not_trip_again_on_what_was_accepted_but_on_as_many_new_ones() -> None:
    reading = Reading(web(MIXED))
    reading.run()
    reading.accepted.before = len(MIXED)
    reading.logs[WEB] += web([BAD] * 4)[WEB]
    reading.run()
    assert reading.tripped_at is None
    reading.logs[WEB] += web([BAD] * 4)[WEB]
    reading.run()
    assert reading.tripped_at == len(MIXED) + 4


def test_a_log_that_is_read_again_from_the_start_goes_through_what_was_accepted() -> None:
    reading = Reading(web(MIXED), accepted=Accepted(len(MIXED)))
    reading.run()
    assert (reading.events, reading.dead) == everything(MIXED)


def test_turning_it_off_lets_the_topic_go_on() -> None:
    reading = Reading(web(MIXED))
    reading.run()
    reading.policy = None
    reading.restart()
    reading.run()
    assert (reading.events, reading.dead) == everything(MIXED)


@given(
    kinds=st.lists(st.sampled_from([GOOD, GOOD, BAD, BAD, BAD, TICK]), max_size=50),
    batch=st.integers(1, 12), steps=st.lists(st.sampled_from(["run", "restart", "crash", "accept"]), max_size=12),
)  # fmt: skip
def test_whatever_happens_each_record_is_read_once_and_in_order(
    kinds: list[bool | None], batch: int, steps: list[str]
) -> None:
    reading = Reading(web(kinds), batch=batch)
    for step in [*steps, "accept", "run", "run"]:
        if step == "accept":
            reading.accepted.before = len(kinds)
        elif step == "restart":
            reading.restart()
        elif step == "crash":  # all since the snapshot is taken back
            saved, kept = deepcopy(reading.lane.snapshot()), (list(reading.events), list(reading.dead))
            reading.run(3)
            reading.start(saved)
            reading.events, reading.dead = kept
        else:
            reading.run(60)
    assert (reading.events, reading.dead) == everything(kinds)


# What is accepted


def test_accepted_offsets_are_kept_in_a_file_and_only_grow(tmp_path: Path) -> None:
    accepted = AcceptedOffsets(tmp_path)
    assert accepted("one", "crm-web-events", 0) == 0
    add_resumed(tmp_path, "one", {("crm-web-events", 0): 7, ("crm-web-events", 1): 3})
    assert (accepted("one", "crm-web-events", 0), accepted("one", "crm-web-events", 1)) == (7, 3)
    add_resumed(tmp_path, "one", {("crm-web-events", 0): 5, ("crm-transactions", 0): 9})
    assert read_resumed(tmp_path, "one") == {
        ("crm-web-events", 0): 7, ("crm-web-events", 1): 3, ("crm-transactions", 0): 9,
    }  # fmt: skip
    assert accepted("one", "crm-transactions", 0) == 9
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_was_accepted_in_another_cluster_accepts_nothing(tmp_path: Path) -> None:
    """A new Kafka counts from 0 again: old offsets would switch the breaker off for as many records."""
    accepted = AcceptedOffsets(tmp_path)
    add_resumed(tmp_path, "one", {("crm-web-events", 0): 7})
    assert accepted("one", "crm-web-events", 0) == 7
    assert accepted("other", "crm-web-events", 0) == 0
    add_resumed(tmp_path, "other", {("crm-web-events", 1): 2})
    assert accepted("other", "crm-web-events", 1) == 2
    assert accepted("one", "crm-web-events", 0) == 0
    assert read_resumed(tmp_path, "one") == {}


def test_a_broken_file_accepts_nothing_more(tmp_path: Path) -> None:
    add_resumed(tmp_path, "one", {("crm-web-events", 0): 7})
    accepted = AcceptedOffsets(tmp_path)
    accepted("one", "crm-web-events", 0)
    (tmp_path / FILE).write_text("[")
    assert accepted("one", "crm-web-events", 0) == 7
