"""Whether a position belongs to the database that is there. Pure."""

from typing import Literal

from connectors.kafka.positions import Position
from connectors.postgres.catalog import ServerFacts
from contracts.errors import LogMismatchError

Mode = Literal["watermark", "replication"]
ANEW = "To start anew, forget the position with --drop; rows that come again have the same event ids."


def identity_of(server: ServerFacts, mode: Mode) -> Position:
    """What every position says of its database."""
    return {"mode": mode, "system": server.system_identifier, "database": server.database}


def checked(position: Position | None, server: ServerFacts, mode: Mode) -> Position:
    """Give the position, empty if there is none. Raises :class:`LogMismatchError` if it belongs elsewhere."""
    if position is None:
        return {}
    if position["mode"] != mode:
        raise LogMismatchError(f"The connector has been in mode {position['mode']} so far. {ANEW}")
    if (position["system"], position["database"]) != (server.system_identifier, server.database):
        raise LogMismatchError(f"The connector stopped in another database, or one that was made anew. {ANEW}")
    return position
