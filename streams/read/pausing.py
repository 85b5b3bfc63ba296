"""Applies the breaker for dead letters to the topics of one lane: pauses them, says so, and lets them go on."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import Message

from contracts.errors import SettingsError
from contracts.events import TICK_KEY
from contracts.metrics import TOPIC_PAUSED, labelled
from contracts.outputs import DeadLetter
from contracts.resumed import FILE, Place, read_resumed
from streams.journal import JOURNAL
from streams.read.breaker import Breaker, BreakerPolicy, Records
from streams.read.decode import Decoded
from streams.read.lane import TopicPosition

log = logging.getLogger(__name__)


class AcceptedOffsets:
    """The offsets up to which records are accepted: the file of a data folder, read again when it has changed."""

    def __init__(self, data_dir: Path):
        self._data_dir = data_dir
        self._stamp: tuple[int, int, str] | None = None
        self._offsets: dict[Place, int] = {}

    def __call__(self, cluster: str, topic: str, partition: int) -> int:
        """Return the offset before which the records of a partition are accepted; 0: none are."""
        try:
            about = (self._data_dir / FILE).stat()
            stamp = about.st_mtime_ns, about.st_ino, cluster
            if stamp != self._stamp:
                self._offsets, self._stamp = read_resumed(self._data_dir, cluster), stamp
        except OSError:
            self._offsets, self._stamp = {}, None
        except SettingsError as error:
            JOURNAL.trouble(str(error))
        return self._offsets.get((topic, partition), 0)


def none_accepted(_cluster: str, _topic: str, _partition: int) -> int:
    """Accept no record."""
    return 0


class TopicPauses:
    """The breakers of one lane.

    ``accepted`` returns the offset before which records are accepted, by Kafka cluster, topic and partition.
    """

    def __init__(self, partition: int, policy: BreakerPolicy | None, accepted: Callable[[str, str, int], int]):
        self._partition = partition
        self._policy = policy
        self._accepted = accepted
        self.cluster = ""
        """The Kafka cluster of the log. Set it before anything is judged."""

    def start(self, name: str, position: TopicPosition) -> None:
        """Take a topic's breaker over from an earlier run; without a policy there is none, and the topic is read."""
        if self._policy is None:
            position.breaker = None
            return
        position.breaker = position.breaker or Breaker()
        labelled(TOPIC_PAUSED, name, self._partition).set(position.is_paused)
        if position.is_paused:
            log.error("%s partition %d is still paused: %s", name, self._partition, _ways_on(name))

    def look(self, name: str, position: TopicPosition) -> None:
        """Let a paused topic go on if its records have been accepted."""
        breaker = position.breaker
        if breaker is None or breaker.tripped_at is None:
            return
        before = self._accepted(self.cluster, name, self._partition)
        if before > breaker.tripped_at:
            breaker.accept(before)
            labelled(TOPIC_PAUSED, name, self._partition).set(0)
            log.warning("%s partition %d goes on; records are judged from %d on", name, self._partition, before)

    def first_unread(
        self, name: str, position: TopicPosition, messages: Sequence[Message], decoded: Decoded
    ) -> int | None:
        """Judge what was read; return the offset of the record that is one too many, which must not be read yet."""
        breaker, policy = position.breaker, self._policy
        if breaker is None or policy is None:
            return None
        if not decoded.dead and messages[0].offset() >= breaker.accepted:
            breaker.pass_valid(decoded.read - decoded.ticks, policy)
            return None
        invalid = {letter.offset: letter for letter in decoded.dead}
        offsets = [message.offset() for message in messages if message.key() != TICK_KEY]
        while (at := breaker.judge(Records(offsets, list(invalid)), policy)) is not None:
            before = self._accepted(self.cluster, name, self._partition)
            if before <= at:
                self._say(name, breaker, policy, invalid[at])
                return at
            breaker.accept(before)
        return None

    def _say(self, name: str, breaker: Breaker, policy: BreakerPolicy, letter: DeadLetter) -> None:
        labelled(TOPIC_PAUSED, name, self._partition).set(1)
        log.error(
            "%s partition %d is paused before offset %d: %d of its newest %d records are invalid, this one because of "
            "%s. %s", name, self._partition, letter.offset, len(breaker.bad) + 1, policy.window, letter.reason,
            _ways_on(name),
        )  # fmt: skip


def _ways_on(name: str) -> str:
    return (
        f"Fix their cause; `crmstream dead-letters resume --topic {name}` then lets the topic go on, and its invalid "
        "records become dead letters."
    )
