"""Shared by the hashes of scores and profiles: removed fields, expiring hashes, times as text."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock
from contracts.outputs import Order
from contracts.times import SECOND
from streams.profiles.rows import NEVER, NOT_YET
from streams.publish import resp


def behind(people: PeopleBlock) -> bool:
    """Return whether Redis may lack several changes of these people: after a catch-up, or if they leave in one."""
    return people.kind == "restated" or (people.kind == "sweep" and people.rows is not None)


def order_of(people: PeopleBlock) -> Order:
    """Return how the hashes of people relate to others of their ids."""
    return "swept" if people.kind == "sweep" else "newest"


def clearing(
    key: pa.StringArray, absent: Mapping[str, NDArray[np.bool_]], rows: NDArray[np.bool_]
) -> tuple[list[resp.Part], int]:
    """Return the parts of HDEL commands that remove the ``absent`` fields of rows, and the number of commands."""
    pattern = np.zeros(len(key), np.int64)
    for bit, gone in enumerate(absent.values()):
        pattern |= gone.astype(np.int64) << bit
    pattern[~rows] = 0
    count = int(np.count_nonzero(pattern))
    if not count:
        return [], 0
    different, at = np.unique(pattern, return_inverse=True)
    removed = [[name for bit, name in enumerate(absent) if each >> bit & 1] for each in different.tolist()]
    heads = pa.array([resp.head(2 + len(names), "HDEL") if names else "" for names in removed], pa.string())
    tails = pa.array(["".join(map(resp.framed, names)) for names in removed], pa.string())
    codes = pa.array(at)
    return [heads.take(codes), resp.chosen(pattern > 0, key), tails.take(codes)], count


def expiring(key: pa.StringArray, rows: NDArray[np.bool_], seconds: int) -> tuple[list[resp.Part], int]:
    """Return the parts of EXPIRE commands of rows, and the number of commands."""
    count = int(np.count_nonzero(rows))
    if not count:
        return [], 0
    parts = (resp.head(3, "EXPIRE"), key, resp.framed(str(seconds)))
    return [resp.chosen(rows, part) for part in parts], count


def time_texts(times: NDArray[np.int64]) -> list[str | None]:
    """Return times in microseconds as ``1997-11-14T00:00:00Z``; None for events that never happened."""
    if len(times) <= FEW:
        return [None if time in _NEVER else _time_text(time // SECOND) for time in times.tolist()]
    known = resp.known(times)
    texts = np.datetime_as_string(np.where(known, times, 0).astype(_MICROSECONDS), unit="s", timezone="UTC").tolist()
    if known.all():
        return list(texts)
    return [text if is_known else None for text, is_known in zip(texts, known.tolist(), strict=True)]


def _time_text(seconds: int) -> str:
    day, rest = divmod(seconds, _DAY)
    return f"{_day_text(day)}T{rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


@lru_cache(4_096)
def _day_text(day: int) -> str:
    return str(np.datetime64(day, "D"))


FEW: Final = 16
"""Up to this many times are cheaper as plain numbers."""
_DAY: Final = 86_400
_NEVER: Final = frozenset((NEVER, NOT_YET))
_MICROSECONDS: Final = "datetime64[us]"
