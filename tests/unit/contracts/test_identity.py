"""Ids of people have one form, and placeholders are none."""

from decimal import Decimal

import pytest

from contracts.identity import identifier_of, placing_id


@pytest.mark.parametrize(
    ("value", "identifier"),
    [
        (17850, "17850"),
        (17850.0, "17850"),
        ("17850.0", "17850"),
        ("17850.00", "17850"),
        (Decimal("17850.00"), "17850"),
        (1e20, "100000000000000000000"),
        (17.5, "17.5"),
        ("007", "007"),
        ("1.0.0", "1.0.0"),
        (" c-1 ", "c-1"),
        (" Ann@Shop.example", "ann@shop.example"),
        (None, None),
        ("", None),
        (0, None),
        ("0", None),
        (0.0, None),
        (-1, None),
        ("Guest", None),
        ("NaN", None),
    ],
)
def test_a_value_is_one_id_or_none(value: object, identifier: str | None) -> None:
    assert identifier_of(value) == identifier


@pytest.mark.parametrize("value", [True, False, float("nan"), float("inf"), ["a"], {"id": 1}])
def test_what_cannot_be_an_id_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is "):
        identifier_of(value)


@pytest.mark.parametrize("kind", ["web", "identity"])
def test_web_and_identity_records_are_keyed_by_their_device(kind: str) -> None:
    assert placing_id(kind, "c", "a") == placing_id(kind, None, "a") == "a"
    assert placing_id(kind, "c", None) == "c"


@pytest.mark.parametrize("kind", ["transaction", "service"])
def test_transactions_and_service_records_are_keyed_by_their_customer(kind: str) -> None:
    assert placing_id(kind, "c", "a") == placing_id(kind, "c", None) == "c"
    assert placing_id(kind, None, "a", "p") == "a"


@pytest.mark.parametrize(
    ("customer", "previous", "key"),
    [("c", "p", "p"), (None, "p", "a"), ("c", "null", "a"), ("c", None, "a"), ("c", "c", "c")],
)
def test_an_alias_is_keyed_by_the_id_that_it_gives_away(customer: str | None, previous: str | None, key: str) -> None:
    assert placing_id("identity", customer, "a", previous) == key
