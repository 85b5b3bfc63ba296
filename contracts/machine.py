"""What a keyed step runs: a pure state machine of one bucket."""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol, TypeVar

from contracts.state import Part

Taken_contra = TypeVar("Taken_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)


class Machine(Protocol[Taken_contra, Made_co]):
    """A state machine of one bucket: it takes batches and returns blocks. Pure: no engine, no client, no clock.

    Machines inherit from this class and override only the methods in which they differ.
    """

    def take(self, items: Sequence[Taken_contra]) -> Sequence[Made_co]:
        """Apply items, in order, and return the outputs."""
        ...

    def resumed(self) -> Sequence[Made_co]:
        """Return outputs due to the restart, such as money that has a rate now. Called once, before ``take``."""
        return ()

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state by name, always the same objects."""
        ...

    def forget(self, people: Set[str]) -> None:  # noqa: ARG002 - most machines override it
        """Remove what the state holds about people, by their profile ids. Called once, after the state is restored.

        Outputs that went on before may still name them: whoever asks for this removes them from the stores afterwards.
        """
        return

    def has_work(self) -> bool:
        """Whether work is left that may be done between batches, such as the rest of a sweep."""
        return False

    def is_urgent(self) -> bool:
        """Whether the work that is left does not leave room for batches first: they would only wait for it."""
        return False

    def is_held(self) -> bool:
        """Whether the work that is left has to wait for other machines."""
        return False

    def makes_rows(self) -> bool:
        """Whether the work that is left makes rows for ClickHouse."""
        return False

    def work(self) -> Sequence[Made_co]:
        """Do a slice of the work that is left, of some milliseconds, and return the outputs."""
        return ()
