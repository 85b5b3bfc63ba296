"""A folder into which somebody puts files: which of them are complete, and where they go afterwards.

Delivery: a file leaves the folder only after Kafka holds all its events. Killed before, it is read again, which
doubles nothing, because ids come from the content (:mod:`connectors.files.replay`). A file counts as complete when
its size and its times have stood still for a while; one that has changed when it is to be put away stays, to be read
again, each time after a longer pause. Who writes slowly should write under a hidden name and rename.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from connectors.files.replay import Report, write_rejections
from connectors.look import Look, look_at, look_of
from contracts.errors import InputFileError, StoreUnavailableError

SETTLE_SECONDS: Final = 2.0
FIRST_PAUSE_SECONDS: Final = 1.0
MOST_PAUSE_SECONDS: Final = 600.0
"""What has changed while it was read is not read again before: each time it is twice as long."""
DONE: Final = "done"
FAILED: Final = "failed"
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".crdownload", ".filepart")


@dataclass(frozen=True)
class _Sight:
    """How a file looked, and since when (monotonic seconds) it has looked so."""

    look: Look
    since: float


class _Pause(NamedTuple):
    """How long a file is left alone, and until when (monotonic seconds)."""

    seconds: float
    until: float


class Inbox:
    """The watched folder. Only one process at a time may hold it; use it as a context manager."""

    def __init__(self, folder: Path, settle_seconds: float = SETTLE_SECONDS):
        self.folder = folder
        self._settle_seconds = settle_seconds
        self._seen: dict[Path, _Sight] = {}
        self._changed: set[Path] = set()
        self._pauses: dict[Path, _Pause] = {}
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

    def waiting(self) -> dict[Path, Look]:
        """The files that are there, those changed first first; unfinished and hidden ones are left out."""
        found = {}
        for entry in os.scandir(self.folder):
            if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                continue
            try:
                if entry.is_file():
                    found[self.folder / entry.name] = look_at(entry.stat())
            except FileNotFoundError:  # gone since
                continue
        return dict(sorted(found.items(), key=lambda file: (file[1].modified_ns, file[0].name)))

    def complete(self, now: float) -> list[Path]:
        """Those of the waiting files that have not changed for the settling time; ``now`` is in monotonic seconds.

        One that has changed whenever it was to be put away is left out for longer each time, or it would be published
        again and again as long as somebody writes to it.
        """
        self._seen = {path: self._sight(path, look, now) for path, look in self.waiting().items()}
        self._pauses = {path: pause for path, pause in self._paused(now).items() if path in self._seen}
        return [
            path
            for path, sight in self._seen.items()
            if now - sight.since >= self._settle_seconds
            and (path not in self._pauses or now >= self._pauses[path].until)
        ]

    def _sight(self, path: Path, look: Look, now: float) -> _Sight:
        before = self._seen.get(path)
        return before if before is not None and before.look == look else _Sight(look, now)

    def _paused(self, now: float) -> dict[Path, _Pause]:
        """The pauses, those of what has changed meanwhile begun anew."""
        begun = {}
        for path in self._changed:
            before = self._pauses.get(path)
            longer = 2 * before.seconds if before else max(FIRST_PAUSE_SECONDS, self._settle_seconds)
            seconds = min(MOST_PAUSE_SECONDS, longer)
            begun[path] = _Pause(seconds, now + seconds)
        self._changed.clear()
        return self._pauses | begun

    def has_changed(self, path: Path) -> bool:
        """Whether a file is no longer as it was when it was found to be complete, or no longer there."""
        sight = self._seen.get(path)
        return sight is not None and sight.look != look_of(path)

    def finish(self, path: Path, report: Report) -> Path | None:
        """Put a file away that has been published, with a list of its rejected rows if there are any.

        One that has changed since it was complete is not put away: None is given, and it will be complete again. Raises
        :class:`StoreUnavailableError` if the folder cannot be written; the file is then still there.
        """

        def write(beside: Path) -> None:
            if report.rejections:
                write_rejections(beside, report.rejections)

        return self._put_away(path, DONE, "rejected.csv", write)

    def refuse(self, path: Path, problem: str) -> Path | None:
        """Put a file away that is none of events, with the reason beside it; else as :meth:`finish`."""

        def write(beside: Path) -> None:
            beside.write_text(f"{problem}\n", encoding="utf-8")

        return self._put_away(path, FAILED, "problem.txt", write)

    def _put_away(self, path: Path, part: str, suffix: str, write: Callable[[Path], None]) -> Path | None:
        with self._writing():
            target = None if self.has_changed(path) else self._moved(path, part, suffix, write)
        if target is None:
            self._changed.add(path)
        else:
            self._pauses.pop(path, None)
        return target

    def _moved(self, path: Path, part: str, suffix: str, write: Callable[[Path], None]) -> Path | None:
        """Write what lies beside a file and then move it, so that a kill in between loses neither.

        Another file may take its name at the last moment, unread. That shows only in what has been moved: then all of
        it is undone.
        """
        target = self._free(self.folder / part, path.name)
        beside = target.with_name(f"{target.name}.{suffix}")
        write(beside)
        path.rename(target)
        sight, moved = self._seen.get(path), look_of(target)
        if sight is None or moved is None or moved.is_moved_from(sight.look):
            return target
        target.rename(self._free(self.folder, path.name))
        beside.unlink(missing_ok=True)
        return None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(f"{self.folder} can't be written: {error.strerror}.") from error

    @staticmethod
    def _free(folder: Path, name: str) -> Path:
        """A path that is not taken: a second file of one name gets a number."""
        target, number = folder / name, 1
        while target.exists():
            number += 1
            target = folder / f"{number}-{name}"
        return target
