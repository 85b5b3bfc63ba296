"""Mapping files: how the rows of somebody's file become events. YAML, checked before the first row is read.

A mapping with every key (only ``source``, ``name``, ``customer_id`` and ``occurred_at`` are required)::

    format: csv                 # csv, jsonl or parquet; default: by the file's ending, else csv
    encoding: utf-8             # of csv and jsonl; gz is recognised by itself
    delimiter: ","              # csv: one character, "tab", or "whitespace"
    quote: '"'                  # csv: the quoting character; "" for none
    columns: [id, day, eur]     # csv without a header line: the names of its columns
    "null": ["", "?"]           # texts that mean "no value"
    decimal: "."                # or "," as in 12,50
    time_zone: Europe/Berlin    # of times without a zone; default UTC
    only: {status: [paid]}      # rows with other values are skipped, and counted

    source: shop                # goes into every event, and into its id
    kind: transaction           # needed only for names that have no kind of their own
    name: Order Completed       # one name, or one of the two forms below
    # name: {column: type, values: {buy: Order Completed, back: Order Refunded}}
    # name:
    #   rules:                  # the first that fits; a row that none fits is rejected
    #     - {name: Ticket Opened, first: [ticket]}        # first row with this ticket, in the file's order
    #     - {name: Ticket Solved, when: {state: [done]}}  # the column holds one of these
    #     - {name: Ticket Updated, unless: {state: [spam]}}
    customer_id: {column: id, prefix: "shop-"}            # or only the column: customer_id: id
    anonymous_id: visitor
    occurred_at: {columns: [day, time], format: "%d.%m.%Y %H:%M"}
    # also: {column: at} for ISO 8601; format: unix, unix_ms, unix_us or unix_days; not_before: a second time's column
    received_at: loaded_at                                # default: the moment of reading
    properties:
      total: {column: eur, type: money, currency: EUR}    # or currency: {column: cur}; absolute: true drops a minus
      items: {column: n, type: integer}                   # string, number, integer, boolean, money
      state: {column: st, values: [paid, open]}           # rows with other values are rejected
      campaign: campaign                                  # short for {column: campaign, type: string}

Every scalar is read as text, so ``007`` and ``yes`` stay what they are. Columns of JSON Lines may be paths
(``order.total``); of two CSV columns with one name the second is called ``name_2``.
"""

import codecs
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from connectors.rows.values import UNIX_US
from connectors.yaml_file import ShortPart, TimeZone
from contracts.currencies import CODES, CurrencyCode, check_code
from contracts.errors import InputFileError
from contracts.events import EVENT_TYPES, Identifier, Kind

ColumnName = Annotated[str, Field(min_length=1)]
_SHIPPED: Final = "mappings"


class Column(ShortPart):
    """A column, with an optional text put before its value."""

    column: ColumnName
    prefix: str = ""


class Time(ShortPart):
    """A time: a column, or several joined by a space; ``format`` is iso, one of UNIX_US, or strptime's."""

    column: ColumnName | None = None
    columns: tuple[ColumnName, ...] = ()
    format: str = "iso"
    not_before: ColumnName | None = None

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        if (self.column is None) == (not self.columns):
            raise ValueError("give either column or columns")
        if self.format not in ("iso", *UNIX_US) and "%" not in self.format:
            raise ValueError(f"format must be iso, {', '.join(UNIX_US)} or a pattern such as %Y-%m-%d %H:%M")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns in which the time stands."""
        return self.columns or (self.column or "",)

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Every column that is read, the one it is compared with included."""
        return (*self.parts, *filter(None, [self.not_before]))


class Property(ShortPart):
    """A property of the event. ``money`` also fills ``currency``; ``values`` are the only ones allowed."""

    column: ColumnName
    type: Literal["string", "number", "integer", "boolean", "money"] = "string"
    currency: CurrencyCode | Column | None = None
    absolute: bool = False
    values: tuple[str, ...] = ()

    @field_validator("currency", mode="before")
    @classmethod
    def _text_is_a_code(cls, value: object) -> object:
        if isinstance(value, str) and value not in CODES:
            try:
                check_code(value)
            except ValueError as problem:
                raise ValueError(f"{problem}; or name its column: {{column: ...}}") from None
        return value

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if (self.type == "money") != (self.currency is not None):
            raise ValueError("type money needs a currency, and only money has one")
        if self.absolute and self.type in ("string", "boolean"):
            raise ValueError("absolute is for numbers and money only")
        return self


