"""Write keys: how they are made, kept and recognised.

A key is 256 random bits and is shown once, when it is made. Only its SHA-256 is kept, which needs no salt and no slow
hash: nobody guesses 256 bits. Moves no data.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from connectors.sources.source import Source, Sources, WriteKey, in_force

PREFIX: Final = "wk_"
_RANDOM_BYTES: Final = 32


def new_key() -> str:
    """Make a write key: ``wk_`` and 43 characters of URL-safe base64."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def key_hash(write_key: str) -> str:
    """Hash a key as the file of sources keeps it: ``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{sha256(write_key.encode(errors='replace')).hexdigest()}"


class KeyRing:
    """All write keys in force, looked up by the hash of a presented key.

    The look-up compares hashes of what is presented, so its time tells nothing of the keys.
    """

    def __init__(self, sources: Sources, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._clock = clock
        now = clock()
        self._keys: dict[str, tuple[WriteKey, Source]] = {
            key.hash: (key, source) for source in sources.sources.values() for key in source.keys if in_force(key, now)
        }

    def source_of(self, write_key: str) -> Source | None:
        """Tell whose key this is; None if it is nobody's, or has been revoked."""
        hashed = key_hash(write_key)
        return self._keys[hashed][1] if self.holds(hashed) else None

    def holds(self, hashed: str) -> bool:
        """Tell whether the key with this hash is somebody's, and has not been revoked."""
        key, _ = self._keys.get(hashed, (None, None))
        return key is not None and (key.revoked is None or in_force(key, self._clock()))
