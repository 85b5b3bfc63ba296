"""A Deliver that keeps what it is handed, and can be told that Kafka is away."""

from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.protocol import Record
from contracts.errors import StoreUnavailableError
from contracts.refused import REFUSED_KEY, Refusal, read_refusal


class FakeDeliver:
    """What Kafka would hold. It keeps the contract of :data:`connectors.collector.delivery.Deliver`."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.available = True

    async def __call__(self, records: Sequence[Record]) -> None:
        """Hold the records, or say that Kafka is away."""
        if not records:
            return
        if not self.available:
            raise StoreUnavailableError("Kafka is away.")
        self.records += records

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that it holds."""
        return [msgspec.json.decode(record.value or b"") for record in self.records if record.key != REFUSED_KEY]

    @property
    def refusals(self) -> list[Refusal]:
        """The refusals that it holds."""
        found = (read_refusal(record.headers) for record in self.records)
        return [refusal for refusal in found if refusal is not None]
