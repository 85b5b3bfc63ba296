"""Ids of the events that rows become. Pure.

An id follows from the connection (its source and name), the table, the row's key, the event's name and, where every
change is an event, the change. So a row that is read again, by the same connection, has the same id wherever the server
is by then; and rows of two databases that have one source do not get in each other's way.

Keys of rows may be personal: an address, a number that people have. From a plain hash of one, whoever can list the
candidates finds it out. Where the source has privacy rules the hash is keyed, with CRM_PRIVACY_KEY, whatever the rules
are about: which columns are in a key and which of them a rule means can change, ids must not.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from xxhash import xxh3_128_hexdigest

from connectors.privacy.protection import Protector

_encode: Final = msgspec.json.Encoder().encode


class EventIds:
    """Gives the ids of one connection's events; ``keys`` are those of its source, if it has privacy rules."""

    def __init__(self, source: str, connection: str, keys: Protector | None = None):
        self._of = [source, connection]
        self._keys = keys

    def id_of(self, table: str, key: Sequence[str], name: str, version: str = "") -> str:
        """Give the id of an event, 32 hexadecimal digits, by what makes it one of its own."""
        digest = xxh3_128_hexdigest(_encode([*self._of, table, list(key), name, version]))
        return digest if self._keys is None else str(self._keys.hash(digest))
