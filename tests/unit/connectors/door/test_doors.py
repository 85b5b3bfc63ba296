"""The doors of configured sources follow their file; the rules of a source hold for the rows of its files."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.door.door import Door
from connectors.door.doors import Doors
from connectors.files.replay import FileConnector
from connectors.plan.plan import Plan
from connectors.privacy.protection import Protector
from connectors.privacy.rules import PrivacyRules
from connectors.rows.mapping import parse_mapping
from connectors.sources.source import PlanFile, Source
from contracts.errors import InputFileError, SettingsError

KEY = SecretStr("a key of at least thirty-two letters")
MAPPING: dict[str, Any] = {
    "source": "desk",
    "name": {"column": "what", "values": {"order": "Order Completed", "call": "Call Made"}},
    "kind": "transaction",
    "customer_id": "mail",
    "occurred_at": "at",
    "received_at": "at",
    "properties": {"total": {"column": "eur", "type": "money", "currency": "EUR"}, "phone": "phone", "ip": "ip"},
}
ROWS = """\
mail,what,at,eur,phone,ip
ann@example.com,order,2024-05-01T10:00:00Z,12.5,+49 555 1,203.0.113.77
bob@example.com,order,2024-05-01T09:00:00Z,3,+49 555 2,
bob@example.com,order,2024-05-01T09:00:00Z,3,+49 555 2,
bob@example.com,order,never,3,+49 555 2,
carl@example.com,call,2024-05-01T11:00:00Z,,+49 555 3,
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


def source(**parts: Any) -> Source:
    policies = {"unplanned_events": "refuse", "unplanned_properties": "allow"}
    plan = Plan.model_validate({**policies, "events": {"Order Completed": {}}})
    rules = PrivacyRules(drop=("phone",), hash=("customer_id",))
    return Source(name="desk", privacy=rules, plan=PlanFile(path=Path("plan.yaml"), plan=plan), **parts)


def test_the_rows_of_a_configured_source_go_through_its_door(path: Path) -> None:
    door = Door(source(), "file", KEY)
    connector = FileConnector(path, parse_mapping(MAPPING), door=door)
    records = list(connector.records())
    ann, bob = (Protector(KEY).hash(mail) for mail in ("ann@example.com", "bob@example.com"))
    assert [record.key for record in records] == [str(who).encode() for who in (bob, bob, ann)]
    told = [(one.line, one.field, one.problem) for one in connector.report.rejections]
    assert [told[0][:2], told[1]] == [(5, "occurred_at"), (6, "name", "is not in the plan")]
    assert json.loads(records[2].value or b"")["properties"] == {"total": 12.5, "currency": "EUR", "ip": "203.0.113.0"}
    for record in records:
        assert b"555" not in (record.value or b"")
        assert b"@example" not in (record.value or b"")


def test_the_ids_of_rows_are_the_same_with_a_door_and_without(path: Path) -> None:
    mapping = parse_mapping(MAPPING)
    plain = [json.loads(record.value or b"")["event_id"] for record in FileConnector(path, mapping).records()]
    guarded = FileConnector(path, mapping, door=Door(Source(name="desk")), run_records=1)
    assert [json.loads(record.value or b"")["event_id"] for record in guarded.records()] == plain
    assert len(set(plain)) == len(plain) == 4


def test_doors_are_made_anew_when_their_source_changes(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    doors = Doors(file, "file", None, check_seconds=0)
    assert doors.door("shop").source.name == "shop"
    assert doors.notice("shop") is None
    file.write_text("sources: {shop: {currency: EUR}}")
    first = doors.door("shop")
    assert first.source.currency == "EUR"
    assert doors.door("shop") is first
    file.write_text("sources: {shop: {currency: USD}}")
    second = doors.door("shop")
    assert second.source.currency == "USD"


def test_a_rule_that_needs_a_missing_key_is_not_followed_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text("sources: {shop: {privacy: {hash: [email]}}}")
    with pytest.raises(SettingsError, match="CRM_PRIVACY_KEY is not set"):
        Doors(file, "file", None).door("shop")
    file.write_text("sources: {shop: {}}")
    doors = Doors(file, "file", None, check_seconds=0)
    first = doors.door("shop")
    file.write_text("sources: {shop: {privacy: {hash: [email]}}}")
    assert [doors.door("shop") for _ in range(3)] == [first] * 3
    assert "CRM_PRIVACY_KEY is not set" in str(doors.problem)
    assert len(caplog.messages) == 1


def test_the_rules_of_a_source_do_not_depend_on_the_keys_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text("sources: {shop: {}, app: {privacy: {hash: [email]}}}")
    doors = Doors(file, "file", None, check_seconds=0)
    doors.door("shop")
    file.write_text("sources: {shop: {privacy: {drop: [email]}}, app: {privacy: {hash: [email, phone]}}}")
    second = doors.door("shop")
    assert second.source.privacy.drop == ("email",)
    assert doors.problem is None
    file.write_text("sources: {shop: {privacy: {drop: [email]}}}")
    assert doors.door("shop") is second  # nothing has changed for it
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("content", "is_set", "told"),
    [
        (
            "sources: {shop: {privacy: {drop: [email]}}, app: {}}",
            False,
            "names no source 'shpo', only shop, app, so no privacy rules",
        ),
        ("sources: {shop: {privacy: {ip: drop}}}", False, "names no source 'shpo', only shop"),
        (None, True, "is not there, so no privacy rules"),
    ],
)
def test_rules_are_never_off_by_a_wrong_name(tmp_path: Path, content: str | None, is_set: bool, told: str) -> None:
    file = tmp_path / "sources.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputFileError, match=told) as error:
        Doors(file, "file", None, is_set=is_set).door("shpo")
    assert "`crmstream source add shpo` adds it" in str(error.value)
    assert "`default:`" in str(error.value)


@pytest.mark.parametrize("content", ["sources: {web-shop: {}}", "sources: {web-shop: {currency: EUR}}", "sources: {}"])
def test_a_source_that_is_not_named_has_no_rules_where_nobody_has_any(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(content)
    doors = Doors(file, "file", None)
    assert doors.door("My Till").source.name == "My Till"
    assert "Source My Till is not in" in (doors.notice("My Till") or "")
    assert doors.notice("web-shop") is None or "web-shop" not in content


def test_the_default_holds_for_every_source_that_is_not_named(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    (tmp_path / "p.yaml").write_text("events: {}")
    file.write_text(
        "sources: {shop: {currency: USD, privacy: {drop: [email]}}}\n"
        "default: {currency: EUR, privacy: {drop: [phone]}, plan: p.yaml}"
    )
    doors = Doors(file, "file", None)
    till, shop = doors.door("till").source, doors.door("shop").source
    assert (till.name, till.currency, till.privacy.drop, till.plan is not None) == ("till", "EUR", ("phone",), True)
    assert (shop.currency, shop.privacy.drop, shop.plan) == ("USD", ("email",), None)
    assert doors.notice("till") is None


def test_a_source_that_is_taken_out_of_the_file_does_not_lose_its_rules_unnoticed(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text("sources: {shop: {privacy: {drop: [email]}}}")
    doors = Doors(file, "file", None, check_seconds=0)
    doors.door("shop")
    file.write_text("sources: {}")
    with pytest.raises(InputFileError, match="names no source 'shop'"):
        doors.door("shop")
