"""One request's messages through rate, door and delivery, with what it may cost at most."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from connectors.collector.answers import AnswerError
from connectors.collector.auth import Sender
from connectors.collector.batch import read_incoming
from connectors.collector.ids import EventIds
from connectors.collector.intake import Intake
from connectors.collector.messages import Arrival
from connectors.collector.recent import Recent
from connectors.door.door import Door
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.errors import StoreUnavailableError
from contracts.refused import REFUSED_KEY

ARRIVAL = Arrival(datetime(2026, 5, 1, tzinfo=UTC))


def sender(**changes: object) -> Sender:
    source = Source.model_validate({"name": "shop", **changes})
    return Sender(source, Door(source), EventIds("shop"), "hash")


def test_what_a_batch_has_in_common_is_not_copied_into_thousands_of_refusals() -> None:
    """A context of half the largest body, in each of 2,500 messages, would be a gigabyte."""
    taken: list[Record] = []

    async def deliver(records: Sequence[Record]) -> None:
        taken.extend(records)

    body = json.dumps({"context": {"x": "y" * 400_000}, "batch": [{"type": "track"}] * 2_500}).encode()
    asyncio.run(Intake(deliver, Recent()).take(read_incoming(body, "batch", 2_500), sender(), ARRIVAL))
    assert {record.key for record in taken} == {REFUSED_KEY}
    assert len(taken) == 2_500
    assert sum(len(record.value or b"") for record in taken) < len(body)


def test_what_was_not_taken_uses_up_no_rate() -> None:
    async def away(records: Sequence[Record]) -> None:
        raise StoreUnavailableError("away")

    async def present(records: Sequence[Record]) -> None:
        return

    intake, batch = Intake(away, Recent(), clock=lambda: 0.0), [{"type": "track", "event": "x", "userId": "c"}] * 50
    incoming = read_incoming(json.dumps({"batch": batch}).encode(), "batch", 2_500)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            asyncio.run(intake.take(incoming, sender(events_per_second=10), ARRIVAL))
    intake._deliver = present
    asyncio.run(intake.take(incoming, sender(events_per_second=10), ARRIVAL))
    with pytest.raises(AnswerError, match="sends too much"):
        asyncio.run(intake.take(incoming, sender(events_per_second=10), ARRIVAL))
