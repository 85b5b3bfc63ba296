"""How cost grows with customers: memory, snapshots, a midnight crossed while events come in, a resume after a kill.

A population of the compact simulator is worked off first. Then its customers go on at a steady rate, at a clock of
their own, so that a midnight comes when the benchmark wants it. Probes among the events are customers whose scores are
awaited. There is no heartbeat: the load ticks all partitions itself.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet import MEGABYTE, Fleet
from pauses import Pauses
from probing import Probing, delays_by_time, summary
from stacks import HEAD, Stack, loaded_stack
from workload import Compact

HISTORY_DAYS: Final = 15
"""Long enough that customers are in a training snapshot."""
SIZES: Final = (1_000, 100_000, 1_000_000)
HUGE: Final = 5_000_000
LEAD_SECONDS: Final = 10.0
"""From the beginning of a load to the midnight in it."""
RESUME_RATE: Final = 50.0
LONGEST_WAIT: Final = 300.0
TRIMMED_SECONDS: Final = 20.0
"""After so long at the latest a worker has given back what it took to read its state."""
_DAY: Final = 86_400
_ASK_SECONDS: Final = 1.0
"""How often ClickHouse is asked for the number of rows: often enough to tell, and seldom enough not to slow it."""
_ROWS: Final = "SELECT count() FROM customer_daily WHERE as_of = fromUnixTimestamp({at:UInt32})"
Note = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How a population is measured."""

    rate: float = 1_000.0
    seconds: float = 20.0
    history_days: int = HISTORY_DAYS
    after_midnight: float = 60.0
    trimmed_seconds: float = TRIMMED_SECONDS


def measure_scale(sizes: Sequence[int], plan: Plan, note: Note) -> dict[str, Any]:
    """Measure one population after the other; megabytes of an empty worker beside them."""
    note("an empty worker")
    with loaded_stack(HEAD, Compact(1, 1).name) as stack, Fleet(stack) as fleet:
        fleet.start()
        fleet.catch_up(stack.facts["records"])
        empty = fleet.resident()
    return {
        "rate": plan.rate, "history_days": plan.history_days, "empty_megabytes": round(empty, 1),
        "populations": [_Population(size, plan, empty, note).measure() for size in sizes],
    }  # fmt: skip


