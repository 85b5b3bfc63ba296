"""Numbers keep their digits from a message to its event."""

import json
from decimal import Decimal
from typing import Any

import pytest

from connectors.collector.auth import Sender
from connectors.collector.batch import read_incoming
from connectors.collector.ids import EventIds
from connectors.collector.intake import judge_item
from connectors.collector.messages import Arrival
from connectors.collector.numbers import exact
from connectors.collector.timing import read_time
from connectors.door.door import Door
from connectors.plan.plan import Plan
from connectors.privacy.rules import PrivacyRules
from connectors.sources.source import PlanFile, Source
from contracts.refused import REFUSED_KEY

LONG = "12345678901234567890.123456789"


def stored(properties: str, source: Source | None = None, event: str = "Search", batch: bool = False) -> str:
    """The properties of the event, or the refused message, that a message becomes, as JSON."""
    source = source or Source(name="shop")
    sender = Sender(source, Door(source), EventIds(source.name), "hash")
    now = read_time("2026-11-22T12:00:00Z")
    assert now is not None
    body = f'{{"userId": "c", "type": "track", "event": "{event}", "properties": {properties}}}'
    body = f'{{"batch": [{body}], "context": {{"build": {LONG}}}}}' if batch else body
    incoming = read_incoming(body.encode(), "batch" if batch else "track", 10)
    return (judge_item(incoming.items[0], incoming, sender, Arrival(now)).record.value or b"").decode()


@pytest.mark.parametrize(
    "number",
    [LONG, "0.1234567890123456789", "-9007199254740993.5", "123456789012345678901234567890", "1.5", "1e-7", "0.1",
     "9007199254740993", "1234567890123456.7"],
)  # fmt: skip
def test_a_number_keeps_its_digits(number: str) -> None:
    kept = json.loads(stored(f'{{"x": [{number}]}}'), parse_float=Decimal)["properties"]["x"]
    assert Decimal(kept[0]) == Decimal(number)


def test_numbers_of_the_batch_s_context_keep_theirs() -> None:
    assert f'"build":{LONG}' in stored("{}", batch=True)


def test_long_numbers_pass_rules_plans_and_refusals() -> None:
    types = {"x": {"type": "number"}, "s": {"type": "string"}}
    plan = Plan.model_validate({"events": {"Search": {"properties": types}}})
    source = Source(name="shop", plan=PlanFile.model_construct(path=None, plan=plan), privacy=PrivacyRules(drop=("y",)))
    text = stored(f'{{"x": {LONG}, "y": {LONG}, "s": {LONG}}}', source)
    assert text.count(LONG) == 2
    assert json.loads(text)["properties"]["plan_violations"] == ["s: is no string"]
    assert LONG in stored(f'{{"x": {LONG}}}', event="CSAT Submitted")


def test_money_of_many_digits_is_money() -> None:
    products = '[{"quantity": 2.0000000000000000000}]'
    order = f'{{"total": 59.900000000000000001, "currency": "EUR", "order_id": {LONG}, "products": {products}}}'
    properties = json.loads(stored(order, event="Order Completed"))["properties"]
    assert (properties["total"], properties["order_id"], properties["items"]) == (59.9, LONG, 2)


@pytest.mark.parametrize("number", ["1e400", "1e99999999999999999999", "-1e309"])
def test_a_number_beyond_floats_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        exact(number)
    assert '"withheld"' not in stored(f'{{"x": {number}}}')


def test_short_numbers_stay_floats() -> None:
    values: list[Any] = [exact(text) for text in ("1.50", "1e3", "0.30000000000000004", "100000000000000000000.0")]
    assert [type(value) for value in values] == [float] * 4
    assert REFUSED_KEY
