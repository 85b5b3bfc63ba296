"""A folder into which somebody puts files: which of them are complete, and where they go afterwards.

Delivery: a file leaves the folder only after Kafka holds all its events. Killed before, it is read again, which
doubles nothing, because ids come from the content (:mod:`connectors.files.replay`). A file counts as complete when
its size and its time of change have stood still for a while; one that has changed when it is to be put away stays, to
be read again. Who writes slowly should write under a hidden name and rename.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from connectors.files.replay import Report, write_rejections
from contracts.errors import InputFileError, StoreUnavailableError

SETTLE_SECONDS: Final = 2.0
DONE: Final = "done"
FAILED: Final = "failed"
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".crdownload", ".filepart")


@dataclass(frozen=True)
class _Sight:
    """How a file looked, and since when (monotonic seconds) it has looked so."""

    look: tuple[int, int, int]
    since: float


class Inbox:
    """The watched folder. Only one process at a time may hold it; use it as a context manager."""

    def __init__(self, folder: Path, settle_seconds: float = SETTLE_SECONDS):
        self.folder = folder
        self._settle_seconds = settle_seconds
        self._seen: dict[Path, _Sight] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Inbox":
        """Lock the folder and make room for what has been read.

        Raises :class:`InputFileError` if it is no folder, cannot be written, or is watched already.
        """
        try:
            for name in (DONE, FAILED):
                (self.folder / name).mkdir(exist_ok=True)
            self._lock = (self.folder / ".crmstream.lock").open("w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise InputFileError(f"{self.folder} is watched by another crmstream already.") from None
        except OSError as error:
            self.close()
            raise InputFileError(f"{self.folder} can't be watched: {error.strerror}.") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def waiting(self) -> list[Path]:
        """The files that have not been read yet, those changed first first; unfinished and hidden ones are left out."""
        return list(self._look())

    def _look(self) -> dict[Path, os.stat_result]:
        found = {}
        for entry in os.scandir(self.folder):
            if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                continue
            try:
                if entry.is_file():
                    found[self.folder / entry.name] = entry.stat()
            except FileNotFoundError:  # gone since
                continue
        return dict(sorted(found.items(), key=lambda file: (file[1].st_mtime_ns, file[0].name)))

    def complete(self, now: float) -> list[Path]:
        """Those of the waiting files that have not changed for the settling time; ``now`` is in monotonic seconds."""
        self._seen = {path: self._sight(path, stat, now) for path, stat in self._look().items()}
        return [path for path, sight in self._seen.items() if now - sight.since >= self._settle_seconds]

    def _sight(self, path: Path, stat: os.stat_result, now: float) -> _Sight:
        before, look = self._seen.get(path), _look_of(stat)
        return before if before is not None and before.look == look else _Sight(look, now)

    def _has_changed(self, path: Path) -> bool:
        """Whether a file is no longer as it was when it was found to be complete."""
        sight = self._seen.get(path)
        return sight is not None and sight.look != _look_of(path.stat())

    def finish(self, path: Path, report: Report) -> Path | None:
        """Put a file away that has been published, with a list of its rejected rows if there are any.

        One that has changed since it was complete is not put away: None is given, and it will be complete again. Raises
        :class:`StoreUnavailableError` if the folder cannot be written; the file is then still there.
        """
        with self._writing():
            if self._has_changed(path):
                return None
            target = self._free(DONE, path.name)
            if report.rejections:
                write_rejections(target.with_name(f"{target.name}.rejected.csv"), report.rejections)
            path.rename(target)
        return target

    def refuse(self, path: Path, problem: str) -> Path | None:
        """Put a file away that is none of events, with the reason beside it; else as :meth:`finish`."""
        with self._writing():
            if self._has_changed(path):
                return None
            target = self._free(FAILED, path.name)
            target.with_name(f"{target.name}.problem.txt").write_text(f"{problem}\n", encoding="utf-8")
            path.rename(target)
        return target

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(f"{self.folder} can't be written: {error.strerror}.") from error

    def _free(self, part: str, name: str) -> Path:
        """A path that is not taken: a second file of one name gets a number."""
        target, number = self.folder / part / name, 1
        while target.exists():
            number += 1
            target = self.folder / part / f"{number}-{name}"
        return target


def _look_of(stat: os.stat_result) -> tuple[int, int, int]:
    """Tell what changes with a file: which one it is, its size, its time."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
