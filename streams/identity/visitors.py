"""The blocks of visitors: devices and addresses with a history of their own. They are scored, but train no model.

While scores follow the log, visitors leave as live people when events moved them, and all others as restated ones at
the newest boundary and after a catch-up. In a catch-up, changed profiles leave at boundaries, for ClickHouse only.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import Departures, PeopleBlock, ProfileBlock, VisitorSample
from contracts.metrics import SCORES
from streams.identity.decisions import last_version
from streams.identity.histories import blank, is_silent
from streams.identity.kept import Kept
from streams.identity.policy import IdentityPolicy
from streams.identity.sessions import silent_before
from streams.profiles.features import compute_features
from streams.profiles.people_blocks import Maker
from streams.profiles.raw import take

SAMPLE: Final = 200
"""Visitors of a bucket in the sample against which visitors are ranked."""
_MOST_ROWS: Final = 16_384
_NEVER_DORMANT: Final = 2**62
"""Microseconds: visitors are forgotten instead."""
Positions = NDArray[np.int64]


def unpublished(kept: Kept, policy: IdentityPolicy) -> list[ProfileBlock]:
    """Return the profiles that changed before the boundary at which the current slot begins and were not given out.

    While scores follow the log, live blocks hold them, except those who are forgotten at this boundary.
    """
    table = kept.owned.table
    at = np.flatnonzero(table.changed)
    if kept.fresh and len(at):
        at = at[is_silent(take(table.rows, at), kept.current, policy)]
    return stored(kept, at, policy)


def stored(kept: Kept, at: Positions, policy: IdentityPolicy) -> list[ProfileBlock]:
    """Return profiles for ClickHouse, and note that they were given out."""
    if not len(at):
        return []
    table = kept.owned.table
    block = _maker(kept, policy).profiles(table, at)
    table.given_out(at)
    return [block]


def sample(kept: Kept, policy: IdentityPolicy) -> VisitorSample:
    """Draw visitors as of the boundary at which the current slot begins: those whose ids have the smallest hashes."""
    rows, boundary = kept.owned.table.rows, kept.current
    at = _visitors(kept)
    at = at[~is_silent(take(rows, at), boundary, policy)]
    count, keys = len(at), rows["key"][at]
    if count > SAMPLE:
        chosen = np.argpartition(keys, SAMPLE)[:SAMPLE]
        at, keys = at[chosen], keys[chosen]
    drawn = take(rows, at[np.argsort(keys)])
    features = compute_features(drawn, boundary * policy.interval, policy.interval)
    return VisitorSample(kept.bucket, boundary, count, features, drawn["orders"] > 0)


def forget(kept: Kept, policy: IdentityPolicy) -> list[Departures]:
    """Forget visitors who were silent for too long when the current slot began; return them."""
    owned, boundary = kept.owned, kept.current
    free = owned.free()
    silent = free[is_silent(take(owned.table.rows, free), boundary, policy)]
    gone = silent[owned.table.rows["events"][silent] > 0]
    departures = []
    if len(gone):
        versions, nobody = np.full(len(gone), last_version(boundary - 1)), np.full(len(gone), "", object)
        departures = [Departures(kept.bucket, owned.table.names[gone], nobody, versions, kept.guarded, forgotten=True)]
        blank(owned, gone)
    left = owned.idle(silent, silent_before(boundary, policy))
    if len(left):
        owned.release(left)
    return departures


def _visitors(kept: Kept) -> Positions:
    """Return the positions of all visitors."""
    free = kept.owned.free()
    return free[kept.owned.table.rows["events"][free] > 0]


def live(kept: Kept, policy: IdentityPolicy) -> list[PeopleBlock]:
    """Return the visitors whom events moved, and note that they were given out."""
    table = kept.owned.table
    at = np.flatnonzero(table.changed)
    if not len(at):
        return []
    block = _maker(kept, policy).current(table, at, kept.current, "live")
    table.given_out(at)
    SCORES.labels("event").inc(len(at))
    return [block]


def restated(kept: Kept, policy: IdentityPolicy) -> Iterator[PeopleBlock]:
    """Return all visitors as of now but those whom events moved."""
    table, everybody = kept.owned.table, _visitors(kept)
    others = everybody[~table.changed[everybody]]
    SCORES.labels("sweep").inc(len(others))
    for start in range(0, len(others), _MOST_ROWS):
        at = others[start : start + _MOST_ROWS]
        yield _maker(kept, policy).current(table, at, kept.current, "restated")


def _maker(kept: Kept, policy: IdentityPolicy) -> Maker:
    return Maker(kept.bucket, kept.table, policy.interval, _NEVER_DORMANT, kept.guarded)
