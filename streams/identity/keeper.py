"""Shared by devices and addresses: advances to a slot, crosses the boundary before it, and emits visitors."""

from collections.abc import Mapping, Set
from typing import Generic, TypeVar

from contracts.blocks import Departures, PeopleBlock, Pointers, ProfileBlock, Progress
from contracts.model_blocks import VisitorSample
from contracts.state import Part
from streams.identity.histories import Additions, Moves, Sent, carry_out
from streams.identity.kept import Kept
from streams.identity.policy import IdentityPolicy
from streams.identity.visitors import forget, live, restate, restated, sample, stored, unpublished

Block = PeopleBlock | ProfileBlock | Departures | Pointers | VisitorSample
S = TypeVar("S", bound=Kept)


class Keeper(Generic[S]):
    """The base of the machines of devices and of addresses, which differ in how they handle a batch."""

    def __init__(self, state: S, policy: IdentityPolicy):
        self._state, self._policy = state, policy
        self._parts = state.parts()

    def resumed(self) -> list[Block]:
        """Convert the amounts that waited and have a rate now."""
        return _convert_waiting(self._state, self._policy)

    def forget(self, people: Set[str]) -> None:
        """Remove people: their devices and addresses, and what waits for these."""
        self._state.forget(people)

    def has_work(self) -> bool:
        """Whether visitors are left to emit at the newest boundary."""
        return self._state.fresh and self._state.restating is not None

    def work(self) -> list[PeopleBlock | Pointers]:
        """Return a portion of these visitors."""
        return restated(self._state, self._policy) if self.has_work() else []

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state by name."""
        return self._parts


def advance(
    kept: Kept, progress: Progress, additions: Additions, moves: Moves, policy: IdentityPolicy
) -> tuple[Sent, list[Block]]:
    """Advance to the slot of ``progress``: apply everything up to it. Return the rows that left, and blocks.

    Blocks of a boundary hold everything of the slots before it. If several boundaries are crossed, only the newest has
    blocks.
    """
    before, kept.slot = kept.slot, progress.slot
    kept.fresh, kept.guarded = progress.fresh, progress.guarded
    crossed = before is None or kept.current > before
    sent: Sent = []
    blocks: list[Block] = []
    if crossed:
        kept.stale = True
        sent, additions, moves = _finish_slots(kept, additions, moves, policy)
        blocks += unpublished(kept, policy)
        if kept.table == "devices":
            blocks.append(sample(kept, policy))
    if additions or len(moves):
        sent += carry_out(kept.owned, additions, moves, policy)
    if crossed:
        kept.owned.end_slots(kept.current)
        blocks += forget(kept, policy)
        kept.crossed += 0 if before is None else kept.current - before
    if kept.fresh:
        others: list[PeopleBlock | Pointers] = []
        if kept.stale:
            restate(kept)
            others = restated(kept, policy)  # without the live ones
        blocks += [*live(kept, policy), *others]
        kept.stale = False
    return sent, blocks


def _finish_slots(
    kept: Kept, additions: Additions, moves: Moves, policy: IdentityPolicy
) -> tuple[Sent, Additions, Moves]:
    """Apply everything before the current slot. Return the rows that left, and the rest to apply."""
    if not additions and not len(moves):
        return [], additions, moves
    events, leaving, moved = (
        slots < kept.current for slots in (additions.events["slot"], moves.slots, additions.moved.slots)
    )
    sent = carry_out(kept.owned, additions.pick(events, moved), moves.pick(leaving), policy)
    return sent, additions.pick(~events, ~moved), moves.pick(~leaving)


def _convert_waiting(kept: Kept, policy: IdentityPolicy) -> list[Block]:
    """Add the amounts that waited and have a rate now, in the current slot; return the visitors who changed.

    Redis may hold newer versions of them: those of the log after the saved state, which is read again now.
    """
    if kept.slot is None:
        return []
    at = kept.owned.table.convert(policy.rates, kept.slot, policy.interval)
    if not len(at):
        return []
    kept.guarded = True
    return [*live(kept, policy)] if kept.fresh else [*stored(kept, at, policy)]
