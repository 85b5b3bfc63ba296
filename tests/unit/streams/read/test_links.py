"""Which links identity events state, from the records as they are in Kafka, and which bucket handles them."""

import json
from typing import Any

import pytest
from confluent_kafka import murmur2
from pydantic import SecretStr
from support.records import NOW_MS, POLICY, Record, event

from connectors.privacy.protection import Protector
from contracts.blocks import NOBODY, Link
from contracts.identity import email_key, visitor_id
from contracts.topics import IDENTITIES
from contracts.unlinks import OWN_SOURCE
from streams.read.clock import TopicClock
from streams.read.decode import Decoded, decode
from streams.read.validation import DecodePolicy

V, C, MAIL = visitor_id("a-1"), "c-1", email_key("ann@example.com")
KEYS = Protector(SecretStr("k" * 32))
TRAITS = {"email": " Ann@Example.com "}


def decoded(
    name: str, customer: str | None, visitor: str | None, *, partition: int = 0, policy: DecodePolicy = POLICY,
    **properties: Any,
) -> Decoded:  # fmt: skip
    ids = {"customer_id": customer, "anonymous_id": visitor}
    given = {key: value for key, value in ids.items() if value is not None}
    source = {"source": OWN_SOURCE} if name == "Unlink" else {}
    body = event("identity", name, properties=properties, **{"customer_id": ..., **given, **source})
    return decode([Record(json.dumps(body).encode())], IDENTITIES, partition, TopicClock(), policy)


def links(name: str, customer: str | None, visitor: str | None, **properties: Any) -> list[tuple[str, str]]:
    found = decoded(name, customer, visitor, **properties)
    assert not found.dead, found.dead
    return [(link.identity, link.person) for link in found.links]


@pytest.mark.parametrize(
    ("customer", "visitor", "traits", "expected"),
    [
        (C, "a-1", {}, [(V, C)]),
        (C, "a-1", TRAITS, [(V, C), (MAIL, C)]),
        (C, None, TRAITS, [(MAIL, C)]),
        (C, None, {"plan": "pro"}, []),
        (None, "a-1", TRAITS, [(V, MAIL)]),
        (None, "a-1", {"plan": "pro"}, []),
        (C, C, {}, [(visitor_id(C), C)]),
    ],
)
def test_identify(
    customer: str | None, visitor: str | None, traits: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert links("Identify", customer, visitor, traits=traits) == expected


@pytest.mark.parametrize(
    ("customer", "visitor", "traits", "expected"),
    [
        (None, "a-1", {}, V),
        (C, "a-1", {"plan": "pro"}, V),
        (C, None, TRAITS, MAIL),
    ],
)
def test_unlink(customer: str | None, visitor: str | None, traits: dict[str, str], expected: str) -> None:
    (link,) = decoded("Unlink", customer, visitor, traits=traits, previous_id="c-9").links
    assert (link.identity, link.person, link.undoes) == (expected, NOBODY, "c-9")


@pytest.mark.parametrize(
    ("visitor", "given", "field"),
    [
        ("a-1", {}, "properties.previous_id"),
        ("a-1", {"previous_id": C, "traits": TRAITS}, "properties.traits"),
        (None, {"previous_id": C}, "properties.traits"),
        (None, {"previous_id": C, "traits": {"email": "nonsense"}}, "properties.traits"),
    ],
)
def test_an_unlink_names_its_owner_and_one_id(visitor: str | None, given: dict[str, Any], field: str) -> None:
    found = decoded("Unlink", C, visitor, **given)
    assert [letter.field for letter in found.dead] == [field]
    assert found.links == []


def test_an_unlink_of_another_source_is_a_dead_letter() -> None:
    body = event("identity", "Unlink", anonymous_id="a-1", properties={"previous_id": C})
    (letter,) = decode([Record(json.dumps(body).encode())], IDENTITIES, 0, TopicClock(), POLICY).dead
    assert (letter.field, "only crmstream" in letter.problem) == ("source", True)


def test_alias_gives_the_former_visitor_to_the_customer() -> None:
    assert links("Alias", C, None, previous_id="a-1") == [(V, C)]


@pytest.mark.parametrize("previous", [C, "null", "undefined", "00000000-0000", "anonymous:a-1"])
def test_alias_of_oneself_or_of_a_placeholder_states_nothing(previous: str) -> None:
    assert links("Alias", C, None, previous_id=previous) == []


def test_alias_without_a_customer_states_nothing() -> None:
    assert links("Alias", None, "a-2", previous_id="a-1") == []


@pytest.mark.parametrize("name", ["Group", "Something"])
def test_other_events_state_nothing(name: str) -> None:
    assert links(name, C, "a-1", traits=TRAITS) == []


def test_an_address_that_the_gate_has_hashed_is_a_key_like_any_other() -> None:
    hashed = str(KEYS.hash("ann@example.com"))
    assert links("Identify", C, None, traits={"email": hashed}) == [(email_key(hashed), C)]


@pytest.mark.parametrize(
    "email",
    ["yes", "", "@", "ann@", "null", "a b@example.com", "x" * 320 + "@y", 7, None, []],
)
def test_a_text_that_is_no_address_is_nobodys_key(email: object) -> None:
    assert links("Identify", C, "a-1", traits={"email": email}) == [(V, C)]


def test_an_encrypted_address_is_nobodys_key_for_it_is_another_text_each_time() -> None:
    assert links("Identify", C, "a-1", traits={"email": KEYS.encrypt("ann@example.com")}) == [(V, C)]


def test_a_link_carries_its_slot_and_its_times() -> None:
    (link,) = decoded("Identify", C, "a-1").links
    assert link == Link(20_513, 20_513 * POLICY.interval + POLICY.interval // 2, NOW_MS, V, C)
    assert all(type(value) is int for value in link[:3])


def test_a_device_link_goes_to_its_own_bucket_wherever_the_record_stands() -> None:
    """The record stands with its customer, as in older logs: the device may be in another lane."""
    policy = DecodePolicy(POLICY.interval, 4, 8, POLICY.rates)
    home = murmur2(C.encode(), 4)
    for device in ("a-1", "a-2", "a-3", "a-4", "a-5"):
        found = decoded("Identify", C, device, partition=home, policy=policy, traits=TRAITS)
        assert not found.dead
        tied = murmur2(device.encode(), 4) == home
        assert found.people.devices.tolist() == [device if tied else ""]
        assert found.link_buckets == [murmur2(device.encode(), 8), found.people.home[0]]
        assert found.people.home[0] == murmur2((device if tied else C).encode(), 8)
