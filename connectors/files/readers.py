"""Read files row by row: CSV, JSON, spreadsheets and Parquet, plain or gz.

Pure input: each row comes with its line in the source file and its content, or with what is wrong with it. A
broken row never ends the reading; a file that can't be read at all, or is cut off, raises :class:`InputFileError`.
Text, JSON and Parquet are read as a stream in bounded memory.
"""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.files.csv_rows import Dialect, Lines, Rows, read_header, read_rows, separator_of
from connectors.files.encodings import is_utf_8, marked, open_text, proposal, unzipped
from connectors.files.json_rows import Document, Item, decoded, read_array, read_lines
from connectors.files.sheet_rows import read_sheet
from connectors.rows.mapping import Mapping
from contracts.errors import InputFileError
from contracts.wire import RejectedError

_PARQUET_ROWS: Final = 10_000
_COLUMNS_TOLD: Final = 50
_ENDINGS: Final = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet", ".pq": "parquet",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xlsx", ".ods": "xlsx",
}  # fmt: skip
_MAGIC: Final = {b"PAR1": "parquet", b"PK\x03\x04": "xlsx", b"\xd0\xcf\x11\xe0": "xlsx"}
_MAGIC_BYTES: Final = 4
_FIRST_LINE: Final = 1024 * 1024


class RawRow(NamedTuple):
    """A row as it stands in the file: its line, values and bytes.

    The line counts from 1 and includes the header; Parquet and JSON arrays have the row's number.
    """

    line: int
    values: Sequence[object]
    content: bytes


class BrokenRow(NamedTuple):
    """A line that is no row."""

    line: int
    problem: RejectedError


class Table(NamedTuple):
    """An open file: its columns, its rows, and how many of its bytes have been read."""

    columns: Sequence[str]
    rows: Iterator[RawRow | BrokenRow]
    bytes_read: Callable[[], int]


