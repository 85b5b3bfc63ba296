"""Lanes that are ahead wait for the slowest one: memory is bounded, and no schedule makes them wait for ever."""

import json
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.consumer import FakeConsumer, Place
from support.records import DAY, NOW, POLICY, Record, event

from contracts.blocks import LaneBatch, Progress
from contracts.events import TICK_KEY
from contracts.topics import INPUT_TOPICS, WEB_EVENTS
from streams.read.announce import ClockWriter, announcements
from streams.read.config import SourceConfig
from streams.read.consumer import Bound, SharedConsumer
from streams.read.lane import LanePolicy, LaneState
from streams.read.places import place_of
from streams.read.skew import FAR_AHEAD, FAR_BEHIND, LaneClocks, SkewPolicy
from streams.read.source import LaneReader

TOPICS = [topic.name for topic in INPUT_TOPICS]
BATCH = 5
MOST_EVENTS = 20
MOST_TIME = 10 * DAY
BEGIN = NOW - timedelta(days=60)


def clocks(lanes: int, most_events: int = MOST_EVENTS, most_time: int = MOST_TIME) -> LaneClocks:
    return LaneClocks(SkewPolicy(lanes, DAY, most_time, most_events))


# The rules


def test_without_a_bound_nothing_is_held() -> None:
    free = LaneClocks()
    free.join(0, {})
    free.reach(0, 5)
    free.count(0, 9 * DAY, np.array([9]))
    assert (free.horizon, free.behind()) == (FAR_AHEAD, None)


def test_the_horizon_is_a_span_of_time_after_the_slowest_lane() -> None:
    known = clocks(2)
    known.reach(0, 50)
    assert known.horizon == FAR_AHEAD, "not before all lanes are known"
    known.reach(1, 3)
    assert known.horizon == 3 * DAY + MOST_TIME
    known.reach(1, 2)
    assert known.slowest == 3, "clocks never go back"


def test_with_too_many_events_waiting_only_the_slowest_slot_is_read_on() -> None:
    known, ahead = clocks(2), {}
    known.join(0, ahead)
    known.reach(0, 9)
    known.reach(1, 3)
    known.count(0, 9 * DAY, np.array([3, 9] * MOST_EVENTS))
    assert (known.waiting, ahead) == (MOST_EVENTS, {9: MOST_EVENTS})
    assert known.horizon == 4 * DAY - 1
    known.reach(1, 9)
    assert (known.waiting, ahead, known.horizon) == (0, {}, 9 * DAY + MOST_TIME)


def test_before_all_clocks_are_known_only_topics_without_a_clock_are_read_when_too_many_wait() -> None:
    known = clocks(2)
    known.join(0, {})
    known.reach(0, 9)
    known.count(0, 9 * DAY, np.full(MOST_EVENTS, 9))
    assert known.horizon == FAR_BEHIND
    assert known.behind() == (1, None)


def test_events_that_waited_before_a_restart_still_count() -> None:
    known = clocks(2)
    known.reach(0, 9)
    known.reach(1, 3)
    known.join(0, {9: MOST_EVENTS, 3: 1_000})
    assert known.waiting == MOST_EVENTS
    known.leave(0)
    assert known.waiting == 0


def test_live_events_of_the_slowest_slot_are_not_even_looked_at() -> None:
    known = clocks(1)
    known.reach(0, 9)
    known.count(0, 9 * DAY + 5, None)  # type: ignore[arg-type]
    assert known.waiting == 0


# Lanes


def tick(day: float) -> Record:
    time = (BEGIN + timedelta(days=day)).isoformat()
    return Record(json.dumps({"kind": "tick", "occurred_at": time, "source": "t"}).encode(), record_key=TICK_KEY)


def visitor(lane: int, lanes: int) -> str:
    return next(name for name in (f"c-{n}" for n in range(1_000)) if place_of(name, lanes) == lane)


def visits(lane: int, lanes: int, days: list[float]) -> list[Record]:
    name = visitor(lane, lanes)
    return [
        visit(name, f"e-{lane}-{number}", day, ahead=number % 3 == 0) for number, day in enumerate(sorted(days))
    ]  # fmt: skip


