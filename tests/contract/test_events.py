"""The event contract: golden examples of every name, and the published JSON Schemas, agree with the models."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts import wire
from contracts.events import EVENT_MODELS, EVENT_TYPES, KINDS, Event, Kind, Tick
from contracts.schemas import json_schemas, texts, write

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "contracts" / "examples").glob("*/*.json"))
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in json_schemas().items()}


def load(path: Path) -> tuple[Kind, dict[str, Any]]:
    kind = path.parent.name
    assert kind in KINDS
    return kind, json.loads(path.read_bytes())


def order(**changes: Any) -> dict[str, Any]:
    """The golden order with some fields changed; ``...`` takes a field out, ``properties__x`` is inside properties."""
    event = json.loads((ROOT / "contracts/examples/transaction/order_completed.json").read_bytes())
    for path, value in changes.items():
        *outer, name = path.split("__")
        target = event[outer[0]] if outer else event
        target.pop(name) if value is ... else target.__setitem__(name, value)
    return event


def judged(kind: Kind, event: dict[str, Any]) -> Event:
    return wire.judge(kind, json.dumps(event).encode())


def test_every_name_has_a_golden_example_and_one_is_a_name_of_our_users() -> None:
    named = [(kind, event["name"]) for kind, event in map(load, EXAMPLES)]
    wanted = {(kind, name) for name, (kind, _) in EVENT_TYPES.items()}
    assert len(named) == len(set(named))
    assert wanted == {pair for pair in named if pair[1] in EVENT_TYPES}
    assert any(name not in EVENT_TYPES for _, name in named)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_example(path: Path) -> None:
    kind, example = load(path)
    body = path.read_bytes()
    event = EVENT_MODELS[kind].model_validate_json(body)
    assert wire.judge(kind, body) == event
    envelope = wire.ENVELOPE.decode(body)
    for name in ("event_id", "kind", "name", "customer_id", "anonymous_id", "occurred_at", "received_at", "source"):
        assert getattr(envelope, name) == getattr(event, name), name
    properties = wire.PROPERTIES[kind].decode(envelope.properties)
    for name in properties.__struct_fields__:
        assert getattr(properties, name) == getattr(event.properties, name), name
    VALIDATORS[kind].validate(example)


def test_free_properties_are_kept() -> None:
    event = judged("transaction", order(properties__coupon="SPRING"))
    assert event.properties.model_dump()["coupon"] == "SPRING"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"event_id": ...}, "event_id"),
    ({"event_id": ""}, "event_id"),
    ({"event_id": "e" * 101}, "event_id"),
    ({"event_id": "e\n1"}, "event_id"),
    ({"event_id": 7}, "event_id"),
    ({"name": ...}, "name"),
    ({"name": "Ticket Opened"}, "kind"),
    ({"kind": "web"}, "kind"),
    ({"customer_id": ...}, "customer_id"),
    ({"customer_id": None}, "customer_id"),
    ({"customer_id": ["c"]}, "customer_id"),
    ({"source": ...}, "source"),
    ({"occurred_at": ...}, "occurred_at"),
    ({"occurred_at": 12}, "occurred_at"),
    ({"schema_version": 2}, "schema_version"),
    ({"surprise": 1}, "surprise"),
    ({"properties": ...}, "properties.total"),
    ({"properties": []}, "properties"),
    ({"properties__total": ...}, "properties.total"),
    ({"properties__total": None}, "properties.total"),
    ({"properties__total": -1}, "properties.total"),
    ({"properties__total": 1e12}, "properties.total"),
    ({"properties__total": "12"}, "properties.total"),
    ({"properties__currency": ...}, "properties.currency"),
    ({"properties__currency": "usd"}, "properties.currency"),
    ({"properties__items": -1}, "properties.items"),
    ({"properties__items": 1.5}, "properties.items"),
    ({"properties__order_id": "o" * 501}, "properties.order_id"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG, ids=lambda value: str(value)[:50])
def test_what_breaks_the_contract_is_refused_by_judge_and_schema_alike(changes: dict[str, Any], field: str) -> None:
    event = order(**changes)
    with pytest.raises(wire.RejectedError) as refused:
        judged("transaction", event)
    assert refused.value.field == field
    assert not VALIDATORS["transaction"].is_valid(event)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"occurred_at": "2026-03-01T10:15:30"}, "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "occurred_at"),
        ({"occurred_at": "2026-03-02T10:15:32Z"}, "occurred_at"),
        ({"received_at": "2026-03-01T10:15:30"}, "received_at"),
    ],
    ids=str,
)
def test_times_are_judged(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(wire.RejectedError) as refused:
        judged("transaction", order(**changes))
    assert refused.value.field == field


def test_a_refusal_holds_no_value_of_the_body() -> None:
    for changes, _ in WRONG:
        event = order(customer_id="secret-customer", **{k: v for k, v in changes.items() if k != "customer_id"})
        with pytest.raises(wire.RejectedError) as refused:
            judged("transaction", event | {"surprise": "secret-customer"})
        assert "secret-customer" not in str(refused.value)


def test_money_is_whole_in_names_of_our_users_too() -> None:
    """The rule stands in the schema as well as in the model."""
    event = order(name="Voucher Bought")
    VALIDATORS["transaction"].validate(event)
    judged("transaction", event)
    for name in ("total", "currency"):
        half = order(name="Voucher Bought", **{f"properties__{name}": None})
        assert not VALIDATORS["transaction"].is_valid(half)
        with pytest.raises(wire.RejectedError, match=f"properties.{name}: is required"):
            judged("transaction", half)


@pytest.mark.parametrize("body", [b"", None])
def test_an_empty_body_is_refused(body: bytes | None) -> None:
    with pytest.raises(wire.RejectedError, match="body: is empty"):
        wire.judge("web", body)


def test_a_huge_body_is_refused() -> None:
    with pytest.raises(wire.RejectedError, match="body: has 32,769 bytes; the limit is 32,768"):
        wire.judge("web", b" " * 32_769)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 20_000, b'{"event_id": e-1}'])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(wire.RejectedError, match="body: is not valid JSON"):
        wire.judge("web", body)


def test_ticks_have_a_schema() -> None:
    tick = {"kind": "tick", "occurred_at": "2026-03-01T00:00:00Z", "source": "heartbeat"}
    Tick.model_validate_json(json.dumps(tick))
    VALIDATORS["tick"].validate(tick)
    assert not VALIDATORS["tick"].is_valid(tick | {"customer_id": "c-1"})


@pytest.mark.parametrize("name", json_schemas())
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schemas()[name])


def test_published_schemas_are_up_to_date() -> None:
    folder = ROOT / "docs" / "schemas"
    published = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert published == texts(), "run: python -m contracts.schemas"


def test_writing_makes_the_folder(tmp_path: Path) -> None:
    paths = write(tmp_path / "new" / "schemas")
    assert {path.name for path in paths} == set(texts())
    assert all(path.read_text(encoding="utf-8") == texts()[path.name] for path in paths)


def test_the_contracts_page_points_to_the_schemas() -> None:
    page = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    for name in texts():
        assert f"(schemas/{name})" in page
    assert "python -m contracts.schemas" in page
