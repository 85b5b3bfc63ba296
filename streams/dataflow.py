"""The dataflow: from the log to the stores. The only place where streams, models and sinks meet.

    read-events ─→ facts, dead letters ───────────────────────────────────────────────┐
      │                                                                                 ├→ write-clickhouse
      ├→ route-to-buckets → keep-profiles ─→ label-outcomes ─→ score-and-learn ────────┤
      │                       ↑     └ live customers, changed profiles ──┘              ├→ write-redis
      │                   hand-over                                      │              └→ write-dead-letters
      ├→ route-visits ──→ keep-visitors ── live visitors ────────────────┘
      └→ links ─→ resolve-identities ┘

Delivery: state is exactly-once by Bytewax's recovery; outputs are handed over at least once and known by their keys.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from confluent_kafka import murmur2

from contracts.blocks import LaneBatch
from contracts.identity import home_of
from contracts.metrics import CATALOGUE  # noqa: F401 - all metrics exist from the start
from contracts.outputs import TableRows
from contracts.rates import Rates, constant_steps
from contracts.settings import Settings
from online_models.labels import LabelState, label, window_slots
from online_models.trainer import TrainerPolicy, new_trainer, offer
from sinks.clickhouse import ClickHouseWriter
from sinks.dead_letters import dead_letters_table
from sinks.kafka import DeadLetterWriter
from sinks.redis import RedisWriter
from streams.publish import routing as outflows
from streams.profiles.bucket import BucketPolicy, ProfileBlock
from streams.read.validation import DecodePolicy
from streams.profiles.features import FEATURES
from streams.identity.resolver import IdentityPolicy
from streams.read.lane import LanePolicy
from streams.publish.bytewax_sinks import Outlet
from streams.identity.people import GatherStep, ResolveStep, VisitorStep, news_of, split_visits
from streams.read.source import LaneSource, SourceConfig
from streams.steps import LabelStep, ProfileStep, TrainStep, split_by_bucket

HOUR = 3_600_000_000
DAY = 24 * HOUR
SECOND = 1_000_000
MODELS = "models"
"""The key of the one model bucket: it sees all blocks, so that models do not depend on the number of workers."""


@dataclass(frozen=True)
class Stores:
    """Where the dataflow reads and writes. Made by the composition from settings that name all three."""

    kafka: str
    clickhouse_url: str
    redis_url: str


def build_dataflow(
    settings: Settings, stores: Stores, stopping: Callable[[], bool], rates: Rates | None = None,
    on_money: Callable[[str], None] = lambda _: None,
) -> Dataflow:
    """Wire the whole dataflow.

    ``stopping`` is asked by the sources; True ends the dataflow cleanly. ``rates`` are those in force (None: those of
    the settings). ``on_money`` is called with the currencies of money while the base currency is undecided.
    """
    rates = rates_of(settings) if rates is None else rates
    flow = Dataflow("crm")
    config = source_config(settings, stores, stopping, rates)
    lanes = op.input("read-events", flow, LaneSource(replace(config, on_money=on_money)))
    policy = bucket_policy(settings, rates)
    decided, visited = _visitors(settings, lanes, policy)
    profiled = _customers(settings, lanes, visited, policy)
    sweeps = op.flat_map("only-sweeps", profiled, outflows.sweep_blocks)
    labelled = op.stateful_batch("label-outcomes", sweeps, partial(_label_step, settings=settings))
    everybody = op.merge("customers-and-visitors", profiled, visited)
    blocks = op.flat_map("only-customers", everybody, outflows.customer_blocks)
    to_models = op.map("to-models", op.merge("examples-and-blocks", labelled, blocks), lambda item: (MODELS, item[1]))
    scored = op.stateful_batch("score-and-learn", to_models, partial(_train_step, policy=trainer_policy(settings)))
    profiles = op.filter("only-profiles", everybody, lambda item: isinstance(item[1], ProfileBlock))
    people = op.merge("verdicts-and-moves", decided, visited)
    _write(settings, stores, _Outputs(lanes, profiles, scored, people), rates.base)
    return flow


def _visitors(
    settings: Settings, lanes: Stream[LaneBatch], policy: BucketPolicy
) -> tuple[Stream[Any], Stream[Any]]:
    """Who is whom, and the profiles of those of whom that is not known."""
    place = partial(bucket_of, buckets=settings.buckets)
    links = op.flat_map("to-links", lanes, partial(news_of, interval=policy.interval))
    decided = op.stateful_batch("resolve-identities", links, partial(
        ResolveStep, policy=identity_policy(settings), buckets=settings.buckets, bucket_of=place))  # fmt: skip
    visits = op.flat_map("route-visits", lanes, partial(
        split_visits, buckets=settings.buckets, partitions=settings.partitions))  # fmt: skip
    verdicts = op.flat_map("to-verdicts", decided, outflows.verdicts)
    inputs: Stream[Any] = op.merge("visits-and-verdicts", visits, verdicts)
    return decided, op.stateful_batch("keep-visitors", inputs, partial(VisitorStep, policy=policy))


def _customers(
    settings: Settings, lanes: Stream[LaneBatch], visited: Stream[Any], policy: BucketPolicy
) -> Stream[Any]:
    """The profiles of customers, from their own events and from what visitors hand over."""
    place = partial(bucket_of, buckets=settings.buckets)
    routed = op.flat_map("route-to-buckets", lanes, partial(
        split_by_bucket, buckets=settings.buckets, partitions=settings.partitions))  # fmt: skip
    hands = op.flat_map("to-hand-over", visited, outflows.hand_overs)
    gathered = op.stateful_batch("hand-over", hands, partial(
        GatherStep, buckets=settings.buckets, bucket_of=place))  # fmt: skip
    absorbs = op.map("to-absorb", gathered, lambda item: (str(item[1].bucket), item[1]))
    overlays = op.flat_map("to-overlays", visited, partial(outflows.overlays, place=place))
    inputs: Stream[Any] = op.merge("events-and-visitors", routed, absorbs, overlays)
    return op.stateful_batch("keep-profiles", inputs, partial(ProfileStep, policy=policy))


@dataclass(frozen=True)
class _Outputs:
    """What is written: read batches, changed profiles, scores and reports, and who is whom."""

    lanes: Stream[LaneBatch]
    profiles: Stream[Any]
    scored: Stream[Any]
    people: Stream[Any]


def _write(settings: Settings, stores: Stores, made: _Outputs, currency: str | None) -> None:
    parts, interval = settings.partitions, settings.sweep_hours * HOUR
    rows = op.merge(
        "rows",
        op.flat_map("to-facts", made.lanes, _facts),
        op.flat_map("to-customers", made.profiles, outflows.customers),
        op.flat_map("to-results", made.scored, partial(outflows.results, interval=interval)),
        op.flat_map("to-identity-rows", made.people, partial(outflows.identity_rows, interval=interval)),
    )
    op.output("write-clickhouse", rows, Outlet(parts, lambda: ClickHouseWriter.to(
        stores.clickhouse_url, settings.clickhouse_database)))  # fmt: skip
    expire, names = settings.visitor_days * DAY // SECOND, [outcome.name for outcome in settings.outcomes]
    hashes = op.merge(
        "hashes",
        op.flat_map("to-score-hashes", made.scored, partial(outflows.score_hashes, expire=expire)),
        op.flat_map("to-profile-hashes", made.profiles, partial(
            outflows.profile_hashes, currency=currency, expire=expire)),
        op.flat_map("to-moved-hashes", made.people, partial(outflows.moved_hashes, outcomes=names, expire=expire)),
    )  # fmt: skip
    op.output("write-redis", hashes, Outlet(parts, lambda: RedisWriter.to(stores.redis_url)))
    letters = op.flat_map("to-dead-letters", made.lanes, outflows.letters)
    op.output("write-dead-letters", letters, Outlet(parts, lambda: DeadLetterWriter.to(stores.kafka)))


def rates_of(settings: Settings) -> Rates:
    """The base currency and the constant exchange rates of the settings."""
    return Rates(settings.base_currency, constant_steps(settings.exchange_rates))


def source_config(
    settings: Settings, stores: Stores, stopping: Callable[[], bool], rates: Rates | None = None
) -> SourceConfig:
    """What reading must know of the settings, and the exchange rates in force (None: those of the settings)."""
    interval = settings.sweep_hours * HOUR
    return SourceConfig(
        bootstrap_servers=stores.kafka,
        decoding=DecodePolicy(
            interval, settings.partitions, settings.buckets, rates_of(settings) if rates is None else rates),
        reading=LanePolicy(
            int(settings.replay_step_days * DAY), int(settings.replay_epoch_days * DAY), settings.max_batch_events),
        live_backlog_events=settings.live_backlog_events,
        stopping=stopping,
    )  # fmt: skip


def bucket_policy(settings: Settings, rates: Rates | None = None) -> BucketPolicy:
    """What profiles must know of the settings, and the exchange rates in force (None: those of the settings)."""
    longest = max(window_slots(outcome, settings.sweep_hours) for outcome in settings.outcomes)
    interval = settings.sweep_hours * HOUR
    return BucketPolicy(
        interval=interval,
        dormant_after=settings.dormant_days * DAY,
        training_stride=max(1, settings.training_stride_days * 24 // settings.sweep_hours),
        counters=tuple(sorted({outcome.counter for outcome in settings.outcomes})),
        seen_capacity=max(1, settings.duplicate_window_events // settings.buckets),
        longest_window=longest * interval,
        rates=rates_of(settings) if rates is None else rates,
        visitors_forgotten_after=settings.visitor_days * DAY,
    )


def identity_policy(settings: Settings) -> IdentityPolicy:
    """What resolving must know of the settings."""
    return IdentityPolicy(settings.partitions, settings.most_merges, settings.visitor_days * 24 // settings.sweep_hours)


def bucket_of(profile_id: str, buckets: int) -> int:
    """The bucket of a profile: in the lane in which the records of its id are."""
    return int(murmur2(home_of(profile_id).encode(), buckets))


def trainer_policy(settings: Settings) -> TrainerPolicy:
    """What the models must know of the settings."""
    return TrainerPolicy(settings.outcomes, settings.buckets, settings.sweep_hours, visitor_buckets=settings.buckets)


def _label_step(saved: bytes | None, settings: Settings) -> LabelStep:
    state: LabelState = pickle.loads(saved) if saved is not None else LabelState()  # noqa: S301 - our own store
    return LabelStep(state, partial(label, outcomes=settings.outcomes, interval_hours=settings.sweep_hours))


def _train_step(saved: bytes | None, policy: TrainerPolicy) -> TrainStep:
    state = new_trainer(policy.outcomes, FEATURES)
    if saved is not None:
        state = pickle.loads(saved)  # noqa: S301 - our own store
    return TrainStep(state, partial(offer, policy=policy))


def _facts(batch: LaneBatch) -> Iterable[tuple[str, TableRows]]:
    key = str(batch.partition)
    rows = [(key, facts) for facts in batch.facts]
    if batch.dead:
        rows.append((key, TableRows("dead_letters", dead_letters_table(batch.dead))))
    return rows
