"""Whose request this is: the write key in any of the forms in which SDKs send it, and the source that has it.

Moves no data.
"""

import base64
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from connectors.collector.answers import AnswerError
from connectors.door.door import Door
from connectors.door.doors import open_doors
from connectors.sources.keys import KeyRing, key_hash
from connectors.sources.source import Source, Sources, SourcesFile

STAGE: Final = "collect"
"""The collector's name in dead letters."""
MOST_REMEMBERED: Final = 1_000
LONGEST_REMEMBERED: Final = 200
"""Bytes of a header that is remembered: a key has 46 characters."""
UNKNOWN_KEY: Final = "The write key is not known, or was revoked. `crmstream source add` makes one."


def key_in_header(authorization: bytes | None) -> str | None:
    """The write key of an ``Authorization`` header, Basic (as the user; the password does not matter) or Bearer."""
    scheme, _, credentials = (authorization or b"").decode("latin-1").strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip() or None
        case "basic":
            try:
                decoded = base64.b64decode(credentials.strip(), validate=True).decode()
            except ValueError:
                return None
            return decoded.partition(":")[0] or None
    return None


@dataclass(frozen=True)
class Sender:
    """Who sends: the source, its door, and the hash of the key, by which rates are limited."""

    source: Source
    door: Door
    key_hash: str


class Senders:
    """The senders by their write keys, as the file of sources has them at the moment.

    ``privacy_key`` is what some sources' rules need: whoever makes ``file`` has it check that it is there.
    """

    def __init__(self, file: SourcesFile, privacy_key: SecretStr | None = None):
        self._file = file
        self._privacy_key = privacy_key
        self._sources: Sources | None = None
        self._keys = KeyRing(Sources())
        self._doors: dict[str, Door] = {}
        self._by_header: dict[bytes, Sender] = {}

    @property
    def names(self) -> list[str]:
        """The names of all sources."""
        return list(self._file.current().sources)

    @property
    def problem(self) -> str | None:
        """What is wrong with the file of sources, if anything."""
        return self._file.problem

    def sender_of(self, authorization: bytes | None) -> Sender | None:
        """Tell who sends by an ``Authorization`` header, None if it holds no key.

        Headers that were good are remembered: reading one takes longer than all else that is done to tell who sends.
        Raises :class:`AnswerError` (401) if the key is nobody's.
        """
        if authorization is None:
            return None
        self._follow()
        known = self._by_header.get(authorization)
        if known is None or not self._keys.holds(known.key_hash):
            write_key = key_in_header(authorization)
            if write_key is None:
                return None
            known = self.sender(write_key)
            self._remember(authorization, known)
        return known

    def _remember(self, authorization: bytes, sender: Sender) -> None:
        if len(authorization) > LONGEST_REMEMBERED:
            return
        if len(self._by_header) >= MOST_REMEMBERED:  # passwords of Basic auth may differ without end
            self._by_header.clear()
        self._by_header[authorization] = sender

    def sender(self, *write_keys: str | None) -> Sender:
        """Tell who sends, by the first key that is given. Raises :class:`AnswerError` (401) if it is nobody's."""
        self._follow()
        write_key = next((key for key in write_keys if key), None)
        if write_key is None:
            raise AnswerError(401, "no_write_key", "Send the write key: as the user of Basic auth, or in the body.")
        source = self._keys.source_of(write_key)
        if source is None:
            raise AnswerError(401, "unknown_write_key", UNKNOWN_KEY)
        return Sender(source, self._doors[source.name], key_hash(write_key))

    def _follow(self) -> None:
        sources = self._file.current()
        if sources is not self._sources:
            self._keys = KeyRing(sources)
            self._doors = open_doors(sources, STAGE, self._privacy_key)
            self._by_header.clear()
            self._sources = sources
