"""Write records and ticks into Kafka; publish a whole history in order, with its ticks.

Delivery: at least once per call and, with the idempotent producer, exactly once per record within one run;
a record that Kafka did not take raises at the next call, at the latest in :meth:`Publisher.flush`. What is
published twice carries the same event ids, so the dataflow counts it once. Records of one customer keep
their order.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer, murmur2

from connectors.kafka.at_work import Intent, at_work
from connectors.protocol import Connector, Record
from contracts.errors import StoreUnavailableError
from contracts.events import TICK_KEY, Tick
from contracts.refused import REFUSED_KEY
from contracts.topics import INPUT_TOPICS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US: Final = 3_600_000_000
_POLL_EVERY: Final = 1_000
_PROGRESS_SECONDS: Final = 0.1
_PRODUCER: Final = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 10,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    "delivery.report.only.error": True,
}


class Publisher:
    """A producer that loses nothing silently. It connects at its first record. Use it from one thread.

    ``partitions`` is the count of every input topic, ``sweep_hours`` the distance between sweep boundaries,
    and ``source`` names the writer in its ticks. ``delivery_timeout_seconds`` is how long Kafka may be away
    before a record counts as failed. The attribute ``before_more`` is called before the first record and then every
    thousand records: it may wait, or raise.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        partitions: int,
        sweep_hours: int = 24,
        *,
        source: str = "replay",
        delivery_timeout_seconds: float = 300,
    ):
        self.partitions = partitions
        self.sweep_us = sweep_hours * HOUR_US
        self._source = source
        self._servers = bootstrap_servers
        self._timeout_seconds = delivery_timeout_seconds
        self.before_more: Callable[[], None] = lambda: None
        self._producer: Producer | None = None
        self._failure: KafkaError | None = None
        self._since_poll = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()

    def publish(self, record: Record) -> None:
        """Queue one record, in the partition that its key has by murmur2 (without a key: its value).

        Waits while the queue is full. Raises :class:`StoreUnavailableError` when this or an earlier record
        failed.
        """
        self._send(record.topic, partition_of(record, self.partitions), record.key, record.value, record.headers)

    def tick(self, time_us: int) -> None:
        """Mark every input partition: all that this writer had before ``time_us`` stands before the mark."""
        value = tick_body(time_us, self._source)
        for topic in INPUT_TOPICS:
            for partition in range(self.partitions):
                self._send(topic.name, partition, TICK_KEY, value)

    def tick_one(self, topic: str, partition: int, time_us: int) -> None:
        """Mark one partition only."""
        self._send(topic, partition, TICK_KEY, tick_body(time_us, self._source))

    def say(self, intent: Intent) -> None:
        """Say that there is more history to come, or that it is finished; moves no clock (:mod:`.at_work`)."""
        value = tick_body(0, self._source, intent)
        for topic in INPUT_TOPICS:
            self._send(topic.name, 0, TICK_KEY, value)

    def remind(self) -> None:
        """Say again that there is more; may be called from another thread. A full queue or an outage is no error."""
        value = tick_body(0, self._source, "open")
        if self._producer is not None:
            with suppress(BufferError, KafkaException):
                for topic in INPUT_TOPICS:
                    self._producer.produce(topic.name, value, TICK_KEY, 0)

    def poll(self) -> None:
        """Take note of failed deliveries; raises :class:`StoreUnavailableError` if there are any."""
        self._since_poll = 0
        if self._producer is not None:
            self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """Wait until Kafka holds everything; raises :class:`StoreUnavailableError` if it can't."""
        if self._producer is not None:
            left = self._producer.flush(self._timeout_seconds + 10)
            self._raise_failure()
            if left:
                raise StoreUnavailableError(f"Kafka at {self._servers} did not take {left:,} records in time.")

    def _send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        producer = self._producer or self._connect()
        while True:
            try:
                producer.produce(topic, value, key, partition, headers=list(headers))
                break
            except BufferError:
                producer.poll(0.1)
                self._raise_failure()
            except KafkaException as error:
                self._failure = error.args[0]
                self._raise_failure()
        self._since_poll += 1
        if self._since_poll >= _POLL_EVERY or self._failure is not None:
            self.poll()
            self.before_more()

    def _connect(self) -> Producer:
        self.before_more()
        config = {
            **_PRODUCER,
            "bootstrap.servers": self._servers,
            "delivery.timeout.ms": int(self._timeout_seconds * 1000),
            "on_delivery": self._on_delivery,
            "error_cb": self._on_error,
            "log_level": 0,
        }
        self._producer = Producer(config)
        return self._producer

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        self._failure = self._failure or error

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise StoreUnavailableError(
                f"Kafka at {self._servers} did not take a record ({self._failure.str()}). Publish again when "
                "it is back: what arrived already is not counted twice.",
                bootstrap_servers=self._servers,
            )


