"""The steps of the dataflow that tell who is whom: thin logics around the pure core.

    lanes ─ links ─→ resolve-identities ─ verdicts ─→ keep-visitors ─→ hand-over ─→ keep-profiles
    lanes ─ visits ─────────────────────────────────→      └ overlays ─────────────→

Their snapshots are pickled at once, by themselves: the engine pickles later, when the state has moved on.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from bytewax.operators import StatefulBatchLogic

from contracts.blocks import BucketBatch, CustomerBlock, LaneBatch, VisitorSample
from contracts.crossings import Absorb, Decisions, HandOver, LaneNews, Overlay, Verdicts
from contracts.identity import ANONYMOUS
from contracts.metrics import IDENTITIES, SCORES, VISITORS
from streams.profiles.bucket import BucketPolicy, Tally
from streams.error_boundary import at_edge
from streams.identity.handover import GatherState, gather
from streams.identity.resolver import LINKED, Decided, IdentityPolicy, IdentityState, Resolution, resolve
from streams.steps import AT_ONCE, RETAIN, count_events
from streams.identity.visitors import Input, Output, VisitorsState, convert_waiting, new_visitors, visit

RESOLVER: Final = "identities"
"""The key of the one resolver and of the one gatherer: each sees all buckets."""


def news_of(batch: LaneBatch, interval: int) -> list[tuple[str, LaneNews]]:
    """What the resolver must know of a batch: nothing, as long as the slot stays and nobody is identified."""
    if not batch.turned and not len(batch.links):
        return []
    slot = None if batch.clock is None else batch.clock // interval
    return [(RESOLVER, LaneNews(batch.partition, batch.links, batch.start, slot))]


def split_visits(batch: LaneBatch, buckets: int, partitions: int) -> list[tuple[str, BucketBatch]]:
    """One part of the visitors' events for every bucket of the lane, also without events: all must know the clock."""
    visits = batch.visits
    parts = []
    for bucket in range(batch.partition, buckets, partitions):
        mine = visits.buckets == bucket
        part = BucketBatch(bucket, visits.events[mine], visits.visitors[mine], batch.clock, batch.fresh)
        parts.append((str(bucket), part))
    return parts


