"""Connections to PostgreSQL, what its catalogue tells, and its errors in words that say what to do. Moves no data.

Every value comes as the text that PostgreSQL's own output functions write, in the settings below: polled rows,
snapshots and the replication stream give the same texts for the same values.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, TypeAlias

import psycopg2
from psycopg2 import errors, extensions, sql
from psycopg2.extras import LogicalReplicationConnection

from contracts.errors import SettingsError, StoreRefusedError, StoreUnavailableError

OLDEST_VERSION: Final = 130_000
CONNECT_SECONDS: Final = 10
_OPTIONS: Final = (
    "-c datestyle=ISO -c timezone=UTC -c intervalstyle=iso_8601 -c bytea_output=hex -c extra_float_digits=1 "
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
)
_STREAM_OPTIONS: Final = "-c wal_sender_timeout=120s"
"""The server asks after half of this whether the reader lives: seldom, for the driver's answer confirms what Kafka may
not hold yet (:mod:`connectors.postgres.replication`)."""
_RAW: Final = extensions.new_type(tuple(extensions.string_types), "RAW", lambda value, _cursor: value)
_REFUSED_WHEN_CONNECTING: Final = (
    "authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "must be superuser",
    "no password supplied", "SSL",
)  # fmt: skip

Connection: TypeAlias = extensions.connection
Row = Mapping[str, Any]


class LostContactError(StoreUnavailableError):
    """PostgreSQL went away, or is not there; trying again later may help."""


class Server:
    """Where a database is. ``url`` is secret; ``variable`` names the environment variable that it came from."""

    def __init__(self, url: str, variable: str, name: str):
        self._variable = variable
        self._arguments = {**_parsed(url, variable), "application_name": f"crmstream {name}"}

    def connect(self) -> Connection:
        """Connect for queries; every statement is a transaction of its own."""
        made = self._connect(None)
        made.autocommit = True
        extensions.register_type(_RAW, made)
        return made

    def connect_stream(self) -> Any:
        """Connect for logical replication."""
        return self._connect(LogicalReplicationConnection, _STREAM_OPTIONS)

    def _connect(self, factory: type[Connection] | None, more: str = "") -> Connection:
        options = f"{self._arguments.get('options', '')} {_OPTIONS} {more}".strip()
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 30,
            "tcp_user_timeout": 60_000,
            **self._arguments,
            "options": options,
            "client_encoding": "utf8",
        }
        try:
            return psycopg2.connect(None, factory, **arguments)
        except psycopg2.OperationalError as error:
            raise self._explained(error) from None

    def _explained(self, error: psycopg2.OperationalError) -> StoreUnavailableError | StoreRefusedError:
        told = " ".join(str(error).split())
        if any(words in told for words in _REFUSED_WHEN_CONNECTING):
            return StoreRefusedError(f"PostgreSQL refused the connection: {told}. Check {self._variable}.")
        return LostContactError(f"PostgreSQL does not answer: {told}. Is it running, and is {self._variable} right?")


@contextmanager
def explained() -> Iterator[None]:
    """Tell PostgreSQL's errors apart: contact lost, or something that a person must mend."""
    try:
        yield
    except (errors.ObjectInUse, errors.InsufficientPrivilege, errors.UndefinedObject, errors.UndefinedTable) as error:
        raise StoreRefusedError(f"PostgreSQL refused: {first_line(error)}.") from None
    except (errors.QueryCanceled, psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise LostContactError(f"The connection to PostgreSQL ended: {first_line(error)}.") from None
    except psycopg2.DatabaseError as error:
        if error.pgcode is None:
            raise LostContactError(f"The connection to PostgreSQL ended: {first_line(error)}.") from None
        raise StoreRefusedError(f"PostgreSQL refused ({error.pgcode}): {first_line(error)}.") from None


def first_line(error: psycopg2.Error) -> str:
    """The first line of what PostgreSQL says; further ones may quote rows."""
    return (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")


def ask(database: Connection, name: str, /, **values: object) -> list[Row]:
    """Run the query ``sql/<name>.sql``; rows by column, values as text."""
    return query(database, sql.SQL(files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")), values)


def query(database: Connection, statement: sql.Composable, values: Mapping[str, object] | None = None) -> list[Row]:
    """Run a query; rows by column, values as text."""
    with database.cursor() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def quoted(*names: str) -> str:
    """Write an identifier, dots between its parts, as it stands in a statement that a person is told to run."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def run(database: Connection, statement: sql.Composable, values: Sequence[object] | None = None) -> None:
    """Run a statement that gives no rows."""
    with database.cursor() as cursor:
        cursor.execute(statement, values)


def _parsed(url: str, variable: str) -> dict[str, str]:
    """Take a connection string apart. What is wrong with it is told without quoting it: it holds a password."""
    wanted = f"{variable} must be a connection string such as postgresql://user:password@host:5432/database"
    if "://" in url and url.partition("://")[2].partition("/")[0].count("@") > 1:
        raise SettingsError(f"{variable}: write an @ in the password as %40")
    try:
        found: dict[str, str] = extensions.parse_dsn(url)
    except psycopg2.ProgrammingError:
        raise SettingsError(wanted) from None
    if not re.fullmatch("[0-9,]*", found.get("port", "")):
        raise SettingsError(f"{wanted}; write a / in the password as %2F")
    return found
