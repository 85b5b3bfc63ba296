"""One bucket of visitors as a state machine: people of whom only an anonymous id is known.

Their profiles are scored like customers', but train no model and are not recorded at sweeps. When a visitor turns out
to be a customer, the profile is handed over at the next boundary, and so is, at each later one, what still comes under
the old id. Before the boundary copies go to the customer as overlays, for live scores. Who is silent for long is
forgotten. Pure: no engine, no client, no clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import BucketBatch, CustomerBlock, VisitorSample
from contracts.crossings import Entries, HandOver, Moved, Overlay, Verdicts
from streams.profiles.bucket import (
    VERSION_SHIFT,
    BucketPolicy,
    BucketState,
    Chosen,
    ProfileBlock,
    Tally,
    apply_due,
    block_of,
    current,
    end_slot,
    reachable,
    settle_waiting,
    take,
    touched,
    versions_of,
)
from streams.profiles.features import compute_features
from streams.profiles.merging import stack_rows
from streams.profiles.table import blank_rows
from streams.profiles.known_ids import SeenIds
from streams.profiles.unconverted import join_entries

LAST_VERSION = (1 << VERSION_SHIFT) - 1
"""In a slot, no visitor's own version is above this."""
SAMPLE: Final = 200
"""Visitors of a bucket in the sample against which scores are ranked at each boundary."""


@dataclass
class VisitorsState(BucketState):
    """Everything that a bucket of visitors remembers."""

    person_of: dict[str, str] = field(default_factory=dict)
    """The customers whom visitors turned out to be, by profile id."""
    due: dict[int, dict[str, str]] = field(default_factory=dict)
    """The same of boundaries that this bucket has not reached."""
    hints: dict[str, str] = field(default_factory=dict)
    """Who visitors likely are, by the links of the slot that is not over."""
    rehinted: set[str] = field(default_factory=set)
    """Visitors whose hint changed since it was told."""
    overlaid: dict[str, str] = field(default_factory=dict)
    """To whom rows were copied in this slot, by visitor."""
    refused: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """By boundary: visitors who are not whom a link said, with that customer."""
    retold: dict[str, int] = field(default_factory=dict)
    """Visitors of whom something must be told anew, with the slot as of which."""
    stale: bool = False
    """Whether a boundary was crossed since all visitors were scored."""


Input = BucketBatch | Verdicts
Output = HandOver | Overlay | Moved | CustomerBlock | ProfileBlock | VisitorSample
_Rows = tuple[int, str, str, NDArray[np.void], Entries | None]
"""What is handed over: boundary, visitor, customer, the visitor's row, and its amounts that wait for a rate."""


def new_visitors(bucket: int, policy: BucketPolicy) -> VisitorsState:
    """Return an empty bucket."""
    return VisitorsState(bucket, seen=SeenIds(policy.seen_capacity))


def visit(state: VisitorsState, item: Input, policy: BucketPolicy, tally: Tally) -> Iterator[Output]:
    """Take one input in: apply what has come due, and hand over at every boundary that may be crossed now."""
    if isinstance(item, BucketBatch):
        take(state, item)
    else:
        _note(state, item)
    target = reachable(state, policy.interval)
    if target is None or state.start is None:
        return
    if state.slot is None:
        state.slot = state.start
        yield _sample(state, policy)
        yield _hand_over(state, [])
    apply_due(state, policy, tally)
    handed: list[_Rows] = []
    before = current(state)
    while current(state) < target:
        state.slot = current(state) + 1
        yield from _cross(state, policy, handed)
        apply_due(state, policy, tally)
    if before < target:
        yield _hand_over(state, handed)
    if state.fresh:
        yield from _tell(state, policy)


def convert_waiting(state: VisitorsState, policy: BucketPolicy) -> Iterator[Output]:
    """Add amounts that waited for an exchange rate and have one now; give out the profiles that changed."""
    changed = settle_waiting(state, policy)
    others = [(name, at) for name, at in _named(state, changed) if _person(state, name) is None]
    if not others:
        return
    state.retold |= {name: current(state) for name, _ in others}
    state.stale = True
    yield _stored(state, np.array([at for _, at in others], np.int64))
    if state.fresh:
        yield from _tell(state, policy)


def _note(state: VisitorsState, verdicts: Verdicts) -> None:
    state.start, state.through = verdicts.start, verdicts.boundary
    for boundary, linked in verdicts.final.items():
        state.due.setdefault(boundary, {}).update(linked)
    state.rehinted |= verdicts.hints.keys()
    for boundary, refused in verdicts.refused.items():
        state.refused.setdefault(boundary, []).extend(refused)
    for visitor, person in verdicts.hints.items():
        if person is None:
            state.hints.pop(visitor, None)
        else:
            state.hints[visitor] = person


