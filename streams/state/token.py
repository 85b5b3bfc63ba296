"""Tokens: where a snapshot of a bucket is, in plain values. Bytewax keeps the newest one of each bucket."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.errors import REBUILD, RESTORE_OR_REBUILD, UnreadableStateError
from streams.error_boundary import error_boundary
from streams.state.files import FORMAT, named

EMPTY: Final = ("", 0)
"""The base of a new bucket: nothing."""


class Token(dict[str, Any]):
    """A mapping of plain values that may be committed when it is pickled. ``wait`` returns then, or raises.

    Bytewax pickles what a snapshot returned, in the same worker, before it commits the epoch. Sinks cannot wait for all
    workers: a part of a sink exists, and takes snapshots, only in epochs in which something was written to it.
    """

    def __init__(self, values: Mapping[str, Any], wait: Callable[[], None] = lambda: None):
        super().__init__(values)
        self._wait = wait

    @error_boundary
    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Wait until the snapshot is on the disk; keep the plain values."""
        self._wait()
        return dict, (dict(self),)


class Place(NamedTuple):
    """The files of a snapshot, each with its length: up to two bases, newest first, and the logs since the older.

    A base with the logs of greater numbers makes the state, whichever base it is.
    """

    bucket: str
    bases: Sequence[tuple[str, int]]
    logs: Sequence[tuple[str, int]]

    @property
    def names(self) -> set[str]:
        """The names of the files."""
        return {name for name, _ in (*self.bases, *self.logs) if name}

    def logs_since(self, base: tuple[str, int]) -> list[tuple[str, int]]:
        """Return the logs that follow a base."""
        number = named(base[0]).number if base[0] else -1
        return [log for log in self.logs if named(log[0]).number > number]

    def to_plain(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "format": FORMAT,
            "bucket": self.bucket,
            "bases": [list(base) for base in self.bases],
            "logs": [list(log) for log in self.logs],
        }

    @classmethod
    def of_plain(cls, values: object) -> "Place":
        """Return the place that a token names. Raises :class:`UnreadableStateError` for anything else."""
        if not isinstance(values, Mapping) or "format" not in values:
            raise UnreadableStateError(
                f"Bytewax's recovery store holds no token of crmstream's state. {RESTORE_OR_REBUILD}"
            )
        if values["format"] != FORMAT:
            raise UnreadableStateError(
                f"the stored state is of format {values['format']}; this crmstream reads format {FORMAT}. Run the "
                f"crmstream that wrote it, or {REBUILD}."
            )
        bases = [(name, length) for name, length in values["bases"]]
        return cls(values["bucket"], bases, [(name, length) for name, length in values["logs"]])
