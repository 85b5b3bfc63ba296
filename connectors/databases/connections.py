"""Connection files: which tables of a database become which events. YAML, checked before anything is read.

::

    source: shop                     # one of the configured sources; goes into every event
    name: shop-orders                # of the connector, for its position in Kafka; default: the source
    tables:
      public.orders:                 # the schema is public unless it is given
        key: [id]                    # default: the primary key
        id: row                      # each row becomes each event once; or change: every change is an event
        events:                      # one event: its keys may stand right here, without `events`
          - on: [insert]             # default; also update, delete
            name: Order Completed    # from here on as in a mapping file (docs/mapping.md)
            customer_id: customer_id
            occurred_at: created_at
            properties: {total: {column: total, type: money, currency: EUR}}
    outbox:                          # a table that holds events ready-made; these are the defaults
      table: outbox
      event_id: id
      name: type
      customer_id: key
      occurred_at: created_at
      properties: payload            # or event: payload, where the column holds a whole event

Moves no data.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from connectors.rows.mapping import ColumnName, Mapping
from connectors.sources.source import SourceName
from connectors.yaml_file import Part
from contracts.errors import InputFileError

OLD: Final = "old."
"""Before the name of a column: its value before an update."""
OF_TABLE: Final = frozenset({"key", "id", "watermark", "lookback"})
OF_FILES: Final = frozenset({"format", "encoding", "delimiter", "quote", "columns", "source"})
_SCHEMA: Final = "public"


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class EventSpec(Part):
    """One event that the changes of a table become."""

    on: tuple[Literal["insert", "update", "delete"], ...] = ("insert",)
    mapping: Mapping

    @field_validator("on", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return _listed(value)

    @model_validator(mode="after")
    def _can_be_resumed(self) -> Self:
        if any(rule.first for rule in self.mapping.name.rules):
            raise ValueError("name: `first` is for files only; use `on` and `when`")
        if self.reads_old and "update" not in self.on:
            raise ValueError("on: values before the change (old.*) are there for updates only")
        return self

    @property
    def reads_old(self) -> bool:
        """Whether values before an update are asked for."""
        return any(column.startswith(OLD) for column in self.mapping.all_columns())

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the table that is read."""
        return tuple(dict.fromkeys(column.removeprefix(OLD) for column in self.mapping.all_columns()))


class Outbox(Part):
    """The columns of an outbox. With ``event`` one column holds whole events, and the others are not read."""

    event_id: ColumnName = "id"
    name: ColumnName = "type"
    customer_id: ColumnName = "key"
    anonymous_id: ColumnName | None = None
    occurred_at: ColumnName = "created_at"
    properties: ColumnName = "payload"
    event: ColumnName | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        if self.event is not None:
            return (self.event,)
        named = (self.event_id, self.name, self.customer_id, self.anonymous_id, self.occurred_at, self.properties)
        return tuple(dict.fromkeys(filter(None, named)))


