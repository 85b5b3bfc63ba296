"""Checks Bytewax's SQLite files before a start: the engine's own errors name neither the file nor a way on."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from contracts.errors import RESTORE_OR_REBUILD, StateError, UnreadableStateError

LOCK_SECONDS: Final = 60
TABLES: Final = frozenset({"parts", "exs", "fronts", "commits", "snaps"})
DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def recovery_files(folder: Path) -> list[Path]:
    """Return the SQLite files of a recovery store."""
    return sorted(folder.glob("part-*.sqlite3"))


def check_files(folder: Path) -> None:
    """Check that all files of a recovery store are there and whole.

    Raises :class:`UnreadableStateError` for a damaged or missing file, and :class:`StateError` where one cannot be read
    now, such as for lack of rights.
    """
    counts = [_count_of(path) for path in recovery_files(folder)]
    wanted = max(counts, default=1)
    if len(counts) < wanted:
        raise UnreadableStateError(
            f"{folder} has {len(counts)} of its {wanted} files part-*.sqlite3: the positions in the log are not "
            f"complete. {RESTORE_OR_REBUILD}"
        )


def _count_of(path: Path) -> int:
    """Check one file; return of how many files the store is."""
    if not path.stat().st_size:
        raise _damaged(path, "it is empty")
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as file:
            found = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := TABLES - found:
                raise _damaged(path, f"the table {min(missing)} is missing")
            _refuse_problems(path, file.execute("PRAGMA quick_check(1)"))
            counts = file.execute("SELECT part_count FROM parts").fetchall()
    except sqlite3.DatabaseError as error:
        raise _error_of(path, error) from error
    if len(counts) != 1:
        raise _damaged(path, "it does not say of how many files the store is")
    return int(counts[0][0])


def _refuse_problems(path: Path, problems: Iterable[tuple[str]]) -> None:
    for (problem,) in problems:
        if problem != "ok":
            raise _damaged(path, problem.replace("\n", " "))


def _error_of(path: Path, error: sqlite3.DatabaseError) -> StateError:
    if error.sqlite_errorcode & 0xFF in DAMAGE:
        return _damaged(path, str(error))
    return StateError(f"{path}, with positions in the log, cannot be read: {error}")


def _damaged(path: Path, what: str) -> UnreadableStateError:
    return UnreadableStateError(
        f"{path}, with positions in the log and what names the files of state, is damaged: {what}. "
        f"{RESTORE_OR_REBUILD}"
    )
