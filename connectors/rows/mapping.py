"""Mapping files: how the rows of somebody's file become events. YAML, checked before the first row is read.

docs/mapping.md shows every key. Every scalar is read as text, so ``007`` and ``yes`` stay what they are. Columns of
JSON may be paths (``order.total``); of two CSV columns with one name the second is called ``name_2``. The parts of a
mapping are in :mod:`connectors.rows.parts`.
"""

import codecs
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from connectors.rows.conditions import ColumnName, Conditions, listed
from connectors.rows.parts import Event, EventKeys, EventPart, Group, Properties
from connectors.yaml_file import TimeZone, YamlFile
from connectors.yaml_keys import problems
from contracts.errors import InputFileError
from contracts.events import EVENT_TYPES, Identifier, Kind

_SHIPPED: Final = "mappings"
_IDENTITY: Final = "identity"


class Mapping(EventKeys):
    """How the rows of a file become events; see the module's text for the keys."""

    format: Literal["auto", "csv", "jsonl", "json", "parquet", "xlsx"] = "auto"
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(pattern=r"^(.|tab|whitespace)$")] = ","
    quote: Annotated[str, Field(max_length=1)] = '"'
    sheet: Annotated[str, Field(min_length=1)] | None = None
    columns: tuple[ColumnName, ...] = ()
    null: tuple[str, ...] = ("",)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", "'", " "] = ""
    time_zone: TimeZone = "UTC"
    only: Conditions | None = None
    source: Identifier
    group: Group | None = None
    events: tuple[EventPart, ...] = ()

    @field_validator("only", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no such encoding") from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError("thousands: is the decimal sign too")
        for at, event in enumerate(self.every_event):
            _check(event, f"events.{at}: " if self.events else "", grouped=self.group is not None)
        if len(self.events) > 1 and self.event_id is not None and not self.event_id.tells_events_apart:
            raise ValueError("event_id: must hold `event` in its `from`, or the events of a row would all be one")
        return self

    @cached_property
    def every_event(self) -> tuple[Event, ...]:
        """Every event that a row can be, each with all that holds for it."""
        if not self.events:
            return (_event(self, None),)
        return tuple(_event(self, part) for part in self.events)

    @property
    def names_keys(self) -> bool:
        """Whether rows with one key are one event, the later an update of the earlier."""
        return self.group is not None or any(event.event_id is not None for event in self.every_event)

    def all_columns(self) -> tuple[str, ...]:
        """List every column that the mapping reads, each once."""
        return tuple(dict.fromkeys(self._all_columns()))

    def _all_columns(self) -> Iterator[str]:
        yield from self.only or {}
        for event in self.every_event:
            yield from event.columns()
        if self.group is not None:
            yield from self.group.by
            for spec in self.group.each.values():
                yield from spec.read_columns


def load_mapping(name: str) -> Mapping:
    """Read a mapping: a file's path, or the bare name of a shipped one (see :func:`shipped_mappings`).

    A file overrides a shipped mapping of the same name. Raises :class:`InputFileError`, which names the mapping's line,
    column and field at fault.
    """
    path = Path(name)
    if name in shipped_mappings() and not path.is_file():
        path = Path(str(resources.files("connectors.rows") / _SHIPPED / f"{name}.yaml"))
    elif not path.exists():
        shipped = ", ".join(shipped_mappings())
        raise InputFileError(f"Mapping {name}: there is no such file. Shipped ones: {shipped}.", mapping=name)
    file = YamlFile(path, "Mapping", texts=True)
    if not isinstance(file.content, dict):
        raise InputFileError(f"Mapping {name} must hold keys and values; see docs/mapping.md.", mapping=name)
    try:
        return Mapping.model_validate(file.content)
    except ValidationError as error:
        raise file.wrong(error, Mapping) from None


def parse_mapping(keys: dict[str, Any], name: str = "mapping") -> Mapping:
    """Check the keys of a mapping. Raises :class:`InputFileError` with every field at fault."""
    try:
        return Mapping.model_validate(keys)
    except ValidationError as error:
        lines = [
            ": ".join([".".join(map(str, place))] * bool(place) + [told]) for place, told in problems(error, Mapping)
        ]
        raise InputFileError(f"Mapping {name}: " + "; ".join(dict.fromkeys(lines)), mapping=name) from None


def shipped_mappings() -> tuple[str, ...]:
    """List the names of the mappings that come with the package."""
    folder = resources.files("connectors.rows") / _SHIPPED
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def _event(top: EventKeys, part: EventPart | None) -> Event:
    """Put together what holds for one event: its own keys, else those at the top; properties and traits by name."""
    keys = {key: getattr(part, key, None) or getattr(top, key) for key in EventKeys.model_fields}
    for key in ("name", "occurred_at"):
        if keys[key] is None:
            raise ValueError(f"{key}: field required")
    own = part.properties if part else {}
    inherited: Properties = {} if part and _is_identity(keys["name"].names, keys["kind"]) else top.properties
    keys["properties"] = {**inherited, **own}
    return Event.model_construct(**keys, when=part.when if part else None, unless=part.unless if part else None)


def _is_identity(names: tuple[str, ...], kind: Kind | None) -> bool:
    return all(EVENT_TYPES.get(name, (kind, ()))[0] == _IDENTITY for name in names)


def _check(event: Event, where: str, *, grouped: bool) -> None:
    if event.customer_id is None and event.anonymous_id is None:
        raise ValueError(f"{where}customer_id: is required (or anonymous_id)")
    for name in event.name.names:
        kind = EVENT_TYPES.get(name, (event.kind, ()))[0]
        if kind is None:
            raise ValueError(f"{where}kind: is required, since {name!r} has no kind of its own")
        if event.kind not in (None, kind):
            raise ValueError(f"{where}kind: is {event.kind!r}, but {name!r} is of kind {kind!r}")
    if grouped and any(rule.first for rule in event.name.rules):
        raise ValueError(f"{where}name: `first` looks at the rows before, and groups have no order")
    if not grouped:
        for name, spec in {**event.properties, **event.traits}.items():
            if spec.sum_of is not None:
                raise ValueError(f"{where}properties.{name}: sum_of adds up the rows of a group, and there is no group")
