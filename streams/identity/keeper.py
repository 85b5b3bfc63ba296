"""Shared by devices and addresses: advances to a slot, crosses the boundary before it, and emits visitors."""

import numpy as np

from contracts.blocks import Departures, PeopleBlock, ProfileBlock, Progress
from contracts.model_blocks import VisitorSample
from contracts.rates import WAITS
from streams.identity.histories import Additions, Moves, Sent, carry_out
from streams.identity.kept import Kept
from streams.identity.policy import IdentityPolicy
from streams.identity.visitors import forget, live, restated, sample, stored, unpublished
from streams.profiles.deltas import fade
from streams.profiles.money import settle
from streams.profiles.raw import put, take

Block = PeopleBlock | ProfileBlock | Departures | VisitorSample


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
    if kept.fresh:
        others = [*restated(kept, policy)] if kept.stale else []
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


def convert_waiting(kept: Kept, policy: IdentityPolicy) -> list[Block]:
    """Add the amounts that waited and have a rate now, in the current slot; return the visitors who changed.

    Redis may hold newer versions of them: those of the log after the saved state, which is read again now.
    """
    table = kept.owned.table
    entries = table.unconverted.entries
    if kept.slot is None or not len(entries):
        return []
    worth = policy.rates.worth(entries["currency"], entries["occurred"], entries["amount"])
    at = np.unique(entries["row"][worth != WAITS]).astype(np.int64)
    if not len(at):
        return []
    faded = take(table.rows, at)
    fade(faded, kept.slot, policy.interval)
    put(table.rows, at, faded)
    rest, _ = settle(table.rows, entries, policy.rates, policy.interval)
    table.unconverted.replace(rest)
    table.touch(at, np.zeros(len(at), np.int64))
    kept.guarded = True
    return [*live(kept, policy)] if kept.fresh else [*stored(kept, at, policy)]
