"""Deletes the files of a bucket that no snapshot needs any more.

Bytewax commits an epoch before a later one reaches the steps. So a file that snapshot *n* no longer names is named by
no committed token when snapshot *n* + 2 is taken; one more is for safety.
"""

from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final

from contracts.errors import TakenOverError
from streams.state.background import Background
from streams.state.files import FileName, files_in

SAVES_UNTIL_DELETED: Final = 3


class Cleanup:
    """The files to delete of one bucket, by the number of the save from which on they are not needed."""

    def __init__(self, folder: Path, there: Iterable[FileName], run: str):
        self._folder = folder
        self._known = {file.run for file in there} | {run}
        self._due: list[tuple[int, set[str]]] = []
        self._saves = 0
        self._deleting: Future[None] | None = None

    def drop(self, names: set[str]) -> None:
        """Delete files that the token of the next save no longer names, some saves later."""
        if names:
            self._due.append((self._saves + 1 + SAVES_UNTIL_DELETED, names))

    @property
    def is_due(self) -> bool:
        """Whether files wait to be deleted, or are being deleted."""
        return bool(self._due) or self._deleting is not None

    def saved(self, background: Background) -> None:
        """Count a save, and delete in the background what is due."""
        self._saves += 1
        if self._deleting is not None and self._deleting.done():
            self._deleting.result()
            self._deleting = None
        if self._due and self._due[0][0] <= self._saves and self._deleting is None:
            self._deleting = background.run(partial(_delete, self._folder, self._due.pop(0)[1], self._known))


def _delete(folder: Path, names: set[str], known: set[str]) -> None:
    """Delete files, unless a run that began later has taken the bucket over: it may have resumed from them."""
    if {file.run for file in files_in(folder)} - known:
        raise TakenOverError(folder)
    for name in names:
        _remove(folder / name)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
