"""The blocks of columns that pass between the steps of the dataflow.

Never one object per event or customer: a block is a few numpy arrays of equal length and one list of ids. Blocks are
immutable by convention; steps on other processes receive them pickled.

Time is cut into *slots* of one sweep interval; slot ``k`` is ``[k * interval, (k + 1) * interval)`` since the Unix
epoch, and *boundary* ``k`` is its start. A sweep of boundary ``k`` knows the events of all slots before ``k``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.crossings import Absorbed, Links, no_links
from contracts.outputs import DeadLetter, TableRows

EVENT_DTYPE = np.dtype([
    ("id_hash", "u8"),  # 64-bit hash of event_id
    ("occurred", "i8"),  # microseconds since the Unix epoch
    ("slot", "i8"),  # the slot in which the event counts: its own, or a later one when it came late
    ("entered", "i8"),  # when the record entered Kafka, milliseconds since the Unix epoch
    ("amount", "i8"),  # money in 1/10,000 of the base currency, or of the currency in which it waits
    ("currency", "i2"),  # the number of the currency whose rate is missing (contracts.currencies), else 0
    ("items", "i4"),
    ("score", "i4"),  # satisfaction in 1/10,000
    ("code", "i1"),  # what happened: streams.codes
    ("late", "?"),
])  # fmt: skip
"""One event as the profiles need it: 56 bytes."""

EventArray = NDArray[np.void]


@dataclass(frozen=True)
class Visits:
    """Events of whom only an anonymous id is known, with their profile ids and the buckets of these."""

    events: EventArray = field(default_factory=lambda: np.empty(0, EVENT_DTYPE))
    visitors: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))
    buckets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class LaneBatch:
    """What was read from one partition of the input topics in one go.

    ``start`` is the first slot of the partition and ``clock`` its event clock (microseconds); both are None until
    every topic has had a record. ``fresh`` says that the log's end is near, so scores should follow events at once.
    ``events`` are those of customers, ``visits`` those of visitors. ``turned`` says that the clock is in another slot
    than at the batch before.
    """

    partition: int
    events: EventArray
    customers: NDArray[np.object_]
    buckets: NDArray[np.int64]
    start: int | None
    clock: int | None
    fresh: bool
    facts: tuple[TableRows, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    visits: Visits = field(default_factory=Visits)
    links: Links = field(default_factory=no_links)
    turned: bool = True


@dataclass(frozen=True)
class BucketBatch:
    """The part of a :class:`LaneBatch` that concerns one bucket; without events it still carries the clock.

    ``customers`` are profile ids: of visitors in a bucket of visitors.
    """

    bucket: int
    events: EventArray
    customers: NDArray[np.object_]
    clock: int | None
    fresh: bool


@dataclass(frozen=True)
class CustomerBlock:
    """Customers of one bucket with their features as of a moment: the input of scoring.

    ``boundary`` is the newest one that the bucket has swept. A *sweep* is as of that boundary; otherwise the block is
    *live*: customers whom events have just moved, as of ``as_of`` (microseconds, one per customer). A sweep comes
    twice: ``recorded``, for models and the record, and again, or in part, when it is published for look-ups.
    ``features`` has shape (customers, len(FEATURES)), float32. ``versions`` grow with every change of a customer.
    ``farewell`` marks customers whom the next sweep will leave out as dormant, unless they are seen again. ``visitors``
    says that the block holds visitors, who are scored and ranked apart; no block holds both.
    """

    bucket: int
    boundary: int
    sweep: bool
    ids: NDArray[np.object_]
    versions: NDArray[np.int64]
    as_of: NDArray[np.int64]
    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]
    lifecycle: NDArray[np.int8]
    segment: NDArray[np.int8]
    farewell: NDArray[np.bool_]
    recorded: bool = False
    visitors: bool = False
    oldest_record_at: float | None = None


@dataclass(frozen=True)
class VisitorSample:
    """A sample of one bucket's visitors at a boundary, against which visitors are ranked. ``count`` are all of them.

    Visitors are not swept for the record, so this is what the ranking knows of them. ``features`` has shape (sample,
    len(FEATURES)), float32. An empty sample says that the bucket has reached the boundary and has nobody.
    """

    bucket: int
    boundary: int
    count: int
    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]


@dataclass(frozen=True)
class SweepBlock:
    """A sweep with what labelling needs besides: table positions and lifetime counters.

    ``rows[i]`` is the position of customer i in its bucket's table; positions never change. ``counters[name]`` holds
    a lifetime counter of *all* customers of the bucket, also of dormant ones that are not in the sweep.
    ``trainable[i]`` tells whether customer i takes part in training at this boundary. ``absorbed`` are those who took a
    visitor over since the sweep before.
    """

    customers: CustomerBlock
    rows: NDArray[np.int32]
    counters: Mapping[str, NDArray[np.int32]]
    trainable: NDArray[np.bool_]
    absorbed: Absorbed | None = None


@dataclass(frozen=True)
class Examples:
    """Labelled examples whose whole window has closed: features (n, features), labels (n,), who had ordered (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    buyers: NDArray[np.bool_]


@dataclass(frozen=True)
class Released:
    """The examples that one bucket's boundary released, by outcome."""

    bucket: int
    boundary: int
    examples: Mapping[str, Examples]


@dataclass(frozen=True)
class Explainer:
    """Why a linear model gives the scores that it gives: the mean, deviation and weight of each feature.

    Explanations are made only where somebody reads them, so blocks carry this instead of them.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weight: NDArray[np.float64]

    def effects(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """By how much each feature moves each row's log-odds from the average person's, shape (n, features).

        In single precision, which explanations need no more than and which is twice as fast.
        """
        slopes = (self.weight / self.deviation).astype(np.float32)
        effects: NDArray[np.float32] = (features - self.mean.astype(np.float32)) * slopes
        return effects


@dataclass(frozen=True)
class OutcomeScores:
    """The scores of one outcome for the customers of a block; NaN where the question is not asked of the customer.

    ``probability`` lies in [0, 1]; ``percentile`` is the share of the people with a lower one, in per cent, among those
    of the same kind (customers or visitors) who are asked the same question. ``explainer`` explains the scores of
    people with orders, ``without_orders`` those of the others; it is None where only buyers are asked.
    """

    probability: NDArray[np.float64]
    percentile: NDArray[np.float32]
    explainer: Explainer
    without_orders: Explainer | None = None


@dataclass(frozen=True)
class ScoredBlock:
    """Customers and their scores by outcome, all from the models of one boundary."""

    customers: CustomerBlock
    scores: Mapping[str, OutcomeScores]
    model_version: str


@dataclass(frozen=True)
class ModelReport:
    """How one model stood at one boundary: what it learned there and how good its forecasts were."""

    outcome: str
    boundary: int
    model_version: str
    examples: int
    positives: int
    examples_total: int
    quality: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""


def select(customers: CustomerBlock, keep: NDArray[np.bool_]) -> CustomerBlock:
    """Only some customers of a block."""
    return CustomerBlock(
        bucket=customers.bucket,
        boundary=customers.boundary,
        sweep=customers.sweep,
        ids=customers.ids[keep],
        versions=customers.versions[keep],
        as_of=customers.as_of[keep],
        features=customers.features[keep],
        buyers=customers.buyers[keep],
        lifecycle=customers.lifecycle[keep],
        segment=customers.segment[keep],
        farewell=customers.farewell[keep],
        recorded=customers.recorded,
        visitors=customers.visitors,
        oldest_record_at=customers.oldest_record_at,
    )
