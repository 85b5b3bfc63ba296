"""Hours of live at a steady rate, with sign-ins: whether memory and disk stay as they are.

The worker's memory and the disk of the state folder are noted at even distances, as a series for a plot. About a tenth
of the visits begin with a sign-in, a tenth of those on a new device. A midnight is crossed after half of the time. The
window of known event ids is smaller than the default, so that it is full after some minutes and grows no further.
"""

import threading
import time
from typing import Any, Final

from fleet import MEGABYTE, Fleet
from scale import HISTORY_DAYS, Note
from stacks import HEAD, Stack, loaded_stack
from workload import Compact

CUSTOMERS: Final = 100_000
RATE: Final = 500.0
CHUNK_SECONDS: Final = 30.0
"""Events are prepared for so long at a time."""
MOST_HASTE: Final = 1.2
SAMPLES: Final = 240
WINDOW: Final = 100_000
"""CRM_DUPLICATE_WINDOW_EVENTS: twice as many are known at most, of customers and of devices."""
_DAY: Final = 86_400
_SOONEST: Final = 3_600
"""Seconds after the history's midnight at which the events begin at the earliest."""


def measure_soak(minutes: float, customers: int, note: Note) -> dict[str, Any]:
    """Load one worker for so many minutes; return the series."""
    note(f"soak: publishing {customers:,} customers")
    with loaded_stack(HEAD, Compact(customers, HISTORY_DAYS).name) as stack, Fleet(stack) as fleet:
        stack.environment |= {"CRM_DUPLICATE_WINDOW_EVENTS": str(WINDOW)}
        fleet.start()
        note("soak: working off the history")
        fleet.catch_up(stack.facts["records"])
        loading = _Loading(stack, minutes * 60)
        loading.start()
        series = _series(fleet, minutes * 60, loading, note)
        loading.join()
        return {
            "customers": customers, "minutes": minutes, "rate": RATE, "sent": loading.sent, "series": series,
            "growth": growth(series), "window": WINDOW,
        }  # fmt: skip


class _Loading(threading.Thread):
    """Sends events, a chunk after the other."""

    def __init__(self, stack: Stack, seconds: float):
        super().__init__(daemon=True)
        self._stack = stack
        self._seconds = seconds
        self.sent = 0

    def run(self) -> None:
        """Send until the time is over; what preparing a chunk cost is made up for in it."""
        began, begins = time.monotonic(), max(_SOONEST, _DAY - self._seconds / 2)
        while (gone := time.monotonic() - began) < self._seconds:
            seconds = max(1.0, min(CHUNK_SECONDS, self._seconds - gone))
            rate = min(MOST_HASTE * RATE, (RATE * (gone + seconds) - self.sent) / seconds)
            self._stack.load(rate, seconds, self._stack.facts["ends"] + begins + gone)
            self.sent += self._stack.loaded()["sent"]


def _series(fleet: Fleet, seconds: float, loading: _Loading, note: Note) -> list[dict[str, float]]:
    """Note figures at even distances while events come in."""
    series, began, cpu = [], time.monotonic(), fleet.cpu()
    while loading.is_alive():
        time.sleep(max(1.0, seconds / SAMPLES))
        at = time.monotonic() - began
        series.append({
            "minute": round(at / 60, 2), "resident_megabytes": round(fleet.resident(), 1),
            "state_megabytes": round(fleet.state_bytes() / MEGABYTE, 1), "read": fleet.records_read(),
            "cpu_share": round((fleet.cpu() - cpu) / at, 3),
        })  # fmt: skip
        note(f"soak: minute {at / 60:.1f}, {series[-1]['resident_megabytes']:.0f} MB")
    return series


def growth(series: list[dict[str, float]], after: float = 20.0) -> dict[str, float]:
    """How much memory and disk changed since ``after`` minutes (or half of the time): last tenth against first tenth.

    Each is the ratio of two medians, so a single snapshot or compaction does not decide it.
    """
    end = max((each["minute"] for each in series), default=0.0)
    tail = [each for each in series if each["minute"] >= min(after, end / 2)]
    part = max(1, len(tail) // 10)
    ratios = {}
    for name in ("resident_megabytes", "state_megabytes"):
        first, last = (sorted(each[name] for each in some)[part // 2] for some in (tail[:part], tail[-part:]))
        ratios[name] = round(last / first, 3) if first else 0.0
    return ratios
