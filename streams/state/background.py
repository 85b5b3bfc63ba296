"""The threads that write state to the disk: the flow waits for logs of changes, not for bases."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

from contracts.errors import StateError

SYNCS_AT_A_TIME: Final = 4
MOST_UNSYNCED: Final = 128
"""The maximum number of open files that wait for a sync."""


class Background:
    """The threads of a process. Files that were written are added, and synced together when someone waits."""

    def __init__(self) -> None:
        self._written: deque[tuple[int, str]] = deque()
        self._syncing = Lock()
        self._failed: BaseException | None = None
        self._syncs = ThreadPoolExecutor(SYNCS_AT_A_TIME - 1, "sync-state")
        self._bases = ThreadPoolExecutor(1, "write-state")
        self._base: Future[None] | None = None

    def add(self, handle: int, path: str) -> None:
        """Sync an open file, or a folder, before the next :meth:`wait` returns, and close it."""
        self._written.append((handle, path))
        if len(self._written) > MOST_UNSYNCED:
            self.wait()

    def wait(self) -> None:
        """Wait until everything that was added is on the disk.

        Raises :class:`contracts.errors.StateError` if it is not, then and ever after: what the kernel could not write
        may be lost, and a second try would not say so.
        """
        with self._syncing:
            if self._failed is not None:
                raise self._failed
            taken = []
            while self._written:
                taken.append(self._written.popleft())
            try:
                self._sync_all(taken)
            except BaseException as error:
                self._failed = error
                raise

    @property
    def has_base(self) -> bool:
        """Whether a base is being written: its copy is still in memory."""
        return self._base is not None and not self._base.done()

    def write_base(self, work: Callable[[], None]) -> Future[None]:
        """Run what writes a base. Begin it when there is no other, so that one copy at a time is held."""
        self._base = self.run(work)
        return self._base

    def run(self, work: Callable[[], None]) -> Future[None]:
        """Run ``work`` after all work that was given before."""
        return self._bases.submit(work)

    def _sync_all(self, taken: Sequence[tuple[int, str]]) -> None:
        shares = [taken[start::SYNCS_AT_A_TIME] for start in range(min(len(taken), SYNCS_AT_A_TIME))]
        others = [self._syncs.submit(_sync, share) for share in shares[1:]]
        errors = [_sync(share) for share in shares[:1]] + [other.result() for other in others]
        for error in errors:
            if error is not None:
                raise error


def _sync(share: Sequence[tuple[int, str]]) -> StateError | None:
    """Sync and close files; return the first error."""
    failed = None
    for handle, path in share:
        try:
            os.fdatasync(handle)
        except OSError as error:
            failed = failed or not_written(path, error)
        finally:
            os.close(handle)
    return failed


def not_written(path: object, error: OSError) -> StateError:
    """Return the error for state that cannot be written."""
    return StateError(
        f"state cannot be written to {path}: {error.strerror}. The dataflow resumes from its last snapshot once that "
        "works again.",
        errno=error.errno,
    )
