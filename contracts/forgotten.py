"""The list of people who were forgotten or are suppressed: one file with hashes of their ids.

An entry holds a hash of a profile id, keyed by a random salt of the installation, and the time up to which events of
that id are left out: the moment of the request, or :data:`FOR_EVER`. Who has the file can test ids that they know or
guess, so it is personal data still. Ids that are being erased stand in it in clear until that is done.

Whoever restores a backup keeps the newest of these files: it is what keeps people forgotten.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any, Final

from contracts.caches import Cache
from contracts.errors import SettingsError
from contracts.settings import Settings
from contracts.whole_files import replace_file, sync

FILE: Final = "forgotten.json"
FOR_EVER: Final = 2**62
"""Microseconds: no event happens after it."""
NEVER: Final = -(2**62)
"""The time up to which events of people who are not in the list are left out."""
SALT_BYTES: Final = 32
_VERSION: Final = 1
_REMEMBERED: Final = 1 << 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One id: up to when its events are left out (microseconds), and when that was asked for (ISO 8601)."""

    until: int
    asked_at: str

    @property
    def is_for_ever(self) -> bool:
        """Whether all events of the id are left out, also coming ones."""
        return self.until == FOR_EVER


@dataclass
class Forgotten:
    """The list. ``people`` are entries by the hash of the id; ``pending`` are profile ids that are being erased.

    ``request`` is another one after each change that workers must know of.
    """

    salt: bytes = b""
    people: dict[str, Entry] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    request: str = ""
    _recent: Cache[str, int] = field(default_factory=lambda: Cache(_REMEMBERED), repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether anybody is in it."""
        return bool(self.people)

    def hash_of(self, profile_id: str) -> str:
        """Return the hash by which a profile id is listed."""
        return blake2b(profile_id.encode(errors="replace"), key=self.salt, digest_size=16).hexdigest()

    def until(self, profile_id: str) -> int:
        """Return up to when events of a profile id are left out (microseconds); :data:`NEVER` if it is not listed."""
        known = self._recent.get(profile_id)
        if known is None:
            entry = self.people.get(self.hash_of(profile_id))
            known = NEVER if entry is None else entry.until
            self._recent.remember({profile_id: known})
        return known

    def add(self, ids: Iterable[str], until: int, now: datetime) -> None:
        """List ids; an entry that leaves out more stays as it is."""
        self.salt = self.salt or token_bytes(SALT_BYTES)
        for each in ids:
            known = self.people.get(self.hash_of(each))
            if known is None or known.until < until:
                self.people[self.hash_of(each)] = Entry(until, f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        self._recent.clear()

    def lift(self, ids: Iterable[str], now: datetime) -> int:
        """End the suppression of ids as of now: what happened before stays out. Return how many were suppressed."""
        lifted = 0
        for each in map(self.hash_of, ids) if self.salt else ():
            known = self.people.get(each)
            if known is not None and known.is_for_ever:
                self.people[each] = Entry(microseconds(now), known.asked_at)
                lifted += 1
        self._recent.clear()
        return lifted


def forgotten_path(settings: Settings) -> Path:
    """Return where the list is."""
    return settings.forgotten_file or settings.data_dir / FILE


def microseconds(moment: datetime) -> int:
    """Return a time in microseconds since 1970."""
    return round((moment - _EPOCH).total_seconds() * 1e6)


def read_forgotten(path: Path) -> Forgotten:
    """Read the list; an empty one if there is no file. Raises :class:`SettingsError` if it cannot be read.

    Nothing may go on without the list: forgotten people would come back.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Forgotten()
    except OSError as error:
        raise SettingsError(f"The list of forgotten people {path} cannot be read: {error.strerror}.") from error
    try:
        return _of_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"The list of forgotten people {path} is damaged ({error}). Restore its newest backup: without it people "
            "who were forgotten come back."
        ) from error


def change_forgotten(path: Path, change: Callable[[Forgotten], None], *, quietly: bool = False) -> Forgotten:
    """Change the list and write it; return it. One process changes it at a time.

    Unless it is done ``quietly``, running workers restart with the new list.

    Raises :class:`SettingsError` if it cannot be read, and ``OSError`` if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        found = read_forgotten(path)
        change(found)
        if not quietly:
            found.request = token_hex(8)
        replace_file(path, json.dumps(_as_json(found), indent=1) + "\n")
        sync(path.parent)
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        flock(lock, LOCK_EX)
        yield


def _of_json(found: Any) -> Forgotten:
    if found["version"] != _VERSION:
        raise ValueError(f"version {found['version']} is not known")
    people = {
        str(each["id"]): Entry(FOR_EVER if each["until"] is None else int(each["until"]), str(each["asked_at"]))
        for each in found["people"]
    }
    salt = bytes.fromhex(found["salt"])
    if people and len(salt) != SALT_BYTES:
        raise ValueError("the salt is missing")
    return Forgotten(salt, people, frozenset(map(str, found["pending"])), str(found["request"]))


def _as_json(forgotten: Forgotten) -> dict[str, Any]:
    people = [
        {"id": each, "until": None if entry.is_for_ever else entry.until, "asked_at": entry.asked_at}
        for each, entry in forgotten.people.items()
    ]
    return {
        "version": _VERSION, "salt": forgotten.salt.hex(), "request": forgotten.request, "people": people,
        "pending": sorted(forgotten.pending),
    }  # fmt: skip
