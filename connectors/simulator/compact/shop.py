"""The compact shop: one endless stream, told hour by hour in the order in which its events are received.

Delivery: the same settings give the same records, however they are read: in one go or in parts, fast or slow. Memory is
bounded by the events of one hour.
"""

from collections import deque
from collections.abc import Iterator

from connectors.protocol import Record
from connectors.simulator.compact.config import CompactConfig
from connectors.simulator.compact.visits import HOUR_US, RECEIVED_AFTER_US, HourWriter


class CompactShop:
    """A compact shop, a connector. It is one stream: a second reading goes on where the first ended."""

    def __init__(self, config: CompactConfig):
        self.config = config
        self._writer = HourWriter(config)
        self._hour = 0
        self._now = config.start_us
        self._pending: deque[Record] = deque()

    @property
    def now_us(self) -> int:
        """How far the stream has been read: the shop's own present, microseconds since 1970 UTC."""
        return self._now

    @property
    def joined(self) -> int:
        """How many customers have joined by now, in whole hours."""
        return self._writer.joined(self._hour)

    def records(self, until_us: int | None = None) -> Iterator[Record]:
        """Yield the records received before ``until_us`` (None: endlessly), in the order of their receipt."""
        while until_us is None or self._now < until_us:
            if self._next_hour_us <= self._now:
                self._pending.extend(self._writer.write(self._hour))
                self._hour += 1
            stop = self._next_hour_us if until_us is None else min(self._next_hour_us, until_us)
            while self._pending and self._received_us(self._pending[0]) < stop:
                record = self._pending.popleft()
                self._now = self._received_us(record)
                yield record
            self._now = stop

    @property
    def _next_hour_us(self) -> int:
        return self.config.start_us + self._hour * HOUR_US

    @staticmethod
    def _received_us(record: Record) -> int:
        return (record.occurred_at or 0) + RECEIVED_AFTER_US
