"""The connection file for Debezium's topics: what the rows mean (:mod:`connectors.databases.connections`).

Moves no data.
"""

from typing import ClassVar, Final, Self

from pydantic import model_validator

from connectors.databases.connections import OLD, Connection

NUMBERS: Final = ("money", "number", "integer")


class DebeziumConnection(Connection):
    """The tables behind the topics. Without ``key`` a table's key is that of the records."""

    kind: ClassVar[str] = "debezium"

    @model_validator(mode="after")
    def _is_not_polled(self) -> Self:
        for table in self.tables:
            for field in ("watermark", "lookback"):
                if getattr(table, field) is not None:
                    raise ValueError(f"tables.{table.full_name}.{field}: is for `connect postgres` only")
        return self

    def numeric_columns(self) -> dict[str, frozenset[str]]:
        """The columns, by table, that become numbers or money."""
        return {
            table.full_name: frozenset(
                column.removeprefix(OLD)
                for event in table.events
                for spec in event.mapping.properties.values()
                if spec.type in NUMBERS
                for column in spec.columns
            )
            for table in self.tables
        }
