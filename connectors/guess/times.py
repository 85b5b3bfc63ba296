"""When the events of a file happened."""

from collections.abc import Sequence
from datetime import datetime

from connectors.guess.case import Case, Keys
from connectors.guess.dates import TimeFormat, is_clock, time_format
from contracts.errors import InputFileError


def times(case: Case) -> Keys:
    """Return the keys that say when it was. Raises :class:`InputFileError` if no column holds the time."""
    if "date" not in case.roles:
        raise InputFileError(
            f"{case.file} has no column with the date of the order, or its dates have several formats. "
            f"If there is one, name it: --set date=COLUMN."
        )
    column, clock = case.roles["date"], case.roles.get("clock")
    form = _form(case, column)
    keys: Keys = {"occurred_at": _spec({"column": column}, form.format)}
    has_clock = form.has_clock
    if clock and not has_clock and (of_clock := is_clock(case.sample.filled(clock))):
        day = "%Y-%m-%d" if form.format == "iso" else form.format
        keys = {"occurred_at": {"columns": [column, clock], "format": f"{day} {of_clock}"}}
        has_clock = True
    if case.wishes.time_zone:
        keys["time_zone"] = case.wishes.time_zone
    elif has_clock and not form.has_zone:
        keys["time_zone"] = "UTC"
        case.doubt(f"The times in {column!r} have no zone: they are taken for UTC (--time-zone Europe/Berlin).")
    return keys


def refund_time(case: Case, of_order: Keys) -> Keys:
    """Return the key of the time of a refund, if the file holds it in the format of the order's time."""
    column = case.roles.get("refund date")
    if column is None or "column" not in of_order:
        case.doubt("The file holds no time of a refund: refunds count at the time of the order.")
        return {}
    form = TimeFormat("iso") if _are_moments(case, column) else time_format(case.sample.filled(column))
    if form is None or form.format != of_order.get("format", "iso"):
        case.doubt(f"{column!r} is written differently from the order's date: refunds count at the order's time.")
        return {}
    return {"occurred_at": _spec({"first_of": [column, of_order["column"]]}, form.format)}


def _spec(where: Keys, pattern: str) -> Keys:
    return where if pattern == "iso" else {**where, "format": pattern}


def _form(case: Case, column: str) -> TimeFormat:
    if _are_moments(case, column):
        return TimeFormat("iso", None, has_clock=True)
    texts = case.sample.filled(column)
    form = time_format(texts)
    if form is None:
        raise InputFileError(f"The dates in {column!r} have no format that is known, or several.{_hint(texts)}")
    if form.misfits:
        count = "1 value" if form.misfits == 1 else f"{form.misfits:,} values"
        case.doubt(f"{count} in {column!r} cannot be read as {form.format}: those rows will be rejected.")
    if form.other is not None:
        case.doubt(
            f"The dates in {column!r} can be read as {form.format} or as {form.other}; the first is taken. "
            f"Is the date in the first row the {_day(texts[0], form.format)}?"
        )
    return form


def _are_moments(case: Case, column: str) -> bool:
    """Whether a spreadsheet or Parquet holds times, and not texts."""
    return all(hasattr(value, "isoformat") for value in case.sample.values(column))


def _day(text: str, pattern: str) -> str:
    """Show a date in words, for somebody to compare."""
    return f"{datetime.strptime(text, pattern):%d %B %Y}"  # noqa: DTZ007 - only its day is shown


def _hint(texts: Sequence[str]) -> str:
    """Say that dates are there which no format fits."""
    import dateparser  # noqa: PLC0415 - takes a third of a second

    found = dateparser.parse(texts[0]) if texts else None
    return "" if found is None else " They seem to be dates: write their format into a mapping (docs/mapping.md)."
