"""What is under way to Kafka for an event loop: the records of each call, until all of them are settled.

Everything here happens in the loop's thread. Moves no data.
"""

import asyncio
from collections import deque

from confluent_kafka import KafkaError, Message


class Receipt:
    """The records of one call: how many Kafka still has to acknowledge, their size in bytes, and how long it may take.

    ``until`` is in seconds of the loop's clock.
    """

    __slots__ = ("_desk", "failure", "future", "left", "size", "until")

    def __init__(self, desk: "Desk", left: int, size: int, until: float):
        self._desk = desk
        self.until = until
        self.future: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()
        self.left = left
        self.size = size
        self.failure: KafkaError | None = None

    def on_delivery(self, error: KafkaError | None, _message: Message | None = None) -> None:
        """Take note of one record's outcome."""
        self.settle(1, error)

    def settle(self, records: int, error: KafkaError | None) -> None:
        """Take note of the outcome of some records."""
        self.failure = self.failure or error
        self.left -= records
        if not self.left:
            self._desk.settled.append(self)


class Desk:
    """All receipts of one event loop, opened in the order of their patience."""

    def __init__(self) -> None:
        self.settled: deque[Receipt] = deque()
        self.bytes_in_flight = 0
        self._oldest_first: deque[Receipt] = deque()

    def open(self, records: int, size: int, until: float) -> Receipt:
        """Begin a call. Its future becomes None, or the first error, when the last record is settled."""
        self.bytes_in_flight += size
        receipt = Receipt(self, records, size, until)
        self._oldest_first.append(receipt)
        return receipt

    def expire(self, now: float) -> None:
        """Wake the calls that have waited too long. What they have under way counts until it is settled."""
        while self._oldest_first and (self._oldest_first[0].future.done() or self._oldest_first[0].until < now):
            receipt = self._oldest_first.popleft()
            if not receipt.future.done():
                receipt.future.set_result(KafkaError(KafkaError._TIMED_OUT))

    def resolve(self) -> None:
        """Wake the calls of which everything is settled."""
        while self.settled:
            receipt = self.settled.popleft()
            self.bytes_in_flight -= receipt.size
            if not receipt.future.done():
                receipt.future.set_result(receipt.failure)
