"""One Kafka consumer for all lanes of a process.

A consumer costs a thread, a queue and a poll, so the process has one. A poll reads the next messages of any topic and
distributes them to a buffer per topic-partition. Lanes take messages from the buffers as their policy allows. A buffer
over its bound pauses its topic-partition until half of it has been taken.

Delivery: buffered messages count as not read. Lanes keep the positions of what they have decoded.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.topics import CONSUMER_GROUP
from streams.journal import JOURNAL
from streams.read.gathering import Gathering

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 8_000
"""Messages of one poll."""
WAIT_SECONDS: Final = 0.002
"""Seconds that a poll waits if a lane has nothing to do but is not at the end of its log."""
POLL_AGAIN_SECONDS: Final = 0.001
SHORTEST_REST: Final = 0.005
LONGEST_REST: Final = 0.025
CALM_POLLS: Final = 4
"""Polls in a row without a message after which the process may wait for the next one: by then the steps have worked
through what came last."""
LONGEST_WAIT: Final = 0.1
"""Seconds that a poll waits for a message when all is calm."""
CALM_REST: Final = 0.0015
"""Seconds from one such poll to the next: more than POLL_AGAIN_SECONDS."""
COMMIT_AGAIN_SECONDS: Final = 60.0
"""Seconds after which an unchanged position is committed again, because brokers forget old positions."""
CONNECT_SECONDS: Final = 30.0
WHOLE_BUFFERS: Final = 32
"""Buffers of a process (of eight lanes) that may be full at once; more buffers have smaller bounds."""


@dataclass(frozen=True)
class Bound:
    """The limits of one topic-partition's buffer: above them it is paused, below half of them it is resumed.

    Each message is four or five objects of Python. Larger buffers cost memory that Python keeps, and are not faster.
    """

    messages: int = 3_000
    bytes: int = 1_200_000

    def shared_by(self, buffers: int) -> "Bound":
        """Return the limits of each of many buffers, which together hold no more than :data:`WHOLE_BUFFERS` do."""
        part = min(1.0, WHOLE_BUFFERS / max(1, buffers))
        return Bound(max(1, int(self.messages * part)), max(1, int(self.bytes * part)))


@dataclass
class Buffer:
    """Messages and Kafka's notices of one topic-partition, in the order of its log. ``bytes`` is an estimate."""

    where: TopicPartition
    messages: list[Message] = field(default_factory=list)
    bytes: int = 0
    paused: bool = False

    def add(self, messages: list[Message]) -> None:
        """Append messages."""
        self.messages += messages
        self.bytes += sum(map(len, messages))

    def take(self, most: int) -> list[Message]:
        """Remove and return the oldest messages."""
        taken = self.messages[:most]
        del self.messages[:most]
        held = len(self.messages)
        self.bytes = self.bytes * held // (held + len(taken)) if held else 0
        return taken

    def is_over(self, bound: Bound, part: float = 1.0) -> bool:
        """Whether more than a part of the bound is held."""
        return len(self.messages) > bound.messages * part or self.bytes > bound.bytes * part


