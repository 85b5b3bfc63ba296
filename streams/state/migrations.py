"""The version of stored state, and how state of an older version is read.

A release that changes the parts of a machine, their columns or the meaning of them raises :data:`VERSION` and adds a
migration from the version before. Each file names the version that wrote it. A migration gets one frame of a step, a
base or changes, as columns by part and name, and returns it as the next version would have written it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

VERSION: Final = 5
Frame = dict[str, dict[str, Any]]
"""The columns of a frame: by part, then by name."""
Migration = Callable[[str, Frame], Frame]

MIGRATIONS: Final[Mapping[int, Migration]] = {}
"""By the version that they read: each takes the name of the step and a frame. Without a gap up to :data:`VERSION`."""


def oldest(migrations: Mapping[int, Migration] = MIGRATIONS, version: int = VERSION) -> int:
    """Return the oldest version that can be read."""
    while version - 1 in migrations:
        version -= 1
    return version


def migrated(
    step: str, frame: Frame, written: int, migrations: Mapping[int, Migration] = MIGRATIONS, version: int = VERSION
) -> Frame:
    """Return a frame of version ``written`` as one of the version in force."""
    for number in range(written, version):
        frame = migrations[number](step, frame)
    return frame
