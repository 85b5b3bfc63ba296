"""Hand records to Kafka and know, for each request, when Kafka holds all of them.

Delivery: :meth:`KafkaDelivery.deliver` returns only after every record was acknowledged (``acks=all``, idempotent);
whatever it raises, nothing of the call counts as taken. Some of it may be in Kafka all the same: whoever sends it again
must use the same event ids.

While something is under way, the loop itself asks the producer every millisecond what has become of it: a thread that
waits for that would contend with the loop for the interpreter, and cost more than all the rest of the delivery.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.collector.receipts import Desk, Receipt
from connectors.kafka.publisher import partition_of
from connectors.protocol import Record
from contracts.errors import CrmError, StoreUnavailableError

Deliver = Callable[[Sequence[Record]], Awaitable[None]]
"""Takes the records of one request; returns when Kafka holds all of them. Raises :class:`StoreUnavailableError` when
it does not: at once while Kafka is known to be away."""

_POLL_SECONDS: Final = 0.001
_IDLE_POLL_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.25
_PROBE_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 1.0
_PURGE_SECONDS: Final = 0.5
_RECORD_OVERHEAD: Final = 200
_PRODUCER: Final = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "compression.type": "lz4",
    "socket.nagle.disable": True,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
    "log_level": 0,
}
_log = logging.getLogger(__name__)


class KafkaProducer(Protocol):
    """What is needed of confluent-kafka's producer."""

    def produce(self, topic: str, **record: Any) -> None:
        """Queue one record; ``on_delivery`` is called from ``poll`` with its outcome."""
        ...

    def poll(self, timeout: float) -> int:
        """Serve callbacks, waiting up to ``timeout`` seconds for the first one."""
        ...

    def flush(self, timeout: float) -> int:
        """Wait for everything that is queued; gives how much still is."""
        ...

    def purge(self) -> None:
        """Drop everything that is queued; its callbacks tell of it."""
        ...

    def list_topics(self, *, timeout: float) -> Any:
        """Ask a broker; raises ``KafkaException`` if none answers."""
        ...


@dataclass(frozen=True)
class DeliveryLimits:
    """How long Kafka may take to acknowledge before a call has failed, and how many bytes may be under way at once."""

    timeout_seconds: float = 5.0
    most_bytes: int = 128_000_000


