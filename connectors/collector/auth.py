"""Whose request this is: the write key in any of the forms in which SDKs send it, and the source that has it.

Moves no data.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import SecretStr

from connectors.collector.answers import AnswerError
from connectors.collector.ids import EventIds, event_ids
from connectors.door.door import Door
from connectors.door.doors import open_doors
from connectors.door.money import MoneyGate
from connectors.sources.file import SourcesFile
from connectors.sources.keys import KeyRing, key_hash
from connectors.sources.source import Source, Sources

STAGE: Final = "collect"
"""The collector's name in dead letters."""
MOST_REMEMBERED: Final = 1_000
LONGEST_REMEMBERED: Final = 200
"""Bytes of a header that is remembered: a key has 46 characters."""
_UNKNOWN: Final = "unknown_write_key"
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
    """Who sends: the source, its door, its events' ids, and the hash of the key, by which rates are limited."""

    source: Source
    door: Door
    ids: EventIds
    key_hash: str


class _Ready(NamedTuple):
    """The keys, doors and ids of the sources as they were read last, and the senders by the headers that were good."""

    keys: KeyRing
    doors: dict[str, Door]
    ids: dict[str, EventIds]
    by_header: dict[bytes, Sender]

    def sender(self, write_key: str) -> Sender:
        """Return the source of a key. Raises :class:`AnswerError` (401) if it is nobody's."""
        source = self.keys.source_of(write_key)
        if source is None:
            raise AnswerError(401, _UNKNOWN, UNKNOWN_KEY)
        return Sender(source, self.doors[source.name], self.ids[source.name], key_hash(write_key))

    def remember(self, authorization: bytes, sender: Sender) -> None:
        """Remember a good header."""
        if len(authorization) > LONGEST_REMEMBERED:
            return
        if len(self.by_header) >= MOST_REMEMBERED:  # passwords of Basic auth may differ without end
            self.by_header.clear()
        self.by_header[authorization] = sender


class Senders:
    """The senders by their write keys, as the file of sources has them at the moment.

    ``privacy_key`` is what some sources' rules need. ``check_seconds`` is how often the file is looked at, at most.
    ``money`` is shared by all doors.
    """

    def __init__(
        self,
        path: Path,
        privacy_key: SecretStr | None = None,
        check_seconds: float = 1.0,
        money: MoneyGate | None = None,
    ):
        self._money = money
        self.file = SourcesFile(path, check_seconds, check=self._make)
        self._privacy_key = privacy_key
        self._ready = _Ready(KeyRing(Sources()), {}, {}, {})

    @property
    def names(self) -> list[str]:
        """The names of all sources."""
        return list(self.file.current().sources)

    @property
    def problem(self) -> str | None:
        """What is wrong with the file of sources, if anything."""
        return self.file.problem

    async def find_of(self, authorization: bytes | None) -> Sender | None:
        """Do the same as :meth:`sender_of`; a key that is not known may be as new as this request."""
        try:
            return self.sender_of(authorization)
        except AnswerError as error:
            if error.code != _UNKNOWN:
                raise
        await self.file.catch_up()  # SDKs throw away what was answered with 401
        return self.sender_of(authorization)

    async def find(self, *write_keys: str | None) -> Sender:
        """Do the same as :meth:`sender`; a key that is not known may be as new as this request."""
        try:
            return self.sender(*write_keys)
        except AnswerError as error:
            if error.code != _UNKNOWN:
                raise
        await self.file.catch_up()
        return self.sender(*write_keys)

    def sender_of(self, authorization: bytes | None) -> Sender | None:
        """Tell who sends by an ``Authorization`` header, None if it holds no key.

        Headers that were good are remembered: reading one takes longer than all else that is done to tell who sends.
        Raises :class:`AnswerError` (401) if the key is nobody's.
        """
        if authorization is None:
            return None
        self.file.current()
        ready = self._ready
        known = ready.by_header.get(authorization)
        if known is not None and ready.keys.holds(known.key_hash):
            return known
        write_key = key_in_header(authorization)
        if write_key is None:
            return None
        sender = ready.sender(write_key)
        ready.remember(authorization, sender)
        return sender

    def sender(self, *write_keys: str | None) -> Sender:
        """Tell who sends, by the first key that is given. Raises :class:`AnswerError` (401) if it is nobody's."""
        self.file.current()
        write_key = next((key for key in write_keys if key), None)
        if write_key is None:
            raise AnswerError(401, "no_write_key", "Send the write key: as the user of Basic auth, or in the body.")
        return self._ready.sender(write_key)

    def _make(self, sources: Sources) -> None:
        """Make everything of a file that was read, in the thread that read it."""
        doors = open_doors(sources, STAGE, self._privacy_key, self._money)
        ids = {name: event_ids(source, self._privacy_key) for name, source in sources.sources.items()}
        self._ready = _Ready(KeyRing(sources), doors, ids, {})
