"""The parts of a mapping: columns, times, properties, names, ids and groups. See :mod:`connectors.rows.mapping`."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.rows.conditions import ColumnName, Conditions, listed
from connectors.rows.numbers import format_of
from connectors.rows.values import UNIX_US, check_pattern
from connectors.yaml_file import Part, ShortPart
from contracts.currencies import CurrencyCode, check_code
from contracts.events import Identifier, Kind

EVENT: Final = "event"
"""Stands for the event's name where an id is made of columns."""
_NUMBERS: Final = frozenset({"number", "integer", "money"})


class Column(ShortPart):
    """A column, or the first of several that has a value; with a text put before it, or in lower case."""

    column: ColumnName | None = None
    first_of: tuple[ColumnName, ...] = ()
    prefix: str = ""
    lower: bool = False

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        if (self.column is None) == (not self.first_of):
            raise ValueError("give either column or first_of")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, the first that has a value counts."""
        return self.first_of or (self.column or "",)


class Time(ShortPart):
    """A time: a column, several joined by a space, or the first that has a value.

    ``format`` is iso, one of UNIX_US, or strptime's.
    """

    column: ColumnName | None = None
    columns: tuple[ColumnName, ...] = ()
    first_of: tuple[ColumnName, ...] = ()
    format: str = "iso"
    not_before: ColumnName | None = None

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        if sum((self.column is not None, bool(self.columns), bool(self.first_of))) != 1:
            raise ValueError("give either column or columns (or first_of)")
        if self.format not in ("iso", *UNIX_US) and "%" not in self.format:
            raise ValueError(f"format must be iso, {', '.join(UNIX_US)} or a pattern such as %Y-%m-%d %H:%M")
        check_pattern(self.format)
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns in which the time stands."""
        return self.columns or self.first_of or (self.column or "",)

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Every column that is read, the one it is compared with included."""
        return (*self.parts, *filter(None, [self.not_before]))


class Property(ShortPart):
    """A property of the event. ``money`` also fills ``currency``; ``values`` are the only ones allowed.

    ``sum_of`` adds up a column over the rows of a group, each multiplied by the column ``times``. ``format`` is a
    sample of a number.
    """

    column: ColumnName | None = None
    first_of: tuple[ColumnName, ...] = ()
    list_of: tuple[ColumnName, ...] = ()
    sum_of: ColumnName | None = None
    times: ColumnName | None = None
    constant: str | None = None
    type: Literal["string", "number", "integer", "boolean", "money"] = "string"
    format: str | None = None
    currency: CurrencyCode | Column | None = None
    absolute: bool = False
    prefix: str = ""
    lower: bool = False
    values: tuple[str, ...] = ()

    @field_validator("currency", mode="before")
    @classmethod
    def _text_is_a_code(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                return check_code(value)
            except ValueError as problem:
                raise ValueError(f"{problem}; or name its column: {{column: ...}}") from None
        return value

    @field_validator("format")
    @classmethod
    def _is_a_sample(cls, value: str | None) -> str | None:
        if value is not None:
            format_of(value)
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.currency is not None and self.type != "money":
            raise ValueError("only type money has a currency")
        if self.type not in _NUMBERS and (self.absolute or self.format is not None or self.sum_of is not None):
            raise ValueError("absolute, format and sum_of are for numbers and money only: give a type")
        if self.type != "string" and (self.lower or self.prefix):
            raise ValueError("lower and prefix are for type string only")
        return self

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        origins = (self.column, self.first_of, self.list_of, self.sum_of)
        if sum(map(bool, origins)) + (self.constant is not None) != 1:
            raise ValueError("give one of column, first_of, list_of, sum_of and constant")
        if self.times is not None and self.sum_of is None:
            raise ValueError("times goes with sum_of")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in which the value stands."""
        return self.first_of or self.list_of or tuple(filter(None, [self.column or self.sum_of, self.times]))

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Every column that is read, that of the currency included."""
        return (*self.columns, *(self.currency.columns if isinstance(self.currency, Column) else ()))


Properties = dict[ColumnName, Property]


class Rule(ShortPart):
    """A name for the rows that fit. ``first`` keeps one number per distinct value in memory."""

    name: Identifier
    when: Conditions | None = None
    unless: Conditions | None = None
    first: tuple[ColumnName, ...] = ()

    @field_validator("when", "unless", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)


class Name(ShortPart):
    """Where an event's name comes from: always the same, a column's value, or rules."""

    constant: Identifier | None = None
    column: ColumnName | None = None
    values: dict[str, Identifier] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        forms = (self.constant is not None, bool(self.column and self.values), bool(self.rules))
        if sum(forms) != 1 or (self.column is None) != (not self.values):
            raise ValueError("give one name, or column and values, or rules")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that an event can get."""
        return (*filter(None, [self.constant]), *self.values.values(), *(rule.name for rule in self.rules))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        of_rules = [c for rule in self.rules for c in (*(rule.when or {}), *(rule.unless or {}), *rule.first)]
        return (*filter(None, [self.column]), *of_rules)