class KafkaDelivery:
    """A producer that serves an event loop.

    ``check`` makes sure that Kafka can be used (topics and partitions); it runs in a thread before the first record is
    taken and after each time that Kafka was away, and raises a :class:`CrmError` until it can.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        partitions: int,
        check: Callable[[], None],
        limits: DeliveryLimits = DeliveryLimits(),
        producer: Callable[[dict[str, Any]], KafkaProducer] = Producer,
    ):
        self._servers = bootstrap_servers
        self._partitions = partitions
        self._check = check
        self._timeout_seconds = limits.timeout_seconds
        self._most_bytes = limits.most_bytes
        self._new_producer = producer
        self._stop, self._away, self._doubt, self._fatal = (threading.Event() for _ in range(4))
        self._away.set()
        self._watcher = threading.Thread(target=self._watch, name="kafka-watch", daemon=True)

    @property
    def available(self) -> bool:
        """Whether Kafka can be used, as far as is known."""
        return not self._away.is_set()

    @property
    def bytes_in_flight(self) -> int:
        """Bytes that Kafka has not acknowledged yet."""
        return self._desk.bytes_in_flight

    def start(self) -> None:
        """Begin, within the event loop that will deliver. It is available after the first check."""
        self._desk = Desk()
        self._loop = asyncio.get_running_loop()
        self._producer = self._connect()
        self._next_poll = self._loop.call_later(_IDLE_POLL_SECONDS, self._poll)
        self._polls_often = False
        self._watcher.start()

    async def deliver(self, records: Sequence[Record]) -> None:
        """Hand the records to Kafka and wait until it holds all of them.

        Raises :class:`StoreUnavailableError` if it does not, or if too much is under way already.
        """
        if not records:
            return
        if self._away.is_set():
            raise self._unavailable("is away")
        size = 0
        for record in records:
            size += len(record.value or b"") + len(record.key or b"") + _RECORD_OVERHEAD
        if self._desk.bytes_in_flight + size > self._most_bytes:
            raise self._unavailable("does not keep up")
        patience = self._timeout_seconds + _GRACE_SECONDS
        receipt = self._desk.open(len(records), size, self._loop.time() + patience)
        self._produce(self._producer, records, receipt)
        if not self._polls_often:
            self._next_poll.cancel()
            self._poll_again()
        failure = await receipt.future
        if failure is not None:
            self._doubt.set()
            raise self._unavailable(f"did not take a record ({failure.str()})")

    async def close(self) -> None:
        """Wait for what is under way, within the timeout of deliveries, and end."""
        deadline = time.monotonic() + self._timeout_seconds + _GRACE_SECONDS
        while self._desk.bytes_in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._stop.set()
        self._next_poll.cancel()
        await asyncio.to_thread(self._watcher.join, 10)

    def _produce(self, producer: KafkaProducer, records: Sequence[Record], receipt: Receipt) -> None:
        """Queue the records. If one cannot be queued, those before it are waited for all the same."""
        for done, record in enumerate(records):
            place = partition_of(record, self._partitions)
            try:
                producer.produce(
                    record.topic, value=record.value, key=record.key, partition=place,
                    on_delivery=receipt.on_delivery, headers=list(record.headers),
                )  # fmt: skip
            except (BufferError, KafkaException) as error:
                why = error.args[0] if isinstance(error, KafkaException) else KafkaError(KafkaError._QUEUE_FULL)
                self._on_error(why)
                receipt.settle(len(records) - done, why)
                self._desk.resolve()
                return

    def _connect(self) -> KafkaProducer:
        own = {
            "bootstrap.servers": self._servers,
            "delivery.timeout.ms": int(self._timeout_seconds * 1_000),
            "request.timeout.ms": int(self._timeout_seconds * 1_000),
            "error_cb": self._on_error,
        }
        return self._new_producer(_PRODUCER | own)

    def _on_error(self, error: KafkaError) -> None:
        """Look again whether Kafka is there; a producer that is beyond help is replaced."""
        self._doubt.set()
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._away.set()
            self._fatal.set()

    def _poll(self) -> None:
        """Serve the producer's callbacks, and wake whom they settle."""
        try:
            self._producer.poll(0)
            if self._fatal.is_set():
                self._replace()
            self._desk.resolve()
            self._desk.expire(self._loop.time())
        finally:
            self._poll_again()

    def _poll_again(self) -> None:
        self._polls_often = bool(self._desk.bytes_in_flight)
        pause = _POLL_SECONDS if self._polls_often else _IDLE_POLL_SECONDS
        self._next_poll = self._loop.call_later(pause, self._poll)

    def _replace(self) -> None:
        """Take a new producer for one that will never deliver again; what it had has failed."""
        broken, self._producer = self._producer, self._connect()
        self._fatal.clear()
        broken.purge()
        broken.flush(_PURGE_SECONDS)
        _log.error("The Kafka producer had to be replaced; clients were told to send again what it had.")

    def _watch(self) -> None:
        """Find out whether Kafka is there whenever that is in doubt. Runs in a thread of its own."""
        told = ""
        while not self._stop.wait(_WATCH_SECONDS):
            if not (self._away.is_set() or self._doubt.is_set()):
                continue
            self._doubt.clear()
            problem = self._probe(check=self._away.is_set())
            if problem is None:
                self._away.clear()
            else:
                self._away.set()
            if problem != told and (problem or told):
                _log.warning("%s", problem or "Kafka is back.")
            told = problem or ""

    def _probe(self, *, check: bool) -> str | None:
        """Give what is wrong with Kafka, or None."""
        try:
            self._producer.list_topics(timeout=_PROBE_SECONDS)
            if check:
                self._check()
        except KafkaException as error:
            return f"Kafka at {self._servers} is away ({error.args[0].str()}); answering 503 until it is back."
        except TimeoutError:
            return f"Kafka at {self._servers} answers too slowly; answering 503 until it does."
        except CrmError as error:
            return str(error)
        return None

    def _unavailable(self, what: str) -> StoreUnavailableError:
        return StoreUnavailableError(f"Kafka at {self._servers} {what}.", bootstrap_servers=self._servers)
