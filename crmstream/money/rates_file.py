"""The file of exchange rates: CSV that a person or a nightly job writes, ``currency,from,rate``.

``from`` is the first day on which a rate holds (YYYY-MM-DD); the first rate of a currency holds before it, too, and may
leave it empty. Lines that begin with # are comments.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Final

from contracts.currencies import MOST_RATE, check_code
from contracts.errors import InputFileError
from contracts.rates import Steps, day_number, day_of, steps_of
from contracts.settings import Settings
from contracts.whole_files import replace_file

FILE: Final = "rates.csv"
COLUMNS: Final = ("currency", "from", "rate")
MOST_PROBLEMS: Final = 10
"""Problems that one message names."""
Row = tuple[str, date | None, float]


def rates_path(settings: Settings) -> Path:
    """Where the file is."""
    return settings.exchange_rates_file or settings.data_dir / FILE


def read_rates(path: Path) -> dict[str, Steps]:
    """Read a file; without one there are no rates. Raises :class:`InputFileError` with the lines at fault."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip() and not line.startswith("#")]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError:
        raise InputFileError(f"Exchange rates {path}: is not UTF-8 text.") from None
    except OSError as error:
        raise InputFileError(f"Exchange rates {path}: cannot be read: {error.strerror}.") from None
    problems: list[str] = []
    rows = list(_rows(lines, problems))
    if problems:
        more = f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise InputFileError(f"Exchange rates {path}: {'; '.join(problems[:MOST_PROBLEMS])}{more}.")
    return steps_of(rows)


def _rows(lines: list[tuple[int, str]], problems: list[str]) -> Iterator[Row]:
    """Yield the rows that are well; the others become problems with their line."""
    if not lines:
        return
    (number, head), *rest = lines
    names = [name.strip().lower() for name in next(csv.reader([head]))]
    if not {"currency", "rate"} <= set(names) or not set(names) <= set(COLUMNS):
        problems.append(f"line {number}: the header must be {','.join(COLUMNS)} (from may be missing)")
        return
    seen: dict[tuple[str, int], int] = {}
    for number, line in rest:
        try:
            row = _row(dict(zip(names, next(csv.reader([line])), strict=True)))
        except ValueError as problem:
            told = "has not as many values as the header" if "zip()" in str(problem) else str(problem)
            problems.append(f"line {number}: {told}")
            continue
        place = row[0], day_number(row[1]) if row[1] else 0
        if place in seen:
            problems.append(f"line {number}: {row[0]} has a rate for that day in line {seen[place]}")
            continue
        seen[place] = number
        yield row


def _row(fields: Mapping[str, str]) -> Row:
    """Read one row. Raises ``ValueError``."""
    return (
        parse_currency(fields["currency"].strip()),
        parse_day(fields.get("from", "").strip()),
        parse_rate(fields["rate"].strip()),
    )


def parse_currency(text: str) -> str:
    """Read a code. Raises ``ValueError`` that begins with the name of the column, like the next two."""
    try:
        return check_code(text)
    except ValueError as problem:
        raise ValueError(f"currency: {problem}") from None


def parse_day(text: str) -> date | None:
    """Read a day; None for an empty text."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("from: must be a day like 2026-01-31") from None
    if day.year < 1970:
        raise ValueError("from: lies before 1970; leave it empty for the first rate of a currency")
    return day


def parse_rate(text: str) -> float:
    """Read a rate."""
    try:
        rate = float(text)
    except ValueError:
        raise ValueError("rate: must be a number like 1.08, with a point") from None
    if not 0 < rate <= MOST_RATE:
        raise ValueError(f"rate: must be above 0 and at most {MOST_RATE:,}")
    return rate


def write_rates(path: Path, steps: Mapping[str, Steps]) -> None:
    """Write a file anew, as a whole or not at all. Raises :class:`InputFileError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_texts(steps))
        replace_file(path, text.getvalue())
    except OSError as error:
        raise InputFileError(f"Exchange rates {path}: cannot be written: {error.strerror}.") from None


def _texts(steps: Mapping[str, Steps]) -> Iterable[tuple[str, str, str]]:
    for code, rows in sorted(steps.items()):
        for day, rate in rows:
            yield code, day_of(day).isoformat() if day else "", repr(rate)
