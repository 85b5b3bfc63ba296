"""Gives unused memory of a worker back to the system.

glibc keeps what was freed between two pieces that are in use. A catch-up leaves hundreds of megabytes like that: arrays
that have grown, batches, messages of Kafka. So a thread looks now and then, and trims when memory has grown and much of
it is unused. It also empties the caches each minute (:mod:`contracts.caches`). How the allocators are set up is in
:mod:`crmstream.stack.environment`.
"""

import ctypes
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from contracts.caches import empty_caches

EVERY_SECONDS: Final = 5.0
CACHED_SECONDS: Final = 60.0
"""So often caches are emptied: to fill them again takes some 0.1 s at most."""
WORTH_BYTES: Final = 48 << 20
"""Trimming less is not worth the milliseconds for which other threads wait."""
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Figures(ctypes.Structure):
    """What glibc's ``mallinfo2`` tells, in bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


class Trimmer:
    """Trims the heap of this process. ``libc`` has glibc's ``mallinfo2`` and ``malloc_trim``."""

    def __init__(self, libc: Any):
        self._libc = libc
        self._libc.mallinfo2.restype = Figures
        self._least = 0
        """Bytes in memory after the last time, or fewer later."""

    def look(self) -> bool:
        """Give memory back if it has grown and much of it is unused; return whether that was done."""
        now = resident()
        self._least = min(self._least, now)
        if now - self._least < WORTH_BYTES or self._libc.mallinfo2().fordblks < WORTH_BYTES:
            return False
        self._libc.malloc_trim(0)
        self._least = resident()
        return True


def resident() -> int:
    """Return how many bytes of this process are in memory."""
    return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE


def give_back() -> None:
    """Let a thread give unused memory back for as long as the process lives. Without glibc it does nothing."""
    try:
        trimmer = Trimmer(ctypes.CDLL(None))
    except (OSError, AttributeError):
        return
    threading.Thread(target=_look_again, args=(trimmer,), name="give-memory-back", daemon=True).start()


def tend(trimmer: Trimmer, emptied: float, now: float) -> float:
    """Empty the caches if it is time, and give memory back; return when (seconds) caches were emptied last."""
    due = now - emptied >= CACHED_SECONDS
    if due:
        empty_caches()
    trimmer.look()
    return now if due else emptied


def _look_again(trimmer: Trimmer) -> None:
    emptied = time.monotonic()
    while True:
        time.sleep(EVERY_SECONDS)
        emptied = tend(trimmer, emptied, time.monotonic())
