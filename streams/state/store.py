"""The stored state of keyed steps: each bucket's files, and the tokens that name them.

A snapshot appends a frame of changes to the bucket's log. When the logs have outgrown the base, everything is copied
and a background thread writes it as a new base; until that is on the disk, tokens name the older files.

Delivery: exactly once, with Bytewax's recovery. A token is on the disk before Bytewax commits it. A run may die at any
moment and resume from any token that was committed since the last but one: no file that such a token names is ever
written again by another run, and none is deleted before later tokens have been committed.
"""

import os
import time
from collections.abc import Mapping, Set
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from contracts.metrics import SNAPSHOT_BYTES, SNAPSHOT_SECONDS
from contracts.state import Part
from streams.state.background import Background, not_written
from streams.state.cleanup import Cleanup
from streams.state.files import BASE, HEAD, LOG, FileName, files_in, head, write, write_whole
from streams.state.frames import copied, encode, seal
from streams.state.owner import OWNER, Owner
from streams.state.restore import restore
from streams.state.token import EMPTY, Place, Token

SMALLEST_BASE: Final = 1 << 20
LOGS_PER_BASE: Final = 2
"""A new base is written when the logs are this many times as large as the last one, and larger than a megabyte."""
MOST_LOGS: Final = 16
"""A new base is also written when there are this many logs: each run has its own."""
BACKGROUND: Final = Background()
"""The threads of this process."""


class StepStore:
    """The folders of one step's buckets, ``<root>/<step>/<bucket>``, for one run of the dataflow.

    ``forget`` are the profile ids of people who are to be removed from what is restored.
    """

    def __init__(
        self, root: Path, step: str, background: Background = BACKGROUND, owner: Owner = OWNER,
        forget: Set[str] = frozenset(),
    ):  # fmt: skip
        self._folder, self.step, self.background, self._owner = root / step, step, background, owner
        self.forget = forget
        self.run = uuid4().hex[:12]
        self.seconds = SNAPSHOT_SECONDS.labels(step)
        self.log_bytes, self.base_bytes = (SNAPSHOT_BYTES.labels(step, file) for file in (LOG, BASE))

    def begin(self, name: str, parts: Mapping[str, Part]) -> "BucketStore":
        """Return the store of a new bucket. Files of a run that died before its first commit are left aside."""
        try:
            self._make(self._folder / name)
        except OSError as error:
            raise not_written(self._folder / name, error) from error
        return BucketStore(self, self._folder / name, parts, Place(name, [EMPTY], []))

    def resume(self, token: Mapping[str, object], parts: Mapping[str, Part]) -> "BucketStore":
        """Restore the parts of a bucket to the snapshot of a token, and return its store.

        The newest base that can be read is used. Raises :class:`contracts.errors.StateError` if none can.
        """
        place = Place.of_plain(token)
        folder = self._folder / place.bucket
        newest = place.bases[0]
        place = restore(folder, self.step, place, parts)
        return BucketStore(self, folder, parts, place, damaged=place.bases[0] != newest)

    def before_commit(self) -> None:
        """Return when what was written is on the disk, and may be committed; raises :class:`StateError`."""
        self.background.wait()
        self._owner.check()

    def _make(self, folder: Path) -> None:
        """Make a folder with its parents; their names are on the disk with the next snapshot."""
        missing = [folder]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self.background.add(os.open(path.parent, os.O_RDONLY), str(path.parent))


