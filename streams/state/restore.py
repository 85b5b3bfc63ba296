"""Restores a bucket's parts from its files: the newest base that can be read, and the logs since."""

import logging
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import REBUILD, RESTORE_OR_REBUILD, UnreadableStateError
from contracts.state import Part
from streams.state.files import DamagedError, read
from streams.state.migrations import Frame
from streams.state.token import Place

log = logging.getLogger(__name__)


def restore(folder: Path, step: str, place: Place, parts: Mapping[str, Part]) -> Place:
    """Apply the files of a snapshot to new parts; return the place without bases that cannot be read.

    Everything is read before anything is applied, since half of a base cannot be taken back.
    """
    place, frames = _read(folder, step, place)
    for frame in frames:
        for name, columns in frame.items():
            if name not in parts:
                raise UnreadableStateError(
                    f"the state in {folder} has the part {name!r}, which this crmstream does not know: another version "
                    f"wrote it. Run that version, or {REBUILD}."
                )
            if columns:
                _apply(folder, name, parts[name], columns)
    return place


def _apply(folder: Path, name: str, part: Part, columns: Mapping[str, object]) -> None:
    try:
        part.apply(columns)  # type: ignore[arg-type]
    except Exception as error:
        error.add_note(f"while the part {name!r} of the state in {folder} was restored")
        raise


def _read(folder: Path, step: str, place: Place) -> tuple[Place, list[Frame]]:
    """Return the place from the newest base on that can be read with the logs that follow it, and their frames."""
    problems: list[DamagedError] = []
    for number, base in enumerate(place.bases):
        files = [each for each in (base, *place.logs_since(base)) if each[0]]
        try:
            frames = [frame for name, length in files for frame in read(folder / name, length, step)]
        except DamagedError as error:
            problems.append(error)
            continue
        for problem in problems:
            log.warning("%s; an older copy gives the same state", problem)
        return place._replace(bases=place.bases[number:]), frames
    said = "; ".join(dict.fromkeys(map(str, problems)))
    raise UnreadableStateError(f"the stored state cannot be read: {said}. {RESTORE_OR_REBUILD}")
