"""What is under way to Kafka for an event loop: each call's records, settled in groups.

Outcomes come in the thread that polls the producer and are counted there; futures are resolved in the loop, all that
settled in one poll together, since waking a loop costs more than counting. Moves no data.
"""

import asyncio
import contextlib
import threading
from collections import deque

from confluent_kafka import KafkaError, Message


class Receipt:
    """The records of one call: how many Kafka still has to acknowledge, and their size in bytes."""

    __slots__ = ("_desk", "failure", "future", "left", "size")

    def __init__(self, desk: "Desk", future: "asyncio.Future[KafkaError | None]", left: int, size: int):
        self._desk = desk
        self.future = future
        self.left = left
        self.size = size
        self.failure: KafkaError | None = None

    def on_delivery(self, error: KafkaError | None, _message: Message | None = None) -> None:
        """Take note of one record's outcome."""
        self.settle(1, error)

    def settle(self, records: int, error: KafkaError | None) -> None:
        """Take note of the outcome of some records, in any thread."""
        with self._desk.lock:
            self.failure = self.failure or error
            self.left -= records
            if not self.left:
                self._desk.settled.append(self)


class Desk:
    """All receipts of one event loop. Make it within that loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.settled: deque[Receipt] = deque()
        self.bytes_in_flight = 0
        self._loop = asyncio.get_running_loop()

    def open(self, records: int, size: int) -> Receipt:
        """Begin a call. Its future becomes None, or the first error, when the last record is settled."""
        self.bytes_in_flight += size
        return Receipt(self, self._loop.create_future(), records, size)

    def announce(self) -> None:
        """Let the loop resolve what has settled, if anything has. From any thread."""
        if self.settled:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self.resolve)

    def resolve(self) -> None:
        """Resolve what has settled. In the loop."""
        while self.settled:
            receipt = self.settled.popleft()
            self.bytes_in_flight -= receipt.size
            if not receipt.future.done():
                receipt.future.set_result(receipt.failure)
