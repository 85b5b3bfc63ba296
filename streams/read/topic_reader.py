"""Reads the topics of one lane, each as at most one batch at a time: from Kafka, or from the warehouse before that."""

import logging
from dataclasses import dataclass
from types import NoneType
from typing import Final

import numpy as np
from confluent_kafka import KafkaError, Message

from contracts.currencies import code_of
from contracts.errors import LogMismatchError
from contracts.metrics import DEAD_LETTERS, EVENTS, TICKS, labelled
from contracts.topics import Topic
from streams.journal import JOURNAL
from streams.read.config import SourceConfig
from streams.read.consumer import SharedConsumer
from streams.read.decode import Decoded, decode
from streams.read.lane import LaneState, TopicPosition
from streams.read.pausing import TopicPauses
from streams.read.start import TOPIC_OF, WAYS_ON, check_offset, check_past
from streams.read.warehouse import PastTopic

log = logging.getLogger(__name__)

UNKNOWN_BACKLOG: Final = 1 << 40


@dataclass
class TopicReader:
    """The topics of one lane, with its position in each. ``past`` are those that are read from the warehouse."""

    partition: int
    config: SourceConfig
    consumer: SharedConsumer
    pauses: TopicPauses
    past: dict[str, PastTopic]
    state: LaneState

    def read(self) -> list[Decoded]:
        """Read the topics that may be read now, each as at most one batch."""
        topics = self.state.topics
        if self.config.breaker is not None:
            for name, position in topics.items():
                self.pauses.look(name, position)
        names = self.state.readable(self.config.reading, self.config.clocks.horizon)
        past = {name for name in names if name in self.past}
        held = {name: self.consumer.held(name, self.partition) for name in names if name not in past}
        if any(held[name] < topics[name].batch for name in held):
            self.consumer.poll(self.partition, wait=not past and not any(held.values()) and not self.state.at_end)
        read = [self._read_past(name) if name in past else self._take(name) for name in names]
        return [decoded for decoded in read if decoded is not None]

    def _read_past(self, name: str) -> Decoded | None:
        """Take one batch of a topic from the warehouse; behind its last one the topic goes on in Kafka."""
        position, past = self.state.topics[name], self.past[name]
        before = position.clock.now
        decoded = past.take(position.batch, position.clock, self.config.decoding)
        position.offset = past.offset
        if past.is_done:
            low, high = self.consumer.limits(name, self.partition)
            past.reach(low)  # retention may have deleted more meanwhile
        if past.is_done:
            del self.past[name]
            check_past((name, self.partition), position.offset, low)
            check_offset((name, self.partition), position.offset, low, high)
            self.consumer.assign(self.partition, {name: position.offset})
            log.info(
                "%s-%d: ClickHouse had %d records; goes on in Kafka at offset %d",
                name, self.partition, past.found, position.offset,
            )  # fmt: skip
        return self._note(name, decoded, before)

    def _take(self, name: str) -> Decoded | None:
        """Take and decode one batch of a topic; None if nothing came."""
        position, config = self.state.topics[name], self.config
        taken = self.consumer.take(name, self.partition, position.batch)
        if not taken:
            return None
        errors = {type(message.error()) for message in taken}
        messages = taken if errors == {NoneType} else [each for each in taken if self._is_record(each, position)]
        if not messages:
            position.offset = max(position.offset, position.end or 0)  # a log may end in control records of Kafka
            return None
        first, before = position.clock.first, position.clock.now
        decoded = decode(messages, TOPIC_OF[name], self.partition, position.clock, config.decoding)
        unread = self.pauses.first_unread(name, position, messages, decoded)
        if unread is not None:
            position.clock.first, position.clock.now = first, before
            return self._read_before(unread, name, taken)
        position.offset = max(messages[-1].offset() + 1, position.end or 0)
        return self._note(name, decoded, before)

    def _read_before(self, unread: int, name: str, taken: list[Message]) -> Decoded | None:
        """Decode the messages before an offset, and put the others back: the topic is paused there."""
        position = self.state.topics[name]
        kept = next(at for at, each in enumerate(taken) if each.error() is None and each.offset() >= unread)
        self.consumer.put_back(name, self.partition, taken[kept:])
        position.offset, position.end = unread, None
        messages = [message for message in taken[:kept] if message.error() is None]
        if not messages:
            return None
        before = position.clock.now
        decoded = decode(messages, TOPIC_OF[name], self.partition, position.clock, self.config.decoding)
        return self._note(name, decoded, before)

    def _note(self, name: str, decoded: Decoded, before: int | None) -> Decoded:
        """Count what a read of a topic gave, for metrics and for the lanes that are behind; set the size of its next.

        ``before`` is the topic's clock before the read.
        """
        position, config, events = self.state.topics[name], self.config, decoded.people.events
        moved = 0 if before is None or position.clock.now is None else position.clock.now - before
        position.resize(moved, decoded.read, config.reading)
        _count(decoded, TOPIC_OF[name])
        config.clocks.count(self.partition, position.clock.now, events["slot"])
        if config.decoding.rates.base is None:
            for number in np.unique(events["currency"]).tolist():
                config.on_money(code_of(number))
        return decoded

    def _is_record(self, message: Message, position: TopicPosition) -> bool:
        """Return whether a message is a record, not a notice of Kafka. Raises for notices that end the reading."""
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            position.end = message.offset()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LogMismatchError(
                f"{message.topic()}-{self.partition} no longer holds offset {position.offset:,}. {WAYS_ON}"
            )
        elif not error.retriable():
            log.warning("kafka: %s", error.str())
        return False

    def backlog(self) -> int:
        """Return the number of records that wait in Kafka or in buffers; a huge number before the first answer.

        Records of a paused topic do not count, so the scores of other topics' events follow at once.
        """
        waiting = 0
        for name, position in self.state.topics.items():
            if name in self.past:
                waiting += UNKNOWN_BACKLOG
            elif not (position.at_end or position.is_paused):
                end = self.consumer.known_end(name, self.partition)
                waiting += end - position.offset if end >= 0 else UNKNOWN_BACKLOG
        return waiting


def _count(decoded: Decoded, topic: Topic) -> None:
    events = decoded.read - decoded.ticks - len(decoded.dead)
    JOURNAL.read(events, decoded.dead)
    labelled(EVENTS, topic.name).inc(events)
    labelled(TICKS, topic.name).inc(decoded.ticks)
    for letter in decoded.dead:
        DEAD_LETTERS.labels(topic.name, letter.stage).inc()
