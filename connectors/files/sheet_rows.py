"""Read spreadsheets: XLSX, XLS and ODS.

One sheet at a time is in memory, which is bounded: a sheet has at most 1,048,576 rows.
"""

import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from python_calamine import CalamineError, CalamineWorkbook

from contracts.errors import InputFileError

LARGEST_UNPACKED: Final = 2 * 1024**3
"""Bytes of the largest spreadsheet once it is unpacked."""
Cells = tuple[int, Sequence[object]]
"""The number of a row, as the spreadsheet shows it, and its cells; None where one is empty."""


def read_sheet(raw: BinaryIO, sheet: str | None) -> Iterator[Cells]:
    """Read the rows of a sheet (by default the first) that are not empty. Whole numbers are integers.

    Raises :class:`InputFileError` if the file is no spreadsheet, is too large, or has no such sheet.
    """
    _check_size(raw)
    try:
        book = CalamineWorkbook.from_filelike(raw)
        names = book.sheet_names
        if not names or (sheet is not None and sheet not in names):
            raise InputFileError(f"The spreadsheet has no sheet {sheet!r}. It has: {', '.join(names)[:500]}.")
        table = book.get_sheet_by_name(sheet or names[0])
        rows = table.iter_rows()
    except CalamineError as error:
        raise InputFileError("The file is no spreadsheet that can be read, or it is cut off.") from error
    for number, cells in enumerate(rows, 1):
        values = [_plain(cell) for cell in cells]
        if any(value is not None for value in values):
            yield number, values


def _plain(cell: object) -> object:
    """Give a cell as a plain value: an id or a quantity is a float in the file."""
    if cell == "":
        return None
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _check_size(raw: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(raw) as packed:
            if sum(part.file_size for part in packed.infolist()) > LARGEST_UNPACKED:
                raise InputFileError("The spreadsheet is too large; save the sheet as CSV.")
    except zipfile.BadZipFile:  # an XLS, or not a spreadsheet at all: its reader says so
        pass
    finally:
        raw.seek(0)
