"""What a table of profiles takes per customer, and what it costs to find and to add: python table.py CUSTOMERS. JSON.

Ids look like UUIDs. CPU microseconds of calls, the best of five rounds; random ids are ones that no cache knows.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from contracts.times import DAY
from streams.profiles.rows import blank_rows
from streams.profiles.table import ProfileTable

BATCH: Final = 5_000
PAGE: Final = 4_096


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def some_ids(numbers: list[int]) -> list[str]:
    """Return ids of 36 characters."""
    return [f"{number:08x}-4be1-4c3c-a0bb-{number * 7919:012x}" for number in numbers]


def filled(customers: int) -> ProfileTable:
    """Return a table of customers whose rows were emitted and stored."""
    table = ProfileTable()
    for first in range(0, customers, BATCH):
        at = table.locate(some_ids(list(range(first, min(customers, first + BATCH)))))
        rows = blank_rows(len(at))
        rows["slot"], rows["events"] = 1, 1
        table.add(at, rows, DAY, distinct=True)
        table.touch(at, np.full(len(at), 7))
        table.given_out(at)
        table.unpublished()
        table.changes()
    table.in_order()
    gc.collect()
    return table


def microseconds(work: Callable[[], object], times: int) -> float:
    """Return the CPU time of a call."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return round(best * 1e6, 1)


def main() -> None:
    """Measure, and print."""
    customers, draw = int(sys.argv[1]), np.random.default_rng(1)
    filled(BATCH)
    before, began = resident(), time.process_time()
    table = filled(customers)
    figures = {
        "bytes per customer": round((resident() - before) / customers, 1),
        "to add a customer": round((time.process_time() - began) / customers * 1e6, 2),
    }
    batches = iter([some_ids(draw.integers(0, customers, BATCH).tolist()) for _ in range(100)])
    known = next(batches)
    at = np.unique(table.locate(known))
    rows = blank_rows(len(at))
    rows["slot"], rows["events"] = 1, 1
    figures["to find 5,000 recent ids"] = microseconds(lambda: table.locate(known), 20)
    figures["to find 5,000 random ids"] = microseconds(lambda: table.locate(next(batches)), 10)
    figures["to find a recent id"] = microseconds(lambda: table.locate(known[:1]), 2_000)
    figures["to add 5,000 rows"] = microseconds(lambda: table.add(at, rows, DAY, distinct=True), 20)
    figures["to add a row"] = microseconds(lambda: table.add(at[:1], rows[:1], DAY, distinct=True), 500)
    table.locate(["a new one"])
    began = time.process_time()
    table.in_order()
    figures["to put a new id into the order"] = round((time.process_time() - began) * 1e6, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