Texts = Annotated[dict[ColumnName, tuple[str, ...]], Field(min_length=1)]


class Rule(ShortPart):
    """A name for the rows that fit. ``first`` keeps one number per distinct value in memory."""

    name: Identifier
    when: Texts | None = None
    unless: Texts | None = None
    first: tuple[ColumnName, ...] = ()

    @field_validator("when", "unless", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return _listed(value)


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


class Mapping(ShortPart):
    """How the rows of a file become events; see the module's text for the keys."""

    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(pattern=r"^(.|tab|whitespace)$")] = ","
    quote: Annotated[str, Field(max_length=1)] = '"'
    columns: tuple[ColumnName, ...] = ()
    null: tuple[str, ...] = ("",)
    decimal: Literal[".", ","] = "."
    time_zone: TimeZone = "UTC"
    only: Texts | None = None
    source: Identifier
    kind: Kind | None = None
    name: Name
    customer_id: Column | None = None
    anonymous_id: Column | None = None
    occurred_at: Time
    received_at: Time | None = None
    properties: dict[ColumnName, Property] = Field(default_factory=dict)

    @field_validator("only", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return _listed(value)

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no such encoding") from None

    @model_validator(mode="after")
    def _fits_the_contract(self) -> Self:
        if self.customer_id is None and self.anonymous_id is None:
            raise ValueError("customer_id: is required (or anonymous_id)")
        for name in self.name.names:
            kind = EVENT_TYPES.get(name, (self.kind, ()))[0]
            if kind is None:
                raise ValueError(f"kind: is required, since {name!r} has no kind of its own")
            if self.kind not in (None, kind):
                raise ValueError(f"kind: is {self.kind!r}, but {name!r} is of kind {kind!r}")
        return self

    def all_columns(self) -> tuple[str, ...]:
        """List every column that the mapping reads, each once."""
        found = [*(self.only or {}), *self.name.columns, *self.occurred_at.read_columns]
        for spec in (self.customer_id, self.anonymous_id, *self.properties.values()):
            found.extend([spec.column] if spec else [])
            currency = getattr(spec, "currency", None)
            found.extend([currency.column] if isinstance(currency, Column) else [])
        found.extend(self.received_at.read_columns if self.received_at else ())
        return tuple(dict.fromkeys(found))


def load_mapping(name: str) -> Mapping:
    """Read a mapping: a file's path, or the bare name of a shipped one (see :func:`shipped_mappings`).

    Raises :class:`InputFileError`, which names the mapping's field at fault.
    """
    try:
        loaded = yaml.load(_text(name), Loader=yaml.BaseLoader)  # noqa: S506 - builds texts, lists and dicts only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InputFileError(f"Mapping {name} is not valid YAML{where}.", mapping=name) from None
    if not isinstance(loaded, dict):
        raise InputFileError(f"Mapping {name} must hold keys and values; see docs/mapping.md.", mapping=name)
    return parse_mapping(loaded, name)


def parse_mapping(keys: dict[str, Any], name: str = "mapping") -> Mapping:
    """Check the keys of a mapping. Raises :class:`InputFileError` with every field at fault."""
    try:
        return Mapping.model_validate(keys)
    except ValidationError as error:
        lines = [_explain(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise InputFileError(f"Mapping {name}: " + "; ".join(dict.fromkeys(lines)), mapping=name) from None


def shipped_mappings() -> tuple[str, ...]:
    """List the names of the mappings that come with the package."""
    folder = resources.files("connectors.rows") / _SHIPPED
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def _text(name: str) -> str:
    """Read a mapping's text; a file goes before a shipped one of the same name."""
    try:
        if Path(name).is_file() or name not in shipped_mappings():
            return Path(name).read_text(encoding="utf-8")
        return (resources.files("connectors.rows") / _SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        shipped = ", ".join(shipped_mappings())
        raise InputFileError(f"Mapping {name}: {why}. Shipped ones: {shipped}.", mapping=name) from None


def _listed(value: object) -> object:
    """Let one text stand for a list of one, in ``only``, ``when`` and ``unless``."""
    if not isinstance(value, dict):
        return value
    return {key: [item] if isinstance(item, str) else item for key, item in value.items()}


def _explain(path: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{path}: {message[:1].lower()}{message[1:]}" if path else message
