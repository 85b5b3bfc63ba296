"""Tracking plans: what they find in events, by which policy it is flagged or refused, and what is wrong in a plan."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from connectors.door.door import Door
from connectors.plan import plan as plan_module
from connectors.plan.check import MOST_VIOLATIONS, PlanChecker
from connectors.plan.plan import Plan, load_plan
from connectors.protocol import Record
from connectors.sources.file import SourcesFile
from connectors.sources.source import PlanFile, Source, load_sources
from contracts.errors import InputFileError
from contracts.events import MAX_EVENT_BYTES
from contracts.refused import REFUSED_KEY, read_refusal

AT = "2026-05-01T10:00:00Z"
EXAMPLE = textwrap.dedent(str(plan_module.__doc__).split("::\n", 1)[1].rsplit("\n\n", 1)[0])


def plan(properties: Mapping[str, object], **policies: str) -> Plan:
    return Plan.model_validate({"events": {"Signed Up": {"properties": properties}}, **policies})


def told(properties: dict[str, Any], planned: Mapping[str, object], **policies: str) -> list[str]:
    verdict = PlanChecker(plan(planned, **policies)).check("Signed Up", properties)
    return [f"{one.field}: {one.problem}" for one in verdict.violations]


@pytest.mark.parametrize(
    ("expected", "value", "said"),
    [
        ("string", "x", []),
        ("string", None, []),
        ("string", 5, ["p: is no string"]),
        ({"type": "string", "required": True}, None, ["p: is no string"]),
        ("integer", 5.0, []),
        ("integer", 5.5, ["p: is no integer"]),
        ("integer", True, ["p: is no integer"]),
        ("number", "5", ["p: is no number"]),
        ("boolean", 1, ["p: is no boolean"]),
        ("datetime", AT, []),
        ("datetime", "yesterday", ['p: is not a "date-time"']),
        ("datetime", 5, ["p: is no string"]),
        ({"enum": ["a", 1]}, "a", []),
        ({"enum": ["a", 1]}, None, []),
        ({"enum": ["a", 1]}, "b", ['p: is not one of "a", 1 or null']),
        ({"pattern": "^O-"}, "x-O-", ['p: does not match "^O-"']),
        ({"minimum": 1, "maximum": 2}, 1.5, []),
        ({"minimum": 1, "maximum": 2}, 0, ["p: is less than the minimum of 1"]),
        ({"minimum": 1, "maximum": 2}, 3, ["p: is greater than the maximum of 2"]),
        ({"type": "array", "items": "string"}, ["a", 1], ["p.1: is no string"]),
        ({"type": "object", "properties": {"a": {"required": True}}}, {}, ["p.a: is required"]),
        ({"schema": {"multipleOf": 0.5}}, 0.3, ["p: is not a multiple of 0.5"]),
        ({"schema": {"$defs": {"d": {"type": "string"}}, "$ref": "#/$defs/d"}}, 5, ["p: is no string"]),
        ({"schema": {"additionalProperties": False}}, {"secret": 5}, ["p: is not in the plan"]),
        ({"schema": {"properties": {"a": {}}, "additionalProperties": False}}, {"x": 5}, ["p.x: is not in the plan"]),
        (None, object, []),
    ],
)
def test_a_value_is_held_against_what_is_expected(expected: object, value: Any, said: list[str]) -> None:
    assert told({"p": value}, {"p": expected}) == said


def test_problems_hold_no_value() -> None:
    expected = {"a": "integer", "b": {"enum": [1]}, "c": {"pattern": "x"}, "d": {"maximum": 1}, "e": "datetime"}
    values = {"a": "SECRET", "b": "SECRET", "c": "SECRET", "d": 998877, "e": "SECRET", "f": "SECRET"}
    said = " ".join(told(values, expected))
    assert said.count(":") == 6
    assert "SECRET" not in said
    assert "998877" not in said


def test_a_missing_property_is_told_and_what_everybody_sends_needs_no_plan() -> None:
    planned = {"a": {"required": True}}
    assert told({}, planned) == ["a: is required"]
    assert told({"a": 1, "context": {}, "session_id": "s", "url": "u"}, planned) == []


@pytest.mark.parametrize(
    ("policy", "said", "kept"),
    [
        ("allow", [], {"a": 1, "x": 2, "context": {}}),
        ("flag", ["x: is not in the plan"], {"a": 1, "x": 2, "context": {}}),
        ("drop", ["x: is not in the plan"], {"a": 1, "context": {}}),
    ],
)
def test_unplanned_properties_go_by_their_policy(policy: str, said: list[str], kept: dict[str, Any]) -> None:
    checker = PlanChecker(plan({"a": None}, unplanned_properties=policy, violations="refuse"))
    verdict = checker.check("Signed Up", {"a": 1, "x": 2, "context": {}})
    assert [f"{one.field}: {one.problem}" for one in verdict.violations] == said
    assert (verdict.refused, verdict.properties) == (False, kept)


def test_traits_are_planned_for_identify() -> None:
    planned = Plan.model_validate({"traits": {"email": {"type": "string", "required": True}, "age": "integer"}})
    check = PlanChecker(planned).check
    assert check("Identify", {"traits": {"email": "x", "age": 4}}).violations == []
    found = check("Identify", {"traits": {"age": "old", "x": 1}}).violations
    assert [one.field for one in found] == ["traits.email", "traits.age", "traits.x"]
    for properties in ({}, {"traits": None}):
        assert [one.field for one in check("Identify", properties).violations] == ["traits"]
    dropping = PlanChecker(planned.model_copy(update={"unplanned_properties": "drop"}))
    assert dropping.check("Identify", {"traits": {"email": "x", "y": 1}, "z": 1}).properties == {
        "traits": {"email": "x"}
    }


@pytest.mark.parametrize("properties", [{}, {"traits": None}, {"traits": {}}])
def test_traits_may_be_missing_if_none_is_required(properties: dict[str, Any]) -> None:
    planned = Plan.model_validate({"traits": {"email": "string"}, "violations": "refuse"})
    assert PlanChecker(planned).check("Identify", properties).violations == []


def test_a_schema_of_the_whole_event_holds_too() -> None:
    event = {"properties": {"a": None, "b": None}, "schema": {"dependentRequired": {"a": ["b"]}}}
    checker = PlanChecker(Plan.model_validate({"events": {"Signed Up": event}}))
    assert checker.check("Signed Up", {"a": 1, "b": 2}).violations == []
    assert [one.field for one in checker.check("Signed Up", {"a": 1}).violations] == ["b"]


def door(given: Plan, **source: Any) -> Door:
    return Door(Source(name="planned", plan=PlanFile(path=Path("plan.yaml"), plan=given), **source))


def admit(given: Plan, properties: object, name: str = "Signed Up", **source: Any) -> Record:
    draft = {"event_id": "e", "name": name, "customer_id": "c", "occurred_at": AT, "received_at": AT}
    return door(given, **source).admit({**draft, "properties": properties}, {"original": 1})


def flags_of(record: Record) -> object:
    assert record.key == b"c"
    return json.loads(record.value or b"")["properties"].get("plan_violations")


def test_a_flagged_event_goes_through_and_tells() -> None:
    given = plan({"a": {"required": True}, "b": "string"})
    assert flags_of(admit(given, {"a": 1, "b": "x"})) is None
    assert flags_of(admit(given, {"b": 5})) == ["a: is required", "b: is no string"]
    assert flags_of(admit(given, {"a": 1, "plan_violations": ["mine"]})) is None
    assert flags_of(admit(given, {}, name="Other")) == ["name: is not in the plan"]


def test_flags_are_bounded_and_never_make_an_event_too_large() -> None:
    many = {f"{'x' * 400}{number}": 1 for number in range(30)}
    told = flags_of(admit(plan({}), many))
    assert isinstance(told, list)
    assert len(told) == MOST_VIOLATIONS + 1
    assert told[-1] == "20 more"
    assert all(len(one) <= 120 for one in told)
    for size in range(MAX_EVENT_BYTES - 900, MAX_EVENT_BYTES - 150, 7):
        record = admit(plan({"a": {"required": True}, "b": {"required": True}}), {"x": "y" * size})
        assert record.key == b"c" or size > MAX_EVENT_BYTES - 300


def test_a_refused_event_goes_to_the_dead_letters_with_the_plan_as_its_stage() -> None:
    given = plan({"a": {"required": True}, "b": "string"}, violations="refuse", unplanned_events="refuse")
    for record, field, problem in (
        (admit(given, {"a": 1, "b": 5}), "properties.b", "is no string"),
        (admit(given, {"b": 5}), "properties.a", "is required (and 1 more)"),
        (admit(given, {}, name="Other"), "name", "is not in the plan"),
    ):
        refusal = read_refusal(record.headers)
        assert record.key == REFUSED_KEY
        assert refusal is not None
        assert (refusal.stage, refusal.field, refusal.problem) == ("plan", field, problem)
    assert flags_of(admit(given, {"a": 1, "x": 2})) == ["x: is not in the plan"]


def test_the_contract_has_the_last_word() -> None:
    record = admit(plan({}), {"total": -1}, name="Order Completed")
    refusal = read_refusal(record.headers)
    assert refusal is not None
    assert refusal.stage == "collect"


def test_the_plan_sees_what_privacy_leaves() -> None:
    given = plan({"email": {"required": True}})
    assert flags_of(admit(given, {"email": "x"}, privacy={"drop": ["email"]})) == ["email: is required"]


def test_violations_are_counted_by_source_and_planned_event() -> None:
    def count(event: str) -> float:
        return REGISTRY.get_sample_value("crm_plan_violations_total", {"source": "planned", "event": event}) or 0

    before = [count("Signed Up"), count("unplanned")]
    given = plan({"a": {"required": True}, "b": {"required": True}})
    for name in ("Signed Up", "One", "Two"):
        admit(given, {}, name=name)
    assert [count("Signed Up"), count("unplanned"), count("One")] == [before[0] + 1, before[1] + 2, 0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.yaml"


def test_the_example_is_a_plan(path: Path) -> None:
    path.write_text(EXAMPLE)
    example = load_plan(path)
    assert set(example.planned) == {"Identify", "Order Completed", "Wishlist Opened"}
    assert PlanChecker(example).kind_of("Wishlist Opened") == "web"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold `events:`"),
        ("[]", "must hold `events:`"),
        ("events: [a]", "line 1, column 1: events: "),
        ("events:\n  A: 5", "line 2, column 3: events.A: "),
        ("events:\n  A: {}\n  A: {}", "in line 3, column 3 (found duplicate key"),
        (
            "events:\n  A:\n    properties:\n      p: {type: text}",
            "line 4, column 11: events.A.properties.p.type: input should be",
        ),
        ("events:\n  A:\n    properties:\n      p: text",
         "line 4, column 7: events.A.properties.p.type: input should be"),
        ("events:\n  A:\n    properties:\n      p:\n        pattern: '('", "events.A.properties.p: pattern: "),
        ("events:\n  A:\n    properties:\n      p: {enum: []}", "line 4, column 11: events.A.properties.p.enum: "),
        ("events: {A: {properties: {p: {schema: {type: text}}}}}", "events.A.properties.p: type: "),
        ("events: {A: {schema: {required: 3}}}", "events.A: required: "),
        ("events: {A: {schema: {$ref: 'http://127.0.0.1:9/x'}}}", "Retrieval is disabled"),
        ("events: {Order Completed: {kind: web}}", "Order Completed.kind: is web, but"),
        ("unplanned_events: drop", "unplanned_events: "),
        ("violations: allow", "violations: "),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(InputFileError) as error:
        load_plan(path)
    assert said in str(error.value)
    assert f"Tracking plan {path}" in str(error.value)


def test_a_source_names_its_plan_beside_the_file_of_sources(tmp_path: Path, path: Path) -> None:
    sources = tmp_path / "sources.yaml"
    sources.write_text("sources: {shop: {plan: plan.yaml}}")
    with pytest.raises(InputFileError, match=r"Tracking plan .*plan.yaml: cannot be read"):
        load_sources(sources)
    path.write_text("events: {A: }")
    found = load_sources(sources).sources["shop"].plan
    assert found is not None
    assert set(found.plan.planned) == {"A"}


def test_a_changed_plan_is_read_again(tmp_path: Path, path: Path) -> None:
    sources = tmp_path / "sources.yaml"
    sources.write_text("sources: {shop: {plan: plan.yaml}}")
    path.write_text("events: {A: }")
    file = SourcesFile(sources, check_seconds=0)
    first = file.current()
    assert file.current() is first
    path.write_text("events: {A: , B: }")
    changed = file.current().sources["shop"].plan
    assert changed is not None
    assert set(changed.plan.planned) == {"A", "B"}
    path.write_text("events: [")
    assert file.current().sources["shop"].plan == changed
    assert "Tracking plan" in str(file.problem)