@contextmanager
def open_table(path: Path, mapping: Mapping, wanted: Sequence[str]) -> Iterator[Table]:
    """Open a file as its mapping says; ``wanted`` are the columns that the mapping reads.

    Raises :class:`InputFileError` if the file can't be read, is cut off, or lacks a wanted column.
    """
    try:
        with path.open("rb") as raw:
            table = _OPENERS[file_format(path, mapping)](raw, mapping, wanted)
            _check_columns(path, mapping, table.columns, wanted)
            yield table
    except (OSError, EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        why = proposal(path, mapping.encoding) if isinstance(error, UnicodeError) else f"can't be read: {_why(error)}"
        raise InputFileError(f"{path} {why}.", path=str(path)) from error


def _check_columns(path: Path, mapping: Mapping, columns: Sequence[str], wanted: Sequence[str]) -> None:
    if not columns:
        lack = "has no header line with the names of its columns" if path.stat().st_size else "is empty"
        raise InputFileError(f"{path.name} {lack}.")
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return
    if not all(column.isprintable() for column in columns):
        what = "(or it is no text: not what its ending or `format` says)"
        raise InputFileError(f"{path.name} {proposal(path, mapping.encoding)} {what}.")
    names = ", ".join(columns[:_COLUMNS_TOLD]) + (", ..." if len(columns) > _COLUMNS_TOLD else "")
    hint = _delimiter_hint(columns)
    raise InputFileError(
        f"{path.name} has no column {missing[0]!r}, which the mapping names. It has: {names[:1_000]}.{hint}"
    )


def _delimiter_hint(columns: Sequence[str]) -> str:
    """Say which delimiter a file of one column seems to have."""
    if len(columns) > 1:
        return ""
    found = max((";", "\t", "|", ","), key=columns[0].count)
    named = "tab" if found == "\t" else found
    return f' Its columns seem to be separated otherwise: set `delimiter: "{named}"`.' if found in columns[0] else ""


def file_format(path: Path, mapping: Mapping) -> str:
    """Find the format: the mapping's, else by the file's first bytes and its ending, else csv. Raises OSError."""
    if mapping.format != "auto":
        return mapping.format
    with path.open("rb") as raw:
        known = _MAGIC.get(raw.read(_MAGIC_BYTES))
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    return known or (_ENDINGS.get(endings[-1], "csv") if endings else "csv")


def _why(error: Exception) -> str:
    match error:
        case EOFError():
            return "it is cut off"
        case gzip.BadGzipFile() | zlib.error():
            return "its gz data is damaged"
        case OSError() if error.strerror:
            return error.strerror
    return "its format is damaged"


def _open_csv(raw: BinaryIO, mapping: Mapping, _wanted: Sequence[str]) -> Table:
    if is_utf_8(raw, mapping.encoding):
        raise InputFileError(f"The file is in UTF-8 and not in {mapping.encoding}: set `encoding: utf-8`.")
    lines = Lines(open_text(raw, mapping.encoding))
    separator = separator_of(lines)
    dialect = Dialect.of(separator or mapping.delimiter, mapping.quote)
    columns = mapping.columns or read_header(lines, dialect)
    return Table(columns, _csv_rows(read_rows(lines, dialect, len(columns))), raw.tell)


def _csv_rows(rows: Rows) -> Iterator[RawRow | BrokenRow]:
    for line, row in rows:
        if isinstance(row, RejectedError):
            yield BrokenRow(line, row)
            continue
        content = "\x1f".join(row)
        if "\0" in content:
            yield BrokenRow(line, RejectedError("row", "holds a NUL character"))
        else:
            yield RawRow(line, row, content.encode("utf-8", "surrogateescape"))


def _open_jsonl(raw: BinaryIO, mapping: Mapping, wanted: Sequence[str]) -> Table:
    return Table(wanted, _json_rows(json_items(raw, "jsonl", mapping.encoding), wanted), raw.tell)


def _open_json(raw: BinaryIO, mapping: Mapping, wanted: Sequence[str]) -> Table:
    return Table(wanted, _json_rows(json_items(raw, "json", mapping.encoding), wanted), raw.tell)


def json_items(raw: BinaryIO, form: str, encoding: str) -> Iterator[Item]:
    """Read the objects of JSON Lines (``jsonl``) or of an array; ``json`` may be JSON Lines all the same."""
    is_lines = form == "jsonl" or _is_jsonl(raw)
    file, encoding = _recoded(unzipped(raw), encoding)
    if is_lines:
        return read_lines(file, encoding)
    return read_array(file if encoding == "utf-8" else _recoder(file, encoding))


def _is_jsonl(raw: BinaryIO) -> bool:
    """Whether the first line and what follows it are two objects."""
    start = unzipped(raw).read(_FIRST_LINE).removeprefix(codecs.BOM_UTF8).lstrip()
    raw.seek(0)
    first, _, rest = start.partition(b"\n")
    return rest.lstrip().startswith(b"{") and decoded(first.strip()) is not None


def _recoded(file: IO[bytes], encoding: str) -> tuple[IO[bytes], str]:
    """Turn UTF-16 into UTF-8, whose line ends are single bytes; returns the encoding that the bytes then have."""
    buffered = codecs.lookup(encoding).name
    peeked = file.peek(_MAGIC_BYTES)[:_MAGIC_BYTES] if hasattr(file, "peek") else b""
    found = marked(peeked) or buffered
    if found.startswith(("utf-16", "utf-32")):
        return _recoder(file, found), "utf-8"
    return file, "utf-8" if found.startswith("utf-8") else found


def _recoder(file: IO[bytes], encoding: str) -> IO[bytes]:
    return cast("IO[bytes]", codecs.EncodedFile(file, "utf-8", encoding))


def _json_rows(items: Iterator[Item], wanted: Sequence[str]) -> Iterator[RawRow | BrokenRow]:
    paths = [tuple(column.split(".")) for column in wanted]
    for number, content, document in items:
        if document is None:
            yield BrokenRow(number, RejectedError("row", "is not a JSON object"))
        else:
            yield RawRow(number, [_at(document, path) for path in paths], content)


def _at(document: Document, path: tuple[str, ...]) -> object:
    """Follow a path of names into a document; None where it ends early."""
    value: object = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _open_sheet(raw: BinaryIO, mapping: Mapping, _wanted: Sequence[str]) -> Table:
    rows = read_sheet(raw, mapping.sheet)
    columns = mapping.columns or tuple(_header_names(next(rows, (0, []))[1]))
    return Table(columns, _sheet_rows(rows, len(columns)), raw.tell)


def _header_names(cells: Sequence[object]) -> list[str]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    return [name for index, name in enumerate(names) if any(names[index:])]


def _sheet_rows(rows: Iterator[tuple[int, Sequence[object]]], width: int) -> Iterator[RawRow]:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    for number, cells in rows:
        values = [*cells[:width], *[None] * (width - len(cells))]
        yield RawRow(number, values, encode(values))


def _open_parquet(raw: BinaryIO, _mapping: Mapping, _wanted: Sequence[str]) -> Table:
    file = pq.ParquetFile(raw)
    return Table(tuple(file.schema_arrow.names), _parquet_rows(file), raw.tell)


def _parquet_rows(file: pq.ParquetFile) -> Iterator[RawRow]:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    line = 0
    for batch in file.iter_batches(_PARQUET_ROWS):
        for values in zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True):
            line += 1
            yield RawRow(line, values, encode(values))


def _plain(column: pa.Array) -> pa.Array:
    """Cut nanoseconds off, which Python's times can't hold."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


_OPENERS: Final = {
    "csv": _open_csv,
    "jsonl": _open_jsonl,
    "json": _open_json,
    "xlsx": _open_sheet,
    "parquet": _open_parquet,
}
