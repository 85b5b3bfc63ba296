"""The doors of all configured sources, made anew when the file of sources changes. Moves no data."""

from pathlib import Path

from pydantic import SecretStr

from connectors.door.door import Door
from connectors.sources.source import Sources, SourcesFile


def open_doors(sources: Sources, stage: str, privacy_key: SecretStr | None) -> dict[str, Door]:
    """Make the door of every source. ``stage`` names the connector in dead letters.

    Raises :class:`contracts.errors.SettingsError` if one needs a key that is not set.
    """
    return {name: Door(source, stage, privacy_key) for name, source in sources.sources.items()}


class Doors:
    """Gives each source its door. A change of the file that cannot be followed is not: what was, stays."""

    def __init__(self, path: Path, stage: str, privacy_key: SecretStr | None, check_seconds: float = 1.0):
        self._doors: dict[str, Door] = {}
        self._stage = stage
        self._key = privacy_key
        self._file = SourcesFile(path, check_seconds, check=self._open)

    @property
    def problem(self) -> str | None:
        """Why a change of the file of sources could not be followed."""
        return self._file.problem

    def door(self, name: str) -> Door | None:
        """Give the door of a source by its name, or None if no such source is configured.

        Raises :class:`contracts.errors.CrmError` if the file of sources has never been well.
        """
        self._file.current()
        return self._doors.get(name)

    def _open(self, sources: Sources) -> None:
        self._doors = open_doors(sources, self._stage, self._key)
