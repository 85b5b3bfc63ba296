"""Runs statements on the warehouse, read-only unless allowed otherwise, and explains errors. Changes data on demand."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import CrmError
from crmstream.sql.statements import can_be_limited, names_format, only_reads

_HINTS: Final = {
    "UNKNOWN_TABLE": "`SHOW TABLES` (in the shell: \\tables) lists the tables; `crmstream migrate` creates them.",
    "UNKNOWN_DATABASE": "`crmstream migrate` creates the database.",
    "UNKNOWN_IDENTIFIER": "`DESCRIBE TABLE t` (in the shell: \\describe t) lists the columns of a table.",
    "READONLY": "This command only reads; --write allows changes.",
}
_MESSAGE: Final = re.compile(
    r"DB::Exception: (?!Code: )(?P<text>.*?)(?: \((?P<name>[A-Z_0-9]{3,})\))?(?: \(version .*)?\s*$", re.DOTALL
)
_NOISE: Final = re.compile(r"(\s*FORMAT Native|\. Expected one of:.*|\s*\(version [^)]*\))", re.DOTALL)
_LONGEST: Final = 500


class StatementError(CrmError):
    """A statement that ClickHouse, or the read-only mode, refused."""


@dataclass(frozen=True)
class Answer:
    """What a statement answered: columns and rows, or ``text`` where it named a format of its own."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    seconds: float
    cut: bool = False
    """Whether there are more rows than the limit."""
    text: bytes | None = None


@dataclass(frozen=True)
class Session:
    """A connection to the warehouse. ``limit`` is the most rows of one answer; 0 means all."""

    client: Client
    write: bool = False
    limit: int = 1_000

    def run(self, statement: str) -> Answer:
        """Run one statement. Raises :class:`StatementError` with ClickHouse's reason in plain words."""
        if not self.write and not only_reads(statement):
            raise StatementError(
                "This command only reads: SELECT, WITH, SHOW, DESCRIBE, EXPLAIN and EXISTS. --write allows changes."
            )
        began = time.monotonic()
        try:
            answer = self._ask(statement)
        except ClickHouseError as error:
            raise StatementError(explain(str(error))) from None
        columns, rows, text = answer
        cut = bool(self.limit) and len(rows) > self.limit
        return Answer(columns, rows[: self.limit] if cut else rows, time.monotonic() - began, cut, text)

    def _ask(self, statement: str) -> tuple[Sequence[str], Sequence[Sequence[Any]], bytes | None]:
        if names_format(statement):
            return (), (), self.client.raw_query(statement, settings=self._settings(statement))
        if not only_reads(statement):
            told = self.client.command(statement)
            return (), () if not isinstance(told, str | int) or told == "" else [[told]], None
        found = self.client.query(statement, settings=self._settings(statement))
        return found.column_names, found.result_rows, None

    def _settings(self, statement: str) -> dict[str, str]:
        settings = {} if self.write else {"readonly": "2"}
        if self.limit and can_be_limited(statement) and not names_format(statement):
            settings["limit"] = str(self.limit + 1)
        return settings


def explain(message: str) -> str:
    """ClickHouse's message without its codes and addresses, and what to do about it."""
    found = _MESSAGE.search(message)
    text = _NOISE.sub("", found["text"] if found else message).strip()
    name = (found and found["name"]) or next((name for name in _HINTS if f"({name})" in message), "")
    text = " ".join(text.split())[:_LONGEST].rstrip(".")
    return f"{text}. {_HINTS[name]}" if name in _HINTS else f"{text}."
