"""Watch the free space of the data folder's disk: warn first, then take no more events, before Kafka fails.

Kafka ends when it cannot write, and events that were not acknowledged would have to be sent again anyway. So the doors
close while there is still room for what is under way.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contracts.settings import Settings

WARN_BYTES = 2 << 30
STOP_BYTES = 512 << 20
WARN_SHARE = 0.10
STOP_SHARE = 0.04
"""On a small disk the default limits are these shares of its size."""
MOST_REOPEN_BYTES = 64 << 20
"""Doors that were closed open again a tenth above the limit, at most so much, else they would flap."""
LOOK_SECONDS = 1.0

Usage = Callable[[Path], tuple[int, int]]
"""Gives total and free bytes of the disk that holds a folder."""


class Room(StrEnum):
    """How much room there is."""

    WELL = "well"
    LOW = "low"
    FULL = "full"


@dataclass(frozen=True)
class DiskState:
    """What was seen: bytes of the disk of ``folder``, and the limits that hold for it."""

    folder: Path
    total: int
    free: int
    warn: int
    stop: int
    room: Room

    @property
    def text(self) -> str:
        """Disk, path, what is free and what is needed, for a person."""
        where = f"the disk of {self.folder} has {size(self.free)} of {size(self.total)} free"
        if self.room is Room.FULL:
            return (
                f"{where}, and {size(self.stop)} are needed (CRM_DISK_STOP_BYTES): no events are taken until there is "
                "room. Delete or move other files; nothing of CRM_DATA_DIR"
            )
        if self.room is Room.LOW:
            then = f"; below {size(self.stop)} no events are taken" if self.stop else ""
            return f"{where}, less than {size(self.warn)} (CRM_DISK_WARN_BYTES){then}"
        return where


def size(value: float) -> str:
    """Write a number of bytes for a person."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1_024:
            return f"{value:.0f} {unit}"
        value /= 1_024
    return f"{value:,.1f} GiB"


def limits_of(settings: Settings, total: int, *, closes: bool = True) -> tuple[int, int]:
    """Return the free bytes below which a disk of ``total`` bytes is low, and full (0: never)."""
    warn, stop = settings.disk_warn_bytes, settings.disk_stop_bytes
    warn = min(WARN_BYTES, int(total * WARN_SHARE)) if warn is None else warn
    stop = min(STOP_BYTES, int(total * STOP_SHARE)) if stop is None else stop
    return warn, stop if closes else 0


def judge(folder: Path, usage: tuple[int, int], limits: tuple[int, int], before: Room = Room.WELL) -> DiskState:
    """Compare total and free bytes with the limits; ``before`` is what was seen last."""
    (total, free), (warn, stop) = usage, limits
    needed = stop + min(stop // 10, MOST_REOPEN_BYTES) if before is Room.FULL else stop
    room = Room.FULL if free < needed else Room.LOW if free < warn else Room.WELL
    return DiskState(folder, total, free, warn, stop, room)


def usage_of(folder: Path) -> tuple[int, int]:
    """Ask the system. Raises OSError where the folder cannot be looked at."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


class DiskWatch:
    """Looks at a disk, at most once a second. Where Kafka is an outside one, a full disk ``closes`` nothing."""

    def __init__(self, folder: Path, settings: Settings, usage: Usage = usage_of, *, closes: bool = True):
        self.folder = folder.resolve()
        self._settings = settings
        self._usage = usage
        self._closes = closes
        self._told = Room.WELL
        self._state = DiskState(self.folder, 0, 0, 0, 0, Room.WELL)
        self._looked_at = float("-inf")

    @property
    def state(self) -> DiskState:
        """What was seen last, within the last second. A disk that cannot be asked stays as it was."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                usage = self._usage(self.folder)
            except OSError:
                return self._state
            limits = limits_of(self._settings, usage[0], closes=self._closes)
            self._state = judge(self.folder, usage, limits, self._state.room)
        return self._state

    @property
    def full(self) -> bool:
        """Whether no more events may be taken."""
        return self.state.room is Room.FULL

    def news(self) -> str | None:
        """Say what a person should know, once each time that the room changes."""
        state = self.state
        if state.room is self._told:
            return None
        before, self._told = self._told, state.room
        if state.room is Room.FULL:
            return f"DISK FULL: {state.text}"
        again = "events are taken again: " if before is Room.FULL else ""
        return f"{again}{state.text}"
