"""Changes profile rows of devices or addresses: adds events and rows, and moves rows to their owners.

All slots of an activation are handled in bulk. Only few rows need one slot after the other: rows that may be forgotten
in between because they are silent, and rows that move and get events again in a later slot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.arrays import compress, join, take
from contracts.blocks import EventArray, MovedRows, RowArray, no_events, no_texts
from contracts.ids import Texts
from contracts.metrics import LATE
from streams.identity.owned import Owned
from streams.identity.policy import IdentityPolicy
from streams.journal import JOURNAL
from streams.profiles.deltas import deltas, fade
from streams.profiles.money import convert_events
from streams.profiles.moved import no_moved, pick
from streams.profiles.rows import times_of

Positions = NDArray[np.int64]


@cache
def _nothing() -> Positions:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Additions:
    """Events for rows of this table, in the order of their slots, and rows that moved here."""

    at: Positions = field(default_factory=_nothing)
    events: EventArray = field(default_factory=no_events)
    moved_at: Positions = field(default_factory=_nothing)
    moved: MovedRows = field(default_factory=no_moved)

    def __bool__(self) -> bool:
        return bool(len(self.at) or len(self.moved_at))

    def pick(self, events: NDArray[np.bool_], moved: NDArray[np.bool_]) -> "Additions":
        """Return some of them."""
        return Additions(self.at[events], compress(self.events, events), self.moved_at[moved], pick(self.moved, moved))

    def newest_slot(self) -> int:
        """Return the newest slot of all."""
        slots = [int(part.max()) for part in (self.events["slot"], self.moved.slots) if len(part)]
        return max(slots)


@dataclass(frozen=True)
class Moves:
    """Rows at positions that move to ``owners`` at slots, in the order of the slots. ``entered`` is in milliseconds."""

    at: Positions = field(default_factory=_nothing)
    slots: Positions = field(default_factory=_nothing)
    owners: Texts = field(default_factory=no_texts)
    routes: Positions = field(default_factory=_nothing)
    entered: Positions = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.at)

    def pick(self, kept: NDArray[np.bool_]) -> "Moves":
        """Return some of them."""
        return Moves(self.at[kept], self.slots[kept], self.owners[kept], self.routes[kept], self.entered[kept])


NO_ADDITIONS: Final = Additions()
NO_MOVES: Final = Moves()
SILENT_BY: Final = ("slot", "last_seen")
Sent = list[tuple[NDArray[np.integer], MovedRows]]
"""Rows that move to owners, with their routes."""


def carry_out(owned: Owned, additions: Additions, moves: Moves, policy: IdentityPolicy) -> Sent:
    """Add and move rows, with the same result as slot by slot; return the rows that left."""
    sent: Sent = []
    for slot in _stops(additions, moves):
        early, leaving = moves.slots <= slot, moves.slots == slot
        events, moved = additions.events["slot"] <= slot, additions.moved.slots <= slot
        add(owned, additions.pick(events, moved), policy)
        sent.append(_take(owned, moves.pick(leaving), policy))
        additions, moves = additions.pick(~events, ~moved), moves.pick(~early)
    add(owned, additions, policy)
    if len(moves):
        sent.append(_take(owned, moves, policy))
    return sent


def _stops(additions: Additions, moves: Moves) -> list[int]:
    """Return the slots at which rows must move before more is added to them; usually none."""
    if not len(moves):
        return []
    last = dict(zip(moves.at.tolist(), moves.slots.tolist(), strict=True))
    added = ((additions.at, additions.events["slot"]), (additions.moved_at, additions.moved.slots))
    if len(last) < len(moves) or any(_follows(last, at, slots) for at, slots in added):
        return sorted(set(moves.slots.tolist()))
    return []


def _follows(last: dict[int, int], at: Positions, slots: NDArray[np.integer]) -> bool:
    """Return whether any row gets additions after its last move."""
    if not len(at):
        return False
    moving = np.flatnonzero(np.isin(at, np.fromiter(last, np.int64, len(last))))
    return any(slots[each] > last[int(at[each])] for each in moving.tolist())


def add(owned: Owned, additions: Additions, policy: IdentityPolicy) -> None:
    """Add events and rows. A row that was silent for too long before a slot is forgotten first."""
    if not additions:
        return
    silent = _may_be_forgotten(owned, additions, policy)
    if not len(silent):
        _add(owned, additions, policy)
        return
    events, moved = np.isin(additions.at, silent), np.isin(additions.moved_at, silent)
    _add(owned, additions.pick(~events, ~moved), policy)
    rare = additions.pick(events, moved)
    for slot in sorted({*rare.events["slot"].tolist(), *rare.moved.slots.tolist()}):
        now = rare.pick(rare.events["slot"] == slot, rare.moved.slots == slot)
        at = np.union1d(now.at, now.moved_at)
        blank(owned, at[is_silent(owned.table.take(at), slot, policy)])
        _add(owned, now, policy)


def _may_be_forgotten(owned: Owned, additions: Additions, policy: IdentityPolicy) -> Positions:
    """Return positions of rows that may be silent for too long before one of these slots; usually none."""
    limit = additions.newest_slot() * policy.interval - policy.visitors_forgotten_after
    table, events = owned.table, additions.events
    ends = (events["slot"].astype(np.int64) + 1) * policy.interval - 1  # an event counts there at the latest
    found = [_nothing()]
    for at, times in (
        (additions.at, np.minimum(events["occurred"], ends)),
        (additions.moved_at, times_of(additions.moved.rows["last_seen"])),
    ):
        if len(at):
            old = times < limit
            old |= (times_of(table.column("last_seen", at)) < limit) & (table.column("events", at) > 0)
            found.append(at[old])
    return np.unique(np.concatenate(found)) if any(map(len, found)) else found[0]


def is_silent(
    rows: RowArray | Mapping[str, NDArray[Any]], slots: NDArray[np.integer] | int, policy: IdentityPolicy
) -> NDArray[np.bool_]:
    """Return which profiles were forgotten at the beginning of a slot (one, or one per row) at the latest.

    Of ``rows`` it needs the columns :data:`SILENT_BY`.
    """
    limit = np.asarray(slots, np.int64) * policy.interval - policy.visitors_forgotten_after
    silent: NDArray[np.bool_] = (rows["slot"] < slots) & (times_of(rows["last_seen"]) < limit)
    return silent


def _add(owned: Owned, additions: Additions, policy: IdentityPolicy) -> None:
    """Add events and rows, in the order of their slots, so that rounding does not depend on how batches were cut."""
    table, moved = owned.table, additions.moved
    if len(additions.at):
        at, rows, entries = deltas(additions.at, convert_events(additions.events, policy.rates), policy.interval)
        table.unconverted.add(entries)
        late = int(np.count_nonzero(additions.events["late"]))
        if late:
            LATE.inc(late)
            JOURNAL.late(late)
    if len(moved):
        both = (at, additions.moved_at) if len(additions.at) else (additions.moved_at,)
        rows = join((rows, moved.rows)) if len(additions.at) else moved.rows
        order = np.argsort(rows["slot"], kind="stable")
        at, rows = np.concatenate(both)[order], take(rows, order)
        entries = moved.unconverted.copy()
        entries["row"] = additions.moved_at[entries["row"]]
        table.unconverted.add(entries)
    elif not len(additions.at):
        return
    owned.count_visitors(at)
    one_slot = not len(moved) and rows["slot"][0] == rows["slot"][-1]
    table.add(at, rows, policy.interval, distinct=bool(one_slot))
    if len(additions.at):
        table.touch(additions.at, np.ascontiguousarray(additions.events["entered"]))
    if len(moved):
        table.touch(additions.moved_at, moved.entered)


def _take(owned: Owned, moves: Moves, policy: IdentityPolicy) -> tuple[NDArray[np.integer], MovedRows]:
    """Remove rows and return those with a history, as of the ends of their moves' slots."""
    table = owned.table
    rows = table.take(moves.at)
    kept = (rows["events"] > 0) & ~is_silent(rows, moves.slots, policy)
    fade(rows, np.maximum(moves.slots, rows["slot"]), policy.interval)
    entries = table.unconverted.take(moves.at)
    moved = MovedRows(moves.slots, table.names.take(moves.at), moves.owners, rows, moves.entered, entries)
    blank(owned, moves.at)
    return moves.routes[kept], pick(moved, kept)


def blank(owned: Owned, at: Positions) -> None:
    """Remove the histories of rows; their ids stay."""
    if len(at):
        owned.visitors -= int((owned.table.column("events", at) > 0).sum())
        owned.table.unconverted.take(at)
        owned.table.clear(at)
