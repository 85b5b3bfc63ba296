"""What is wrong in a YAML file is named with its line and column, and a misspelled key with the one that is meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.databases.connections import Connection, load_connection
from connectors.plan.plan import load_plan
from connectors.rows.mapping import load_mapping
from connectors.sources.source import load_sources
from connectors.webhooks.mapping import load_webhook_mapping
from contracts.errors import InputFileError

Load = Callable[[Path], object]
MAPPING = "source: s\nname: Identify\ncustomer_id: id\noccurred_at: at\n"
TABLE = "source: s\ntables:\n  orders:\n    name: Identify\n    customer_id: id\n    occurred_at: at\n"


def mapping(path: Path) -> object:
    return load_mapping(str(path))


def webhook(path: Path) -> object:
    return load_webhook_mapping(path.name, path.parent)


def connection(path: Path) -> object:
    return load_connection(path, Connection)


EVERY: list[Load] = [mapping, webhook, connection, load_plan, load_sources]


@pytest.mark.parametrize("load", EVERY)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: {c: [\n", "is not valid YAML in line 3, column 1"),
        ("a: 1\n  b: 2\n", "is not valid YAML in line 2, column 4"),
        ("a: 1\nb: 2\na: 3\n", 'in line 3, column 1 (found duplicate key "a")'),
        ("a:\n  b: 2\n  b: 3\n", 'in line 3, column 3 (found duplicate key "b")'),
    ],
)
def test_what_is_no_yaml_has_a_line_and_a_column(load: Load, text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputFileError) as error:
        load(path)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("load", "text", "told"),
    [
        (mapping, MAPPING + "propertys: {}\n", "line 5, column 1: propertys: unknown key; did you mean properties?"),
        (mapping, MAPPING + "properties:\n  n: {column: n, tpye: integer}\n",
         "line 6, column 18: properties.n.tpye: unknown key; did you mean type?"),
        (mapping, MAPPING + "trait: {email: e}\n", "trait: unknown key; did you mean traits?"),
        (mapping, MAPPING + "group: {by: [a], eech: {}}\n",
         "line 5, column 18: group.eech: unknown key; did you mean each?"),
        (mapping, MAPPING + "time_zone: Mars/Base\n", "line 5, column 1: time_zone: no such time zone"),
        (connection, TABLE + "    ocurred_at: x\n",
         "line 7, column 5: tables.orders.events.0.ocurred_at: unknown key; did you mean occurred_at?"),
        (connection, TABLE + "    group: {by: x}\n", "tables.orders.group: is for mapping files only"),
        (load_sources, "sources:\n  a: {curency: EUR}\n",
         "line 2, column 7: sources.a.curency: unknown key; did you mean currency?"),
        (load_sources, "sources: {}\ndefault: {keys: []}\n", "line 2, column 11: default.keys: unknown key"),
        (load_sources, "sources: {}\ndefualt: {}\n", "line 2, column 1: defualt: unknown key; did you mean default?"),
        (load_plan, "events:\n  A: {propertys: {}}\n",
         "line 2, column 7: events.A.propertys: unknown key; did you mean properties?"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(load: Load, text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputFileError) as error:
        load(path)
    assert told in str(error.value)


@pytest.mark.parametrize("place", ["traits: {email: mail}", "properties: {traits: {email: mail}}"])
def test_traits_stand_beside_properties_or_in_them(place: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(MAPPING + place)
    (event,) = load_mapping(str(path)).every_event
    assert (set(event.traits), event.properties) == ({"email"}, {})
