"""Positions without the keys of rows that are in them. Pure.

A position that was reached within a table names the last row by its key. Where the source has privacy rules those parts
are encrypted before they go to Kafka; places in a log and offsets stay readable.
"""

from typing import Final

from connectors.kafka.positions import Position
from connectors.privacy.protection import ENCRYPTED, Protector
from contracts.errors import InputFileError, SettingsError

WITH_KEYS: Final = ("runs", "tables")
"""The parts of positions that hold keys of rows."""


class Seal:
    """Seals and opens the positions of one connection; without ``keys`` they stay as they are."""

    def __init__(self, keys: Protector | None = None):
        self._keys = keys

    def closed(self, position: Position) -> Position:
        """Give a position as Kafka may have it."""
        if self._keys is None:
            return position
        return position | {part: self._keys.encrypt(position[part]) for part in WITH_KEYS if position.get(part)}

    def opened(self, position: Position | None) -> Position | None:
        """Read what :meth:`closed` gave. Raises :class:`SettingsError` if that was done with other keys."""
        if position is None:
            return None
        return {part: self._opened(value) if part in WITH_KEYS else value for part, value in position.items()}

    def _opened(self, value: object) -> object:
        if not (isinstance(value, str) and value.startswith(ENCRYPTED)):
            return value
        try:
            if self._keys is not None:
                return self._keys.decrypt(value)
        except InputFileError:
            pass
        raise SettingsError(
            "The position in Kafka is encrypted with a CRM_PRIVACY_KEY that is not set now, or the source has lost its "
            "privacy rules. Put them back, or start anew with --drop: all rows come again, and count again."
        )