def _hand_over(state: VisitorsState, handed: list[_Rows]) -> HandOver:
    """Everything that this bucket owes to boundaries up to the current one."""
    unconverted = [(at, entries) for at, (*_, entries) in enumerate(handed) if entries is not None]
    for at, entries in unconverted:
        entries["row"] = at
    return HandOver(
        bucket=state.bucket,
        start=state.start or 0,
        through=current(state),
        boundaries=np.array([boundary for boundary, *_ in handed], np.int64),
        sources=np.array([source for _, source, *_ in handed], object),
        persons=np.array([person for _, _, person, *_ in handed], object),
        rows=stack_rows(row for *_, row, _ in handed),
        unconverted=join_entries(entries for _, entries in unconverted),
    )


def _cross(state: VisitorsState, policy: BucketPolicy, handed: list[_Rows]) -> Iterator[Output]:
    """End a slot: those who are known now leave, and those who were silent for too long are forgotten."""
    linked = state.due.pop(current(state), {})
    state.person_of |= linked
    for name in linked:
        state.hints.pop(name, None)
    rows = np.flatnonzero(touched(state, policy))
    leaving = {name: at for name, at in _named(state, rows) if name in state.person_of}
    leaving |= {name: at for name in linked if (at := state.table.find(name)) is not None}
    moved = linked | {name: state.person_of[name] for name in leaving}
    if moved:
        yield _moved(moved, current(state) - 1)
    refused = state.refused.pop(current(state), [])
    handed += _owed(state, leaving, refused)
    staying = _retell(state, {*state.overlaid, *(name for name, _ in refused)} - leaving.keys())
    rows = np.union1d(rows, np.array(staying, np.int64))
    yield _stored(state, np.setdiff1d(rows, np.array(list(leaving.values()), np.int64)))
    _drop(state, leaving.values(), policy)
    yield _sample(state, policy)
    end_slot(state, policy)
    state.overlaid, state.stale = {}, True


def _owed(state: VisitorsState, leaving: Mapping[str, int], refused: Iterable[tuple[str, str]]) -> Iterator[_Rows]:
    """What customers get at this boundary: the rows of those who leave, and word of those who do not."""
    unconverted = state.table.unconverted.by_row(leaving.values())
    for name, at in sorted(leaving.items()):
        yield current(state), name, state.person_of[name], state.table.used[at : at + 1].copy(), unconverted.get(at)
    for name, person in refused:
        yield current(state), name, person, blank_rows(1), None


def _retell(state: VisitorsState, names: Iterable[str]) -> list[int]:
    """Note that what was said of some visitors, who stay after all, must be told anew; return their rows."""
    found = {name: at for name in names if (at := state.table.find(name)) is not None}
    state.retold |= dict.fromkeys(found, current(state))
    state.table.used["unpublished"][list(found.values())] = True
    return list(found.values())


def _named(state: VisitorsState, rows: NDArray[np.int64]) -> Iterable[tuple[str, int]]:
    return zip(state.table.names.take(rows).tolist(), rows.tolist(), strict=True)


def _drop(state: VisitorsState, leaving: Iterable[int], policy: BucketPolicy) -> None:
    """Take out who left and who is forgotten."""
    cut = current(state) * policy.interval - policy.visitors_forgotten_after
    gone = state.table.used["last_seen"] < cut
    gone[list(leaving)] = True
    if gone.any():
        state.table = state.table.without(np.flatnonzero(gone))


def _sample(state: VisitorsState, policy: BucketPolicy) -> VisitorSample:
    """Draw visitors as of the boundary at which the current slot begins: those whose ids have the smallest hashes."""
    keys = state.table.used["key"]
    at = np.arange(len(keys)) if len(keys) <= SAMPLE else np.argpartition(keys, SAMPLE)[:SAMPLE]
    rows = state.table.used.take(at[np.argsort(keys[at])])
    now = current(state) * policy.interval
    return VisitorSample(state.bucket, current(state), len(keys), compute_features(rows, now, now), rows["orders"] > 0)


def _moved(linked: Mapping[str, str], slot: int) -> Moved:
    """Say that visitors are customers by links of a slot; their own scores have lower versions."""
    versions = np.full(len(linked), (slot << VERSION_SHIFT) + LAST_VERSION, np.int64)
    return Moved(np.array(list(linked), object), np.array(list(linked.values()), object), versions)


