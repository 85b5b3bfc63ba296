"""The owner of the recovery store: the run that began last. No other run commits anything.

Locks (``flock``) do not hold on every shared storage, so the owner is the name of a run in a small file. A run writes
it when it begins, and reads it before each commit: opening a file shows the newest one also over NFS. What a run of
before still commits while the file is replaced is there when the new run begins to read, because that waits a moment.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from contracts.errors import StateError, TakenOverError
from contracts.whole_files import replace_file

FILE: Final = "owner"
VALID_SECONDS: Final = 0.02
"""Tokens of one epoch are pickled one after the other: one look is enough for all."""
GRACE_SECONDS: Final = 0.25
"""How long a new owner waits, for the commit that the one of before has begun. Longer than :data:`VALID_SECONDS`."""


class Owner:
    """Whether this process belongs to the run that owns a store. Before :meth:`belong` nothing is checked."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._folder: Path | None = None
        self._run = ""
        self._looked_at = float("-inf")

    def belong(self, folder: Path, run: str) -> None:
        """Belong to a run from now on. All processes of a run have its name."""
        self._folder, self._run, self._looked_at = folder, run, float("-inf")

    def check(self) -> None:
        """Return if the run owns the store.

        Raises :class:`TakenOverError` if a later run does, and :class:`StateError` if that cannot be read.
        """
        if self._folder is None:
            return
        now = self._monotonic()
        if now - self._looked_at < VALID_SECONDS:
            return
        try:
            owner = _read(self._folder)
        except OSError as error:
            raise StateError(f"{self._folder / FILE} cannot be read: {error.strerror}", errno=error.errno) from error
        if owner != self._run:
            raise TakenOverError(self._folder)
        self._looked_at = now


def take_over(folder: Path, run: str, rest: Callable[[float], None] = time.sleep) -> None:
    """Make a run the owner of a store, and return when the one of before commits nothing more.

    Call it before anything of the store is read.
    """
    try:
        before = _read(folder)
    except FileNotFoundError:
        before = ""
    if before == run:
        return
    replace_file(folder / FILE, run)
    if before:
        rest(GRACE_SECONDS)


def _read(folder: Path) -> str:
    return (folder / FILE).read_text(encoding="utf-8")


OWNER: Final = Owner()
"""That of this process."""
