"""Profile rows in tests: columns set by name, times in microseconds."""

from typing import Any

import numpy as np

from contracts.blocks import RowArray
from streams.profiles.matrices import recent_orders
from streams.profiles.rows import FIRST_TIMES, LAST_TIMES, stamps_of


def fill(rows: RowArray, **columns: Any) -> RowArray:
    """Set columns of rows and return them. ``recent_orders`` are the newest times of one row, newest first."""
    for name, values in columns.items():
        if name == "recent_orders":
            recent_orders(rows)[0, : len(values)] = stamps_of(np.array(values, np.int64))
        else:
            rows[name] = stamps_of(np.asarray(values, np.int64)) if name in (*FIRST_TIMES, *LAST_TIMES) else values
    return rows
