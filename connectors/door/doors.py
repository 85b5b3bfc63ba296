"""The doors of all configured sources, made anew when the file of sources changes. Moves no data."""

from collections.abc import Collection
from pathlib import Path

from pydantic import SecretStr

from connectors.door.door import Door
from connectors.sources.file import SourcesFile
from connectors.sources.source import Sources
from contracts.errors import InputFileError


def open_doors(sources: Sources, stage: str, privacy_key: SecretStr | None) -> dict[str, Door]:
    """Make the door of every source. ``stage`` names the connector in dead letters.

    Raises :class:`contracts.errors.SettingsError` if one needs a key that is not set.
    """
    return {name: Door(source, stage, privacy_key) for name, source in sources.sources.items()}


class Doors:
    """Gives each source its door. A change of the file that cannot be followed is not: what was, stays.

    ``is_set``: somebody has said that the file is there, so that one that is missing is an error.
    """

    def __init__(
        self,
        path: Path,
        stage: str,
        privacy_key: SecretStr | None,
        check_seconds: float = 1.0,
        *,
        is_set: bool = False,
    ):
        self._doors: dict[str, Door] = {}
        self._stage = stage
        self._key = privacy_key
        self._is_set = is_set
        self._file = SourcesFile(path, check_seconds, check=self._open)

    @property
    def problem(self) -> str | None:
        """Why a change of the file of sources could not be followed."""
        return self._file.problem

    def door(self, name: str) -> Door | None:
        """Give the door of a source by its name; None where there is no file of sources, and so are no rules.

        Raises :class:`InputFileError` if there is one and it does not name this source: its rules must not be off by a
        slip of the pen; :class:`contracts.errors.CrmError` if the file has never been well.
        """
        self._file.current()
        door = self._doors.get(name)
        if door is None and (self._is_set or self._file.is_there):
            raise _unknown(self._file, name, self._doors)
        return door

    def _open(self, sources: Sources) -> None:
        self._doors = open_doors(sources, self._stage, self._key)


def _unknown(file: SourcesFile, name: str, known: Collection[str]) -> InputFileError:
    holds = f"names no source {name!r}, only {', '.join(known) or 'nothing'}" if file.is_there else "is not there"
    return InputFileError(
        f"Sources {file.path}: {holds}, so no privacy rules and no plan would hold for what comes from {name!r}. "
        f"`crmstream source add {name}` adds it; or write another name as `source:` where the rows are mapped."
    )
