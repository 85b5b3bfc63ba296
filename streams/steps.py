"""The one wrapper that makes a keyed Bytewax step of a pure state machine."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from bytewax.operators import StatefulBatchLogic

from streams.error_boundary import at_edge

RETAIN: Final = False
AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time that has come already: the engine wakes a step for it without delay."""
In = TypeVar("In")
Out = TypeVar("Out")
Taken_contra = TypeVar("Taken_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)


class Machine(Protocol[Taken_contra, Made_co]):
    """A state machine of one bucket: batches in, blocks out. Pure: no engine, no client, no clock."""

    def take(self, items: Sequence[Taken_contra]) -> Sequence[Made_co]:
        """Take items in, in their order, and return what they complete."""
        ...

    def resumed(self) -> Sequence[Made_co]:
        """Return what a resumption completes, such as money for which this run has a rate. Called once, first."""
        ...

    def freeze(self) -> bytes:
        """The state as bytes, from which the step's ``restore`` makes an equal machine."""
        ...


class Step(StatefulBatchLogic[In, Out, bytes]):
    """Runs one machine. ``restore(saved)`` makes it, of nothing or of what an earlier run froze.

    A snapshot is made as bytes at once: the engine pickles later, when the state has moved on.
    """

    def __init__(self, saved: bytes | None, restore: Callable[[bytes | None], Machine[In, Out]]):
        self._machine = restore(saved)
        self._resumed = saved is not None

    @at_edge
    def notify_at(self) -> datetime | None:
        """At once after a resumption."""
        return AT_ONCE if self._resumed else None

    @at_edge
    def on_notify(self) -> tuple[list[Out], bool]:
        """Return what the resumption completes."""
        return self._resume(), RETAIN

    @at_edge
    def on_batch(self, values: list[In]) -> tuple[list[Out], bool]:
        """Hand all items of an activation to the machine in one go."""
        return [*self._resume(), *self._machine.take(values)], RETAIN

    @at_edge
    def snapshot(self) -> bytes:
        """The state of the machine."""
        return self._machine.freeze()

    def _resume(self) -> list[Out]:
        due, self._resumed = self._resumed, False
        return list(self._machine.resumed()) if due else []
