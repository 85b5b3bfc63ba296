"""Whether a position belongs to the database and the replication slot that are there. Pure."""

from typing import Final, Literal

from connectors.kafka.positions import Position
from connectors.postgres.catalog import ServerFacts, Slot
from connectors.postgres.stream import lsn_number
from contracts.errors import LogMismatchError, StoreRefusedError

Mode = Literal["watermark", "replication"]
ANEW: Final = (
    "To start anew, run once with --drop, then as always: all rows come again, with the event ids that they had. "
    "(But in mode replication those of a table with `id: change` count again: set `snapshot: never` before.)"
)


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


def check_slot(position: Position, slot: Slot | None, name: str, passed: int = 0) -> None:
    """Make sure that the slot of this name is the position's, and still has all that comes after it.

    ``passed`` is a place in the log up to which this process knows that nothing was missed. Raises
    :class:`StoreRefusedError` if the slot is gone or another's, :class:`LogMismatchError` if it stands elsewhere.
    """
    if not position:
        _check_free(slot, name)
        return
    if position.get("slot", name) != name:
        raise LogMismatchError(
            f"The connector has read the slot {position['slot']} so far: name it as `slot` to go on. {ANEW}"
        )
    known = position.get("start") or position.get("begins_at")
    if slot is None and known is None:
        return
    if slot is None or slot.is_lost:
        raise StoreRefusedError(f"The slot {name} is gone, and with it the changes since the connector stopped. {ANEW}")
    if known is not None and lsn_number(slot.confirmed) > max(lsn_number(known), passed):
        raise LogMismatchError(
            f"The slot {name} stands at {slot.confirmed} in the server's log, but Kafka has what came before {known}: "
            "another program has read the slot, or it was moved on, or dropped and made anew. The changes in between "
            f"are lost. {ANEW}"
        )


def _check_free(slot: Slot | None, name: str) -> None:
    if slot is not None:
        raise StoreRefusedError(
            f"There is a slot {name} already, but Kafka has no position for it. If nobody needs it, drop it with "
            "--drop; else name another `slot`."
        )
