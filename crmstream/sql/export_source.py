"""Finds out what an export reads: a table, a view, or a query that is allowed. Reads only."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import CrmError
from crmstream.sql.body import Form
from crmstream.sql.session import explain
from crmstream.sql.statements import names_format, only_reads, statements
from crmstream.stack.clickhouse_sql import tokens

STDOUT: Final = "-"
_SUFFIXES: Final[dict[str, Form]] = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MERGING: Final = ("Replacing", "Aggregating")
"""Engines that make one row of several with the same key, when they are read with FINAL."""
_TABLES: Final = """
SELECT name, engine, total_rows FROM system.tables
WHERE database = {database:String} AND engine != 'MaterializedView' AND NOT startsWith(name, '.')
ORDER BY name
"""


class ExportError(CrmError):
    """An export that cannot start, or that failed; no file was written."""


@dataclass(frozen=True)
class Source:
    """What is exported: a query, and the number of rows that it has at most, where that is known."""

    query: str
    most_rows: int | None = None


class _Table(NamedTuple):
    name: str
    engine: str
    rows: int | None


def choose_form(out: str, given: Form | None) -> Form:
    """Return the format that is given, else that of the file's suffix. Raises :class:`ExportError`."""
    if given is not None:
        return given
    if out == STDOUT:
        return "csv"
    suffix = Path(out).suffix.lower()
    if suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise ExportError(f"The suffix of {out} names no format. Known are {known}; or say it with --format.")
    return _SUFFIXES[suffix]


def find_source(client: Client, text: str) -> Source:
    """Return what a table's name or a query exports. Raises :class:`ExportError` for what is neither."""
    text = text.strip()
    return _checked_query(text) if not text or len(text.split()) > 1 else _table(client, text)


def _checked_query(text: str) -> Source:
    found = statements(text)
    if len(found) != 1:
        raise ExportError(f"Give the name of a table or one query; there are {len(found)} statements.")
    (query,) = found
    if not only_reads(query):
        raise ExportError("An export only reads: SELECT, WITH, SHOW, DESCRIBE, EXPLAIN and EXISTS.")
    if names_format(query) or _has(query, "INTO", "OUTFILE"):
        raise ExportError("Leave FORMAT and INTO OUTFILE out of the query: --format and --out say it.")
    if _has(query, "WITH", "TOTALS"):
        raise ExportError("Leave WITH TOTALS out of the query: the totals would be one more row of the file.")
    return Source(query)


def _has(query: str, *pair: str) -> bool:
    """Whether two keywords follow each other, where they do not begin ``WITH name AS``."""
    words = [token.upper if token.kind == "word" else "" for token in tokens(query)]
    return any((*words[at : at + 2],) == pair and words[at + 2 : at + 3] != ["AS"] for at in range(len(words)))


def _table(client: Client, name: str) -> Source:
    try:
        rows = client.query(_TABLES, parameters={"database": client.database}).result_rows
    except ClickHouseError as error:
        raise ExportError(explain(str(error))) from None
    tables = {row[0]: _Table(*row) for row in rows}
    if name not in tables:
        raise ExportError(_no_such_table(name, str(client.database), [*tables]))
    merges = any(kind in tables[name].engine for kind in _MERGING)
    final = " FINAL" if merges else ""  # otherwise rows that were written again come twice
    return Source(f"SELECT * FROM {quote_identifier(name)}{final}", tables[name].rows)  # noqa: S608 - quoted


def _no_such_table(name: str, database: str, known: list[str]) -> str:
    if not known:
        return f"There is no table in the database {database}: run `crmstream migrate`."
    near = get_close_matches(name, known, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
    return f"There is no table or view {name} in the database {database}. {hint} A query has at least one space."
