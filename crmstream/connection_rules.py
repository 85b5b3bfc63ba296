"""The rules of a database connection: those of its source, while the file of sources may change. Moves no data."""

from typing import Final

from connectors.databases.changes import mapper_of
from connectors.databases.connections import Connection
from connectors.databases.ids import EventIds
from connectors.databases.pump import Rules
from connectors.door.door import Door
from connectors.door.keys import keys_of
from contracts.settings import Settings
from crmstream.configured import configured_doors

STAGE: Final = "connect"
"""The stage of databases in dead letters."""


class ConnectionRules:
    """The rules of a connection's source, as the file of sources has them whenever it is asked.

    ``keys`` and the ``ids`` made with them stay those of the start: a row that is read again must have the id that it
    had. Raises :class:`contracts.errors.CrmError`, also at a call, if the file exists and does not name the source.
    """

    def __init__(self, connection: Connection, settings: Settings):
        self._connection = connection
        self._doors = configured_doors(settings, STAGE)
        door = self.door()
        self.keys = keys_of(door.source, settings.privacy_key)
        self.ids = EventIds(connection.source, connection.name, self.keys)
        self._made = self._make(door)

    def door(self) -> Door:
        """Give the door of the connection's source."""
        return self._doors.door(self._connection.source)

    @property
    def notice(self) -> str | None:
        """What is to be said about a source that the file of sources does not name."""
        return self._doors.notice(self._connection.source)

    def __call__(self) -> Rules:
        """Give the rules; the same object as long as nothing has changed."""
        door = self.door()
        if door is not self._made.door:
            self._made = self._make(door)
        return self._made

    def _make(self, door: Door) -> Rules:
        return Rules({table.full_name: mapper_of(table, door, self.ids) for table in self._connection.tables}, door)
