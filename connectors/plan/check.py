"""Holds events against a tracking plan. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import jsonschema_rs
import msgspec

from connectors.plan.plan import EventPlan, Plan, object_schema, own_schema, validator_of
from connectors.plan.violation import Violation
from contracts.events import EVENT_TYPES, PROPERTIES, Kind
from contracts.notes import NOTES

VIOLATIONS: Final = "plan_violations"
"""The property under which an event carries what was flagged."""
ORIGINAL_NAME: Final = "original_name"
"""The property that holds the name which the sender gave the event, where crmstream knows it by another one."""
ALWAYS_PLANNED: Final = frozenset({"context", "integrations", "time_problem", ORIGINAL_NAME, NOTES, VIOLATIONS})
"""What SDKs and connectors add to events. What the contract itself names needs no plan either."""
IDENTIFY: Final = "Identify"
NOT_PLANNED: Final = "is not in the plan"
MOST_VIOLATIONS: Final = 10
"""How many violations of one event are told; all others are one count."""
_MASK: Final = "It"
"""What validators say in place of a value."""
_MOST_LETTERS: Final = 120
_LEAST_ROOM: Final = 16
_OVERHEAD: Final = len(VIOLATIONS) + 6


class Verdict(NamedTuple):
    """What a plan says of an event: its violations, whether they refuse it, and the properties that go on."""

    violations: list[Violation]
    refused: bool
    properties: dict[str, Any]


class PlanChecker:
    """A plan, made ready."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._events = {name: _Event(name, event, plan) for name, event in plan.planned.items()}

    def kind_of(self, name: str) -> Kind | None:
        """The kind that the plan gives to events of a name of their own."""
        event = self.plan.events.get(name)
        return event.kind if event else None

    def plans(self, name: object) -> bool:
        """Whether events of this name are expected."""
        return name in self._events

    def check(self, name: str, properties: dict[str, Any]) -> Verdict:
        """Hold an event against the plan."""
        event = self._events.get(name)
        if event is None:
            found = [] if self.plan.unplanned_events == "allow" else [Violation("name", NOT_PLANNED)]
            return Verdict(found, self.plan.unplanned_events == "refuse", properties)
        violations = event.violations(properties)
        refused = bool(violations) and self.plan.violations == "refuse"
        if self.plan.unplanned_properties != "allow" and (unplanned := event.unplanned(properties)):
            violations = violations + [Violation(path, NOT_PLANNED) for path in unplanned]
            if self.plan.unplanned_properties == "drop":
                properties = event.planned_part(properties)
        return Verdict(violations, refused, properties)


class _Event:
    """What is planned for the events of one name."""

    def __init__(self, name: str, event: EventPlan, plan: Plan):
        planned = {**plan.properties, **event.properties}
        self._traits = frozenset(plan.traits) if name == IDENTIFY and plan.traits is not None else None
        kind = EVENT_TYPES.get(name, (event.kind or "web", ()))[0]
        self._names = frozenset({*planned, *PROPERTIES[kind].model_fields, *ALWAYS_PLANNED})
        schema = object_schema(planned)
        if self._traits is not None and plan.traits is not None:
            traits = object_schema(plan.traits)
            needed = bool(traits["required"])
            schema["properties"]["traits"] = {"type": "object" if needed else ["object", "null"], **traits}
            schema["required"] += ["traits"] if needed else []
        self._validators = [validator_of(schema, _MASK)]
        if event.json_schema_:
            self._validators.append(validator_of(own_schema(event.json_schema_), _MASK))

    def violations(self, properties: dict[str, Any]) -> list[Violation]:
        """Give what is wrong with the values, each once."""
        try:
            wrong = [one for one in self._validators if not one.is_valid(properties)]
            found = [told for one in wrong for error in one.iter_errors(properties) for told in _told(error)]
        except ValueError:  # a number or a text that is no JSON
            return [Violation("properties", "is not valid JSON")]
        return list(dict.fromkeys(found))

    def unplanned(self, properties: dict[str, Any]) -> list[str]:
        """Give the properties, and traits, that nobody planned."""
        found = [name for name in properties if name not in self._names]
        if self._traits is not None and isinstance(traits := properties.get("traits"), dict):
            found += [f"traits.{name}" for name in traits if name not in self._traits]
        return found

    def planned_part(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Leave out what nobody planned."""
        kept = {name: value for name, value in properties.items() if name in self._names}
        if self._traits is not None and isinstance(traits := kept.get("traits"), dict):
            kept["traits"] = {name: value for name, value in traits.items() if name in self._traits}
        return kept


def flags(violations: Iterable[Violation], room: int) -> list[str]:
    """Write violations for the property :data:`VIOLATIONS`: ``total: is required``. At most ``room`` bytes of JSON."""
    room -= _OVERHEAD
    told = [f"{one.field}: {one.problem}"[:_MOST_LETTERS] for one in violations]
    kept: list[str] = []
    for text in told[:MOST_VIOLATIONS]:
        room -= len(msgspec.json.encode(text)) + 1
        if room < _LEAST_ROOM:
            break
        kept.append(text)
    return kept if len(kept) == len(told) else [*kept, f"{len(told) - len(kept)} more"]


def _told(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
    """Name the field and the problem of a validator's error, without any value."""
    path = [str(part) for part in error.instance_path]
    details: dict[str, Any] = error.kind.as_dict()
    match error.kind.name:
        case "required":
            yield Violation(".".join([*path, str(details["property"])]), "is required")
        case "additionalProperties" | "unevaluatedProperties":
            yield from (Violation(".".join([*path, name]), NOT_PLANNED) for name in details["unexpected"])
        case "falseSchema":
            yield Violation(".".join(path), NOT_PLANNED)
        case "type":
            yield Violation(".".join(path), f"is no {' or '.join(name for name in details['types'] if name != 'null')}")
        case _:
            yield Violation(".".join(path) or "properties", error.message.removeprefix(f"{_MASK} "))
