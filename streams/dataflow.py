"""The dataflow: from the log to the stores. The only module where reading, identity, profiles, models and sinks meet.

    read-events ─→ facts, dead letters ─→ write-clickhouse, write-dead-letters
      └→ split-lanes → keep-devices → keep-addresses → keep-customers ─→ learn ─ models ─→ score ─→ write-clickhouse
                         └ visitors ──────┴─────────────┴ people ────────────────────────↑   └──→ write-redis

1. ``read-events`` reads the four input topics, one *lane* (a partition of each) at a time, and decodes records into
   columns. Facts and dead letters go straight to the sinks.
2. ``split-lanes`` splits a batch by *bucket*, the unit of state: the bucket of the device, else of the customer.
3. ``keep-devices`` and ``keep-addresses`` resolve identity: a device or an e-mail address has a history of its own (a
   visitor) or an owner who gets its events.
4. ``keep-customers`` adds events and moved histories to profiles, and sweeps all customers at each boundary.
5. ``learn`` trains the models with labelled examples and broadcasts them to all buckets.
6. ``score`` scores changed people at once, and sweeps when the models of their boundaries have come.
7. The ``write-*`` outputs buffer blocks and flush them with each snapshot.

Items are blocks of columns, never single events (:mod:`contracts.blocks`). Keyed steps run one state machine per bucket
(:class:`streams.steps.Step`); the key is the bucket's number. Only ``learn`` has a single key. A machine returns blocks
of several types; ``_of`` selects the type that the next step takes.

Delivery: state is exactly-once by Bytewax's recovery, which keeps positions and the tokens of stored state
(:mod:`streams.state.store`). Outputs are written at least once; the stores keep one per key.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Protocol, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream

from contracts.backlog import SweepBacklog
from contracts.blocks import CustomerBatch, Departures, Forwarded, LaneBatch, PeopleBlock
from contracts.forgotten import Forgotten, forgotten_path, read_forgotten
from contracts.machine import Machine
from contracts.metrics import AHEAD_EVENTS, BOUNDARIES_LEFT
from contracts.model_blocks import BoundaryModels, Released, ScoredBlock, VisitorSample
from contracts.rates import Rates, constant_steps
from contracts.settings import Settings
from contracts.times import DAY, HOUR, SECOND
from online_models.labels import LabelState, forget, label, window_slots
from online_models.policy import ModelsPolicy
from online_models.scoring import Score
from online_models.trainer import Learn
from online_models.trainer import Output as LearnOutput
from sinks.clickhouse import ClickHouseWriter
from sinks.dead_letters import dead_letters_table
from sinks.kafka import DeadLetterWriter
from sinks.past_log import PastLog
from sinks.redis import RedisWriter
from streams.identity.addresses import Addresses
from streams.identity.addresses import Output as AddressOutput
from streams.identity.devices import Devices
from streams.identity.devices import Output as DeviceOutput
from streams.identity.policy import IdentityPolicy
from streams.pace import Pace
from streams.profiles.customers import Customers, CustomersPolicy
from streams.profiles.customers import Output as CustomerOutput
from streams.profiles.features import FEATURES
from streams.profiles.labelling import Labeller
from streams.profiles.sweeps import STACK, SweepPolicy
from streams.publish import routing
from streams.publish.bytewax_sinks import WriterSink
from streams.publish.hashes import hash_blocks
from streams.publish.reasons import explain, explain_briefly
from streams.publish.tables import table_blocks
from streams.read.announce import ClockWriter, announcements
from streams.read.breaker import BreakerPolicy
from streams.read.config import SourceConfig
from streams.read.lane import LanePolicy
from streams.read.pausing import AcceptedOffsets
from streams.read.places import bucket_of
from streams.read.skew import LaneClocks, SkewPolicy
from streams.read.source import LaneSource
from streams.read.split import split_lane
from streams.read.validation import DecodePolicy
from streams.rebuild import saved_ends
from streams.recovery import outbox_folder, state_folder
from streams.state.store import StepStore
from streams.steps import Step

MODELS = "models"
"""The key of the one step that learns: it sees all buckets, so models do not depend on the number of workers."""
MOST_ROWS = 400_000
"""Rows of sweeps that all buckets make at once, and of those that wait for models: some 90 MB. A bucket may have one
stack at least."""
MOST_BEHIND = 4_000
"""Hashes that may wait for Redis when more people of a sweep are scored: they take some 50 ms at the epoch's end."""
MOST_ROWS_BEHIND = 250_000
"""Rows that may wait for ClickHouse when a sweep goes on: 500,000 would stop the flow, with all live events."""
PeopleOutput = DeviceOutput | AddressOutput | CustomerOutput
Out = TypeVar("Out")


