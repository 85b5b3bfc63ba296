"""Answers as text: a table, records below each other, CSV or JSON. Pure."""

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from rich.cells import cell_len

from crmstream.sql.session import Answer

Format = Literal["table", "csv", "json", "vertical"]
_OPTIONS: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def lay_out(answer: Answer, form: Format, width: int) -> str:
    """Write an answer. A table that is wider than ``width`` columns is written as records below each other."""
    if form == "csv":
        return _csv(answer)
    if form == "json":
        return _json(answer)
    if form == "vertical":
        return _vertical(answer)
    table = _table(answer)
    fits = all(cell_len(line) <= width for line in table.splitlines())
    return table if fits else _vertical(answer)


def _table(answer: Answer) -> str:
    cells = [list(answer.columns), *([_text(value) for value in row] for row in answer.rows)]
    if not answer.columns:
        return "".join(f"{' '.join(row)}\n" for row in cells[1:])
    widths = [max(cell_len(row[at]) for row in cells) for at in range(len(answer.columns))]
    right = [_is_numeric(answer.rows, at) for at in range(len(widths))]
    lines = ["  ".join(_padded(*cell) for cell in zip(row, widths, right, strict=True)).rstrip() for row in cells]
    rule = "  ".join("─" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _is_numeric(rows: Sequence[Sequence[Any]], at: int) -> bool:
    return all(isinstance(row[at], int | float | Decimal) and not isinstance(row[at], bool) for row in rows)


def _vertical(answer: Answer) -> str:
    longest = max(map(len, answer.columns), default=0)
    records = []
    for number, row in enumerate(answer.rows, 1):
        fields = zip(answer.columns, row, strict=False)
        records.append("\n".join([f"─── {number}", *(f"{name:<{longest}}  {_text(value)}" for name, value in fields)]))
    return "".join(f"{record}\n" for record in records)


def _csv(answer: Answer) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([[_plain(value) for value in row] for row in answer.rows])
    return file.getvalue()


def _plain(value: Any) -> Any:
    return "" if value is None else _text(value)


def _json(answer: Answer) -> str:
    records = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    return orjson.dumps(records, default=_json_value, option=_OPTIONS | orjson.OPT_INDENT_2).decode() + "\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)


def _text(value: Any) -> str:
    """A value in one line; control characters are escaped, so that data cannot move the terminal's cursor."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        value = orjson.dumps(value, default=_json_value, option=_OPTIONS).decode()
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _time(value: datetime) -> str:
    text = value.replace(tzinfo=None).isoformat(" ")
    return text.rstrip("0").rstrip(".") if "." in text else text
