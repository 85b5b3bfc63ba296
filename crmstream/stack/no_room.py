"""Whether an error means that the disk is full: no failure of the program, and over when there is room again."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contracts.errors import CrmError

NUMBERS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
OF_SQLITE: Final = "disk is full"
"""How SQLite says it, also through the engine, whose errors have no number."""
LEAST_BYTES: Final = 256 << 10
"""With less free space any error counts as one of the disk: the engine hides the cause of some."""


def lacks_room(error: BaseException, folder: Path) -> bool:
    """Whether an error, or one behind it, is that of a full disk; ``folder`` is where the process writes."""
    return any(map(_says_so, _chain(error))) or _is_full(folder)


def _says_so(error: BaseException) -> bool:
    number = error.context.get("errno") if isinstance(error, CrmError) else getattr(error, "errno", None)
    return number in NUMBERS or OF_SQLITE in str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LEAST_BYTES
    except OSError:
        return False
