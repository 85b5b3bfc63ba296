"""Records as Kafka has them, for tests of what decodes them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.rates import Rates, constant_steps
from streams.read.validation import DecodePolicy

DAY = 86_400_000_000
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
POLICY = DecodePolicy(interval=DAY, partitions=1, buckets=4, rates=Rates("USD", constant_steps({"EUR": 1.25})))


@dataclass
class Record:
    """A Kafka message as far as decoding looks at it."""

    body: bytes | None
    at: int = 0
    record_key: bytes | None = b"c-1"
    entered_ms: int = NOW_MS
    record_headers: tuple[tuple[str, bytes | None], ...] = ()

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return self.record_key

    def offset(self) -> int:
        return self.at

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self.record_headers) or None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.entered_ms


def event(kind: str = "web", name: str = "Page Viewed", **changes: Any) -> dict[str, Any]:
    body = {
        "event_id": "e-1",
        "kind": kind,
        "name": name,
        "customer_id": "c-1",
        "occurred_at": NOW.isoformat(),
        "received_at": NOW.isoformat(),
        "source": "test",
        "properties": {},
    }
    return {key: value for key, value in (body | changes).items() if value is not ...}
