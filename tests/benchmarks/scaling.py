"""Several workers on one log: events per second of a catch-up, and the efficiency against one worker.

Every run starts from nothing, and ends when the workers have stopped with everything in the stores. Workers, Kafka and
the stores share the cores of this machine, so more workers than free cores bring nothing: their CPU shows the overhead.
"""

import time
from statistics import median
from typing import Any, Final

from fleet import Fleet
from scale import Note
from stacks import HEAD, Stack, loaded_stack
from workload import Workload

WORKERS: Final = (1, 2, 4)
NOTICE_SECONDS: Final = 0.1
"""How long lanes may need to notice that they are at the end of the log."""


def measure_workers(workload: Workload, rounds: int, note: Note) -> dict[str, Any]:
    """Work the log off with each number of workers, in turns; return the runs and their efficiency."""
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in WORKERS}
    note(f"workers: publishing {workload.name}")
    with loaded_stack(HEAD, workload.name) as stack:
        for number in range(rounds):
            for count in WORKERS if number % 2 == 0 else reversed(WORKERS):
                note(f"workers: round {number + 1} of {rounds}, {count}")
                runs[count].append(_run(stack, count))
        return {"workload": workload.name, "events": stack.total, "workers": [
            _figures(count, runs[count], runs[1], stack.total) for count in WORKERS
        ]}  # fmt: skip


def _run(stack: Stack, count: int) -> dict[str, float]:
    stack.empty()
    with Fleet(stack, count) as fleet:
        fleet.start()
        fleet.wait(lambda: fleet.records_read() > 0, every=0.02)
        began, cpu = time.monotonic(), fleet.cpu()
        fleet.wait(lambda: fleet.records_read() >= stack.facts["records"], every=0.05)
        time.sleep(NOTICE_SECONDS)
        spent = fleet.stop() - cpu
        return {"wall_seconds": round(time.monotonic() - began, 2), "cpu_seconds": round(spent, 2)}


def _figures(
    count: int, runs: list[dict[str, float]], alone: list[dict[str, float]], events: int
) -> dict[str, float | int]:
    """The medians of a number of workers. Efficiency is the speed-up divided by the number."""
    wall, cpu, one = (
        median(run[name] for run in some)
        for some, name in ((runs, "wall_seconds"), (runs, "cpu_seconds"), (alone, "wall_seconds"))
    )  # fmt: skip
    return {
        "workers": count, "events_per_second": round(events / wall), "efficiency": round(one / wall / count, 3),
        "cpu_microseconds_per_event": round(cpu / events * 1e6, 1),
    }  # fmt: skip