class TableSpec(Part):
    """A table and the events in it. ``watermark`` and ``lookback`` are for polling only."""

    schema_name: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    key: tuple[ColumnName, ...] = ()
    id: Literal["row", "change"] = "row"
    watermark: ColumnName | None = None
    lookback: Annotated[str, Field(min_length=1)] | None = None
    events: tuple[EventSpec, ...] = ()
    outbox: Outbox | None = None

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return _listed(value)

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema_name}.{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the events read."""
        read = [column for event in self.events for column in event.columns]
        return tuple(dict.fromkeys([*read, *(self.outbox.columns if self.outbox else ())]))

    @property
    def operations(self) -> frozenset[str]:
        """Every operation that an event is made of."""
        return frozenset({"insert"} if self.outbox else {name for event in self.events for name in event.on})

    @property
    def reads_old(self) -> bool:
        """Whether an event asks for values before an update."""
        return any(event.reads_old for event in self.events)


class Connection(Part):
    """The tables of one database."""

    kind: ClassVar[str] = "database"
    source: SourceName
    name: SourceName
    tables: tuple[TableSpec, ...] = Field(min_length=1)

    @property
    def position_name(self) -> str:
        """The key of the connector's position, and what tells it from all others."""
        return f"{self.kind}-{self.name}"

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = {key: content for key, content in value.items() if key not in ("tables", "outbox")}
        source = keys.get("source")
        found = value.get("tables") or {}
        if not isinstance(found, dict):
            raise ValueError("tables: must hold a table's name and its keys for each")
        tables = [_table(str(name), content, source) for name, content in found.items()]
        tables += [_outbox(value["outbox"])] if "outbox" in value else []
        if not tables:
            raise ValueError("tables: name at least one table, or an outbox")
        return {"name": source, **keys, "tables": tables}

    @model_validator(mode="after")
    def _names_each_table_once(self) -> Self:
        names = [table.full_name for table in self.tables]
        if len(set(names)) < len(names):
            raise ValueError("tables: each table may be named once; give it several `events`")
        return self


C = TypeVar("C", bound=Connection)


def load_connection(path: Path, kind: type[C]) -> C:
    """Read a connection file. Raises :class:`InputFileError`, which names every field at fault."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - builds texts, lists and dicts only
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise InputFileError(f"Connection {path}: {why}. docs/sources/postgres.md has an example.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InputFileError(f"Connection {path} is not valid YAML{where}.") from None
    return parse_connection(loaded, kind, str(path))


def parse_connection(loaded: Any, kind: type[C], where: str = "file") -> C:
    """Check the content of a connection file."""
    if not isinstance(loaded, dict):
        raise InputFileError(f"Connection {where} must hold keys and values; docs/sources/postgres.md has an example.")
    try:
        return kind.model_validate(loaded)
    except ValidationError as error:
        lines = [_explain(e["loc"], e["msg"], loaded) for e in error.errors()]
        raise InputFileError(f"Connection {where}: " + "; ".join(dict.fromkeys(lines))) from None


def _table(name: str, content: Any, source: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"tables.{name}: must hold keys and values")
    own = {key: value for key, value in content.items() if key in OF_TABLE}
    events = content.get("events")
    if events is None:
        events = [{key: value for key, value in content.items() if key not in OF_TABLE}]
    elif not isinstance(events, list) or set(content) - OF_TABLE - {"events"}:
        raise ValueError(f"tables.{name}: where `events` lists them, the keys of an event stand there")
    return {**_named(name), **own, "events": [_event(name, event, source) for event in events]}


def _event(table: str, content: Any, source: Any) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"tables.{table}: an event must hold keys and values")
    mapping = {key: value for key, value in content.items() if key != "on"}
    if misplaced := OF_FILES & set(mapping):
        raise ValueError(f"tables.{table}.{min(misplaced)}: is for mapping files only")
    return {**({"on": content["on"]} if "on" in content else {}), "mapping": {**mapping, "source": source or "?"}}


def _outbox(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("outbox: must hold keys and values, at least the table's name")
    own = {key: value for key, value in content.items() if key in OF_TABLE}
    outbox = {key: value for key, value in content.items() if key not in OF_TABLE | {"table"}}
    return {**_named(str(content.get("table", "outbox"))), **own, "outbox": outbox}


def _named(name: str) -> dict[str, str]:
    schema, dot, table = name.partition(".")
    return {"schema_name": schema, "name": table} if dot else {"schema_name": _SCHEMA, "name": schema}


def _explain(place: tuple[int | str, ...], message: str, loaded: dict[str, Any]) -> str:
    """Name a field as it stands in the file: tables by their names, and no level that the file has not."""
    names = [*(loaded.get("tables") or {}), "outbox"] if isinstance(loaded.get("tables") or {}, dict) else []
    parts = [str(part) for part in place if part != "mapping"]
    if len(parts) > 1 and parts[0] == "tables" and parts[1].isdecimal() and int(parts[1]) < len(names):
        name = str(names[int(parts[1])])
        parts = ["outbox", *parts[3:]] if name == "outbox" else ["tables", name, *parts[2:]]
    message = message.removeprefix("Value error, ")
    return f"{'.'.join(parts)}: {message[:1].lower()}{message[1:]}" if parts else message
