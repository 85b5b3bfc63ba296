"""The keyed steps of the dataflow: thin logics around the pure core.

Their snapshots are pickled at once, by themselves: the engine pickles later, when the state has moved on.
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bytewax.operators import StatefulBatchLogic

from contracts.blocks import BucketBatch, CustomerBlock, LaneBatch, Released, SweepBlock
from contracts.metrics import CUSTOMERS, DUPLICATES, EXAMPLES, LATE, SCORES, SWEEPS, TOO_LATE
from streams.profiles.bucket import BucketPolicy, BucketState, Tally
from streams.profiles.customers import CustomersState, Input, Output, advance, convert_waiting, new_bucket
from streams.error_boundary import at_edge
from streams.journal import JOURNAL

RETAIN: Final = False
AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time that has come already: the engine wakes a step for it without delay."""


def split_by_bucket(batch: LaneBatch, buckets: int, partitions: int) -> list[tuple[str, BucketBatch]]:
    """One part for every bucket of the lane, also for those without events: all must learn of the clock."""
    parts = []
    for bucket in range(batch.partition, buckets, partitions):
        mine = batch.buckets == bucket
        part = BucketBatch(bucket, batch.events[mine], batch.customers[mine], batch.clock, batch.fresh)
        parts.append((str(bucket), part))
    return parts


class ProfileStep(StatefulBatchLogic[Input, Output, bytes]):
    """Keeps one bucket's profiles of customers. A state from an earlier run is looked through for waiting money."""

    def __init__(self, saved: bytes | None, policy: BucketPolicy):
        self._policy = policy
        self._state: CustomersState | None = pickle.loads(saved) if saved is not None else None  # noqa: S301 - our own store
        self._resumed = saved is not None

    @at_edge
    def notify_at(self) -> datetime | None:
        """At once after a resumption: money may have waited for the rates of this run."""
        return AT_ONCE if self._resumed else None

    @at_edge
    def on_notify(self) -> tuple[Iterable[Output], bool]:
        """Convert waiting money that has a rate now."""
        outputs = self._convert()
        if self._state is not None:
            _count(self._state, Tally(), outputs)
        return [output for output in outputs if not _is_empty(output)], RETAIN

    def _convert(self) -> list[Output]:
        due, self._resumed = self._resumed, False
        return list(convert_waiting(self._state, self._policy)) if due and self._state is not None else []

    @at_edge
    def on_batch(self, values: list[Input]) -> tuple[Iterable[Output], bool]:
        """Apply batches and give out what they complete."""
        if self._state is None:
            self._state = new_bucket(values[0].bucket, self._policy)
        state, tally = self._state, Tally()
        outputs = self._convert()
        for batch in values:
            outputs.extend(advance(state, batch, self._policy, tally))
        _count(state, tally, outputs)
        return [output for output in outputs if not _is_empty(output)], RETAIN

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)


def _is_empty(output: Output) -> bool:
    """Whether a block says nothing. An empty sweep does: that its bucket has crossed the boundary."""
    return not isinstance(output, SweepBlock) and not len(output.ids)


def _count(state: BucketState, tally: Tally, outputs: Sequence[Output]) -> None:
    count_events(tally)
    SWEEPS.inc(sum(isinstance(output, SweepBlock) for output in outputs))
    SCORES.labels("sweep").inc(sum(len(o.customers.ids) for o in outputs if isinstance(o, SweepBlock)))
    SCORES.labels("event").inc(sum(len(o.ids) for o in outputs if isinstance(o, CustomerBlock) and not o.sweep))
    CUSTOMERS.labels(state.bucket).set(len(state.table))


def count_events(tally: Tally) -> None:
    """Add what a batch did to the metrics."""
    DUPLICATES.inc(tally.duplicates)
    LATE.inc(tally.late)
    JOURNAL.late(tally.late)
    TOO_LATE.inc(tally.too_late)


class LabelStep(StatefulBatchLogic[SweepBlock, Released, bytes]):
    """Keeps one bucket's training snapshots. ``label`` is :func:`online_models.labels.label` with its settings."""

    def __init__(self, state: Any, label: Callable[[Any, SweepBlock], Released]):
        self._state = state
        self._label = label

    @at_edge
    def on_batch(self, values: list[SweepBlock]) -> tuple[Iterable[Released], bool]:
        """Label sweeps in their order."""
        return [self._label(self._state, sweep) for sweep in values], RETAIN

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)


class TrainStep(StatefulBatchLogic[Any, Any, bytes]):
    """Keeps the models. ``offer`` is :func:`online_models.trainer.offer` with its settings."""

    def __init__(self, state: Any, offer: Callable[[Any, Sequence[Any]], Iterable[Any]]):
        self._state = state
        self._offer = offer

    @at_edge
    def on_batch(self, values: list[CustomerBlock | Released]) -> tuple[Iterable[Any], bool]:
        """Take blocks in and give out what they complete."""
        for block in values:
            if isinstance(block, Released):
                for outcome, examples in block.examples.items():
                    EXAMPLES.labels(outcome).inc(len(examples.labels))
        return list(self._offer(self._state, values)), RETAIN

    @at_edge
    def snapshot(self) -> bytes:
        """The state, pickled."""
        return pickle.dumps(self._state, pickle.HIGHEST_PROTOCOL)
