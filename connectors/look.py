"""How a file looks from outside: whether it is the one that was read, without reading it again. Moves no data."""

import os
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """A file's number, size in bytes, and its times of change in nanoseconds: of its content, and of anything."""

    number: int
    size: int
    modified_ns: int
    changed_ns: int

    def is_moved_from(self, before: "Look") -> bool:
        """Whether this is the file from before, at most under another name: a rename sets the last time only."""
        return self[:3] == before[:3]


def look_at(stat: os.stat_result) -> Look:
    """Take the look from what the system tells of a file."""
    return Look(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def look_of(path: Path) -> Look | None:
    """Look at a file; None if it is not there."""
    try:
        return look_at(os.stat(path))
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
