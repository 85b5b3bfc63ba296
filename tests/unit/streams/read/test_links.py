"""What identity events say of who is whom, from the records as they are in Kafka."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from support.records import POLICY, Record, event

from connectors.privacy.protection import Protector
from contracts.crossings import NOBODY
from contracts.identity import email_key, visitor_id
from contracts.topics import IDENTITIES
from streams.read.clock import TopicClock
from streams.read.decode import decode

V, C, MAIL = visitor_id("a-1"), "c-1", email_key("ann@example.com")
KEYS = Protector(SecretStr("k" * 32))
TRAITS = {"email": " Ann@Example.com "}


def links(name: str, customer: str | None, visitor: str | None, **properties: Any) -> list[tuple[str, str]]:
    ids = {"customer_id": customer, "anonymous_id": visitor}
    given = {key: value for key, value in ids.items() if value is not None}
    body = event("identity", name, properties=properties, **{"customer_id": ..., **given})
    found = decode([Record(json.dumps(body).encode())], IDENTITIES, 0, TopicClock(), POLICY)
    assert not found.dead, found.dead
    return list(zip(found.links.sources, found.links.targets, strict=True))


@pytest.mark.parametrize(
    ("customer", "visitor", "traits", "expected"),
    [
        (C, "a-1", {}, [(NOBODY, C), (V, C)]),
        (C, "a-1", TRAITS, [(NOBODY, C), (V, C), (MAIL, C)]),
        (C, None, TRAITS, [(NOBODY, C), (MAIL, C)]),
        (C, None, {"plan": "pro"}, [(NOBODY, C)]),
        (None, "a-1", TRAITS, [(V, MAIL)]),
        (None, "a-1", {"plan": "pro"}, []),
        (C, C, {}, [(NOBODY, C)]),
    ],
)
def test_identify(
    customer: str | None, visitor: str | None, traits: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert links("Identify", customer, visitor, traits=traits) == expected


def test_alias_gives_the_former_visitor_to_the_customer() -> None:
    assert links("Alias", C, None, previous_id="a-1") == [(NOBODY, C), (V, C)]


@pytest.mark.parametrize("previous", [C, "null", "undefined", "00000000-0000", "anonymous:a-1"])
def test_alias_of_oneself_or_of_nobody_says_nothing_but_who_is_a_customer(previous: str) -> None:
    assert links("Alias", C, None, previous_id=previous) == [(NOBODY, C)]


def test_alias_without_a_customer_says_nothing() -> None:
    assert links("Alias", None, "a-2", previous_id="a-1") == []


def test_an_address_that_the_door_has_hashed_is_a_key_like_any_other() -> None:
    hashed = str(KEYS.hash("ann@example.com"))
    assert links("Identify", C, None, traits={"email": hashed}) == [(NOBODY, C), (email_key(hashed), C)]


@pytest.mark.parametrize(
    "email",
    ["yes", "", "@", "ann@", "null", "a b@example.com", "x" * 320 + "@y", 7, None, []],
)
def test_what_is_no_address_is_nobodys_key(email: object) -> None:
    assert links("Identify", C, "a-1", traits={"email": email}) == [(NOBODY, C), (V, C)]


def test_an_encrypted_address_is_nobodys_key_for_it_is_another_text_each_time() -> None:
    assert links("Identify", C, "a-1", traits={"email": KEYS.encrypt("ann@example.com")}) == [(NOBODY, C), (V, C)]