class _Population:
    """One population, measured step by step."""

    def __init__(self, customers: int, plan: Plan, empty: float, note: Note):
        self._customers, self._plan, self._empty = customers, plan, empty
        self._note = lambda what: note(f"{customers:,} customers: {what}")

    def measure(self) -> dict[str, Any]:
        """Start a stack, and measure everything."""
        self._note("publishing")
        began = time.monotonic()
        with loaded_stack(HEAD, Compact(self._customers, self._plan.history_days).name) as stack, Fleet(stack) as fleet:
            figures: dict[str, Any] = {"customers": self._customers, "events": stack.total}
            figures["publishing_seconds"] = round(time.monotonic() - began, 1)
            for part in (self._catch_up, self._steady, self._boundary, self._resume):
                figures |= part(stack, fleet)
            return figures

    def _catch_up(self, stack: Stack, fleet: Fleet) -> dict[str, Any]:
        self._note("working off the history")
        fleet.start()
        seconds = fleet.catch_up(stack.facts["records"], self._note)
        return {
            "catch_up_seconds": round(seconds, 1), "catch_up_cpu": round(fleet.cpu(), 1),
            "catch_up_peak_megabytes": round(fleet.peak(), 1), **_stores(stack),
        }  # fmt: skip

    def _memory(self, fleet: Fleet) -> dict[str, float]:
        resident = fleet.resident()
        return {
            "resident_megabytes": round(resident, 1),
            "bytes_per_customer": round((resident - self._empty) * MEGABYTE / self._customers),
        }  # fmt: skip

    def _steady(self, stack: Stack, fleet: Fleet) -> dict[str, Any]:
        """The steady rate, soon after the history's end: no midnight comes."""
        plan = self._plan
        self._note(f"{plan.rate:,.0f} events/s")
        stack.load(plan.rate, 5, stack.facts["ends"] + 60)  # warm: the first live batches rank everybody
        stack.loaded()
        fleet.rest()
        with Probing(stack) as watched:
            stack.load(plan.rate, plan.seconds, stack.facts["ends"] + 1_200)
            pauses, cpu, written, began = Pauses(fleet.metrics), fleet.cpu(), fleet.written(), time.monotonic()
            sent = stack.loaded()
            cpu, seconds = fleet.cpu() - cpu, time.monotonic() - began
            written, told = fleet.written() - written, pauses.figures()
            delays = _await(sent, watched)
        epochs = max(1.0, seconds / float(stack.environment.get("CRM_EPOCH_SECONDS", 2)))
        return {
            "steady": summary([delay for _, delay in delays], len(sent["probes"])),
            "cpu_microseconds_per_event": round(cpu / sent["sent"] * 1e6, 1),
            "written_bytes_per_epoch": round(written / epochs), "state_bytes": fleet.state_bytes(),
            **self._memory(fleet), **told,
        }  # fmt: skip

    def _boundary(self, stack: Stack, fleet: Fleet) -> dict[str, Any]:
        """A midnight is crossed while events come in at the steady rate."""
        plan, midnight = self._plan, stack.facts["ends"] + _DAY
        self._note(f"a midnight at {plan.rate:,.0f} events/s")
        fleet.rest()
        fleet.forget_peak()
        with Probing(stack) as watched:
            pauses = Pauses(fleet.metrics)
            stack.load(plan.rate, LEAD_SECONDS + plan.after_midnight, midnight - LEAD_SECONDS)
            crossed = time.time() + LEAD_SECONDS
            swept = self._customers + Compact.probes
            rows, stored = _await_rows(stack, midnight, crossed, swept)
            sent = stack.loaded()
            told = pauses.figures()
            delays = _await(sent, watched)
        crossed = sent["began"] + LEAD_SECONDS
        near = [at for _, at in sent["probes"] if at > crossed - LEAD_SECONDS / 2]
        return {
            "boundary": summary([delay for at, delay in delays if at > crossed - LEAD_SECONDS / 2], len(near)),
            "boundary_series": _worst_by_second(delays, crossed), "boundary_peak_megabytes": round(fleet.peak(), 1),
            "swept_rows": rows, "swept_customers": swept, "swept_seconds": round(stored, 1),
            "boundary_snapshot_ms_most": told.get("snapshot_ms_most"),
        }  # fmt: skip

    def _resume(self, stack: Stack, fleet: Fleet) -> dict[str, Any]:
        """Kill the worker while events come in; wait for the first score of an event that was sent after its start."""
        self._note("resuming after a kill")
        fleet.rest()
        clock = stack.facts["ends"] + _DAY + 3_600
        with Probing(stack) as watched:
            stack.load(RESUME_RATE, 5, clock)
            stack.loaded()
            time.sleep(3)
            fleet.kill()
            state = fleet.state_bytes()
            began = time.time()
            fleet.start()
            while time.time() - began < LONGEST_WAIT:
                stack.load(RESUME_RATE, 5, clock + 60 + time.time() - began)
                sent = stack.loaded()
                times = [at + delay for at, delay in delays_by_time(sent["probes"], watched.redis, sent["shift"])]
                if times:
                    time.sleep(self._plan.trimmed_seconds)
                    return {
                        "resume_seconds": round(min(times) - began, 1), "resumed_state_bytes": state,
                        "resumed_megabytes": round(fleet.resident(), 1),
                    }  # fmt: skip
        return {"resume_seconds": None, "resumed_state_bytes": state, "resumed_megabytes": None}


def _stores(stack: Stack) -> dict[str, Any]:
    """What the stores hold of a history."""
    return {"store_bytes": stack.store_bytes(), "daily_rows": stack.stored()["customer_daily"]}


def _await(sent: dict[str, Any], watched: Probing) -> list[tuple[float, float]]:
    """Wait until the last probes were seen in Redis, but not for ever; return when each was sent and its seconds."""
    deadline = time.monotonic() + LONGEST_WAIT
    while True:
        delays = delays_by_time(sent["probes"], watched.redis, sent["shift"])
        if len(delays) == len(sent["probes"]) or time.monotonic() > deadline:
            return delays
        time.sleep(0.5)


def _await_rows(stack: Stack, midnight: int, crossed: float, wanted: int) -> tuple[int, float]:
    """Wait for the rows of a sweep in ClickHouse, but not for ever.

    Return how many came, and the seconds from midnight to the last of them.
    """
    rows, changed, deadline = 0, crossed, time.time() + LONGEST_WAIT
    while time.time() < deadline and rows < wanted:
        now = _rows(stack, midnight, final=False)
        if now >= wanted:
            now = _rows(stack, midnight, final=True)
        if now != rows:
            rows, changed = now, time.time()
        time.sleep(_ASK_SECONDS)
    return rows, changed - crossed


def _rows(stack: Stack, midnight: int, *, final: bool) -> int:
    """How many rows of a sweep ClickHouse has; with ``final``, which costs it much, rows that came twice count once."""
    found = stack.clickhouse.query(_ROWS, parameters={"at": midnight}, settings={"final": int(final)})
    return int(found.result_rows[0][0])


def _worst_by_second(delays: Sequence[tuple[float, float]], crossed: float) -> list[tuple[int, float]]:
    """The longest milliseconds of each second, counted from midnight."""
    worst: dict[int, float] = defaultdict(float)
    for sent, delay in delays:
        second = int((sent - crossed) // 1)
        worst[second] = max(worst[second], delay)
    return [(second, round(delay * 1e3, 1)) for second, delay in sorted(worst.items())]
