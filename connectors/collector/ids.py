"""Ids of the events that messages become. Pure; moves no data.

An id is the name of the source, for no source knows which ids another one gives, and the message's own id. That may be
personal (``signup-jane@example.com``), and one that is made of the message's content tells what was taken out of it to
whoever can list the candidates. So where the source has privacy rules, of whatever fields, a hash stands in its place:
keyed with CRM_PRIVACY_KEY, or, of rules that need no key where none is set, a plain one.
"""

import hashlib
from typing import Final

from pydantic import SecretStr

from connectors.privacy.protection import Protector
from connectors.sources.source import Source

LONGEST_ID: Final = 100
_HASH_BYTES: Final = 16


class EventIds:
    """Gives the ids of one source's events. ``hidden`` tells that messages' own ids must not be read in them."""

    def __init__(self, source: str, *, hidden: bool = False, keys: Protector | None = None):
        self._source = source
        self._hidden = hidden
        self._keys = keys

    def id_of(self, own: str) -> str:
        """Give the event's id for a message's own; a hash of one that the contract does not take, to tell repeats."""
        event_id = f"{self._source}:{self._hashed(own) if self._hidden else own}"
        if len(event_id) <= LONGEST_ID and event_id.isprintable():
            return event_id
        return "long-" + hashlib.sha256(event_id.encode(errors="replace")).hexdigest()

    def _hashed(self, own: str) -> str:
        """Hash twice where there is a key: what is keyed is no address, which would be put in lower case."""
        digest = hashlib.blake2b(own.encode(errors="replace"), digest_size=_HASH_BYTES).hexdigest()
        return digest if self._keys is None else str(self._keys.hash(digest))


def event_ids(source: Source, secret: SecretStr | None) -> EventIds:
    """Make the ids of a source's events; ``secret`` is the setting CRM_PRIVACY_KEY."""
    if not any(source.privacy.named()):
        return EventIds(source.name)
    return EventIds(source.name, hidden=True, keys=None if secret is None else Protector(secret))
