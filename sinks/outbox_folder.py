"""The folder of an outbox: its files, what waits in them, and who owns them."""

import os
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from sinks import outbox_file

SUFFIX: Final = ".outbox"


def files_in(folder: Path) -> list[Path]:
    """Return the files of an outbox. A run numbers its files on from those that it finds, so the oldest are first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def waiting_in(folder: Path) -> set[tuple[str, int, int]]:
    """Return what waits in the files of all runs, also of living ones: the file, frame and place of each piece."""
    waiting = set()
    for path in files_in(folder):
        with suppress(FileNotFoundError):
            waiting |= {(path.name, piece.frame, piece.place) for piece in outbox_file.read(path).pieces}
    return waiting


def number_of(path: Path) -> int:
    """Return the number of a file."""
    return int(path.name.partition("-")[0])


def is_locked(path: Path, handle: int) -> bool:
    """Whether the lock of a file is ours now, and the file still has its name."""
    try:
        flock(handle, LOCK_EX | LOCK_NB)
        return os.stat(path).st_ino == os.fstat(handle).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
