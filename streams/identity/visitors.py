"""The blocks of visitors: devices and addresses with a history of their own. They are scored, but train no model.

Near the end of the log, visitors changed by events are emitted as live people. All others are emitted as restated
people at the newest boundary and after a catch-up, in portions between batches if they are many. In a catch-up, changed
profiles are emitted at boundaries, for ClickHouse.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Departures, PeopleBlock, Pointers, ProfileBlock
from contracts.metrics import SCORES, labelled
from contracts.model_blocks import VisitorSample
from contracts.times import DAY
from streams.identity.decisions import last_version
from streams.identity.histories import SILENT_BY, blank, is_silent
from streams.identity.kept import Kept
from streams.identity.policy import IdentityPolicy
from streams.identity.sessions import silent_before
from streams.profiles.features import compute_features
from streams.profiles.people_blocks import Maker
from streams.profiles.rounds import portion

_WEEK: Final = 7 * DAY
SAMPLE: Final = 200
"""Size of a bucket's sample for ranking visitors."""
_NEVER_DORMANT: Final = 2**62
"""Microseconds: visitors are forgotten instead."""
Positions = NDArray[np.int64]


def unpublished(kept: Kept, policy: IdentityPolicy) -> list[ProfileBlock]:
    """Return the profiles that changed before the boundary at the start of the current slot and were not emitted.

    Near the end of the log live blocks hold them, except visitors who are forgotten at this boundary.
    """
    table = kept.owned.table
    at = table.unpublished()
    if kept.fresh and len(at):
        at = at[is_silent(table.take(at), kept.current, policy)]
    return stored(kept, at, policy)


def stored(kept: Kept, at: Positions, policy: IdentityPolicy) -> list[ProfileBlock]:
    """Return profiles for ClickHouse, and note that they were emitted."""
    if not len(at):
        return []
    table = kept.owned.table
    block = _maker(kept, policy).profiles(table, at)
    table.given_out(at)
    return [block]


def sample(kept: Kept, policy: IdentityPolicy) -> VisitorSample:
    """Sample visitors as of the boundary at the start of the current slot: the ids with the smallest hashes."""
    table, boundary = kept.owned.table, kept.current
    free = kept.owned.all_free()
    at = free[(table.column("events", free) > 0) & ~_silent(kept, free, policy)]
    count, keys = len(at), table.keys[at]
    if count > SAMPLE:
        chosen = np.argpartition(keys, SAMPLE)[:SAMPLE]
        at, keys = at[chosen], keys[chosen]
    drawn = table.take(at[np.argsort(keys)])
    features = compute_features(drawn, boundary * policy.interval, policy.interval)
    return VisitorSample(kept.bucket, boundary, count, features, drawn["orders"] > 0)


def forget(kept: Kept, policy: IdentityPolicy) -> list[Departures]:
    """Forget visitors who were silent for too long at the start of the current slot; return them."""
    owned, boundary = kept.owned, kept.current
    free = owned.all_free()
    silent = free[_silent(kept, free, policy)]
    gone = silent[owned.table.column("events", silent) > 0]
    departures = []
    if len(gone):
        versions, nobody = np.full(len(gone), last_version(boundary - 1)), np.full(len(gone), "", object)
        ids = owned.table.names.take(gone)
        departures = [Departures(kept.bucket, ids, nobody, versions, kept.guarded, forgotten=True)]
        blank(owned, gone)
    left = owned.idle(silent, silent_before(boundary, policy))
    if len(left):
        owned.release(left)
    return departures


def _silent(kept: Kept, at: Positions, policy: IdentityPolicy) -> NDArray[np.bool_]:
    """Return which of these rows were silent for too long at the start of the current slot."""
    columns = {name: kept.owned.table.column(name, at) for name in SILENT_BY}
    return is_silent(columns, kept.current, policy)


def _visitors(kept: Kept, start: int, stop: int) -> NDArray[np.bool_]:
    """Return which positions from ``start`` to ``stop`` hold visitors."""
    owned = kept.owned
    found: NDArray[np.bool_] = owned.free(start, stop) & (owned.table.column("events", slice(start, stop)) > 0)
    return found


def live(kept: Kept, policy: IdentityPolicy) -> list[PeopleBlock]:
    """Return the visitors changed by events, and note that they were emitted."""
    table = kept.owned.table
    at = table.unpublished()
    if not len(at):
        return []
    block = _maker(kept, policy).current(table, at, kept.current, "live")
    table.given_out(at)
    labelled(SCORES, "event").inc(len(at))
    return [block]


def restate(kept: Kept) -> None:
    """Begin to emit all visitors as of now, and the identified ones whose turn it is."""
    kept.restating = 0


def restated(kept: Kept, policy: IdentityPolicy) -> list[PeopleBlock | Pointers]:
    """Return the next portion: visitors as of now, without those changed by events, and pointers to owners.

    The hashes of identified visitors point to their owners in Redis and must live on there: each has its turn once a
    week, if seen since. Turns at boundaries that were crossed far from the end of the log are made up for.
    """
    if kept.restating is None:
        return []
    owned, table, week = kept.owned, kept.owned.table, max(1, _WEEK // policy.interval)
    crossed = min(kept.crossed, week)

    def chosen(start: int, stop: int) -> NDArray[np.bool_]:
        visitors = _visitors(kept, start, stop) & ~table.changed[start:stop]
        return visitors | owned.pointing(slice(start, stop), kept.current, crossed, week, policy.interval)

    at, kept.restating = portion(kept.restating, len(table.names), policy.portion, chosen)
    if kept.restating is None:
        kept.crossed = 0
    free = owned.are_free(at)
    at, pointing = at[free], at[~free]
    labelled(SCORES, "sweep").inc(len(at))
    blocks: list[PeopleBlock | Pointers] = []
    if len(at):
        blocks.append(_maker(kept, policy).current(table, at, kept.current, "restated"))
    if len(pointing):
        versions = np.full(len(pointing), last_version(kept.current - 1))
        blocks.append(Pointers(kept.bucket, table.names.take(pointing), versions))
    return blocks


def _maker(kept: Kept, policy: IdentityPolicy) -> Maker:
    return Maker(kept.bucket, kept.table, policy.interval, _NEVER_DORMANT, kept.guarded)
