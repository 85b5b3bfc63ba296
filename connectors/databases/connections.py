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

from pydantic import Field, ValidationError, field_validator, model_validator

from connectors.rows.conditions import ColumnName
from connectors.rows.mapping import Mapping
from connectors.sources.source import SourceName
from connectors.yaml_file import Part, YamlFile
from connectors.yaml_keys import Place, problems
from contracts.errors import InputFileError

OLD: Final = "old."
"""Before the name of a column: its value before an update."""
OF_TABLE: Final = frozenset({"key", "id", "watermark", "lookback"})
OF_FILES: Final = frozenset({
    "format", "encoding", "delimiter", "quote", "columns", "sheet", "source", "group", "events", "event_id",
})  # fmt: skip
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
        if any(rule.first for rule in self.mapping.every_event[0].name.rules):
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
    """Read a connection file. Raises :class:`InputFileError`, which names every field at fault, with its place."""
    if not path.exists():
        raise InputFileError(f"Connection {path}: there is no such file. docs/sources/postgres.md has an example.")
    file = YamlFile(path, "Connection", texts=True)
    loaded = file.content
    _check_form(loaded, str(path))
    try:
        return kind.model_validate(loaded)
    except ValidationError as error:
        found = [(_places(place, loaded), problem) for place, problem in problems(error, kind)]
        raise file.faults([(place, named, problem) for (place, named), problem in found]) from None


def parse_connection(loaded: Any, kind: type[C], where: str = "file") -> C:
    """Check the content of a connection file."""
    _check_form(loaded, where)
    try:
        return kind.model_validate(loaded)
    except ValidationError as error:
        found = [(_places(place, loaded)[1], problem) for place, problem in problems(error, kind)]
        lines = [": ".join([*([".".join(map(str, named))] if named else []), problem]) for named, problem in found]
        raise InputFileError(f"Connection {where}: " + "; ".join(dict.fromkeys(lines))) from None


def _check_form(loaded: Any, where: str) -> None:
    if not isinstance(loaded, dict):
        raise InputFileError(f"Connection {where} must hold keys and values; docs/sources/postgres.md has an example.")


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


def _places(place: Place, loaded: dict[str, Any]) -> tuple[Place, Place]:
    """Give a field's place in the file and its name: tables by their names, and no level that the file has not."""
    tables = loaded.get("tables") or {}
    names = [*tables, "outbox"] if isinstance(tables, dict) else []
    parts: Place = tuple(part for part in place if part != "mapping")
    if len(parts) < 2 or parts[0] != "tables" or not isinstance(at := parts[1], int) or at >= len(names):
        return parts, parts
    if names[at] == "outbox":
        return ("outbox", *parts[3:]), ("outbox", *parts[3:])
    named = ("tables", names[at], *parts[2:])
    content = tables[names[at]]
    short = isinstance(content, dict) and "events" not in content and parts[2:3] == ("events",)
    return ((*named[:2], *parts[4:]) if short else named), named
