"""Read CSV strictly: every line of the file is part of a row or is reported, and none is swallowed.

A row ends where its line ends, unless a quoted field goes on. A field that spans lines is believed only if the row
then reads well: each closing quote is followed by a delimiter or the end of the line, the number of columns is right,
and its lines are not rows by themselves. Else the first of the lines is reported and reading goes on with the next, so
one unclosed quote costs one row.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import IO, Final, NamedTuple, Protocol

from contracts.errors import InputFileError
from contracts.wire import RejectedError

LONGEST_LINE: Final = 8 * 1024 * 1024
"""Characters of the longest line that is read: a file without line ends must not fill the memory."""
_BLOCK: Final = 1024 * 1024
_WINDOW: Final = 1_000
"""Lines that are handed to the csv module together."""
_FIRST_LOOK: Final = 8
"""Lines that are looked at first for the end of a row that goes on; then four times as many, and so on."""
_NAMED: Final = {"tab": "\t"}
SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DOS_END: Final = "\x1a"
_RAN_OUT: Final = "unexpected end of data"
"""What the csv module says where its lines end inside quotes."""
_FEWEST_TOLD_APART: Final = 2
_UNCLOSED: Final = "has a quote that is not closed"
_AFTER_QUOTE: Final = "has text after a closing quote"

Row = list[str] | RejectedError
"""The fields of a row, or what is wrong with it."""
Rows = Iterator[tuple[int, Row]]
"""Rows with the line on which they begin, from 1."""


class Reader(Protocol):
    """What ``csv.reader`` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


class Dialect(NamedTuple):
    """How fields are separated (one character, or ``whitespace``) and quoted ("": not at all)."""

    delimiter: str
    quote: str

    @classmethod
    def of(cls, delimiter: str, quote: str) -> "Dialect":
        """Make a dialect of what a mapping says."""
        return cls(_NAMED.get(delimiter, delimiter), quote)

    def reader(self, lines: Sequence[str], *, strict: bool = True) -> "Reader":
        """Read lines; where ``strict``, raises ``csv.Error`` if quotes are not as they should be."""
        if self.quote:
            return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=strict)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


class Lines:
    """The physical lines of a text, a block at a time: LF, CR LF and CR end a line."""

    def __init__(self, text: IO[str]):
        self._text = text
        self._rest = ""
        self.block: list[str] = []
        self.at = 0
        self.number = 1
        """The number in the file of the line at ``at``."""
        self.ended = False

    def take(self, count: int = 1) -> None:
        """Move on by so many lines."""
        self.at += count
        self.number += count

    def more(self) -> bool:
        """Add the next block to what is left of this one; False where the text has ended."""
        if self.ended:
            return False
        text = self._text.read(_BLOCK)
        self.ended = not text
        found = StringIO(self._rest + text, newline="").readlines()
        # A line is whole when the next has begun: a CR at the end of a block may be half of a CR LF.
        self._rest = found.pop() if found and not self.ended else ""
        if len(self._rest) > LONGEST_LINE:
            raise InputFileError(f"Line {self.number + len(self.block) - self.at + len(found):,} has more than "
                                 f"{LONGEST_LINE:,} characters: this is not a text file with lines.")  # fmt: skip
        self.block = self.block[self.at :] + found
        self.at = 0
        return True

    def left(self, most: int = _WINDOW) -> list[str]:
        """The next lines, which stay; fewer than asked for only where the text ends."""
        while len(self.block) - self.at < most and self.more():
            pass
        return self.block[self.at : self.at + most]

    def is_cut(self, line: str) -> bool:
        """Whether a line is the last of the text and has no line end."""
        if line.endswith(("\n", "\r")):
            return False
        while self.at + 1 >= len(self.block) and self.more():
            pass
        return self.at + 1 >= len(self.block)


def separator_of(lines: Lines) -> str | None:
    """Take the line ``sep=;`` with which Excel begins some files, and return its character."""
    found = SEPARATOR_LINE.fullmatch(first) if (first := next(iter(lines.left()), "")) else None
    if found is None:
        return None
    lines.take()
    return found[1]


def read_header(lines: Lines, dialect: Dialect) -> tuple[str, ...]:
    """Take the header and return the names of the columns; a name that comes again gets a number.

    Raises :class:`InputFileError` if its quotes are not closed.
    """
    line, row = next(read_rows(lines, dialect, None), (0, list[str]()))
    if isinstance(row, RejectedError):
        raise InputFileError(f"The header in line {line} {row.problem}.")
    seen: dict[str, int] = {}
    names = []
    for name in map(str.strip, row):
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(names)


def read_rows(lines: Lines, dialect: Dialect, width: int | None) -> Rows:
    """Read the rows from here on; empty lines are left out. ``width`` is the number of columns (None: any).

    Raises :class:`InputFileError` where the file is cut off: the last line lacks its line end and columns, or a quote
    is open and no row follows.
    """
    if dialect.delimiter == "whitespace":
        return _split_rows(lines, width)
    return _StrictRows(lines, dialect, width).rows()