def visit(customer: str, number: str, day: float, *, ahead: bool) -> Record:
    """An event, or one of a device whose clock is 23 hours ahead."""
    received = BEGIN + timedelta(days=day)
    occurred = received + timedelta(hours=23 * ahead)
    body = event(
        event_id=number, occurred_at=occurred.isoformat(), received_at=received.isoformat(), customer_id=customer
    )
    return Record(json.dumps(body).encode())


def log_of(lane: int, lanes: int, days: list[float], end: float) -> dict[Place, list[Record]]:
    """A lane's logs: a tick at the start and one at the end of each, and web events in between."""
    logs = {(name, lane): [tick(0), tick(end)] for name in TOPICS}
    logs[WEB_EVENTS.name, lane][1:1] = visits(lane, lanes, days)
    return logs


class Moving:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@dataclass
class Cluster:
    """Lanes spread over processes; announcements wait in ``sent`` until they are delivered."""

    logs: dict[Place, list[Record]]
    process_of: list[int]
    states: list[LaneState | None]
    fakes: dict[int, FakeConsumer] = field(default_factory=dict)
    sent: deque[tuple[int, Progress]] = field(default_factory=deque)
    slots: dict[int, int] = field(default_factory=dict)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    """Slots of events that were emitted before the slowest lane reached them, with their lanes."""
    read: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.read = [[] for _ in self.process_of]
        self.start()

    def start(self) -> None:
        lanes = len(self.process_of)
        self.sent.clear()
        self.known, shared = {}, {}
        for process in set(self.process_of):
            self.known[process] = clocks(lanes)
            away = self.fakes[process].away if process in self.fakes else set()
            self.fakes[process] = FakeConsumer(self.logs, away=away, at_once=7)
            shared[process] = SharedConsumer(self.fakes[process], Bound(), Moving())
        self.lanes = [
            LaneReader(lane, SourceConfig(
                "", replace(POLICY, partitions=lanes, buckets=12), LanePolicy(7 * DAY, 3 * DAY, BATCH),
                10, lambda: False, clocks=self.known[process]), shared[process], self.states[lane])
            for lane, process in enumerate(self.process_of)
        ]  # fmt: skip

    def restart(self) -> None:
        """All processes end with a snapshot and start again, as a cluster does."""
        self.states = [deepcopy(lane.snapshot()) for lane in self.lanes]
        self.start()

    def step(self, lane: int) -> None:
        for batch in self.lanes[lane].next_batch():
            self._take(lane, batch)

    def _take(self, lane: int, batch: LaneBatch) -> None:
        self.read[lane] += [
            one for rows in batch.facts for one in rows.render([]).column("event_id").to_pylist()
        ]  # fmt: skip
        if batch.progress.slot is not None:
            self.slots[lane] = batch.progress.slot
        self.waiting += [(slot, lane) for slot in batch.people.events["slot"].tolist()]
        slowest = min(self.slots.values()) if len(self.slots) == len(self.lanes) else -1
        self.waiting = [each for each in self.waiting if each[0] > slowest]
        for process in self.known:
            sent = [progress for part, progress in announcements(batch, len(self.lanes)) if part == "0"]
            self.sent += [(process, progress) for progress in sent]

    def deliver(self) -> None:
        if self.sent:
            process, progress = self.sent.popleft()
            ClockWriter(self.known[process]).write([progress])

    def epoch(self) -> None:
        for lane in self.lanes:
            lane.snapshot()

    def stall(self, lane: int, *, back: bool) -> None:
        places = {(name, lane) for name in TOPICS}
        fake = self.fakes[self.process_of[lane]]
        fake.away = fake.away - places if back else fake.away | places


def cluster(days: list[list[float]], process_of: list[int], end: float = 40) -> Cluster:
    logs = {}
    for lane, own in enumerate(days):
        logs |= log_of(lane, len(days), own, end)
    return Cluster(logs, process_of, [None] * len(days))


