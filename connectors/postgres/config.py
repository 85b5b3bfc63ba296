"""The connection file of PostgreSQL: that of every database (:mod:`connectors.databases.connections`), and how to read.

::

    source: shop
    dsn_from: SHOP_DATABASE_URL      # the variable with the connection string; default CRM_POSTGRES_URL
    mode: replication                # or watermark
    slot: crmstream_shop             # replication: default crmstream_ and the name (:func:`slot_name`)
    publication: crmstream_shop      # replication: default as the slot
    snapshot: initial                # the rows that are there already: initial takes them first, never leaves them out
    poll_seconds: 2                  # watermark: pause between two looks
    tables:
      orders:
        watermark: updated_at        # watermark: the column that orders the rows, and is worth an index
        lookback: 1 day              # watermark: how far below the newest watermark a look goes; default: everything
        ...

Moves no data.
"""

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator
from xxhash import xxh3_64_hexdigest

from connectors.databases.connections import Connection, TableSpec

DSN_VARIABLE: Final = "CRM_POSTGRES_URL"
_SLOT: Final = r"^[a-z0-9_]{1,63}$"


class PostgresConnection(Connection):
    """The tables of one PostgreSQL database, and the way in which they are read."""

    kind: ClassVar[str] = "postgres"
    dsn_from: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = DSN_VARIABLE
    mode: Literal["watermark", "replication"]
    slot: Annotated[str, Field(pattern=_SLOT)]
    publication: Annotated[str, Field(pattern=_SLOT)]
    snapshot: Literal["initial", "never"] = "initial"
    poll_seconds: Annotated[float, Field(gt=0, le=3_600)] = 2.0

    @model_validator(mode="before")
    @classmethod
    def _name_the_slot(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        slot = value.get("slot", slot_name(str(value.get("name") or value.get("source") or "")))
        return {"slot": slot, "publication": slot, **value}

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        for table in self.tables:
            (_check_polled if self.mode == "watermark" else _check_streamed)(table)
        return self


def slot_name(name: str) -> str:
    """Name the slot of a connection; two connections never share one.

    A name that is too long for PostgreSQL, or has a dash, is told from its like by its hash. Such slots have two
    underscores behind the prefix, which no other has: names of connections begin with a letter or a digit.
    """
    if re.fullmatch(r"[a-z0-9_]{1,53}", name):
        return f"crmstream_{name}"
    return f"crmstream__{name.replace('-', '_')[:35]}_{xxh3_64_hexdigest(name.encode())}"


def _check_polled(table: TableSpec) -> None:
    where = f"tables.{table.full_name}"
    if table.operations != {"insert"}:
        raise ValueError(f"{where}.on: who polls sees rows, not what was done to them; use mode replication")
    if table.reads_old:
        raise ValueError(f"{where}: values before the change (old.*) are there in mode replication only")
    if watermark_of(table) is None:
        raise ValueError(f"{where}.watermark: is required in mode watermark")


def _check_streamed(table: TableSpec) -> None:
    for field in ("watermark", "lookback"):
        if getattr(table, field) is not None:
            raise ValueError(f"tables.{table.full_name}.{field}: is for mode watermark")


def watermark_of(table: TableSpec) -> str | None:
    """The column by which a table is polled; an outbox has one anyway."""
    if table.watermark is None and table.outbox is not None and table.outbox.event is None:
        return table.outbox.occurred_at
    return table.watermark
