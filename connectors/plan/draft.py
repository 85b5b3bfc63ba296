"""Drafts a tracking plan from events that came: a start for a person to go on from. Pure but for the YAML text."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from connectors.plan.check import ALWAYS_PLANNED, IDENTIFY
from connectors.plan.report import Sample
from contracts.events import EVENT_TYPES

MOST_EVENTS: Final = 500
"""Events that a draft holds, the most frequent ones."""
MOST_PROPERTIES: Final = 500
"""Properties of one event that are looked at; beyond it names are values, and no plan can list them."""
_DEFAULT_KIND: Final = "web"
_TYPES: Final[dict[type, str]] = {
    bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"
}  # fmt: skip


@dataclass
class _Values:
    """What was seen of one property."""

    count: int = 0
    types: set[str] = field(default_factory=set)

    def see(self, value: object) -> None:
        if value is not None:
            self.count += 1
            self.types.add(_type_of(value))

    def plan(self, events: int) -> dict[str, Any]:
        types = {"number"} if self.types == {"integer", "number"} else self.types
        types = {"string"} if types == {"datetime", "string"} else types
        planned: dict[str, Any] = {"type": next(iter(types))} if len(types) == 1 else {}
        return planned | ({"required": True} if self.count == events else {})


@dataclass
class _Seen:
    """What was seen of the events of one name."""

    kinds: Counter[str | None] = field(default_factory=Counter)
    properties: dict[str, _Values] = field(default_factory=dict)
    traits: dict[str, _Values] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.kinds.total()

    def add(self, sample: Sample) -> None:
        self.kinds[sample.kind] += 1
        _see(self.properties, sample.properties, ALWAYS_PLANNED)
        traits = sample.properties.get("traits")
        if sample.name == IDENTIFY and isinstance(traits, dict):
            _see(self.traits, traits, frozenset())


def draft_plan(samples: Iterable[Sample], description: str) -> tuple[str, int]:
    """Write a plan in YAML that fits the samples, and say how many these were.

    A property of one type has that type; one that every event had is required.
    """
    seen: dict[str, _Seen] = {}
    total = 0
    for total, sample in enumerate(samples, 1):  # noqa: B007 - the last number is the count
        if sample.name in seen or len(seen) < MOST_EVENTS * 10:
            seen.setdefault(sample.name, _Seen()).add(sample)
    frequent = sorted(seen, key=lambda name: -seen[name].count)[:MOST_EVENTS]
    plan: dict[str, Any] = {"description": description}
    plan |= {"unplanned_events": "flag", "unplanned_properties": "flag", "violations": "flag"}
    identify = seen.get(IDENTIFY)
    if identify is not None and identify.traits:
        plan["traits"] = _planned(identify.traits, identify.count)
    plan["events"] = {name: _event(name, seen[name]) for name in sorted(frequent)}
    return _written(plan), total


def _event(name: str, seen: _Seen) -> dict[str, Any]:
    kind = seen.kinds.most_common(1)[0][0]
    own = {} if name in EVENT_TYPES or kind in {None, _DEFAULT_KIND} else {"kind": kind}
    properties = {name: one for name, one in seen.properties.items() if name != "traits" or not seen.traits}
    return {**own, "properties": _planned(properties, seen.count)}


def _planned(properties: dict[str, _Values], events: int) -> dict[str, Any]:
    return {name: properties[name].plan(events) for name in sorted(properties)}


def _see(properties: dict[str, _Values], given: dict[str, Any], left_out: frozenset[str]) -> None:
    for name, value in given.items():
        if name and name not in left_out and (name in properties or len(properties) < MOST_PROPERTIES):
            properties.setdefault(name, _Values()).see(value)


def _type_of(value: object) -> str:
    if isinstance(value, str) and _is_time(value):
        return "datetime"
    return _TYPES[type(value)]


def _is_time(text: str) -> bool:
    """Whether a text is a date and time with a zone, as JSON Schema has them."""
    if len(text) < 20 or text[10] not in "Tt":
        return False
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _written(plan: dict[str, Any]) -> str:
    yaml = YAML(typ="rt")
    yaml.width = 4_096
    text = StringIO()
    yaml.dump(plan, text)
    return text.getvalue()