@dataclass(frozen=True)
class Stores:
    """Addresses of the broker and the stores. :func:`streams.run.run_worker` makes it from the settings."""

    kafka: str
    clickhouse_url: str
    redis_url: str


class _OfBucket(Protocol):
    """A block that belongs to a bucket."""

    @property
    def bucket(self) -> int:
        """The number of the bucket."""
        ...


T = TypeVar("T", bound=_OfBucket)
In = TypeVar("In", bound=_OfBucket)


def build_dataflow(
    settings: Settings, stores: Stores, stopping: Callable[[], bool], rates: Rates | None = None,
    on_money: Callable[[str], None] = lambda _: None,
) -> Dataflow:
    """Wire the whole dataflow.

    Sources call ``stopping`` before every batch; True ends the dataflow cleanly. ``rates`` are the exchange rates in
    force (None: the rates of the settings). ``on_money`` is called with each currency read while the base currency is
    undecided. Events of people who were forgotten are left out; those who are pending are removed from the state.
    """
    rates, forgotten = rates_of(settings) if rates is None else rates, read_forgotten(forgotten_path(settings))
    flow = Dataflow("crm")
    rows, hashes = _clickhouse(settings, stores, rates.base), _redis(settings, stores, rates.base)
    pace, backlog, alone = Pace(partial(_behind, hashes, rows)), SweepBacklog(), settings.workers == 1
    config = replace(
        source_config(settings, stores, stopping, rates, forgotten), on_money=on_money,
        on_epoch_end=partial(_begin_flush, rows, alone), epoch_seconds=inf if alone else settings.epoch_seconds,
        may_wait=lambda: alone and not pace.is_asked,
        is_held=lambda: backlog.is_behind,
        past=_past(settings, stores), rows=lambda: rows.writer,
    )  # fmt: skip
    AHEAD_EVENTS.set_function(lambda: config.clocks.waiting)
    BOUNDARIES_LEFT.set_function(lambda: backlog.boundaries)
    lanes = op.input("read-events", flow, LaneSource(config))
    if settings.workers > 1:  # lanes of one process share their clocks
        clocks = op.flat_map("clocks", lanes, partial(announcements, partitions=settings.partitions))
        op.output("announce-clocks", clocks, WriterSink(settings.partitions, partial(ClockWriter, config.clocks)))
    batches = op.flat_map("split-lanes", lanes, partial(
        split_lane, buckets=settings.buckets, partitions=settings.partitions))  # fmt: skip
    machines = _Machines(state_folder(settings), pace, forgotten.pending)
    identity = identity_policy(settings, rates)
    devices = machines.run("keep-devices", batches, partial(Devices, policy=identity))
    forwarded = _of("forwarded", devices, Forwarded)
    addresses = machines.run("keep-addresses", forwarded, partial(Addresses, policy=identity))
    customers = machines.run("keep-customers", _of("customer-batches", addresses, CustomerBatch), partial(
        Customers, policy=customers_policy(settings, rates), labeller=labeller(settings),
        backlog=backlog))  # fmt: skip
    people: KeyedStream[PeopleOutput] = op.merge("people", devices, addresses, customers)
    deliveries: KeyedStream[Released | VisitorSample] = op.merge(
        "deliveries",
        _of("visitor-samples", devices, VisitorSample, key=MODELS), _of("examples", customers, Released, key=MODELS),
    )  # fmt: skip
    learned = machines.run("learn", deliveries, partial(Learn, policy=models_policy(settings)), lambda _: MODELS)
    to_score: KeyedStream[BoundaryModels | PeopleBlock | Departures] = op.merge(
        "to-score", _of("models", learned, BoundaryModels), _of("blocks", people, PeopleBlock, Departures))  # fmt: skip
    scored = machines.run("score", to_score, partial(
        Score, policy=models_policy(settings), explain=explain, explain_briefly=explain_briefly, backlog=backlog,
    ))  # fmt: skip
    _write(settings, stores, _Outputs(lanes, people, learned, scored), rows, hashes)
    return flow