class SharedConsumer:
    """The consumer of a process. Not for several threads. Closed when its last lane leaves."""

    def __init__(
        self, consumer: Consumer, bound: Bound = Bound(), monotonic: Callable[[], float] = time.monotonic,
        may_wait: Callable[[], bool] = lambda: False,
    ):  # fmt: skip
        self._consumer = consumer
        self._bound = self._limit = bound
        self._monotonic = monotonic
        self._allowed = may_wait
        self._calm = 0
        """Polls in a row that found nothing while no lane had anything to do."""
        self._buffers: dict[tuple[str | None, int | None], Buffer] = {}
        self._of_lane: dict[int, list[Buffer]] = {}
        self._unassigned: list[TopicPartition] = []
        self._committed: dict[int, tuple[Mapping[str, int], float]] = {}
        """The position last committed per lane, and the time of the commit."""
        self._polled_at = -1.0
        self._gathering = Gathering()
        self._ended: set[int] = set()
        """The lanes that have ended their epoch while others go on."""
        self.live: set[int] = set()
        """The lanes near the end of their log."""
        self.is_closed = False
        self._rest = SHORTEST_REST
        self._until = datetime.now(UTC)

    def cluster_id(self) -> str:
        """The id of the Kafka cluster. Raises ``KafkaException`` where no broker answers."""
        return str(self._consumer.list_topics(timeout=CONNECT_SECONDS).cluster_id)

    def limits(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset of a log and the one after its last, as the broker says now."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CONNECT_SECONDS)
        return int(low), int(high)

    def known_end(self, topic: str, partition: int) -> int:
        """The end of a log as the last fetch reported it; negative before there was one."""
        where = self._buffers[topic, partition].where
        return int(self._consumer.get_watermark_offsets(where, cached=True)[1])

    def assign(self, partition: int, offsets: Mapping[str, int]) -> None:
        """Also read partition ``partition`` of topics, each from its offset on.

        Reading starts with the next poll. Once the consumer fetches, every query to a broker waits for its long poll of
        half a second, and lanes that are built one after another make many queries.
        """
        self._unassigned += [TopicPartition(name, partition, at) for name, at in offsets.items()]
        for name in offsets:
            self._buffers[name, partition] = Buffer(TopicPartition(name, partition))
        self._of_lane.setdefault(partition, []).extend(self._buffers[name, partition] for name in offsets)
        self._limit = self._bound.shared_by(len(self._buffers))

    def release(self, partition: int) -> None:
        """Stop reading a lane; close the consumer with the last one."""
        for key in [key for key in self._buffers if key[1] == partition]:
            del self._buffers[key]
        self._of_lane.pop(partition, None)
        self._ended.discard(partition)
        if not self._buffers:
            self._consumer.close()
            self.is_closed = True

    def is_last_to_end(self, partition: int) -> bool:
        """Note that a lane has ended its epoch; return whether all lanes of the process have by now."""
        self._ended.add(partition)
        if len(self._ended) < len(self._of_lane):
            return False
        self._ended.clear()
        return True

    def held(self, topic: str, partition: int) -> int:
        """How many messages a buffer holds."""
        return len(self._buffers[topic, partition].messages)

    def is_silent(self, partition: int) -> bool:
        """Poll; return whether a lane still has no messages."""
        self.poll(partition, wait=False)
        return not any(buffer.messages for buffer in self._of_lane[partition])

    def poll(self, partition: int, *, wait: bool) -> None:
        """Read once for all lanes, unless a lane has just done so or messages gather. With ``wait``, for up to 2 ms."""
        now = self._monotonic()
        if now - self._polled_at < POLL_AGAIN_SECONDS:
            return
        gathers = self._gathering.seconds(partition, now, self._is_near_the_end)
        if gathers:
            self._until = datetime.now(UTC) + timedelta(seconds=gathers)
            return
        if self._unassigned:
            self._consumer.incremental_assign(self._unassigned)
            self._unassigned = []
        began = datetime.now(UTC)  # the engine counts rests from when it called the source, before any waiting there
        found = self._consume(WAIT_SECONDS if wait else 0.0)
        self._polled_at = self._monotonic()
        self._calm = 0 if found else self._calm + 1
        self._rest = SHORTEST_REST if found else min(LONGEST_REST, 1.5 * self._rest)
        self._until = began + timedelta(seconds=CALM_REST if self._may_wait() else self._rest)
        if found:
            self._gathering.found(partition, self._polled_at)
            self._share_out(found)

    def _is_near_the_end(self) -> bool:
        """Whether all lanes are near the end of their logs, and have taken all messages that were read."""
        return len(self.live) == len(self._of_lane) and not any(each.messages for each in self._buffers.values())

    def stir(self) -> None:
        """Do not wait for messages in the next polls, because steps have work to do."""
        self._calm = 0
        self._rest = SHORTEST_REST

    def _may_wait(self) -> bool:
        return self._calm >= CALM_POLLS and self._allowed()

    def _consume(self, seconds: float) -> list[Message]:
        """Return messages; when all is calm, wait for the first one.

        If the engine waits instead, it wakes a thousand times a second. The client waits until it has as many messages
        as it is asked for, so it is asked for one.
        """
        waits = self._may_wait()
        found: list[Message] = self._consumer.consume(
            1 if waits else MOST_AT_ONCE, LONGEST_WAIT if waits else seconds
        )
        if waits and found:
            found += self._consumer.consume(MOST_AT_ONCE, 0.0)
        return found

    def take(self, topic: str, partition: int, most: int) -> list[Message]:
        """Take up to ``most`` messages and notices out of a buffer."""
        buffer = self._buffers[topic, partition]
        taken = buffer.take(most)
        if buffer.paused and not buffer.is_over(self._limit, 0.5):
            self._consumer.resume([buffer.where])
            buffer.paused = False
        return taken

    def put_back(self, topic: str, partition: int, messages: list[Message]) -> None:
        """Put the newest of the messages taken last back in front: they count as not read."""
        buffer = self._buffers[topic, partition]
        buffer.messages[:0] = messages
        buffer.bytes += sum(map(len, messages))
        self._pause_if_full(buffer)

    def rest(self) -> datetime:
        """Return when idle lanes wake: all at the same moment, so that the process wakes once for all of them.

        The pause grows from 5 to 25 ms while no messages come, and is short when polls wait. A wall clock that is set
        back makes it no longer.
        """
        return min(self._until, datetime.now(UTC) + timedelta(seconds=LONGEST_REST))

    def commit(self, partition: int, offsets: Mapping[str, int]) -> None:
        """Commit the positions of a lane to the group if they have changed, without waiting for the answer."""
        now, (before, at) = self._monotonic(), self._committed.get(partition, ({}, 0.0))
        if before == offsets and now - at < COMMIT_AGAIN_SECONDS:
            return
        self._committed[partition] = (offsets, now)
        places = [TopicPartition(name, partition, offset) for name, offset in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            del self._committed[partition]
            log.info("the position in partition %d could not be published: %s", partition, error.args[0].str())

    def _share_out(self, found: list[Message]) -> None:
        shares: dict[tuple[str | None, int | None], list[Message]] = {}
        for message in found:
            key = message.topic(), message.partition()
            if key in shares:
                shares[key].append(message)
            else:
                shares[key] = [message]
        for key, messages in shares.items():
            buffer = self._buffers.get(key)
            if buffer is None:
                _log_strays(messages)
                continue
            buffer.add(messages)
            self._pause_if_full(buffer)

    def _pause_if_full(self, buffer: Buffer) -> None:
        if not buffer.paused and buffer.is_over(self._limit):
            self._consumer.pause([buffer.where])
            buffer.paused = True


def connect(bootstrap_servers: str) -> Consumer:
    """Make the consumer; it connects in its own thread."""
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": CONSUMER_GROUP,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": 32_768,
        "fetch.wait.max.ms": 500,
        "log_level": 0,
        "error_cb": _log_error,
    }
    return Consumer(settings)


def _log_strays(messages: list[Message]) -> None:
    """Log messages without a lane: errors of the client itself, and the rest of a released lane."""
    for message in messages:
        error = message.error()
        if error is not None and not error.retriable() and error.code() != KafkaError._PARTITION_EOF:
            log.warning("kafka: %s", error.str())


def _log_error(error: KafkaError) -> None:
    JOURNAL.trouble(f"kafka: {error.str()}")
