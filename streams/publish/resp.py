"""Renders Redis commands as Arrow columns: one row of bytes per customer, made by kernels instead of Python loops.

A part is a field with its name and value, each framed as Redis' protocol requires: length, line end, bytes, line end.
Joining the parts of a row gives a command; the data buffer of the joined column is the whole pipeline.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streams.profiles.rows import NEVER, NOT_YET

Part: TypeAlias = "pa.StringArray | str"
"""One text per row, or the same text for all."""
_SMALL: Final = 1_024
"""Counts and lengths below this are looked up."""
_DAY: Final = 86_400
_CENTS: Final = pa.array([f".{cents:02d}\r\n" for cents in range(100)])
_LENGTHS: Final = pa.array([f"${length}\r\n" for length in range(_SMALL)])


def framed(text: str) -> str:
    """A text with its length in bytes before it."""
    return f"${len(text.encode())}\r\n{text}\r\n"


def head(words: int, command: str) -> str:
    """The beginning of a command of ``words`` words."""
    return f"*{words}\r\n{framed(command)}"


def join(*parts: Part) -> pa.StringArray:
    """The parts of each row one after the other."""
    return pc.binary_join_element_wise(*parts, "")


def framed_column(texts: pa.StringArray, before: str = "", after: str = "") -> pa.StringArray:
    """Texts framed, each between two constants."""
    return join(_lengths(texts, len(before.encode()) + len(after.encode())), before, texts, f"{after}\r\n")


def text_field(name: str, texts: pa.StringArray) -> pa.StringArray:
    """A field of texts."""
    return join(framed(name), _lengths(texts, 0), texts, "\r\n")


@cache
def vocabulary(name: str, texts: tuple[str, ...]) -> pa.StringArray:
    """A field with each of its few values."""
    return pa.array([framed(name) + framed(text) for text in texts], pa.string())


def coded_field(name: str, codes: NDArray[Any], texts: tuple[str, ...]) -> pa.StringArray:
    """A field whose values are positions in a vocabulary."""
    return vocabulary(name, texts).take(pa.array(codes))


def count_field(name: str, counts: NDArray[Any]) -> pa.StringArray:
    """A field of whole numbers."""
    if len(counts) and counts.min() >= 0 and counts.max() < _SMALL:
        return _counts(name).take(pa.array(np.ascontiguousarray(counts)))
    return text_field(name, pa.array(np.ascontiguousarray(counts)).cast(pa.string()))


@cache
def _counts(name: str) -> pa.StringArray:
    return vocabulary(name, tuple(map(str, range(_SMALL))))


def money_field(name: str, amounts: NDArray[np.int64]) -> pa.StringArray:
    """A field of money with two digits, of amounts in 1/10,000."""
    if len(amounts) and amounts.min() < 0:
        return text_field(name, pa.array([money_text(amount) for amount in amounts.tolist()], pa.string()))
    cents = (amounts + 50) // 100
    whole = pa.array(cents // 100).cast(pa.string())
    return join(framed(name), _lengths(whole, 3), whole, _CENTS.take(pa.array(cents % 100)))


def money_text(amount: int) -> str:
    """An amount in 1/10,000 as text with two digits."""
    cents = (abs(amount) + 50) // 100
    return f"{'-' if amount < 0 and cents else ''}{cents // 100}.{cents % 100:02d}"


def time_field(name: str, times: NDArray[np.int64]) -> pa.StringArray:
    """A field of times in whole seconds, of microseconds since the Unix epoch."""
    return _fixed(len(times), (framed(name) + "$20\r\n").encode(), _stamps(times), b"\r\n")


def share_field(name: str, values: NDArray[np.float64]) -> pa.StringArray:
    """A field of probabilities with six digits; NaN is written as 0."""
    millionths = np.rint(np.nan_to_num(values) * 1e6).astype(np.int64)
    figures = np.empty((len(values), 8), np.uint8)
    figures[:, 0], figures[:, 1] = millionths // 1_000_000 + 48, ord(".")
    figures[:, 2:] = _digits(millionths % 1_000_000, 6)
    return _fixed(len(values), (framed(name) + "$8\r\n").encode(), figures, b"\r\n")


def per_cent_field(name: str, values: NDArray[np.float32]) -> pa.StringArray:
    """A field of per cents with one digit; NaN is written as 0."""
    tenths = np.rint(np.nan_to_num(values).astype(np.float64) * 10).astype(np.int16)
    return _per_cents(name).take(pa.array(tenths))


@cache
def _per_cents(name: str) -> pa.StringArray:
    return vocabulary(name, tuple(f"{tenths / 10:.1f}" for tenths in range(1_001)))


def chosen(mask: NDArray[np.bool_], part: pa.StringArray | str) -> Part:
    """The part in the rows that the mask marks, else an empty text."""
    if mask.all():
        return part
    return pc.if_else(pa.array(mask), part, "") if mask.any() else ""


def bytes_of(column: pa.StringArray) -> memoryview:
    """The texts of a column one after the other, without a copy."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    return memoryview(column.buffers()[2])[offsets[0] : offsets[-1]] if len(column) else memoryview(b"")


