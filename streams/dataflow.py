"""The dataflow: from the log to the stores. The only place where streams, models and sinks meet.

    read-events ─→ facts, dead letters ───────────────────────────────────────────────┐
         │                                                                              ├→ write-clickhouse
         └→ route-to-buckets → keep-profiles ─→ label-outcomes ─→ score-and-learn ─────┤
                                    └ live customers, changed profiles ──┘              ├→ write-redis
                                                                                        └→ write-dead-letters

Anonymous visitors are facts only, so far: resolving them to customers belongs between reading and routing.

Delivery: state is exactly-once by Bytewax's recovery; outputs are handed over at least once and known by their keys.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from contracts.blocks import CustomerBlock, LaneBatch, ModelReport, SweepBlock
from contracts.metrics import CATALOGUE  # noqa: F401 - all metrics exist from the start
from contracts.outputs import DeadLetter, HashWrites, TableRows
from contracts.settings import Settings
from online_models.labels import LabelState, label, window_slots
from online_models.trainer import TrainerPolicy, new_trainer, offer
from sinks.clickhouse import ClickHouseWriter
from sinks.dead_letters import dead_letters_table
from sinks.kafka import DeadLetterWriter
from sinks.redis import RedisWriter
from streams.bucket import BucketPolicy, ProfileBlock
from streams.doubts import DecodePolicy
from streams.features import FEATURES
from streams.hashes import profile_hashes, score_hashes
from streams.lane import LanePolicy
from streams.outlets import Outlet
from streams.rows import change_rows, customers_rows, daily_rows, quality_rows
from streams.source import LaneSource, SourceConfig
from streams.steps import LabelStep, ProfileStep, TrainStep, split_by_bucket

HOUR = 3_600_000_000
DAY = 24 * HOUR
MODELS = "models"
"""The key of the one model bucket: it sees all blocks, so that models do not depend on the number of workers."""


@dataclass(frozen=True)
class Stores:
    """Where the dataflow reads and writes. Made by the composition from settings that name all three."""

    kafka: str
    clickhouse_url: str
    redis_url: str


def build_dataflow(settings: Settings, stores: Stores, stopping: Callable[[], bool]) -> Dataflow:
    """Wire the whole dataflow. ``stopping`` is asked by the sources; True ends the dataflow cleanly."""
    flow = Dataflow("crm")
    lanes = op.input("read-events", flow, LaneSource(source_config(settings, stores, stopping)))
    routed = op.flat_map("route-to-buckets", lanes, partial(
        split_by_bucket, buckets=settings.buckets, partitions=settings.partitions))  # fmt: skip
    policy = bucket_policy(settings)
    profiled = op.stateful_batch("keep-profiles", routed, partial(ProfileStep, policy=policy))
    sweeps = op.flat_map("only-sweeps", profiled, _sweep_blocks)
    labelled = op.stateful_batch("label-outcomes", sweeps, partial(_label_step, settings=settings))
    blocks = op.flat_map("only-customers", profiled, _customer_blocks)
    profiles = op.filter("only-profiles", profiled, lambda item: isinstance(item[1], ProfileBlock))
    to_models = op.map("to-models", op.merge("examples-and-blocks", labelled, blocks), lambda item: (MODELS, item[1]))
    scored = op.stateful_batch("score-and-learn", to_models, partial(_train_step, policy=trainer_policy(settings)))
    _write(settings, stores, lanes, profiles, scored)
    return flow


def _write(
    settings: Settings, stores: Stores, lanes: Stream[LaneBatch], profiles: Stream[Any], scored: Stream[Any]
) -> None:
    parts, interval = settings.partitions, settings.sweep_hours * HOUR
    facts = op.flat_map("to-facts", lanes, _facts)
    changed = op.flat_map("to-customers", profiles, _customers)
    results = op.flat_map("to-results", scored, partial(_results, interval=interval))
    rows = op.merge("rows", facts, changed, results)
    op.output("write-clickhouse", rows, Outlet(parts, lambda: ClickHouseWriter.to(
        stores.clickhouse_url, settings.clickhouse_database)))  # fmt: skip
    scores = op.flat_map("to-score-hashes", scored, _score_hashes)
    known = op.flat_map("to-profile-hashes", profiles, partial(_profile_hashes, currency=settings.base_currency))
    hashes = op.merge("hashes", scores, known)
    op.output("write-redis", hashes, Outlet(parts, lambda: RedisWriter.to(stores.redis_url)))
    letters = op.flat_map("to-dead-letters", lanes, _letters)
    op.output("write-dead-letters", letters, Outlet(parts, lambda: DeadLetterWriter.to(stores.kafka)))


def source_config(settings: Settings, stores: Stores, stopping: Callable[[], bool]) -> SourceConfig:
    """What reading must know of the settings."""
    interval = settings.sweep_hours * HOUR
    return SourceConfig(
        bootstrap_servers=stores.kafka,
        decoding=DecodePolicy(
            interval, settings.partitions, settings.buckets, settings.base_currency, dict(settings.exchange_rates)),
        reading=LanePolicy(
            int(settings.replay_step_days * DAY), int(settings.replay_epoch_days * DAY), settings.max_batch_events),
        live_backlog_events=settings.live_backlog_events,
        stopping=stopping,
    )  # fmt: skip


def bucket_policy(settings: Settings) -> BucketPolicy:
    """What profiles must know of the settings."""
    longest = max(window_slots(outcome, settings.sweep_hours) for outcome in settings.outcomes)
    interval = settings.sweep_hours * HOUR
    return BucketPolicy(
        interval=interval,
        dormant_after=settings.dormant_days * DAY,
        training_stride=max(1, settings.training_stride_days * 24 // settings.sweep_hours),
        counters=tuple(sorted({outcome.counter for outcome in settings.outcomes})),
        seen_capacity=max(1, settings.duplicate_window_events // settings.buckets),
        longest_window=longest * interval,
    )


def trainer_policy(settings: Settings) -> TrainerPolicy:
    """What the models must know of the settings."""
    return TrainerPolicy(settings.outcomes, settings.buckets, settings.sweep_hours)


def _label_step(saved: bytes | None, settings: Settings) -> LabelStep:
    state: LabelState = pickle.loads(saved) if saved is not None else LabelState()  # noqa: S301 - our own store
    return LabelStep(state, partial(label, outcomes=settings.outcomes, interval_hours=settings.sweep_hours))


def _train_step(saved: bytes | None, policy: TrainerPolicy) -> TrainStep:
    state = new_trainer(policy.outcomes, FEATURES)
    if saved is not None:
        state = pickle.loads(saved)  # noqa: S301 - our own store
    return TrainStep(state, partial(offer, policy=policy))


def _sweep_blocks(item: tuple[str, Any]) -> Iterable[tuple[str, SweepBlock]]:
    bucket, block = item
    return [(bucket, block)] if isinstance(block, SweepBlock) else []


def _customer_blocks(item: tuple[str, Any]) -> Iterable[tuple[str, CustomerBlock]]:
    """Sweeps without what only labelling needs, and the other blocks of customers, in the order of their bucket."""
    bucket, block = item
    if isinstance(block, SweepBlock):
        return [(bucket, block.customers)]
    return [(bucket, block)] if isinstance(block, CustomerBlock) else []


def _facts(batch: LaneBatch) -> Iterable[tuple[str, TableRows]]:
    key = str(batch.partition)
    rows = [(key, facts) for facts in batch.facts]
    if batch.dead:
        rows.append((key, TableRows("dead_letters", dead_letters_table(batch.dead))))
    return rows


def _letters(batch: LaneBatch) -> Iterable[tuple[str, DeadLetter]]:
    return [(str(batch.partition), letter) for letter in batch.dead]


def _customers(item: tuple[str, ProfileBlock]) -> Iterable[tuple[str, TableRows]]:
    bucket, block = item
    return [] if block.published else [(bucket, customers_rows(block))]


def _profile_hashes(item: tuple[str, ProfileBlock], currency: str) -> Iterable[tuple[str, HashWrites]]:
    bucket, block = item
    return [(bucket, profile_hashes(block, currency))] if block.published else []


def _results(item: tuple[str, Any], interval: int) -> Iterable[tuple[str, TableRows]]:
    """Scores and reports as rows; a boundary spreads them over the parts of the sink."""
    value = item[1]
    if isinstance(value, ModelReport):
        return [(str(value.boundary), quality_rows(value, interval))]
    key = str(value.customers.boundary)
    if value.customers.recorded:
        return [(key, daily_rows(value, interval))]
    return [] if value.customers.sweep else [(key, change_rows(value))]


def _score_hashes(item: tuple[str, Any]) -> Iterable[tuple[str, HashWrites]]:
    """Scores for those who look them up: live ones, and sweeps as they are published."""
    value = item[1]
    if isinstance(value, ModelReport) or value.customers.recorded:
        return []
    return [(str(value.customers.bucket), score_hashes(value))]