def _split_rows(lines: Lines, width: int | None) -> Rows:
    """Split lines at blanks."""
    while left := lines.left():
        for line in left:
            row, number = line.split(), lines.number
            if width is not None and 0 < len(row) < width and row != [_DOS_END] and lines.is_cut(line):
                raise _cut_off(number)
            lines.take()
            if row and row != [_DOS_END]:
                yield number, row if width is None or len(row) == width else _wrong_width(row, width)


class _StrictRows:
    """Rows whose fields may be quoted. Well-formed ones are read by the csv module in one go."""

    def __init__(self, lines: Lines, dialect: Dialect, width: int | None):
        self._lines = lines
        self._dialect = dialect
        self._width = width
        self._open_line: int | None = None
        """The line with a quote that is open up to the end of the file, as long as no row has followed."""

    def rows(self) -> Rows:
        while left := self._lines.left():
            begin = self._lines.number
            yield from self._well_formed(left)
            if self._lines.number < begin + len(left):
                yield self._troubled()
        if self._open_line is not None:
            raise _cut_off(self._open_line)

    def _well_formed(self, left: list[str]) -> Rows:
        """Read rows up to the first with trouble."""
        lines, width = self._lines, self._width
        reader, done = self._dialect.reader(left), 0
        try:
            for row in reader:
                count, number = reader.line_num - done, lines.number
                if len(row) == width or (width is None and row):
                    if count > 1 and not self._is_one_row(left[done : done + count]):
                        return
                    self._open_line = None
                    result: Row = row
                elif count > 1:
                    return
                elif width is None or _is_blank(row):
                    lines.take()
                    done += 1
                    continue
                elif len(row) < width and lines.is_cut(left[done]):
                    raise _cut_off(number)
                else:
                    result = _wrong_width(row, width)
                done += count
                lines.at += count
                lines.number += count
                yield number, result
        except csv.Error:
            return

    def _troubled(self) -> tuple[int, Row]:
        """Take the row at hand, which has trouble or goes on after the lines read so far, or report its first line."""
        lines = self._lines
        number, line = lines.number, lines.block[lines.at]
        count, row = self._over_lines()
        if row is not None:
            self._open_line = None
            lines.take(count)
            return number, row
        problem = self._problem(line)
        if problem == _UNCLOSED and lines.is_cut(line):
            raise _cut_off(number)
        lines.take()
        return number, RejectedError("row", problem)

    def _over_lines(self) -> tuple[int, list[str] | None]:
        """Read the row at hand over its lines: how many they are, and its fields if it reads well."""
        most = _FIRST_LOOK
        while True:
            left = self._lines.left(most)
            reader = self._dialect.reader(left)
            try:
                row = next(reader)
            except csv.Error as error:
                if str(error) != _RAN_OUT:
                    return 0, None
                if len(left) == most:  # ends soon: the csv module limits the length of a field
                    most *= 4
                    continue
                self._open_line = self._open_line or self._lines.number
                return 0, None
            is_right = self._width in (None, len(row)) and self._is_one_row(left[: reader.line_num])
            return reader.line_num, row if is_right else None

    def _is_one_row(self, part: Sequence[str]) -> bool:
        """Doubt a row whose lines are rows by themselves: the first, and the last or most of those between them.

        Its quotes then belong to two rows.
        """
        if not self._is_full(part[0]):
            return True
        between = [line for line in part[1:-1] if line.strip()]
        mostly_full = 2 * sum(map(self._is_full, between)) >= max(1, len(between))
        return not (mostly_full or self._is_full(part[-1]))

    def _is_full(self, line: str) -> bool:
        """Whether a line by itself has all columns, be a quote that is open in it the beginning of a field or not."""
        if self._width is None or self._width < _FEWEST_TOLD_APART:
            return False
        row = next(iter(self._dialect.reader([line], strict=False)), [])
        return bool(row) and self._width in (len(row), len(row) + row[-1].count(self._dialect.delimiter))

    def _problem(self, line: str) -> str:
        """Say what is wrong with a line that begins no row."""
        try:
            next(self._dialect.reader([line]))
        except csv.Error as error:
            if "field limit" in str(error):
                return f"has a field of more than {csv.field_size_limit():,} characters"
            return _UNCLOSED if str(error) == _RAN_OUT else _AFTER_QUOTE
        return _UNCLOSED


def _is_blank(row: Sequence[str]) -> bool:
    return not row or (len(row) == 1 and row[0].strip() in ("", _DOS_END))


def _wrong_width(row: Sequence[str], width: int) -> RejectedError:
    return RejectedError("row", f"has {len(row):,} column{'s' * (len(row) != 1)} where {width:,} are expected")


def _cut_off(line: int) -> InputFileError:
    return InputFileError(
        f"The file is cut off: line {line:,} is not complete, and no row follows. Nothing of it is taken."
    )
