"""The blocks of visitors: devices and addresses with a history of their own. They are scored, but train no model.

While scores follow the log, visitors leave as live people when events moved them, and all others as restated ones at
the newest boundary and after a catch-up. In a catch-up, changed profiles leave at boundaries, for ClickHouse only.
"""

from collections.abc import Iterator
from typing import Final, Literal

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
from streams.profiles.rows import versions_of
from streams.profiles.segments import lifecycle_of, segment_of

SAMPLE: Final = 200
"""Visitors of a bucket in the sample against which visitors are ranked."""
_MOST_ROWS: Final = 16_384
Positions = NDArray[np.int64]


def unpublished(kept: Kept, policy: IdentityPolicy) -> list[ProfileBlock]:
    """Return the profiles that changed before the boundary at which the current slot begins and were not given out.

    While scores follow the log, live blocks hold them, except those who are forgotten at this boundary.
    """
    table = kept.owned.table
    at = np.flatnonzero(table.changed)
    if kept.fresh and len(at):
        at = at[is_silent(table.rows[at], kept.current, policy)]
    return stored(kept, at)


def stored(kept: Kept, at: Positions) -> list[ProfileBlock]:
    """Return profiles for ClickHouse, and note that they were given out."""
    if not len(at):
        return []
    table = kept.owned.table
    rows, names = table.rows[at], table.names[at]
    table.given_out(at)
    return [ProfileBlock(kept.bucket, names, versions_of(rows["slot"], rows), rows)]


def sample(kept: Kept, policy: IdentityPolicy) -> VisitorSample:
    """Draw visitors as of the boundary at which the current slot begins: those whose ids have the smallest hashes."""
    rows, boundary = kept.owned.table.rows, kept.current
    at = np.flatnonzero((rows["events"] > 0) & ~is_silent(rows, boundary, policy))
    count, keys = len(at), rows["key"][at]
    if count > SAMPLE:
        chosen = np.argpartition(keys, SAMPLE)[:SAMPLE]
        at, keys = at[chosen], keys[chosen]
    drawn = rows[at[np.argsort(keys)]]
    features = compute_features(drawn, boundary * policy.interval, policy.interval)
    return VisitorSample(kept.bucket, boundary, count, features, drawn["orders"] > 0)


def forget(kept: Kept, policy: IdentityPolicy) -> list[Departures]:
    """Forget visitors who were silent for too long when the current slot began; return them."""
    owned, boundary = kept.owned, kept.current
    rows, names = owned.table.rows, owned.table.names
    silent = is_silent(rows, boundary, policy)
    gone = np.flatnonzero(silent & (rows["events"] > 0))
    departures = []
    if len(gone):
        versions = np.full(len(gone), last_version(boundary - 1))
        departures = [Departures(kept.bucket, names[gone], np.full(len(gone), "", object), versions, kept.guarded)]
        blank(owned, gone)
    limit = silent_before(boundary, policy)
    left = np.flatnonzero(silent & ~owned.is_settled() & (owned.web_seconds[: len(names)] < limit))
    left = left[names[left] != ""]
    if len(left):
        owned.release(left)
    return departures


def live(kept: Kept, policy: IdentityPolicy) -> list[PeopleBlock]:
    """Return the visitors whom events moved, and note that they were given out."""
    table = kept.owned.table
    at = np.flatnonzero(table.changed)
    if not len(at):
        return []
    block = _people(kept, "live", at, policy)
    table.given_out(at)
    SCORES.labels("event").inc(len(at))
    return [block]


def restated(kept: Kept, policy: IdentityPolicy) -> Iterator[PeopleBlock]:
    """Return all visitors as of now but those whom events moved."""
    table = kept.owned.table
    others = np.flatnonzero((table.rows["events"] > 0) & ~table.changed)
    SCORES.labels("sweep").inc(len(others))
    for start in range(0, len(others), _MOST_ROWS):
        yield _people(kept, "restated", others[start : start + _MOST_ROWS], policy)


def _people(kept: Kept, kind: Literal["live", "restated"], at: Positions, policy: IdentityPolicy) -> PeopleBlock:
    table, slot = kept.owned.table, kept.current
    rows = table.rows[at]
    now = np.maximum(rows["last_seen"], slot * policy.interval)
    lifecycle = lifecycle_of(rows, now)
    return PeopleBlock(
        bucket=kept.bucket,
        kind=kind,
        table=kept.table,
        ids=table.names[at],
        versions=versions_of(slot, rows),
        as_of=now,
        boundaries=np.full(len(at), slot, np.int32),
        features=compute_features(rows, now, policy.interval),
        buyers=rows["orders"] > 0,
        lifecycle=lifecycle,
        segment=segment_of(rows, lifecycle),
        leaving=np.zeros(len(at), np.bool_),
        positions=at.astype(np.int32),
        entered=table.entered[at],
        publish=True,
        guarded=kept.guarded,
        rows=rows,
    )