@dataclass(frozen=True)
class _Machines:
    """Runs state machines whose state is stored in a folder, and who share the pace of work between batches.

    ``forget`` are the profile ids of people who are removed from it.
    """

    state: Path
    pace: Pace
    forget: Set[str]

    def run(
        self, name: str, up: KeyedStream[In], make: Callable[[], Machine[In, Out]],
        name_of: Callable[[In], str] | None = None,
    ) -> KeyedStream[Out]:  # fmt: skip
        """Run one state machine per key, made by ``make``. ``name_of`` names its folder; None: the bucket does."""
        stores = StepStore(self.state, name, forget=self.forget)
        return op.stateful_batch(name, up, partial(
            Step, make=make, stores=stores, name_of=name_of or _bucket, pace=self.pace))  # fmt: skip


def _bucket(block: _OfBucket) -> str:
    return str(block.bucket)


def _of(name: str, up: KeyedStream[object], *kinds: type[T], key: str | None = None) -> KeyedStream[T]:
    """Select the items of types ``kinds`` from a stream, in their order, keyed by their own bucket or by ``key``.

    The bucket of a block that moves on, such as ``Forwarded``, is the bucket of its receiver, not of its sender. With
    the new key Bytewax delivers the block to the worker that runs the receiver.
    """

    def pick(item: tuple[str, object]) -> list[tuple[str, T]]:
        block = item[1]
        return [(key or str(block.bucket), block)] if isinstance(block, kinds) else []

    return op.flat_map(name, up, pick)


@dataclass(frozen=True)
class _Outputs:
    """The streams that are written: batches read, changed people and links, reports of models, scores."""

    lanes: Stream[LaneBatch]
    people: KeyedStream[PeopleOutput]
    learned: KeyedStream[LearnOutput]
    scored: KeyedStream[ScoredBlock]


def _clickhouse(settings: Settings, stores: Stores, currency: str | None) -> WriterSink[ClickHouseWriter]:
    to_blocks = partial(table_blocks, interval=settings.sweep_hours * HOUR, currency=currency)
    return WriterSink(settings.partitions, lambda: ClickHouseWriter.to(
        stores.clickhouse_url, settings.clickhouse_database, to_blocks, outbox_folder(settings)))  # fmt: skip


def _past(settings: Settings, stores: Stores) -> PastLog | None:
    """Return the records before the start of the log, if profiles are rebuilt from the warehouse."""
    ends = saved_ends(settings.data_dir)
    return None if ends is None else PastLog(stores.clickhouse_url, settings.clickhouse_database, ends)


def _begin_flush(rows: WriterSink[ClickHouseWriter], alone: bool, live: bool) -> None:
    """Let ClickHouse store the epoch's rows while the steps take their snapshots, so that the flush waits less.

    In a catch-up the flush is patient, if this worker is alone: while one of several waits, the engine of the others
    takes a whole core each to ask whether the epoch has ended, and ClickHouse may not get one. The first time the
    writer begins to send what earlier runs have left, also if no rows come.
    """
    rows.open()
    if rows.writer is not None:
        rows.writer.begin_flush(patient=alone and not live)


