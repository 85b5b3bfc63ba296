"""The files of one bucket's state: a base with everything, and logs of what changed since."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.state import Part

Token = dict[str, Any]
"""Where a snapshot is: plain values only (the folder, the base, the logs with their lengths)."""


class StepStore:
    """The folders of one step's buckets."""

    def __init__(self, root: Path, step: str):
        self._folder = root / step

    def begin(self, name: str, parts: Mapping[str, Part]) -> "BucketStore":
        """Return the store of a new bucket."""
        raise NotImplementedError

    def resume(self, token: Token, parts: Mapping[str, Part]) -> "BucketStore":
        """Restore the parts of a bucket to the snapshot of a token, and return its store."""
        raise NotImplementedError


class BucketStore:
    """Stores the snapshots of one bucket."""

    def save(self) -> Token:
        """Store what changed since the last snapshot, and return the token of this snapshot."""
        raise NotImplementedError