class EventId(ShortPart):
    """The row's key: a column that holds an id, or the columns (and the event's name) of which one is made."""

    column: ColumnName | None = None
    from_: tuple[ColumnName, ...] = Field(default=(), alias="from")

    @field_validator("from_", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.column is None) == (not self.from_):
            raise ValueError("give either column or from")
        if self.from_ and not self.columns:
            raise ValueError("from: name at least one column")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(column for column in self.from_ if column != EVENT) or tuple(filter(None, [self.column]))

    @property
    def tells_events_apart(self) -> bool:
        """Whether two events of one row have two ids."""
        return EVENT in self.from_


class Group(Part):
    """Rows that are one event: those with the same values in ``by``. ``each`` makes an item of the list of each row."""

    by: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    items: ColumnName = "products"
    each: Properties = Field(default_factory=dict)

    @field_validator("by", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)

    @model_validator(mode="after")
    def _sums_nothing(self) -> Self:
        if wrong := [name for name, spec in self.each.items() if spec.sum_of is not None]:
            raise ValueError(f"each.{wrong[0]}: sum_of adds up rows, and an item is of one row")
        return self


class EventKeys(ShortPart):
    """The keys of an event: at the top of a mapping for all its events, in ``events`` for one of them."""

    name: Name | None = None
    kind: Kind | None = None
    customer_id: Column | None = None
    anonymous_id: Column | None = None
    event_id: EventId | None = None
    occurred_at: Time | None = None
    received_at: Time | None = None
    properties: Properties = Field(default_factory=dict)
    traits: Properties = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _take_traits_out(cls, value: object) -> object:
        """Let traits stand among the properties too, where events have them."""
        properties = value.get("properties") if isinstance(value, dict) else None
        nested = properties.get("traits") if isinstance(properties, dict) else None
        if not isinstance(value, dict) or not isinstance(nested, dict) or set(nested) & set(Property.model_fields):
            return value
        others = {name: spec for name, spec in (properties or {}).items() if name != "traits"}
        given = value.get("traits")
        return {**value, "properties": others, "traits": {**nested, **(given if isinstance(given, dict) else {})}}


class EventPart(EventKeys):
    """An event that a row may be, beside others; its keys override those at the top of the mapping."""

    when: Conditions | None = None
    unless: Conditions | None = None

    @field_validator("when", "unless", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)


class Event(Part):
    """One event of a mapping, with all that holds for it."""

    name: Name
    kind: Kind | None
    customer_id: Column | None
    anonymous_id: Column | None
    event_id: EventId | None
    occurred_at: Time
    received_at: Time | None
    properties: Properties
    traits: Properties
    when: Conditions | None = None
    unless: Conditions | None = None

    def columns(self) -> Iterator[str]:
        """Every column that is read, some of them several times."""
        yield from (*(self.when or {}), *(self.unless or {}), *self.name.columns, *self.occurred_at.read_columns)
        for spec in (self.customer_id, self.anonymous_id, self.event_id):
            yield from spec.columns if spec else ()
        for one in (*self.properties.values(), *self.traits.values()):
            yield from one.read_columns
        yield from self.received_at.read_columns if self.received_at else ()
