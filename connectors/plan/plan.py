"""Tracking plans: which events and properties a source is expected to send. YAML, checked when it is read.

A plan with every key::

    description: What the web shop sends
    unplanned_events: flag            # allow, flag (the default) or refuse
    unplanned_properties: flag        # allow, flag (the default) or drop
    violations: flag                  # flag (the default) or refuse
    properties:                       # of every event
      channel: {enum: [web, app]}
    traits:                           # of Identify
      email: {type: string, required: true}
    events:
      Order Completed:
        description: The shop took an order
        properties:
          order_id: {type: string, required: true, pattern: "^O-"}
          total: {type: number, minimum: 0}
          paid_at: datetime           # short for {type: datetime}
          products: {type: array, items: {type: object, properties: {sku: {type: string, required: true}}}}
          discount: {schema: {multipleOf: 0.5}}       # anything that JSON Schema can say
      Wishlist Opened: {kind: web}    # a name of one's own; without a kind it is a web event

A property that is not required may be null. ``schema`` beside ``properties`` of an event is a JSON Schema of them all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import jsonschema_rs
from pydantic import ConfigDict, Field, ValidationError, model_validator
from xxhash import xxh3_64_hexdigest

from connectors.yaml_file import Part, YamlFile
from contracts.errors import InputFileError
from contracts.events import EVENT_TYPES, Identifier, Kind

Type = Literal["string", "number", "integer", "boolean", "object", "array", "datetime"]
PropertyName = Annotated[str, Field(min_length=1, max_length=500)]


class _SchemaPart(Part):
    """A part that may hold a JSON Schema under the key ``schema``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    json_schema_: dict[str, Any] | None = Field(None, alias="schema")


class PropertyPlan(_SchemaPart):
    """What is expected of one property."""

    type: Type | None = None
    description: str | None = None
    required: bool = False
    enum: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    pattern: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    items: "PropertyPlan | None" = None
    properties: "dict[PropertyName, PropertyPlan]" = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value or {}

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        _compile(self.schema_of())
        return self

    def schema_of(self) -> dict[str, Any]:
        """Write it as a JSON Schema, in which null stands for nothing unless the property is required."""
        wanted: dict[str, Any] = dict(_typed(self.type, or_null=not self.required))
        for keyword in ("pattern", "minimum", "maximum"):
            if (value := getattr(self, keyword)) is not None:
                wanted[keyword] = value
        if self.enum is not None:
            wanted["enum"] = [*self.enum, *([] if self.required else [None])]
        if self.items is not None:
            wanted["items"] = self.items.schema_of()
        if self.properties:
            wanted |= object_schema(self.properties)
        return {"allOf": [wanted, own_schema(self.json_schema_)]} if self.json_schema_ else wanted


class EventPlan(_SchemaPart):
    """What is expected of one event."""

    description: str | None = None
    kind: Kind | None = None
    properties: dict[PropertyName, PropertyPlan] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        _compile(own_schema(self.json_schema_ or {}))
        return self


class Plan(Part):
    """A tracking plan; see the module's text."""

    description: str | None = None
    unplanned_events: Literal["allow", "flag", "refuse"] = "flag"
    unplanned_properties: Literal["allow", "flag", "drop"] = "flag"
    violations: Literal["flag", "refuse"] = "flag"
    properties: dict[PropertyName, PropertyPlan] = Field(default_factory=dict)
    traits: dict[PropertyName, PropertyPlan] | None = None
    events: dict[Identifier, EventPlan | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_the_right_kinds(self) -> Self:
        for name, event in self.events.items():
            kind = EVENT_TYPES.get(name, (None, ()))[0]
            if event is not None and kind is not None and event.kind not in (None, kind):
                raise ValueError(f"events.{name}.kind: is {event.kind}, but events of this name are of kind {kind}")
        return self

    @property
    def planned(self) -> dict[str, EventPlan]:
        """Every planned event; traits plan Identify too."""
        implied = {"Identify": EventPlan()} if self.traits is not None else {}
        return {**implied, **{name: event or EventPlan() for name, event in self.events.items()}}


def load_plan(path: Path) -> Plan:
    """Read a plan. Raises :class:`InputFileError` with the line and name of every field at fault."""
    file = YamlFile(path, "Tracking plan")
    if not isinstance(file.content, dict):
        raise InputFileError(f"{file.name}: must hold `events:`, a name for each; see docs/sources/tracking-plan.md.")
    try:
        return Plan.model_validate(file.content)
    except ValidationError as error:
        raise file.wrong(error, Plan) from None


def validator_of(schema: dict[str, Any], mask: str | None = None) -> jsonschema_rs.Validator:
    """Compile a JSON Schema. It fetches nothing; ``mask`` stands for values in its messages. Raises ``ValueError``."""
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        offline=True,
        mask=mask,
        pattern_options=jsonschema_rs.RegexOptions(),  # linear in time: values come from outside
    )


def object_schema(properties: dict[str, PropertyPlan]) -> dict[str, Any]:
    """Write planned properties as the JSON Schema of an object with them."""
    return {
        "properties": {name: one.schema_of() for name, one in properties.items()},
        "required": [name for name, one in properties.items() if one.required],
    }


def own_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Make a schema that somebody wrote one of its own, so that its ``$ref`` lead into itself wherever it stands."""
    return {"$id": f"urn:crmstream:{xxh3_64_hexdigest(repr(schema).encode())}", **schema}


def _typed(name: Type | None, *, or_null: bool) -> Iterator[tuple[str, Any]]:
    if name is not None:
        plain = "string" if name == "datetime" else name
        yield "type", [plain, "null"] if or_null else plain
    if name == "datetime":
        yield "format", "date-time"


def _compile(schema: dict[str, Any]) -> None:
    """Find out whether a schema is one. Raises ``ValueError`` with the place in it."""
    try:
        validator_of(schema)
    except ValueError as error:
        place = ".".join(str(part) for part in getattr(error, "instance_path", ()) if part not in {"allOf", 1})
        problem = getattr(error, "message", str(error))
        raise ValueError(f"{place}: {problem}" if place else problem) from None
