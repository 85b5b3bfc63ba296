"""The doors of all configured sources, made anew when the file of sources changes. Moves no data."""

from pydantic import SecretStr

from connectors.door import Door
from connectors.sources import Source, SourcesFile


class Doors:
    """Gives each source its door. ``stage`` names the connector in dead letters."""

    def __init__(self, file: SourcesFile, stage: str, privacy_key: SecretStr | None):
        self._file = file
        self._stage = stage
        self._key = privacy_key
        self._doors: dict[str, Door] = {}

    def door(self, name: str) -> Door | None:
        """Give the door of a source by its name, or None if no such source is configured.

        Raises :class:`contracts.errors.InputFileError` if the file of sources has never been well, and
        :class:`contracts.errors.SettingsError` if the source needs a key that is not set.
        """
        source = self._file.current().sources.get(name)
        return None if source is None else self.door_of(source)

    def door_of(self, source: Source) -> Door:
        """Give the door of a source. Raises as :meth:`door` does."""
        door = self._doors.get(source.name)
        if door is None or door.source != source:
            door = self._doors[source.name] = Door(source, self._stage, self._key)
        return door
