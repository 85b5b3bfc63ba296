"""Read files row by row: CSV, JSON Lines and Parquet, plain or gz, as a stream in bounded memory.

Pure input: each row comes with its line in the source file and its content, or with what is wrong with it. A
broken row never ends the reading; a file that can't be read at all raises :class:`InputFileError`.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.rows.mapping import Mapping
from contracts.errors import InputFileError
from contracts.wire import RejectedError

_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_PARQUET_ROWS: Final = 10_000
_COLUMNS_TOLD: Final = 50
_ENDINGS: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_NAMED: Final = {"tab": "\t"}


class RawRow(NamedTuple):
    """A row as it stands in the file: its line (header included; Parquet: row number), values, bytes."""

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
            _check_columns(path.name, table.columns, wanted)
            yield table
    except (OSError, EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        raise InputFileError(f"{path} can't be read: {_why(error)}.", path=str(path)) from error


def _check_columns(file: str, columns: Sequence[str], wanted: Sequence[str]) -> None:
    if not columns:
        raise InputFileError(f"{file} has no header line with the names of its columns.")
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return
    if not all(column.isprintable() for column in columns):
        raise InputFileError(f"{file} is no text in the mapping's encoding (or not what its ending or `format` says).")
    told = ", ".join(columns[:_COLUMNS_TOLD]) + (", ..." if len(columns) > _COLUMNS_TOLD else "")
    raise InputFileError(f"{file} has no column {missing[0]!r}, which the mapping names. It has: {told[:1_000]}.")


def file_format(path: Path, mapping: Mapping) -> str:
    """Tell the format: the mapping's, else by the file's ending, else csv."""
    if mapping.format != "auto":
        return mapping.format
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    return _ENDINGS.get(endings[-1], "csv") if endings else "csv"


def _why(error: Exception) -> str:
    match error:
        case EOFError():
            return "it is cut off"
        case gzip.BadGzipFile() | zlib.error():
            return "its gz data is damaged"
        case OSError() if error.strerror:
            return error.strerror
        case UnicodeError():
            return "it is not in the mapping's encoding"
    return "its format is damaged"


def _unzipped(raw: BinaryIO) -> IO[bytes]:
    """Unpack gz, which is known by its first two bytes."""
    magic = raw.read(len(_GZIP_MAGIC))
    raw.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if magic == _GZIP_MAGIC else raw


def _open_csv(raw: BinaryIO, mapping: Mapping, _wanted: Sequence[str]) -> Table:
    encoding = "utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding
    # Bytes that are no text must not end the reading: they are refused later, with their row.
    text = io.TextIOWrapper(_unzipped(raw), encoding, "surrogateescape", newline="")
    lines = _split_lines(text) if mapping.delimiter == "whitespace" else _csv_lines(text, mapping)
    columns = mapping.columns or _header(lines)
    return Table(columns, _csv_rows(lines, len(columns)), raw.tell)


Lines = Iterator[tuple[int, list[str] | RejectedError]]


def _split_lines(text: IO[str]) -> Lines:
    """Split lines at blanks; empty lines are left out."""
    for line, row in enumerate(map(str.split, text), 1):
        if row:
            yield line, row


def _csv_lines(text: IO[str], mapping: Mapping) -> Lines:
    """Parse CSV; each row comes with the line on which it begins, and empty lines are left out."""
    delimiter = _NAMED.get(mapping.delimiter, mapping.delimiter)
    if mapping.quote:
        reader = csv.reader(text, delimiter=delimiter, quotechar=mapping.quote)
    else:
        reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, RejectedError("row", f"is not CSV ({error})")
            continue
        if row:
            yield line, row


def _header(lines: Lines) -> tuple[str, ...]:
    """Read the names of the columns; a name that comes again gets a number."""
    _, row = next(lines, (0, []))
    if isinstance(row, RejectedError):
        return ()
    seen: dict[str, int] = {}
    names = []
    for name in map(str.strip, row):
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(names)


def _csv_rows(lines: Lines, width: int) -> Iterator[RawRow | BrokenRow]:
    for line, row in lines:
        if isinstance(row, RejectedError):
            yield BrokenRow(line, row)
        elif len(row) != width:
            problem = f"has {len(row):,} column{'s' * (len(row) != 1)} where {width:,} are expected"
            yield BrokenRow(line, RejectedError("row", problem))
        else:
            yield RawRow(line, row, "\x1f".join(row).encode("utf-8", "surrogateescape"))


def _open_jsonl(raw: BinaryIO, mapping: Mapping, wanted: Sequence[str]) -> Table:
    return Table(wanted, _jsonl_rows(_unzipped(raw), mapping.encoding, wanted), raw.tell)


def _jsonl_rows(lines: IO[bytes], encoding: str, wanted: Sequence[str]) -> Iterator[RawRow | BrokenRow]:
    paths = [tuple(column.split(".")) for column in wanted]
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line, raw in enumerate(lines, 1):
        content = (raw.removeprefix(_BOM) if line == 1 else raw).strip()
        if not content:
            continue
        try:
            document = decode(content if encoding == "utf-8" else content.decode(encoding))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            yield BrokenRow(line, RejectedError("row", "is not a JSON object"))
            continue
        yield RawRow(line, [_at(document, path) for path in paths], content)


def _at(document: dict[str, Any], path: tuple[str, ...]) -> object:
    """Follow a path of names into a document; None where it ends early."""
    value: object = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


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


_OPENERS: Final = {"csv": _open_csv, "jsonl": _open_jsonl, "parquet": _open_parquet}
