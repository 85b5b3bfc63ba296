"""State in tests: a machine's parts as bytes, whole or as a base and the changes since, and machines made of them.

Restoring from changes is where mistakes hide: a test of a machine's state keeps :class:`Changes` of it and restores
from several of its points, not from wholes only.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from contracts.state import Part
from streams.state.frames import decode, encode


class HasParts(Protocol):
    """A machine, as far as its state goes."""

    def parts(self) -> Mapping[str, Part]: ...


M = TypeVar("M", bound=HasParts)


def frozen(machine: HasParts) -> bytes:
    """Return the whole state as one frame. Its parts start to collect changes afresh."""
    return encode({name: part.whole() for name, part in machine.parts().items()})


def changed(machine: HasParts) -> bytes:
    """Return what changed since the last call of this or of :func:`frozen`, as one frame; empty if nothing did."""
    changes = {name: part.changes() for name, part in machine.parts().items()}
    changes = {name: columns for name, columns in changes.items() if columns}
    return encode(changes) if changes else b""


def thawed(machine: M, *frames: bytes) -> M:
    """Apply frames to a new machine, the whole one first, and return it."""
    parts = machine.parts()
    for frame in frames:
        for found in decode(memoryview(frame)):
            for name, columns in found.items():
                if columns:
                    parts[name].apply(columns)
    return machine


class Changes:
    """What a store would hold of a machine: a base, and a frame of changes for each call of :meth:`save`.

    The base is taken at once, and again by :meth:`rebase`. Do not call :func:`frozen` of the machine in between: it
    would take the changes away.
    """

    def __init__(self, machine: HasParts):
        self._machine = machine
        self.base = frozen(machine)
        self.frames: list[bytes] = []

    def save(self) -> int:
        """Take what changed since the last save. Return the number of saves since the base."""
        self.frames.append(changed(self._machine))
        return len(self.frames)

    def rebase(self) -> None:
        """Take a new base and drop the changes before it."""
        self.base, self.frames = frozen(self._machine), []

    def restore(self, machine: M, saves: int | None = None) -> M:
        """Restore a new machine to the base and so many saves (None: all of them)."""
        return thawed(machine, self.base, *self.frames[:saves])
