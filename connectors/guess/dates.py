"""The format of a column of times, decided over all of its values but a few that fit nothing, such as 31.02.2026."""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

_DATES: Final = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
    "%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y", "%d-%b-%Y", "%b %d %Y", "%Y%m%d",
)  # fmt: skip
_CLOCKS: Final = ("", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %I:%M:%S %p")
_ZONES: Final = ("", " %z", "%z", " %Z")
_DISTINCT: Final = 5_000
_LEAST_WITH_MISFIT: Final = 5
"""Values of which one may have no format."""
_FIRST: Final = 10
"""Values by which most formats are ruled out: to try them all on a long column of other texts takes seconds."""
_UNIX: Final = ((10, "unix", 1), (13, "unix_ms", 1_000))
_EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)


class TimeFormat(NamedTuple):
    """A format as mappings write it; ``other`` is a second one that fits all values as well (day and month swapped)."""

    format: str
    other: str | None = None
    has_clock: bool = False
    has_zone: bool = False
    misfits: int = 0
    """How many of the different values do not have the format."""


def time_format(texts: Sequence[str]) -> TimeFormat | None:
    """Find the format that texts have; None where there is none. ``texts`` are in the file's order, none empty.

    One different value in ten may not fit (one in any case, if there are five rows or more), but no more than a fifth
    of the rows: these are rejected later.
    """
    distinct = list(dict.fromkeys(texts))[:_DISTINCT]
    if not distinct:
        return None
    if (found := _format_of_all(distinct)) is not None or len(texts) < _LEAST_WITH_MISFIT:
        return found
    few = min(3, len(distinct) - 1)
    readers = [read for read in (datetime.fromisoformat, *map(_reader, _patterns(distinct[:_FIRST], few)))
               if len(_misfits(read, distinct[:_FIRST], 3)) <= few]  # fmt: skip
    most = max(1, len(distinct) // 10)
    kept = min((_misfits(read, distinct, most) for read in readers), key=len, default=set(distinct))
    if len(kept) > most or sum(text in kept for text in texts) * 5 > len(texts):
        return None
    found = _format_of_all([text for text in distinct if text not in kept])
    return None if found is None else found._replace(misfits=len(kept))


def _misfits(read: Callable[[str], datetime], texts: Sequence[str], most: int) -> set[str]:
    """The texts that a reader does not read; it gives up after one more than ``most``."""
    found: set[str] = set()
    for text in texts:
        try:
            read(text)
        except ValueError:
            found.add(text)
            if len(found) > most:
                break
    return found


def _format_of_all(distinct: Sequence[str]) -> TimeFormat | None:
    if _fits_all(datetime.fromisoformat, distinct) and not all(text.isdigit() and len(text) != 8 for text in distinct):
        return TimeFormat("iso", None, any(len(text) > 10 for text in distinct), _iso_zone(distinct[0]))
    if (unix := _unix(distinct)) is not None:
        return TimeFormat(unix, None, has_clock=True, has_zone=True)
    fitting = [pattern for pattern in _patterns(distinct) if _fits_all(_reader(pattern), distinct)]
    if not fitting:
        return None
    best = min(fitting, key=lambda pattern: _disorder(pattern, distinct))
    others = [pattern for pattern in fitting if _swapped(pattern) == best]
    return TimeFormat(best, others[0] if others else None, "%H" in best or "%I" in best, "%z" in best.lower())


def is_clock(texts: Iterable[str]) -> str | None:
    """Return the format of a column that holds times of the day only."""
    given = list(dict.fromkeys(texts))[:_DISTINCT]
    clocks = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
    return next((one for one in clocks if given and _fits_all(_reader(one), given)), None)


def _patterns(texts: Sequence[str], misfits: int = 0) -> list[str]:
    """Return the patterns whose shape all texts have but a few.

    Python compiles a regular expression for each pattern, which takes a millisecond: shapes rule nearly all out.
    """
    shapes = [_shape(text) for text in texts]
    return [pattern for pattern, shape in _SHAPES
            if sum(not each.startswith(shape) for each in shapes) <= misfits]  # fmt: skip


def _shape(text: str) -> str:
    """Return a text with ``0`` for each run of digits and ``a`` for each word: ``0.0.0 0:0``."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", " ".join(text.split())))


def _all_patterns() -> Iterable[tuple[str, str]]:
    """Yield each pattern with the shape of its date and clock; zones have several shapes."""
    for date, clock, zone in itertools.product(_DATES, _CLOCKS, _ZONES):
        if clock or not zone:
            yield date + clock + zone, _shape(re.sub("%[dmYyHMSI]", "0", re.sub("%[bBp]", "a", date + clock)))


_SHAPES: Final = tuple(_all_patterns())


def _reader(pattern: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007 - only the form matters


def _fits_all(read: Callable[[str], datetime], texts: Sequence[str]) -> bool:
    try:
        for text in texts:
            read(text)
    except ValueError:
        return False
    return True


def _iso_zone(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def _unix(texts: Sequence[str]) -> str | None:
    for digits, name, unit in _UNIX:
        if all(text.isdigit() and len(text) == digits for text in texts):
            now = datetime.now(UTC).timestamp()
            if all(_EARLIEST.timestamp() < int(text) / unit < now + 86_400 for text in texts):
                return name
    return None


def _swapped(pattern: str) -> str:
    """Exchange day and month."""
    return pattern.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _disorder(pattern: str, texts: Sequence[str]) -> tuple[int, int, bool]:
    """Rate a format: days in the future and steps back in time speak against it, then month before day."""
    read, now = _reader(pattern), datetime.now(UTC).replace(tzinfo=None)
    times = [read(text).replace(tzinfo=None) for text in texts]
    steps = list(itertools.pairwise(times))
    back = min(sum(a > b for a, b in steps), sum(a < b for a, b in steps))
    return sum(time > now for time in times), back, pattern.find("%m") < pattern.find("%d")
