"""Read JSON: one object per line, an array of objects, or an object that holds one such array.

Arrays are read as a stream: only one object at a time is in memory. A broken object is reported with its number; a
file whose brackets do not end where they should is refused.
"""

import codecs
import re
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

import msgspec

from contracts.errors import InputFileError

LARGEST_OBJECT: Final = 16 * 1024 * 1024
"""Bytes of the largest object that is read."""
_BLOCK: Final = 256 * 1024
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{}]', re.DOTALL)
"""A text, a bracket, or a quote whose end has not been read yet."""
_DEPTH: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_BLANK: Final = b" \t\r\n"

_decode = msgspec.json.Decoder(dict[str, Any]).decode
Document = dict[str, Any]


class Item(NamedTuple):
    """An object of a file: its line (JSON Lines) or number (arrays), its bytes, and its values (None: broken)."""

    number: int
    content: bytes
    document: Document | None


def decoded(content: bytes) -> Document | None:
    """Read a JSON object; None where it is none."""
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def read_lines(lines: IO[bytes], encoding: str) -> Iterator[Item]:
    """Read one object per line; blank lines are left out.

    Raises :class:`InputFileError` where the last line lacks its end and is not an object: the file is cut off.
    """
    for number, raw in enumerate(lines, 1):
        content = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).strip()
        if not content:
            continue
        document = decoded(_as_utf8(content, encoding))
        if document is None and not raw.endswith(b"\n"):
            raise InputFileError(f"The file is cut off: its last line ({number:,}) is not complete.")
        yield Item(number, content, document)


def _as_utf8(content: bytes, encoding: str) -> bytes:
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeError:
        return b""


def read_array(file: IO[bytes]) -> Iterator[Item]:
    """Read the objects of the file's one array, numbered from 1. The file is UTF-8, as JSON is.

    An object without an array in it is one item. Raises :class:`InputFileError` if the file is cut off, is not JSON, or
    holds several arrays of objects.
    """
    scan = _Scan(file)
    first = scan.first()
    if first not in (b"[", b"{"):
        raise InputFileError("The file holds no JSON array and no JSON object.")
    number = 0
    for number, content in enumerate(scan.items() if first == b"[" else scan.items_inside(), 1):
        yield Item(number, content, decoded(content))


class _Scan:
    """Finds where the objects of an array begin and end, by brackets outside of texts."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._data = b""
        self._at = 0

    def first(self) -> bytes:
        """Return the first character that is not blank, and stay before it."""
        while len(self._data) < len(codecs.BOM_UTF8) and self._more():
            pass
        self._data = self._data.removeprefix(codecs.BOM_UTF8)
        while not (found := self._data.lstrip(_BLANK)) and self._more():
            pass
        self._data = found
        return found[:1]

    def items(self) -> Iterator[bytes]:
        """Read the array that begins here, then the end of the file."""
        self._at += 1
        yield from self._objects()
        self._expect_end()

    def items_inside(self) -> Iterator[bytes]:
        """Read the array of objects in the object that begins here; without one, the object itself."""
        depth, lists, begin = 0, 0, self._at
        while True:
            token, _ = self._token()
            if depth == 1 and token == b"[" and self._peek() == b"{":
                lists += 1
                if lists > 1:
                    raise InputFileError("The file holds several lists of objects; give each a file of its own.")
                yield from self._objects()
                begin = self._at
                continue
            depth += _DEPTH.get(token, 0)
            if depth == 0:
                break
            if self._at - begin > LARGEST_OBJECT:
                raise _too_large()
        whole = self._data[begin : self._at]
        self._expect_end()
        if not lists:
            yield whole

    def _objects(self) -> Iterator[bytes]:
        """Read objects up to the end of the array; the bracket that opens it has been read."""
        depth, begin, is_first = 0, self._forget(), True
        while True:
            token, start = self._token()
            if depth == 0:
                self._check_between(begin, start, token, is_first=is_first)
                if token == b"]":
                    return
                is_first = False
                begin = start
            depth += _DEPTH.get(token, 0)
            if depth == 0:
                yield self._data[begin : self._at]
                begin = self._forget()
            elif self._at - begin > LARGEST_OBJECT:
                raise _too_large()

    def _check_between(self, begin: int, end: int, token: bytes, *, is_first: bool) -> None:
        """Between objects there is a comma, and nothing before the first and after the last."""
        between = self._data[begin:end].strip(_BLANK)
        if token not in (b"{", b"]") or between != (b"" if is_first or token == b"]" else b","):
            raise InputFileError("The array holds something other than objects with commas between them.")

    def _token(self) -> tuple[bytes, int]:
        """Read up to the next bracket or text; returns it and where it begins."""
        while True:
            found = _TOKEN.search(self._data, self._at)
            if found is not None and found[0] != b'"':
                self._at = found.end()
                return found[0], found.start()
            if len(self._data) - self._at > LARGEST_OBJECT:
                raise _too_large()
            if not self._more():
                raise EOFError

    def _peek(self) -> bytes:
        """Return the next character that is not blank."""
        while not (found := self._data[self._at :].lstrip(_BLANK)) and self._more():
            pass
        return found[:1]

    def _expect_end(self) -> None:
        if self._peek():
            raise InputFileError("The file goes on after the end of its JSON.")

    def _forget(self) -> int:
        """Drop what has been read once it is much; returns where reading stands."""
        if self._at > _BLOCK:
            self._data = self._data[self._at :]
            self._at = 0
        return self._at

    def _more(self) -> bool:
        block = self._file.read(_BLOCK)
        self._data += block
        return bool(block)


def _too_large() -> InputFileError:
    return InputFileError(f"An object of the file has more than {LARGEST_OBJECT:,} bytes.")
