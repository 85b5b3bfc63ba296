"""The one consumer of a process: messages go to the buffers of their lanes, and too many pause a topic-partition."""

from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError
from support.consumer import FakeConsumer, FakeMessage
from support.records import Record

from streams.read import consumer as consumer_module
from streams.read.consumer import (
    CALM_POLLS,
    COMMIT_AGAIN_SECONDS,
    LONGEST_REST,
    LONGEST_WAIT,
    SHORTEST_REST,
    WAIT_SECONDS,
    WHOLE_BUFFERS,
    Bound,
    SharedConsumer,
)

A, B = ("a", 0), ("b", 0)


class Clock:
    """A monotonic clock that moves when it is asked."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def log(count: int, size: int = 1) -> list[Record]:
    return [Record(b"x" * size) for _ in range(count)]


def shared(bound: Bound | None = None, *, waits: bool = False, **logs: int) -> tuple[SharedConsumer, FakeConsumer]:
    fake = FakeConsumer({(name, 0): log(count) for name, count in logs.items()})
    consumer = SharedConsumer(fake, bound or Bound(), Clock(), lambda: waits)
    consumer.assign(0, dict.fromkeys(logs, 0))
    return consumer, fake


def offsets(messages: list[FakeMessage]) -> list[int]:
    return [message.offset() for message in messages if message.error() is None]


def test_messages_are_shared_out_and_taken_in_order() -> None:
    consumer, _ = shared(a=5, b=2)
    consumer.poll(0, wait=False)
    assert (consumer.held("a", 0), consumer.held("b", 0)) == (6, 3)  # with the notice of the end
    assert offsets(consumer.take("a", 0, 3)) == [0, 1, 2]
    taken = consumer.take("a", 0, 10)
    assert offsets(taken) == [3, 4]
    assert taken[-1].error().code() == KafkaError._PARTITION_EOF
    assert consumer.take("a", 0, 10) == []
    assert offsets(consumer.take("b", 0, 10)) == [0, 1]


def test_the_buffers_of_many_lanes_hold_no_more_than_those_of_a_few() -> None:
    assert Bound().shared_by(16) == Bound().shared_by(WHOLE_BUFFERS) == Bound()
    for buffers in (33, 64, 1_024):
        bound = Bound().shared_by(buffers)
        assert bound.bytes * buffers <= Bound().bytes * WHOLE_BUFFERS
        assert 0 < bound.messages * buffers <= Bound().messages * WHOLE_BUFFERS


def test_lanes_are_added_one_by_one() -> None:
    consumer, fake = shared(a=1)
    fake.logs["a", 1] = log(2)
    consumer.poll(0, wait=False)
    consumer.assign(1, {"a": 1})
    consumer.poll(0, wait=False)
    assert offsets(consumer.take("a", 0, 10)) == [0]
    assert offsets(consumer.take("a", 1, 10)) == [1]


@pytest.mark.parametrize("bound", [Bound(messages=100), Bound(bytes=100)])
def test_a_full_buffer_pauses_its_topic_partition_until_half_is_taken(bound: Bound) -> None:
    consumer, fake = shared(bound, a=150, b=5)
    consumer.poll(0, wait=False)
    assert fake.paused == {A}
    consumer.poll(0, wait=False)
    assert (consumer.held("a", 0), consumer.held("b", 0)) == (151, 6)
    consumer.take("a", 0, 90)
    assert fake.paused == {A}
    consumer.take("a", 0, 20)
    assert fake.paused == set()
    assert offsets(consumer.take("a", 0, 100)) == list(range(110, 150))


def test_everything_comes_once_and_in_order_through_pauses() -> None:
    consumer, fake = shared(Bound(messages=10), a=0)
    found: list[int] = []
    for at in range(200):
        fake.logs[A] += log(7)
        consumer.poll(0, wait=False)
        found += offsets(consumer.take("a", 0, 3 if at % 20 < 15 else 40))
    while consumer.held("a", 0) or fake.paused:
        found += offsets(consumer.take("a", 0, 50))
        consumer.poll(0, wait=False)
    assert found == list(range(1_400))


def test_only_one_lane_of_a_round_polls() -> None:
    fake = FakeConsumer({})
    consumer = SharedConsumer(fake, Bound(), lambda: 100.0)
    for _ in range(4):
        consumer.poll(0, wait=True)
    assert fake.polls == [WAIT_SECONDS]


def test_a_poll_blocks_for_a_moment_at_most() -> None:
    consumer, fake = shared(a=1)
    consumer.poll(0, wait=False)
    consumer.poll(0, wait=True)
    assert fake.polls == [0.0, WAIT_SECONDS]
    assert WAIT_SECONDS <= 0.002


def test_all_idle_lanes_rest_until_the_same_moment_and_longer_while_nothing_comes() -> None:
    consumer, fake = shared(a=1)
    consumer.poll(0, wait=False)
    assert consumer.rest() - datetime.now(UTC) <= timedelta(seconds=SHORTEST_REST)
    for _ in range(10):
        consumer.poll(0, wait=False)
    assert consumer.rest() == consumer.rest()
    rest = (consumer.rest() - datetime.now(UTC)).total_seconds()
    assert SHORTEST_REST < rest <= LONGEST_REST
    fake.logs[A] += log(1)
    consumer.poll(0, wait=False)
    assert consumer.rest() - datetime.now(UTC) <= timedelta(seconds=SHORTEST_REST)


def test_a_wall_clock_that_is_set_back_makes_no_rest_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine asks a source again at the time that it names."""
    back = datetime.now(UTC) - timedelta(hours=1)

    class SetBack(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:  # type: ignore[override]
            return back

    consumer, _ = shared(a=1)
    consumer.poll(0, wait=False)
    monkeypatch.setattr(consumer_module, "datetime", SetBack)
    assert consumer.rest() <= back + timedelta(seconds=LONGEST_REST)


def test_a_poll_waits_for_a_message_once_a_few_polls_found_none() -> None:
    consumer, fake = shared(waits=True, a=1)
    for _ in range(CALM_POLLS + 3):
        consumer.poll(0, wait=False)
    assert fake.polls == [0.0] * (CALM_POLLS + 1) + [LONGEST_WAIT] * 2
    assert consumer.rest() - datetime.now(UTC) < timedelta(seconds=SHORTEST_REST)
    fake.logs[A] += log(3)
    consumer.poll(0, wait=False)  # waits for one message, then takes what is there
    assert fake.polls[-2:] == [LONGEST_WAIT, 0.0]
    assert offsets(consumer.take("a", 0, 10)) == [0, 1, 2, 3]
    consumer.poll(0, wait=False)
    assert fake.polls[-1] == 0.0


def polled(consumer: SharedConsumer, fake: FakeConsumer, lane: int) -> bool:
    polls = len(fake.polls)
    consumer.poll(lane, wait=False)
    return len(fake.polls) > polls


@pytest.mark.parametrize("taken", [True, False])
def test_near_the_end_of_the_log_no_lane_polls_while_messages_gather(*, taken: bool) -> None:
    consumer, fake = shared(a=1)
    consumer.assign(1, {"a": 0})
    fake.logs["a", 1] = log(2)
    consumer.live |= {0, 1}
    assert polled(consumer, fake, 1)
    assert polled(consumer, fake, 0)  # the steps have not worked yet
    if taken:
        consumer.take("a", 0, 10)
        consumer.take("a", 1, 10)
    assert polled(consumer, fake, 1) == (not taken)  # they have, for 20 ms at least by the clock of this test
    assert polled(consumer, fake, 0) == (not taken)
    assert consumer.rest() > datetime.now(UTC)
    assert any(polled(consumer, fake, 0) for _ in range(4))


def test_a_stirred_consumer_does_not_wait() -> None:
    consumer, fake = shared(waits=True, a=1)
    for _ in range(9):
        consumer.poll(0, wait=False)
        consumer.stir()
    assert set(fake.polls) == {0.0}
    assert consumer.rest() - datetime.now(UTC) <= timedelta(seconds=2 * SHORTEST_REST)


def test_a_position_that_has_not_moved_is_published_again_only_now_and_then() -> None:
    clock, fake = Clock(), FakeConsumer({A: log(9), B: log(9)})
    consumer = SharedConsumer(fake, monotonic=clock)
    for _ in range(5):
        consumer.commit(0, {"a": 3, "b": 0})
        consumer.commit(1, {"a": 3, "b": 0})
    assert [call[0] for call in fake.committed] == [("a", 0, 3), ("a", 1, 3)]
    consumer.commit(0, {"a": 4, "b": 0})
    assert fake.committed[2:] == [[("a", 0, 4), ("b", 0, 0)]]
    clock.now += COMMIT_AGAIN_SECONDS
    consumer.commit(0, {"a": 4, "b": 0})
    assert len(fake.committed) == 4


def test_the_last_lane_closes_the_consumer() -> None:
    consumer, fake = shared(a=1)
    consumer.assign(1, {"a": 0})
    consumer.release(0)
    assert not fake.closed
    consumer.release(1)
    assert fake.closed


def test_the_end_of_an_epoch_is_told_once_also_when_all_lanes_close() -> None:
    consumer, _ = shared(a=1)
    for partition in (1, 2, 3):
        consumer.assign(partition, {"a": 0})
    assert [consumer.is_last_to_end(partition) for partition in range(4)] == [False, False, False, True]
    told = []
    for partition in range(4):
        told.append(consumer.is_last_to_end(partition))
        consumer.release(partition)
    assert told == [False, False, False, True]


def test_notices_without_a_lane_are_logged_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    consumer, fake = shared(a=1)
    fake.notices = [
        FakeMessage(None, topic_name=None, number=None, problem=KafkaError(KafkaError._ALL_BROKERS_DOWN)),
        FakeMessage(None, topic_name="other", problem=KafkaError(KafkaError._PARTITION_EOF)),
    ]
    consumer.poll(0, wait=False)
    assert offsets(consumer.take("a", 0, 10)) == [0]
    assert len(caplog.records) <= 1