@dataclass(frozen=True)
class Summary:
    """What was published: records, ticks per partition, first and last event time, wall-clock seconds."""

    events: int = 0
    ticks: int = 0
    first_us: int | None = None
    last_us: int | None = None
    seconds: float = 0.0


def publish_history(  # noqa: PLR0913 - one argument per option
    connector: Connector,
    publisher: Publisher,
    *,
    rate: float | None = None,
    on_progress: Callable[[Summary], None] | None = None,
    until: int | None = None,
    more_follows: bool = False,
) -> Summary:
    """Publish everything ``connector`` has, with a tick at the sweep boundaries that it crosses.

    ``rate`` is the most events per second (None: full speed). ``until`` (microseconds since 1970 UTC) is
    the time up to which the history is complete; without it the history ends with its last event.
    ``more_follows`` says that the caller publishes more at once, so that time does not move on in between.
    ``on_progress`` is called about ten times a second with the figures so far, and the end figures are
    returned when Kafka holds everything. Raises :class:`StoreUnavailableError` when Kafka does not take a
    record.
    """
    with at_work(publisher, more_follows=more_follows):
        run = _Run(publisher, rate, on_progress)
        for record in connector.records():
            run.publish(record)
        summary = run.finish(until)
    publisher.flush()
    return summary


class _Run:
    """One run of :func:`publish_history`: its counts, its clock and its pace."""

    def __init__(self, publisher: Publisher, rate: float | None, on_progress: Callable[[Summary], None] | None):
        self._publisher = publisher
        self._rate = rate
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._progress_at = self._started
        self._next_boundary: int | None = None
        self._events = self._ticks = 0
        self._first: int | None = None
        self._last = 0

    def publish(self, record: Record) -> None:
        at = record.occurred_at
        if at is not None and (self._next_boundary is None or at >= self._next_boundary):
            self._advance(at)
        if at is not None and at > self._last:
            self._last = at
        self._publisher.publish(record)
        self._events += 1
        if self._rate is not None or not self._events % _POLL_EVERY:
            self._pace()

    def finish(self, until: int | None) -> Summary:
        end = self._last if until is None else max(until, self._last)
        if self._first is not None:
            self._advance(end)
            if end % self._publisher.sweep_us:
                self._tick(end)
        self._publisher.flush()
        summary = self._summary()
        if self._on_progress is not None:
            self._on_progress(summary)
        return summary

    def _advance(self, at: int) -> None:
        """Tick the newest boundary up to ``at``, unless it was ticked; it stands for those before it too."""
        step = self._publisher.sweep_us
        if self._first is None:
            self._first = self._next_boundary = at
        if self._next_boundary is not None and at >= self._next_boundary:
            boundary = at // step * step
            self._tick(boundary)
            self._next_boundary = boundary + step

    def _tick(self, at: int) -> None:
        self._publisher.tick(at)
        self._ticks += 1

    def _pace(self) -> None:
        """Sleep off what the rate asks for, and report progress."""
        now = time.monotonic()
        if self._rate is not None:
            ahead = self._started + self._events / self._rate - now
            if ahead > 0:
                self._publisher.poll()
                time.sleep(ahead)
        if self._on_progress is not None and now - self._progress_at >= _PROGRESS_SECONDS:
            self._progress_at = now
            self._on_progress(self._summary())

    def _summary(self) -> Summary:
        last = self._last if self._first is not None else None
        elapsed = time.monotonic() - self._started
        return Summary(self._events, self._ticks, self._first, last, elapsed)


def partition_of(record: Record, partitions: int) -> int:
    """The partition in which a record belongs: by murmur2 of its key, or of its value if it has none that places it."""
    keyed = record.key is not None and record.key != REFUSED_KEY
    return int(murmur2((record.key if keyed else record.value) or b"", partitions))


def tick_body(time_us: int, source: str, intent: Intent | None = None) -> bytes:
    """Make the value of a tick record for ``time_us`` (microseconds since 1970 UTC)."""
    tick = Tick(occurred_at=EPOCH + timedelta(microseconds=time_us), source=source, history=intent)
    return tick.model_dump_json(exclude_none=True).encode()
