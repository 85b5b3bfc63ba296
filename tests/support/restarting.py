"""A machine that is stored by its changes and restarted from them, as often as a test likes."""

from collections.abc import Callable
from typing import Generic, TypeVar

from support.state import HasParts, changed, frozen, thawed

M = TypeVar("M", bound=HasParts)
STEPS = 4
"""What :meth:`Restarting.step` can do."""


class Restarting(Generic[M]):
    """The newest life of a machine. All lives share one base and one row of changes, as in the store."""

    def __init__(self, make: Callable[[], M]):
        self._make = make
        self.machine = make()
        self._frames = [frozen(self.machine)]

    def save(self) -> None:
        """Store what changed."""
        self._frames.append(changed(self.machine))

    def rebase(self) -> None:
        """Store everything."""
        self._frames = [frozen(self.machine)]

    def restart(self) -> None:
        """Store what changed, and go on with a new machine."""
        self.save()
        self.machine = thawed(self._make(), *self._frames)

    def step(self, draw: int) -> None:
        """Do one of these, or nothing."""
        (lambda: None, self.save, self.restart, self.rebase)[draw % STEPS]()