def _tell(state: VisitorsState, policy: BucketPolicy) -> Iterator[Output]:
    """Give out what readers should see now: overlays of those who are known, scores of the others."""
    known = {at for at in state.unscored if _person(state, state.table.ids[at]) is not None}
    yield from _overlays(state, known)
    chosen = np.array(sorted(state.unscored.keys() - known), np.int64)
    if state.stale:
        yield _scored(state, _others(state), policy, sweep=True)
        state.stale = False
    if len(chosen):
        oldest = min(state.unscored[at] for at in chosen.tolist()) / 1_000
        yield _stored(state, chosen)
        yield replace(_scored(state, chosen, policy, sweep=False), oldest_record_at=oldest)
    yield from _published(state, policy)
    state.unscored.clear()


def _person(state: VisitorsState, visitor: str) -> str | None:
    hints = state.hints if state.slot == state.through else {}  # of a slot that this bucket has not reached yet
    return state.person_of.get(visitor) or hints.get(visitor)


def _others(state: VisitorsState) -> NDArray[np.int64]:
    """All rows but those that events moved, and those of customers: once in a slot, before anything else is told."""
    others = np.ones(len(state.table), np.bool_)
    others[list(state.unscored)] = False
    others[[at for name in state.hints if _person(state, name) and (at := state.table.find(name)) is not None]] = False
    return np.flatnonzero(others)


def _overlays(state: VisitorsState, moved: Iterable[int]) -> Iterator[Output]:
    """Copies for the live scores of those whom visitors turned out to be: where rows moved, and where hints changed."""
    entered = {state.table.ids[at]: state.unscored[at] for at in moved}
    rehinted: set[str] = set()
    if state.slot == state.through:
        rehinted, state.rehinted = state.rehinted, set()
    new, back = {}, {}
    for name in sorted({*entered, *rehinted}):
        person, before = _person(state, name), state.overlaid.get(name)
        if before is not None and before != person:
            back[name] = before
        if person is not None and (name in entered or before != person) and state.table.find(name) is not None:
            new[name] = person
    hinted = {name: person for name, person in new.items() if state.overlaid.get(name) != person}
    for name in back:
        del state.overlaid[name]
    state.overlaid |= new
    if hinted:
        yield _moved(hinted, current(state))
    pairs = [(name, person, False) for name, person in back.items()]
    pairs += [(name, person, True) for name, person in new.items()]
    if pairs:
        yield _overlay(state, pairs, entered)


def _overlay(state: VisitorsState, pairs: list[tuple[str, str, bool]], entered: Mapping[str, int]) -> Overlay:
    at = [state.table.find(name) for name, *_ in pairs]
    return Overlay(
        bucket=state.bucket,
        slot=current(state),
        sources=np.array([name for name, *_ in pairs], object),
        persons=np.array([person for _, person, _ in pairs], object),
        rows=state.table.used.take([row or 0 for row in at]),
        present=np.array([present for *_, present in pairs], np.bool_),
        entered=np.array([entered.get(name, 0) for name, *_ in pairs], np.int64),
    )


def _scored(state: VisitorsState, at: NDArray[np.int64], policy: BucketPolicy, *, sweep: bool) -> CustomerBlock:
    rows = state.table.used.take(at)
    now = np.maximum(rows["last_seen"], current(state) * policy.interval)
    return replace(block_of(state, Chosen(at, rows, now), policy, sweep=sweep), visitors=True)


def _stored(state: VisitorsState, at: NDArray[np.int64]) -> ProfileBlock:
    rows = state.table.used.take(at)
    return ProfileBlock(state.table.names.take(at), versions_of(current(state), rows), rows, published=False)


def _published(state: VisitorsState, policy: BucketPolicy) -> Iterator[Output]:
    """The profiles that changed, for look-ups; of those who are customers nothing is looked up here."""
    changed = np.flatnonzero(state.table.used["unpublished"])
    state.table.used["unpublished"][changed] = False
    at = np.array([row for name, row in _named(state, changed) if _person(state, name) is None], np.int64)
    if len(at):
        rows, names = state.table.used.take(at), state.table.names.take(at)
        told = [state.retold.get(name, 0) for name in names.tolist()]
        slots = np.maximum(rows["slot_end"] // policy.interval - 1, told)
        yield ProfileBlock(names, versions_of(slots, rows), rows, published=True)
    state.retold = {}
