"""A wrong mapping is refused before the first row, with the field's name."""

from pathlib import Path

import pytest

from connectors.rows.mapping import Mapping, load_mapping, parse_mapping, shipped_mappings
from contracts.errors import InputFileError

GOOD = {
    "source": "shop",
    "name": "Order Completed",
    "customer_id": "id",
    "occurred_at": "at",
    "properties": {"total": {"column": "amount", "type": "money", "currency": "EUR"}},
}


def test_short_forms_stand_for_the_first_key() -> None:
    mapping = parse_mapping(GOOD)
    assert mapping.customer_id is not None
    assert (mapping.customer_id.column, mapping.occurred_at.column, mapping.occurred_at.format) == ("id", "at", "iso")
    assert mapping.all_columns() == ("at", "id", "amount")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"customer": "id"}, "customer: unknown key; did you mean customer_id?"),
        ({"source": ""}, "source: "),
        ({"time_zone": "Mars/Base"}, "time_zone: no such time zone"),
        ({"encoding": "utf-99"}, "encoding: no such encoding"),
        ({"delimiter": ";;"}, "delimiter: "),
        ({"name": "Coffee Drunk"}, "kind: is required, since 'Coffee Drunk'"),
        ({"kind": "web"}, "kind: is 'web', but 'Order Completed' is of kind 'transaction'"),
        ({"name": {"column": "kind"}}, "name: give one name, or column and values, or rules"),
        ({"name": {"rules": [{"when": {"a": "b"}}]}}, "name.rules.0.name: field required"),
        ({"customer_id": None}, "customer_id: is required (or anonymous_id)"),
        ({"occurred_at": {"format": "iso"}}, "occurred_at: give either column or columns"),
        ({"occurred_at": {"column": "at", "format": "epoch"}}, "occurred_at: format must be iso, unix"),
        ({"properties": {"n": {"column": "a", "currency": "EUR"}}}, "properties.n: only type money has a currency"),
        (
            {"properties": {"total": {"column": "a", "type": "money", "currency": "eur"}}},
            "properties.total.currency: currency codes are three capital letters: write EUR",
        ),
        ({"properties": {"total": {"column": "a", "type": "cash"}}}, "properties.total.type: "),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], told: str) -> None:
    with pytest.raises(InputFileError) as error:
        parse_mapping(GOOD | change, "m.yaml")
    assert str(error.value).startswith("Mapping m.yaml: ")
    assert told in str(error.value)


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(InputFileError, match=r"occurred_at: .*; time_zone: "):
        parse_mapping(GOOD | {"time_zone": "x", "occurred_at": {}})


def test_a_property_that_cannot_be_absolute_is_refused() -> None:
    with pytest.raises(InputFileError, match="absolute"):
        parse_mapping(GOOD | {"properties": {"a": {"column": "a", "absolute": "true"}}})


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list", "plain", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=r"m\.yaml"):
        load_mapping(str(path))


def test_scalars_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "source: 007\nname: {column: paid, values: {yes: Order Completed, no: Order Refunded}}\n"
        "customer_id: id\noccurred_at: at\nonly: {active: true}\n",
        encoding="utf-8",
    )
    mapping = load_mapping(str(path))
    assert mapping.source == "007"
    assert set(mapping.name.values) == {"yes", "no"}
    assert mapping.only == {"active": ("true",)}


def test_a_missing_mapping_names_the_shipped_ones() -> None:
    with pytest.raises(InputFileError, match="cdnow, incidents, magento-orders"):
        load_mapping("nowhere")


@pytest.mark.parametrize("name", shipped_mappings())
def test_shipped_mappings_are_valid(name: str) -> None:
    assert isinstance(load_mapping(name), Mapping)
