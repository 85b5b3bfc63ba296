"""Checks the body of a streamed answer: counts its rows and finds out whether it is complete. Pure.

ClickHouse sends status 200 with the first row. If the query fails after that, it appends the error to the body. How it
does so depends on its version: up to 24.8 the bare message, up to 25.10 behind ``__exception__``, then between two tags
that a header names. All of them end the body, so only its tail is searched.
"""

import re
from typing import Final, Literal

Form = Literal["csv", "parquet", "jsonl"]
EXCEPTION_TAG_HEADER: Final = "X-ClickHouse-Exception-Tag"
_TAIL_BYTES: Final = 32_768
"""ClickHouse's block with an error has 16 KiB at most."""
_UNTAGGED: Final = re.compile(rb"Code: \d+\. DB::Exception: .*\)\s*\Z", re.DOTALL)
_PARQUET_MAGIC: Final = b"PAR1"
_SMALLEST_PARQUET: Final = 12


class Body:
    r"""A body that arrives in chunks. Keeps the tail only.

    >>> body = Body("csv")
    >>> body.feed(b'"name"\n"two\nlines"\n')
    >>> body.rows, body.failure(), body.is_complete()
    (1, None, True)
    """

    def __init__(self, form: Form, exception_tag: str | None = None):
        self.bytes = 0
        self._form = form
        self._tag = exception_tag.encode() if exception_tag else None
        self._head = b""
        self._tail = b""
        self._lines = 0
        self._quoted = False

    @property
    def rows(self) -> int | None:
        """Rows so far; None for Parquet, whose footer says it at the end."""
        if self._form == "parquet":
            return None
        return max(self._lines - 1, 0) if self._form == "csv" else self._lines

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self.bytes += len(chunk)
        if len(self._head) < len(_PARQUET_MAGIC):
            self._head = (self._head + chunk[: len(_PARQUET_MAGIC)])[: len(_PARQUET_MAGIC)]
        self._tail = (self._tail + chunk[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        if self._form == "csv":
            self._count_csv(chunk)
        elif self._form == "jsonl":
            self._lines += chunk.count(b"\n")  # strings hold \n as two characters

    def _count_csv(self, chunk: bytes) -> None:
        """Count the line feeds outside of quotes. A quote in a value is doubled, so quotes always come in pairs."""
        parts = chunk.split(b'"')
        self._lines += b"".join(parts[self._quoted :: 2]).count(b"\n")
        self._quoted ^= len(parts) % 2 == 0

    def failure(self) -> str | None:
        """Return the error that ClickHouse appended to the body, if it did."""
        if self._tag is None:
            found = _UNTAGGED.search(self._tail)
            return found.group().decode(errors="replace") if found else None
        _, marker, block = self._tail.rpartition(b"__exception__\r\n" + self._tag)
        message = block.partition(self._tag)[0]  # behind it: the length of the message
        return re.sub(r"\s+\d+ ?\Z", "", message.decode(errors="replace")).strip() if marker else None

    def is_complete(self) -> bool:
        """Whether the body ends where a file of its format may end."""
        if self._form == "parquet":
            return self.bytes >= _SMALLEST_PARQUET and self._head == _PARQUET_MAGIC and self._tail[-4:] == self._head
        if self._form == "csv":
            return not self._quoted and self._tail.endswith(b"\n")
        return not self.bytes or self._tail.endswith(b"\n")
