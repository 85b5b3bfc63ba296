"""A source's privacy rules hold for its webhooks: for events, and for what goes to the dead letters."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.door.door import PLAN_STAGE, Door
from connectors.privacy.guard import Guard
from connectors.sources.source import Source
from connectors.webhooks.receiver import STAGE, Receiver
from contracts.refused import read_refusal

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


def orders(count: int, **properties: object) -> bytes:
    """A list of orders, for the generic mapping."""
    one = {"name": "Order Completed", "customer_id": "c-1", "properties": {"order_id": "o-1", "total": 5, **properties}}
    return json.dumps([one | {"id": f"o-{number}"} for number in range(count)]).encode()


def generic(**fields: object) -> Receiver:
    part = {"mapping": "generic", "signature": "none"}
    return Receiver(Door(Source.model_validate({"name": "till", "webhook": part, **fields}), STAGE))


def test_however_many_elements_are_refused_the_body_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    plain = Guard.original
    monkeypatch.setattr(Guard, "original", lambda guard, *it: kept.append(it[0]) or plain(guard, *it))
    received = generic().receive(orders(60, total="five"), {}, NOW)
    assert (received.events, len(received.problems), len(kept)) == (0, 60, 1)
    (refusal,) = received.records
    assert json.loads(refusal.value or b"") == json.loads(orders(60, total="five"))
    told = read_refusal(refusal.headers)
    assert told is not None
    assert (told.stage, told.field) == (STAGE, received.problems[0].field)


def test_what_a_plan_refuses_is_told_as_the_plans() -> None:
    plan = {"path": "plan.yaml", "plan": {"unplanned_events": "refuse", "events": {"Page Viewed": {}}}}
    received = generic(plan=plan, currency="EUR").receive(orders(2), {}, NOW)
    told = read_refusal(received.records[0].headers)
    assert told is not None
    assert told.stage == PLAN_STAGE


def test_others_have_their_turn_while_a_long_list_is_worked_off() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> int:
        other = asyncio.create_task(others())
        received = await generic(currency="EUR").receive_in_turns(orders(100), {}, NOW)
        other.cancel()
        return received.events

    assert asyncio.run(both()) == 100
    assert turns >= 4