def known(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which times are set: the event has happened."""
    there: NDArray[np.bool_] = (times != NEVER) & (times != NOT_YET)
    return there


def _lengths(texts: pa.StringArray, more: int) -> pa.StringArray:
    lengths = np.diff(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]) + more
    if len(lengths) and lengths.max() >= _SMALL:
        return pa.array([f"${length}\r\n" for length in lengths.tolist()], pa.string())
    return _LENGTHS.take(pa.array(lengths))


def _fixed(count: int, *parts: bytes | NDArray[np.uint8]) -> pa.StringArray:
    """Texts of equal length, of constants and of matrices of bytes with a row per text."""
    width = sum(len(part) if isinstance(part, bytes) else part.shape[1] for part in parts)
    out, at = np.empty((count, width), np.uint8), 0
    for part in parts:
        wide = len(part) if isinstance(part, bytes) else part.shape[1]
        out[:, at : at + wide] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += wide
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(out))


def _digits(values: NDArray[np.int64], places: int) -> NDArray[np.uint8]:
    """Whole numbers as digits, shape (n, places)."""
    out, rest = np.empty((len(values), places), np.uint8), values.astype(np.uint32)
    for at in range(places - 1, -1, -1):
        above = rest // 10
        out[:, at] = rest - above * 10
        rest = above
    out += 48
    return out


def _stamps(times: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Times as ``1997-11-14T00:00:00Z``, shape (n, 20); many times share a day."""
    seconds = times // 1_000_000
    day = seconds // _DAY
    rest = (seconds - day * _DAY).astype(np.int32)
    out = np.empty((len(times), 20), np.uint8)
    out[:, :10] = _day_texts(day)
    out[:, [10, 13, 16, 19]] = np.frombuffer(b"T::Z", np.uint8)
    hours, minutes, rest = rest // 3_600, rest // 60 % 60, rest % 60
    for at, value in ((11, hours), (14, minutes), (17, rest)):
        out[:, at], out[:, at + 1] = value // 10 + 48, value % 10 + 48
    return out


def _day_texts(days: NDArray[np.int64]) -> NDArray[np.uint8]:
    first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
    if last - first <= 4 * len(days):
        texts = np.datetime_as_string(np.arange(first, last + 1).astype("datetime64[D]")).astype("S10")
        return np.frombuffer(texts.tobytes(), np.uint8).reshape(-1, 10)[days - first]
    different, back = np.unique(days, return_inverse=True)
    texts = np.datetime_as_string(different.astype("datetime64[D]")).astype("S10")
    return np.frombuffer(texts.tobytes(), np.uint8).reshape(-1, 10)[back]


def rank_commands(
    outcome_key: str, ids: pa.StringArray, scores: NDArray[np.float64]
) -> tuple[Sequence[memoryview | bytes], int]:
    """Return commands that put ids into a sorted set (NaN removes an id), and the number of commands."""
    pieces: list[memoryview | bytes] = []
    out, answers = np.isnan(scores), 0
    members = framed_column(ids)
    for these, command, width in ((~out, "ZADD", 2), (out, "ZREM", 1)):
        count = int(these.sum())
        if not count:
            continue
        words = members if count == len(ids) else members.filter(pa.array(these))
        if command == "ZADD":
            words = join(_score_words(scores[these]), words)
        pieces += [(head(2 + count * width, command) + framed(outcome_key)).encode(), bytes_of(words)]
        answers += 1
    return pieces, answers


def _score_words(scores: NDArray[np.float64]) -> pa.StringArray:
    millionths = np.rint(scores * 1e6).astype(np.int64)
    figures = np.empty((len(scores), 8), np.uint8)
    figures[:, 0], figures[:, 1] = millionths // 1_000_000 + 48, ord(".")
    figures[:, 2:] = _digits(millionths % 1_000_000, 6)
    return _fixed(len(scores), b"$8\r\n", figures, b"\r\n")