class ResolveStep(StatefulBatchLogic[LaneNews, Verdicts | Decisions, bytes]):
    """Decides who is whom. ``bucket_of`` tells the bucket of a visitor's profile."""

    def __init__(
        self, saved: bytes | None, policy: IdentityPolicy, buckets: int, bucket_of: Callable[[str], int]
    ):
        self._policy, self._buckets, self._bucket_of = policy, buckets, bucket_of
        self._state, self._decided = IdentityState(), b""
        if saved is not None:
            self._decided, self._state = pickle.loads(saved)  # noqa: S301 - our own store
            self._state.decided = pickle.loads(self._decided)  # noqa: S301 - our own store

    @at_edge
    def on_batch(self, values: list[LaneNews]) -> tuple[Iterable[Verdicts | Decisions], bool]:
        """Take news of lanes in and give out what they decide."""
        outputs: list[Verdicts | Decisions] = []
        for news in values:
            before = self._state.boundary
            resolution = resolve(self._state, news, self._policy)
            for verdict in resolution.verdicts:
                IDENTITIES.labels(verdict.outcome).inc()
            if resolution.verdicts:
                outputs.append(Decisions(resolution.verdicts))
            moved = self._state.boundary != before
            if moved:
                self._decided = b""
            outputs += self._verdicts(resolution, moved=moved)
        return outputs, RETAIN

    def _verdicts(self, resolution: Resolution, *, moved: bool) -> Iterable[Verdicts]:
        """One for each bucket that must know: of a new boundary all of them."""
        final: dict[int, dict[int, dict[str, str]]] = {}
        for boundary, linked in resolution.final.items():
            for visitor, person in linked.items():
                final.setdefault(self._bucket_of(visitor), {}).setdefault(boundary, {})[visitor] = person
        hints: dict[int, dict[str, str | None]] = {}
        for visitor, likely in resolution.hints.items():
            hints.setdefault(self._bucket_of(visitor), {})[visitor] = likely
        refused: dict[int, dict[int, list[tuple[str, str]]]] = {}
        for each in resolution.verdicts:
            if each.outcome != LINKED and each.identity.startswith(ANONYMOUS):
                book = refused.setdefault(self._bucket_of(each.identity), {})
                book.setdefault(each.boundary, []).append((each.identity, each.person))
        start, reached = min(self._state.starts.values(), default=0), self._state.boundary
        if reached is None:
            return
        for bucket in range(self._buckets) if moved else sorted(hints):
            mine = final.get(bucket, {}), hints.get(bucket, {}), refused.get(bucket, {})
            yield Verdicts(bucket, start, reached, *mine)

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled; what is decided, the most of it, only when it has changed."""
        self._decided = self._decided or pickle.dumps(self._state.decided, pickle.HIGHEST_PROTOCOL)
        return pickle.dumps((self._decided, replace(self._state, decided=Decided())), pickle.HIGHEST_PROTOCOL)


_ALWAYS: Final = (HandOver, Overlay, VisitorSample)
"""Outputs that say something even when nobody is in them."""


class VisitorStep(StatefulBatchLogic[Input, Output, bytes]):
    """Keeps one bucket's visitors. A state from an earlier run is looked through for waiting money."""

    def __init__(self, saved: bytes | None, policy: BucketPolicy):
        self._policy = policy
        self._state: VisitorsState | None = pickle.loads(saved) if saved is not None else None  # noqa: S301 - our own store
        self._resumed = saved is not None

    @at_edge
    def notify_at(self) -> datetime | None:
        """At once after a resumption: money may have waited for the rates of this run."""
        return AT_ONCE if self._resumed else None

    @at_edge
    def on_notify(self) -> tuple[Iterable[Output], bool]:
        """Convert waiting money that has a rate now."""
        return self._given_out(self._convert()), RETAIN

    def _convert(self) -> list[Output]:
        due, self._resumed = self._resumed, False
        return list(convert_waiting(self._state, self._policy)) if due and self._state is not None else []

    @at_edge
    def on_batch(self, values: list[Input]) -> tuple[Iterable[Output], bool]:
        """Apply batches and verdicts and give out what they complete."""
        if self._state is None:
            self._state = new_visitors(values[0].bucket, self._policy)
        state, tally = self._state, Tally()
        outputs = self._convert() + [out for item in values for out in visit(state, item, self._policy, tally)]
        count_events(tally)
        VISITORS.labels(state.bucket).set(len(state.table))
        return self._given_out(outputs), RETAIN

    @staticmethod
    def _given_out(outputs: list[Output]) -> list[Output]:
        for block in outputs:
            if isinstance(block, CustomerBlock):
                SCORES.labels("sweep" if block.sweep else "event").inc(len(block.ids))
        return [output for output in outputs if isinstance(output, _ALWAYS) or len(output.ids)]

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)


class GatherStep(StatefulBatchLogic[HandOver, Absorb, bytes]):
    """Gives what visitors' buckets hand over to customers' buckets, once all are through with a boundary."""

    def __init__(self, saved: bytes | None, buckets: int, bucket_of: Callable[[str], int]):
        self._buckets, self._bucket_of = buckets, bucket_of
        self._state: GatherState = pickle.loads(saved) if saved is not None else GatherState()  # noqa: S301 - our own store

    @at_edge
    def on_batch(self, values: list[HandOver]) -> tuple[Iterable[Absorb], bool]:
        """Take hand-overs in and give out complete boundaries."""
        outputs = [out for item in values for out in gather(self._state, item, self._buckets, self._bucket_of)]
        return outputs, RETAIN

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)
