"""Event bodies in bulk: a template with fields of fixed width, filled for many events at once. Moves no data.

All ids, numbers and times of the compact shop have a fixed number of characters. So the bodies of one kind are rows of
one matrix of bytes, and a field is a block of its columns.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Text = NDArray[np.uint8]
"""Characters (ASCII), shape (events, width)."""
TIME_WIDTH: Final = 27
"""Characters of a time: ``2026-01-31T12:00:00.000000Z``."""
_FIELD: Final = re.compile(r"\$(\w+)")
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


class Template:
    """A text with fields, each written as ``$name``; ``widths`` has the number of characters of each.

    >>> Template('{"n":"$number"}', {"number": 3}).fill({"number": digits(np.array([7, 42]), 3)})
    [b'{"n":"007"}', b'{"n":"042"}']
    """

    def __init__(self, text: str, widths: Mapping[str, int]):
        self._fields: list[tuple[str, slice]] = []
        made, end = "", 0
        for found in _FIELD.finditer(text):
            made += text[end : found.start()]
            width = widths[found[1]]
            self._fields.append((found[1], slice(len(made), len(made) + width)))
            made, end = made + " " * width, found.end()
        self._row = np.frombuffer((made + text[end:]).encode(), np.uint8)

    def fill(self, fields: Mapping[str, Text]) -> list[bytes]:
        """Return one text per row of the fields, all of which have as many rows; other fields may be there too."""
        rows = np.tile(self._row, (len(fields[self._fields[0][0]]), 1))
        for name, columns in self._fields:
            rows[:, columns] = fields[name]
        return texts(rows)


def texts(rows: Text) -> list[bytes]:
    """Return each row as a text of its own."""
    width, whole = rows.shape[1], rows.tobytes()
    return [whole[start : start + width] for start in range(0, len(whole), width)]


def beside(*parts: Text | str) -> Text:
    """Put texts side by side; a plain text is the same in every row. At least one part has rows."""
    count = next(len(part) for part in parts if not isinstance(part, str))
    return np.hstack([
        np.tile(np.frombuffer(part.encode(), np.uint8), (count, 1)) if isinstance(part, str) else part for part in parts
    ])  # fmt: skip


def digits(numbers: NDArray[np.int64], width: int) -> Text:
    """Write numbers with ``width`` decimal digits."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def hexadecimal(numbers: NDArray[np.int64], width: int) -> Text:
    """Write numbers with ``width`` hexadecimal digits."""
    shifts = 4 * np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.take(_HEX, numbers[:, None] >> shifts & 15)


def times(microseconds: NDArray[np.int64]) -> Text:
    """Write times (microseconds since 1970 UTC) as the contract does, with :data:`TIME_WIDTH` characters."""
    written = np.datetime_as_string(microseconds.view("datetime64[us]"), unit="us").astype("S26")
    return beside(written.view(np.uint8).reshape(-1, 26), "Z")