class BucketStore:
    """Stores the snapshots of one bucket."""

    def __init__(
        self, step: StepStore, folder: Path, parts: Mapping[str, Part], place: Place, *, damaged: bool = False
    ):
        self._step, self._folder, self._parts, self._place = step, folder, parts, place
        self._broken: BaseException | None = None
        self._base: Future[None] | None = None
        self._new_base = EMPTY
        self._rebases = int(damaged)
        """How many new bases are due whatever their size: one because the newest one cannot be read, two to renew."""
        self._log, self._length = "", 0
        try:
            there = files_in(folder)
            self._number = max((file.number for file in there), default=0)
            self._open_log()
        except OSError as error:
            raise not_written(folder, error) from error
        self._cleanup = Cleanup(folder, there, step.run)
        self._cleanup.drop({str(file) for file in there} - place.names)
        self._token = self._named()

    def renew(self) -> None:
        """Let two new bases be written: then no file holds what was removed from the parts."""
        self._rebases = 2

    @property
    def is_renewing(self) -> bool:
        """Whether bases are due or being written, or older files wait to be deleted: it goes on with each save."""
        return self._rebases > 0 or self._base is not None or self._cleanup.is_due

    def save(self) -> Token:
        """Store what changed since the last snapshot, and return the token of this snapshot.

        It returns before the disk has the bytes; pickling the token waits for that. After an error every later save
        fails too, since the changes are gone from the parts.
        """
        if self._broken is not None:
            raise self._broken
        began = time.perf_counter()
        try:
            self._save()
        except OSError as error:
            self._broken = not_written(self._folder, error)
            raise self._broken from error
        except BaseException as error:
            self._broken = error
            raise
        self._step.seconds.observe(time.perf_counter() - began)
        return self._token

    def _save(self) -> None:
        moved = self._settle()
        changes = {name: columns for name, part in self._parts.items() if (columns := part.changes())}
        if changes:
            self._append(encode(changes))
        if self._base is None and not self._step.background.has_base and self._is_due():
            self._begin_base()
        if changes or moved:
            self._token = self._named()
        self._cleanup.saved(self._step.background)

    def _append(self, frame: bytearray) -> None:
        """Append to this run's log. The file is opened each time: there are more buckets than files may be open."""
        path = self._folder / self._log
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            write(handle, frame)
        except BaseException:
            os.close(handle)
            raise
        self._step.background.add(handle, str(path))
        self._length += len(frame)
        self._step.log_bytes.inc(len(frame))
        logs = [log for log in self._place.logs if log[0] != self._log]
        self._place = self._place._replace(logs=[*logs, (self._log, self._length)])

    def _is_due(self) -> bool:
        newest = self._place.bases[0]
        logs = self._place.logs_since(newest)
        written = sum(length for _, length in logs)
        return self._rebases > 0 or len(logs) > MOST_LOGS or written > max(SMALLEST_BASE, LOGS_PER_BASE * newest[1])

    def _begin_base(self) -> None:
        """Copy everything, let it be written, and go on with a new log."""
        frame = copied({name: part.whole() for name, part in self._parts.items()})
        name = self._next(BASE)
        self._new_base, self._rebases = (name, HEAD.size + len(frame)), max(0, self._rebases - 1)
        self._base = self._step.background.write_base(partial(_write_base, self._folder / name, frame))
        self._step.base_bytes.inc(len(frame))
        self._open_log()

    def _settle(self) -> bool:
        """If the new base is on the disk, let tokens name it, with one older base and the logs since that."""
        if self._base is None or not self._base.done():
            return False
        self._base.result()
        older = self._place
        kept = older._replace(bases=[self._new_base, older.bases[0]])
        self._place = kept._replace(logs=kept.logs_since(kept.bases[1]))
        self._base = None
        self._cleanup.drop(older.names - self._place.names)
        return True

    def _open_log(self) -> None:
        """Make a new log. Others see by it that this run has taken over the bucket."""
        name = self._next(LOG)
        path = self._folder / name
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write(handle, head())
        except BaseException:
            os.close(handle)
            raise
        self._step.background.add(handle, str(path))
        self._step.background.add(os.open(self._folder, os.O_RDONLY), str(self._folder))
        self._log, self._length = name, HEAD.size

    def _next(self, kind: str) -> str:
        self._number += 1
        return str(FileName(self._number, self._step.run, kind))

    def _named(self) -> Token:
        return Token(self._place.to_plain(), self._step.before_commit)


def _write_base(path: Path, frame: bytearray) -> None:
    seal(frame)
    try:
        write_whole(path, frame)
    except OSError as error:
        raise not_written(path, error) from error
