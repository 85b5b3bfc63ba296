"""The one wrapper that makes a keyed Bytewax step of a pure state machine."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from bytewax.operators import StatefulBatchLogic

from streams.error_boundary import error_boundary

RETAIN: Final = False
AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time in the past: the engine wakes a step for it at once."""
In = TypeVar("In")
Out = TypeVar("Out")
Taken_contra = TypeVar("Taken_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)


class Machine(Protocol[Taken_contra, Made_co]):
    """A state machine of one bucket: it takes batches and returns blocks. Pure: no engine, no client, no clock."""

    def take(self, items: Sequence[Taken_contra]) -> Sequence[Made_co]:
        """Apply items, in order, and return the outputs."""
        ...

    def resumed(self) -> Sequence[Made_co]:
        """Return outputs due to the restart, such as money that has a rate now. Called once, before ``take``."""
        ...

    def freeze(self) -> bytes:
        """The state as bytes, from which the step's ``restore`` makes an equal machine."""
        ...


class Step(StatefulBatchLogic[In, Out, bytes]):
    """Runs one machine. ``restore(saved)`` makes it from the bytes of an earlier run, or from None.

    A snapshot is bytes, because the engine pickles it later, when the state may have changed.
    """

    def __init__(self, saved: bytes | None, restore: Callable[[bytes | None], Machine[In, Out]]):
        self._machine = restore(saved)
        self._resumed = saved is not None

    @error_boundary
    def notify_at(self) -> datetime | None:
        """Wake the step at once after a restart."""
        return AT_ONCE if self._resumed else None

    @error_boundary
    def on_notify(self) -> tuple[list[Out], bool]:
        """Return the outputs due to the restart."""
        return self._resume(), RETAIN

    @error_boundary
    def on_batch(self, values: list[In]) -> tuple[list[Out], bool]:
        """Hand all items of an activation to the machine in one call."""
        return [*self._resume(), *self._machine.take(values)], RETAIN

    @error_boundary
    def snapshot(self) -> bytes:
        """The state of the machine."""
        return self._machine.freeze()

    def _resume(self) -> list[Out]:
        due, self._resumed = self._resumed, False
        return list(self._machine.resumed()) if due else []
