"""The beginning of a file, read without a mapping: its format, encoding, separator, columns and rows."""

import codecs
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import clevercsv

from connectors.files.csv_rows import SEPARATOR_LINE
from connectors.files.encodings import looks_like, open_text
from connectors.files.json_rows import Document
from connectors.files.readers import RawRow, file_format, json_items, open_table
from connectors.guess.dates import time_format
from connectors.rows.mapping import Mapping, parse_mapping
from contracts.errors import InputFileError

SAMPLE_ROWS: Final = 50_000
"""Rows that are looked at: formats are decided over all of them."""
_DIALECT_CHARACTERS: Final = 64 * 1024
_DELIMITERS: Final = [",", ";", "\t", "|"]
_BLANKS: Final = "whitespace"
_MOST_COLUMNS: Final = 300
_MOST_LISTS: Final = 5
"""Lists of a JSON object that are named."""
_BY_MARK: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
"""Encodings that a mapping need not name: the default, and those that a byte order mark decides."""


@dataclass(frozen=True)
class Sample:
    """What a file looks like. ``reading`` are the mapping's keys that say how to read it."""

    path: Path
    reading: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    doubts: list[str] = field(default_factory=list)

    def texts(self, column: str) -> list[str]:
        """The texts in a column, one for each row."""
        index = self.columns.index(column)
        return ["" if row[index] is None else str(row[index]).strip() for row in self.rows]

    def filled(self, column: str) -> list[str]:
        """The texts in a column that are not empty."""
        return [text for text in self.texts(column) if text]

    def values(self, column: str) -> list[object]:
        """The values in a column that are there, as the file holds them."""
        index = self.columns.index(column)
        return [row[index] for row in self.rows if row[index] not in (None, "")]


def read_sample(path: Path, encoding: str | None = None) -> Sample:
    """Read the beginning of a file. Raises :class:`InputFileError` if it can't be read or holds no rows."""
    if encoding is not None:
        encoding = _known(encoding)
    try:
        form = file_format(path, reader_mapping({}))
        return _JSON_OR_TABLE[form](path, form, encoding) if form in _JSON_OR_TABLE else _table(path, {}, [])
    except OSError as error:
        raise InputFileError(f"{path} can't be read: {error.strerror}.") from None
    except EOFError:
        raise InputFileError(f"{path} can't be read: it is cut off.") from None


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise InputFileError(f"There is no such encoding as {encoding}; utf-8, cp1252 and cp1250 are some.") from None


def reader_mapping(reading: dict[str, Any]) -> Mapping:
    """Make a mapping that only says how a file is read."""
    return parse_mapping(
        {"source": "sample", "name": "Order Completed", "customer_id": "-", "occurred_at": "-", **reading}
    )


def _csv(path: Path, _form: str, encoding: str | None) -> Sample:
    doubts: list[str] = []
    reading: dict[str, Any] = {"format": "csv"}
    chosen = encoding or _encoding(path, doubts)
    if chosen not in _BY_MARK:
        reading["encoding"] = chosen
    with path.open("rb") as raw:
        head = open_text(raw, chosen).read(_DIALECT_CHARACTERS)
    delimiter, quote = _dialect(head)
    if delimiter != ",":
        reading["delimiter"] = "tab" if delimiter == "\t" else delimiter
    if quote != '"':
        reading["quote"] = quote
    return _table(path, reading, doubts)


def _encoding(path: Path, doubts: list[str]) -> str:
    found = looks_like(path)
    if not found:
        raise InputFileError(f"{path.name} is in no encoding that is known; is it a text file? Give one: --encoding.")
    if len(found) > 1:
        doubts.append(f"The encoding is {found[0]} or {' or '.join(found[1:])}: look at the letters with accents.")
    return found[0]


def _dialect(head: str) -> tuple[str, str]:
    """Find the separator and the quoting character; a line ``sep=;`` decides."""
    first = head.partition("\n")[0].strip("\r\ufeff")
    if (said := SEPARATOR_LINE.fullmatch(first)) is not None:
        return said[1], '"'
    if head.count("\n") < len(head) // _DIALECT_CHARACTERS:
        return ",", '"'
    counts = {delimiter: first.count(delimiter) for delimiter in _DELIMITERS}
    likeliest = max(counts, key=lambda one: counts[one])
    if not counts[likeliest] and _has_columns_of_blanks(head):
        return _BLANKS, '"'
    if sum(1 for count in counts.values() if count) == 1:
        return likeliest, "'" if _is_quoted(first, likeliest, "'") else '"'
    try:
        found = clevercsv.Sniffer().sniff(head[: _DIALECT_CHARACTERS // 8], delimiters=_DELIMITERS)
    except clevercsv.Error:
        found = None
    if found is None or not found.delimiter or not counts.get(found.delimiter):
        return likeliest, '"'
    return found.delimiter, found.quotechar if found.quotechar == "'" else '"'


def _has_columns_of_blanks(head: str) -> bool:
    """Whether all lines are the same number of words, more than one."""
    lines = [line.split() for line in head.splitlines()[:-1] if line.strip()]
    return len(lines) > 1 and len(lines[0]) > 1 and len({len(words) for words in lines}) == 1


def _is_quoted(line: str, delimiter: str, quote: str) -> bool:
    return all(len(name) > 1 and name[0] == name[-1] == quote for name in line.split(delimiter))


def _table(path: Path, reading: dict[str, Any], doubts: list[str]) -> Sample:
    with open_table(path, reader_mapping(reading), ()) as table:
        _check_header(path, table.columns)
        rows = [tuple(row.values) for row in itertools.islice(table.rows, SAMPLE_ROWS) if isinstance(row, RawRow)]
        columns = tuple(table.columns)
    return _checked(Sample(path, reading, columns, rows, doubts))


def _check_header(path: Path, columns: Sequence[str]) -> None:
    """Refuse a first line that holds values: without names nothing can be guessed."""
    if any("@" in name or _is_date(name) for name in columns) or sum(map(_is_number, columns)) > 1:
        raise InputFileError(
            f"{path.name} has no header line: its first line holds values. Write a mapping with `columns: [...]` "
            f"(docs/mapping.md) and replay the file with it."
        )


def _is_number(name: str) -> bool:
    return name.replace(".", "").replace(",", "").isdigit()


def _is_date(name: str) -> bool:
    return not name.isdigit() and time_format([name]) is not None


def _json(path: Path, form: str, encoding: str | None) -> Sample:
    reading = {"format": form} | ({"encoding": encoding} if encoding else {})
    with path.open("rb") as raw:
        items = itertools.islice(json_items(raw, form, encoding or "utf-8"), SAMPLE_ROWS)
        documents = [item.document for item in items if item.document is not None]
    columns = tuple(dict.fromkeys(name for one in documents for name in _paths(one)))[:_MOST_COLUMNS]
    rows = [tuple(_at(one, name) for name in columns) for one in documents]
    lists = sorted({name for one in documents for name, value in one.items() if isinstance(value, list) and value})
    doubts = [f"Lists in an object are not read: {', '.join(lists[:_MOST_LISTS])}."] if lists else []
    return _checked(Sample(path, reading, columns, rows, doubts))


def _paths(document: Document, before: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{before}{name}.")
        elif not isinstance(value, list):
            yield before + name


def _at(document: Document, path: str) -> object:
    value: object = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _checked(sample: Sample) -> Sample:
    if not sample.rows:
        raise InputFileError(f"{sample.path.name} holds no row that can be read.")
    return sample


_JSON_OR_TABLE: Final = {"csv": _csv, "jsonl": _json, "json": _json}
