"""A source's privacy rules hold for its webhooks: for events, and for what goes to the dead letters."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.door import Door
from connectors.sources import Source
from connectors.webhooks.receiver import STAGE, Receiver

CHARGE = Path(__file__).parents[4] / "docs" / "sources" / "samples" / "stripe-charge-succeeded.json"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = SecretStr("k" * 40)


def receive(privacy: dict[str, object], body: bytes) -> bytes:
    """What goes to Kafka of a charge, as one text."""
    part = {"mapping": "stripe", "signature": "none"}
    source = Source.model_validate({"name": "pay", "webhook": part, "privacy": privacy})
    received = Receiver(Door(source, STAGE, KEY)).receive(body, {}, NOW)
    return b"".join((record.key or b"") + (record.value or b"") for record in received.records)


@pytest.mark.parametrize("amount", [b"1099", b'"no number"'])
def test_what_a_source_drops_or_hashes_reaches_kafka_in_no_form(amount: bytes) -> None:
    body = CHARGE.read_bytes().replace(b"1099", amount).replace(b'"order_id": "6735"', b'"customer_id": "c-000042"')
    assert b"customer-1@example.com" in receive({}, body)
    assert b"c-000042" in receive({}, body)
    told = receive({"drop": ["email"], "hash": ["customer_id"]}, body)
    assert b"customer-1@example.com" not in told
    assert b"c-000042" not in told


def test_an_event_id_does_not_tell_whose_event_it_is() -> None:
    """Shopify's Identify is known by the customer's number, which may not be told."""
    source = Source.model_validate({
        "name": "shop", "privacy": {"hash": ["customer_id"]}, "webhook": {"mapping": "shopify", "signature": "none"},
    })  # fmt: skip
    receiver = Receiver(Door(source, STAGE, KEY))
    body = CHARGE.with_name("shopify-customer-created.json").read_bytes()
    ids = set()
    for changed in (body, body.replace(b"2021-12-31T19", b"2021-12-31T20")):
        for _ in range(2):
            (record,) = receiver.receive(changed, {"x-shopify-topic": "customers/update"}, NOW).records
            assert b"706405506930370084" not in (record.key or b"") + (record.value or b"")
            ids.add(json.loads(record.value or b"")["event_id"])
    assert len(ids) == 2
