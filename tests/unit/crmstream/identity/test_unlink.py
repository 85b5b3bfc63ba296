"""The event that undoes a link."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.identity import email_key
from contracts.topics import TOPIC_OF_KIND
from contracts.wire import judge
from crmstream.identity.unlink import Undo, unlink_record

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEVICE = Undo("d-1", "anonymous:d-1", "c-1", NOW - HOUR)


def event(undo: Undo, clock: datetime | None = None) -> dict[str, Any]:
    record = unlink_record(undo, NOW, clock)
    assert record.topic == TOPIC_OF_KIND["identity"].name
    judge("identity", record.value or b"")
    body: dict[str, Any] = json.loads(record.value or b"")
    return body


def test_a_device_is_named_by_its_anonymous_id() -> None:
    body = event(DEVICE)
    assert (body["name"], body["anonymous_id"], "customer_id" in body) == ("Unlink", "d-1", False)
    assert body["properties"] == {"previous_id": "c-1"}
    assert unlink_record(DEVICE, NOW, None).key == b"d-1"
    assert event(DEVICE)["event_id"] != body["event_id"]


def test_an_address_is_named_with_its_customer() -> None:
    body = event(Undo("a@b.example", email_key("a@b.example"), "c-1", NOW))
    assert body["customer_id"] == "c-1"
    assert body["properties"] == {"previous_id": "c-1", "traits": {"email": "a@b.example"}}
    assert "anonymous_id" not in body


@pytest.mark.parametrize(
    ("linked_at", "clock", "wanted"),
    [
        (NOW - HOUR, None, NOW),
        (NOW - 5 * HOUR, NOW - HOUR, NOW - HOUR),  # a history: its clock does not move
        (NOW - HOUR, NOW - 2 * HOUR, NOW - HOUR + timedelta(microseconds=1)),
        (NOW + HOUR, None, NOW + HOUR + timedelta(microseconds=1)),  # linked by a device whose clock is ahead
        (datetime(2026, 5, 1, 13), None, NOW + HOUR + timedelta(microseconds=1)),  # noqa: DTZ001 - as ClickHouse gives it
        (NOW + 24 * HOUR, None, NOW + 24 * HOUR),
        (None, NOW - HOUR, NOW),  # Redis alone knows of the link
        (NOW - HOUR, NOW + HOUR, NOW),
    ],
)
def test_it_happens_at_the_event_clock_and_after_the_link(
    linked_at: datetime | None, clock: datetime | None, wanted: datetime
) -> None:
    body = event(Undo("d-1", "anonymous:d-1", "c-1", linked_at), clock)
    assert datetime.fromisoformat(body["occurred_at"]) == wanted
    assert datetime.fromisoformat(body["received_at"]) == NOW
