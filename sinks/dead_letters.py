"""Converts dead letters to rows of the table ``dead_letters``. Pure.

The table has one row per content: the first of equal records in the log (migration ``010_fact_owners``).
"""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from contracts.outputs import DeadLetter

LONGEST_FIELD: Final = 200
"""Maximum characters of a field's path: names of unknown fields come from the record, at any length."""
_LATEST_MS: Final = 7_258_118_400_000
"""The start of 2200. A producer may set any time in a record, and the range of the column ends in 2299."""
_LABEL: Final = pa.dictionary(pa.int32(), pa.string())


def dead_letters_table(letters: Sequence[DeadLetter]) -> pa.Table:
    """Return one row per letter, with the columns of ``dead_letters``."""
    times = [min(max(letter.timestamp_ms, 0), _LATEST_MS) for letter in letters]
    fields = [_text(letter.field)[:LONGEST_FIELD] for letter in letters]
    reasons = [f"{field}: {_text(letter.problem)}" for field, letter in zip(fields, letters, strict=True)]
    return pa.table({
        "topic": pa.array([letter.topic for letter in letters], pa.string()).cast(_LABEL),
        "log_partition": pa.array([letter.partition for letter in letters], pa.uint16()),
        "log_offset": pa.array([letter.offset for letter in letters], pa.uint64()),
        "entered_at": pa.array(times, pa.timestamp("ms", tz="UTC")),
        "stage": pa.array([letter.stage for letter in letters], pa.string()).cast(_LABEL),
        "field": pa.array(fields, pa.string()),
        "reason": pa.array(reasons, pa.string()),
        "error": pa.array([letter.error for letter in letters], pa.string()).cast(_LABEL),
        "source": pa.array([_text(letter.source) for letter in letters], pa.string()).cast(_LABEL),
        "key": pa.array([letter.key or b"" for letter in letters], pa.binary()),
        "body": pa.array([letter.body or b"" for letter in letters], pa.binary()),
    })  # fmt: skip


def _text(value: str) -> str:
    """Return text that UTF-8 can encode: a lone surrogate becomes a question mark."""
    return value.encode(errors="replace").decode()