def bound(flow: Cluster) -> int:
    """Per process, and in each of its lanes at most one batch per topic more."""
    return len(flow.known) * MOST_EVENTS + len(flow.lanes) * len(TOPICS) * BATCH


def run(flow: Cluster, rounds: int) -> int:
    """Let all lanes read; return the most events that waited."""
    most = 0
    for _ in range(rounds):
        for lane in range(len(flow.lanes)):
            flow.step(lane)
            most = max(most, len(flow.waiting))
        while flow.sent:
            flow.deliver()
        flow.epoch()
    return most


def test_a_lane_waits_for_one_whose_leader_is_away_and_goes_on_when_it_is_back() -> None:
    days = [[each / 20 for each in range(800)], [each / 2 for each in range(80)]]
    for process_of in ([0, 0], [0, 1]):
        flow = cluster(days, process_of)
        run(flow, 3)
        flow.stall(1, back=False)
        most = run(flow, 300)
        assert most <= bound(flow)
        assert 0 < len(flow.read[0]) < 800
        held = flow.lanes[0]
        assert held._state.is_held(held._config.clocks.horizon)
        assert held._config.clocks.behind() == (1, flow.slots[1])
        flow.restart()
        assert run(flow, 300) <= bound(flow), "what waited before the restart counts after it"
        flow.stall(1, back=True)
        run(flow, 600)
        assert [len(read) for read in flow.read] == [800, 80]


def test_devices_whose_clocks_are_ahead_make_no_more_events_wait() -> None:
    """A wrong time zone: a hundred events per day and lane claim the next day."""
    for process_of in ([0], [0, 1]):
        flow = cluster([[each / 300 for each in range(900)]] * len(process_of), process_of)
        assert run(flow, 200) <= len(flow.lanes) * len(TOPICS) * BATCH, "not even up to the bound"
        assert [len(read) for read in flow.read] == [900] * len(process_of)


def test_a_lane_with_ticks_only_holds_no_other_one() -> None:
    flow = cluster([[each / 20 for each in range(800)], []], [0, 1])
    run(flow, 600)
    assert len(flow.read[0]) == 800


def test_a_lane_without_a_clock_is_waited_for_until_it_gets_ticks() -> None:
    """Nothing is known of its time, so the others' events wait, up to the bound."""
    flow = cluster([[each / 20 for each in range(800)], []], [0, 1])
    empty = {(name, 1): flow.logs[name, 1][:] for name in TOPICS}
    for place in empty:
        flow.logs[place].clear()
    assert run(flow, 200) <= bound(flow)
    assert len(flow.read[0]) < 800
    for place, records in empty.items():
        flow.logs[place] += records
    run(flow, 600)
    assert len(flow.read[0]) == 800


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_schedule_loses_an_event_exceeds_the_bound_or_makes_lanes_wait_for_ever(data: st.DataObject) -> None:
    lanes = data.draw(st.integers(1, 3))
    process_of = [data.draw(st.integers(0, lane)) for lane in range(lanes)]
    day = st.integers(0, 39 * 8).map(lambda each: each / 8)
    days = [data.draw(st.lists(day, max_size=60)) for _ in range(lanes)]
    flow = cluster(days, process_of)
    lane = st.integers(0, lanes - 1)
    actions = st.one_of(
        lane.map(lambda each: ("step", each)), lane.map(lambda each: ("step", each)),
        lane.map(lambda each: ("stall", each)), lane.map(lambda each: ("back", each)),
        st.sampled_from([("deliver", 0), ("epoch", 0), ("restart", 0)]),
    )  # fmt: skip
    for action, which in data.draw(st.lists(actions, max_size=80)):
        match action:
            case "step":
                flow.step(which)
            case "stall" | "back":
                flow.stall(which, back=action == "back")
            case "deliver":
                flow.deliver()
            case "epoch":
                flow.epoch()
            case "restart":
                flow.restart()
        assert len(flow.waiting) <= bound(flow)
    for each in range(lanes):
        flow.stall(each, back=True)
    assert run(flow, 250) <= bound(flow)
    assert flow.read == [[f"e-{each}-{number}" for number in range(len(own))] for each, own in enumerate(days)]