def _redis(settings: Settings, stores: Stores, currency: str | None) -> WriterSink[RedisWriter]:
    to_hashes = partial(
        hash_blocks, outcomes=[outcome.name for outcome in settings.outcomes], currency=currency,
        expires_seconds=settings.visitor_days * DAY // SECOND)  # fmt: skip
    return WriterSink(settings.partitions, lambda: RedisWriter.to(stores.redis_url, to_hashes))


def _behind(hashes: WriterSink[RedisWriter], rows: WriterSink[ClickHouseWriter], makes_rows: bool) -> bool:
    """Whether so much waits for Redis, or for ClickHouse if ``makes_rows``, that live events would feel it.

    It knows the writers of this process only. Some of the blocks may go to writers of other processes.
    """
    many_rows = rows.writer is not None and rows.writer.waiting > MOST_ROWS_BEHIND
    many_hashes = hashes.writer is not None and hashes.writer.waiting > MOST_BEHIND
    return many_hashes or (makes_rows and many_rows)


def _write(
    settings: Settings, stores: Stores, made: _Outputs, rows: WriterSink[ClickHouseWriter],
    hashes: WriterSink[RedisWriter],
) -> None:  # fmt: skip
    results: KeyedStream[PeopleOutput | LearnOutput | ScoredBlock] = op.merge(
        "results", made.people, made.learned, made.scored)  # fmt: skip
    for_clickhouse = op.merge(
        "rows",
        op.flat_map("facts", made.lanes, partial(routing.facts, dead_letters_table=dead_letters_table)),
        op.flat_map("for-clickhouse", results, routing.for_clickhouse),
    )
    op.output("write-clickhouse", for_clickhouse, rows)
    for_redis = op.flat_map("for-redis", op.merge("readers", made.people, made.scored), routing.for_redis)
    op.output("write-redis", for_redis, hashes)
    letters = op.flat_map("letters", made.lanes, routing.letters)
    op.output("write-dead-letters", letters, WriterSink(
        settings.partitions, lambda: DeadLetterWriter.to(stores.kafka)))  # fmt: skip


def rates_of(settings: Settings) -> Rates:
    """Return the base currency and the constant exchange rates of the settings."""
    return Rates(settings.base_currency, constant_steps(settings.exchange_rates))


def source_config(
    settings: Settings, stores: Stores, stopping: Callable[[], bool], rates: Rates | None = None,
    forgotten: Forgotten | None = None,
) -> SourceConfig:  # fmt: skip
    """Return the settings of reading; ``rates`` are the exchange rates in force (None: the rates of the settings)."""
    interval = settings.sweep_hours * HOUR
    return SourceConfig(
        bootstrap_servers=stores.kafka,
        decoding=DecodePolicy(
            interval, settings.partitions, settings.buckets, rates_of(settings) if rates is None else rates,
            forgotten=forgotten or Forgotten(), shops=settings.order_shops),
        reading=LanePolicy(
            int(settings.replay_step_days * DAY), int(settings.replay_epoch_days * DAY), settings.max_batch_events),
        live_backlog_events=settings.live_backlog_events,
        stopping=stopping,
        clocks=LaneClocks(SkewPolicy(
            settings.partitions, interval, int(settings.replay_epoch_days * DAY), settings.most_waiting_events)),
        breaker=BreakerPolicy.of(
            settings.dead_letter_share, settings.dead_letter_breaker_records, settings.partitions),
        accepted=AcceptedOffsets(settings.data_dir),
    )  # fmt: skip


def identity_policy(settings: Settings, rates: Rates | None = None) -> IdentityPolicy:
    """Return the settings of devices and addresses."""
    return IdentityPolicy(
        interval=settings.sweep_hours * HOUR,
        buckets=settings.buckets,
        partitions=settings.partitions,
        bucket_of=partial(bucket_of, buckets=settings.buckets),
        most_merges=settings.most_merges,
        known_ids=_known_ids(settings),
        visitors_forgotten_after=settings.visitor_days * DAY,
        rates=rates_of(settings) if rates is None else rates,
    )


def customers_policy(settings: Settings, rates: Rates | None = None) -> CustomersPolicy:
    """Return the settings of customers' buckets."""
    interval = settings.sweep_hours * HOUR
    longest = max(window_slots(outcome, settings.sweep_hours) for outcome in settings.outcomes)
    return CustomersPolicy(
        sweeps=SweepPolicy(
            interval=interval,
            dormant_after=settings.dormant_days * DAY,
            training_stride=max(1, settings.training_stride_days * 24 // settings.sweep_hours),
            longest_window=longest * interval,
            most=max(STACK, MOST_ROWS // settings.buckets),
        ),
        senders=settings.buckets,
        known_capacity=_known_ids(settings),
        rates=rates_of(settings) if rates is None else rates,
    )


def models_policy(settings: Settings) -> ModelsPolicy:
    """Return the settings of learning and scoring."""
    return ModelsPolicy(settings.outcomes, FEATURES, settings.buckets, settings.sweep_hours)


def labeller(settings: Settings) -> Labeller:
    """Return the functions by which customers' buckets label their training snapshots."""
    most = -(-settings.training_sample // settings.buckets)
    return Labeller(
        LabelState, partial(label, outcomes=settings.outcomes, interval_hours=settings.sweep_hours, most=most), forget
    )


def _known_ids(settings: Settings) -> int:
    """Return the number of event ids that each bucket remembers to recognise duplicates."""
    return max(1, settings.duplicate_window_events // settings.buckets)
