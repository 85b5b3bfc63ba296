"""The dataflow: from the log to the stores. The only place where streams, models and sinks meet.

    read-events ─→ facts, dead letters ───────────────────────────────────────────────→ write-clickhouse, write-dead-letters
      └→ split-lanes → keep-devices → keep-addresses → keep-customers ─→ learn ─ models ─→ score ─→ write-clickhouse
                         └ visitors ──────┴─────────────┴ people ─────────────────────────↑   └──→ write-redis

Every keyed step runs one state machine per bucket (:class:`streams.steps.Step`); only ``learn`` has a single key.

Delivery: state is exactly-once by Bytewax's recovery; outputs are written at least once and known by their keys.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream
from confluent_kafka import murmur2

from contracts.blocks import (
    CustomerBatch,
    DeviceBatch,
    Forwarded,
    LaneBatch,
    ModelReport,
    PeopleBlock,
    Released,
    ScoredBlock,
    VisitorSample,
)
from contracts.identity import home_of
from contracts.metrics import CATALOGUE  # noqa: F401 - all metrics exist from the start
from contracts.rates import Rates, constant_steps
from contracts.settings import Settings
from online_models.labels import window_slots
from online_models.scoring import BoundaryModels, Score, ScorePolicy
from online_models.trainer import Learn, LearnPolicy
from sinks.clickhouse import ClickHouseWriter
from sinks.kafka import DeadLetterWriter
from sinks.redis import RedisWriter
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.identity.policy import IdentityPolicy
from streams.profiles.customers import Customers, CustomersPolicy
from streams.profiles.features import FEATURES
from streams.publish import routing
from streams.publish.bytewax_sinks import Outlet
from streams.publish.reasons import explain
from streams.read.lane import LanePolicy
from streams.read.source import LaneSource, SourceConfig
from streams.read.split import split_lane
from streams.read.validation import DecodePolicy
from streams.steps import Machine, Step

HOUR = 3_600_000_000
DAY = 24 * HOUR
SECOND = 1_000_000
MODELS = "models"
"""The key of the one step that learns: it sees all buckets, so models do not depend on the number of workers."""
T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Stores:
    """Addresses of the broker and the stores. The composition makes it from settings that name all three."""

    kafka: str
    clickhouse_url: str
    redis_url: str


def build_dataflow(
    settings: Settings, stores: Stores, stopping: Callable[[], bool], rates: Rates | None = None,
    on_money: Callable[[str], None] = lambda _: None,
) -> Dataflow:
    """Wire the whole dataflow.

    Sources ask ``stopping`` before every batch; True ends the dataflow cleanly. ``rates`` are the exchange rates in force
    (None: those of the settings). ``on_money`` is called with the currencies of money while the base currency is
    undecided.
    """
    rates = rates_of(settings) if rates is None else rates
    flow = Dataflow("crm")
    config = replace(source_config(settings, stores, stopping, rates), on_money=on_money)
    lanes = op.input("read-events", flow, LaneSource(config))
    identity = identity_policy(settings, rates)
    batches = op.flat_map("split-lanes", lanes, partial(
        split_lane, buckets=settings.buckets, partitions=settings.partitions))  # fmt: skip
    devices = _machine("keep-devices", batches, partial(Devices, policy=identity))
    forwarded = _only("to-addresses", devices, Forwarded)
    addresses = _machine("keep-addresses", forwarded, partial(Addresses, policy=identity))
    parcels = _only("to-customers", addresses, CustomerBatch)
    customers = _machine("keep-customers", parcels, partial(
        Customers, policy=customers_policy(settings, rates), labeller=_Labeller(settings)))  # fmt: skip
    people = op.merge("all-people", devices, addresses, customers)
    learned = _machine("learn", op.merge("to-learn", *(
        _keyed(f"{name}-to-learn", devices_or_customers, kind) for name, devices_or_customers, kind in (
            ("samples", devices, VisitorSample), ("examples", customers, Released)))), partial(
                Learn, policy=learn_policy(settings)))  # fmt: skip
    return flow
