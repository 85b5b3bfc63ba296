"""Writes the answer of a query to a file or a stream. Reads only.

A file appears under its name when it is complete and on the disk, or not at all. Memory is bounded by the size of a
chunk; a query that fails after its first rows is noticed by the end of its answer.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final, NamedTuple, Protocol

import pyarrow.parquet
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from pyarrow import ArrowException
from urllib3.exceptions import HTTPError

from contracts.whole_files import sync
from crmstream.sql.body import EXCEPTION_TAG_HEADER, Body, Form
from crmstream.sql.export_source import ExportError
from crmstream.sql.session import explain

CHUNK_BYTES: Final = 1_048_576
_FORMATS: Final[dict[Form, str]] = {"csv": "CSVWithNames", "parquet": "Parquet", "jsonl": "JSONEachRow"}
_ERROR_IN_FORMAT: Final = "http_write_exception_in_output_format"
"""ClickHouse's setting that writes an error as one more row of JSON, where nothing distinguishes it from data."""

Moved = Callable[[Body], None]


class Query(NamedTuple):
    """A query and the values of its parameters."""

    text: str
    parameters: dict[str, Any] | None = None


class Writable(Protocol):
    """What takes bytes."""

    def write(self, chunk: bytes, /) -> int:
        """Write all of them."""
        ...


@dataclass(frozen=True)
class Target:
    """Where a file goes, and whether it may replace another one."""

    path: Path
    overwrite: bool = False

    def check(self) -> None:
        """Raise :class:`ExportError` where no file can go."""
        if not self.path.parent.is_dir():
            raise ExportError(f"The folder {self.path.parent} does not exist.")
        if not os.path.lexists(self.path):
            return
        if not self.path.is_file():
            raise ExportError(f"{self.path} is not a file. --out - writes to standard output.")
        if not self.overwrite:
            raise ExportError(f"{self.path} exists already. --overwrite replaces it.")


@dataclass(frozen=True)
class Written:
    """What an export wrote. ``rows`` is None where it is not known: Parquet to a stream."""

    rows: int | None
    bytes: int
    seconds: float


def export_to_file(client: Client, query: str, form: Form, target: Target, moved: Moved) -> Written:
    """Write a file that only its owner may read. Raises :class:`ExportError`; then the file is as it was."""
    began = time.monotonic()
    with whole_file(target) as file:
        body = copy(client, Query(query), form, file, moved)
        file.flush()
        rows = _rows_of_parquet(Path(file.name)) if form == "parquet" else body.rows
    return Written(rows, body.bytes, time.monotonic() - began)


def export_to_stream(client: Client, query: str, form: Form, stream: IO[bytes], moved: Moved) -> Written:
    """Write to an open stream. Raises :class:`ExportError`; then the stream has a part of the rows."""
    began = time.monotonic()
    body = copy(client, Query(query), form, stream, moved)
    stream.flush()
    return Written(body.rows, body.bytes, time.monotonic() - began)


def copy(client: Client, query: Query, form: Form, file: Writable, moved: Moved) -> Body:
    """Copy the answer of a query to an open file, and check at its end that all of it came.

    Raises :class:`ExportError`. The comment is in ClickHouse's query log.
    """
    settings = {"readonly": "2", "log_comment": f"crmstream export {form}"}
    if _ERROR_IN_FORMAT in client.server_settings:
        settings[_ERROR_IN_FORMAT] = "0"
    try:
        response = client.raw_stream(query.text, parameters=query.parameters, settings=settings, fmt=_FORMATS[form])
    except ClickHouseError as error:
        raise ExportError(_reason(str(error))) from None
    body, broken = Body(form, response.headers.get(EXCEPTION_TAG_HEADER)), False
    try:
        for chunk in response.stream(CHUNK_BYTES):
            body.feed(chunk)
            file.write(chunk)
            moved(body)
    except HTTPError:
        broken = True
    finally:
        response.close()  # ends a query that still runs
    if failure := body.failure():
        raise ExportError(f"The query failed after {_so_far(body)}: {_reason(failure)}")
    if broken or not body.is_complete():
        raise ExportError(f"The answer of ClickHouse broke off after {_so_far(body)}. Run the export again.")
    return body


def _reason(message: str) -> str:
    return explain(message).partition(" This command only reads;")[0]  # an export has no --write


def _so_far(body: Body) -> str:
    return f"{body.bytes:,} bytes"


def _rows_of_parquet(path: Path) -> int:
    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except ArrowException:
        raise ExportError("ClickHouse did not send a readable Parquet file. Run the export again.") from None


@contextmanager
def whole_file(target: Target) -> Iterator[IO[bytes]]:
    """Yield a hidden file beside the target, and rename it when the block ends without an error."""
    path = target.path
    target.check()
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                target.check()  # another program may have made it meanwhile
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        sync(path.parent)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}.") from None
