"""Small blocks for tests of the learn and score steps."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock
from contracts.model_blocks import Examples, Population, Released, VisitorSample
from contracts.outcomes import Outcome
from online_models.policy import ModelsPolicy
from streams.profiles.rows import blank_rows

NAMES = ("recency", "frequency", "money")
CHURN = Outcome(name="churn", within_days=90, happens=False, of="buyers")
BUYS = Outcome(name="buys", within_days=30, happens=True)
POLICY = ModelsPolicy((CHURN, BUYS), NAMES, buckets=2, interval_hours=24)


def features_of(*seed: int, count: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, len(NAMES))).astype(np.float32)


def some_buyers(count: int) -> NDArray[np.bool_]:
    return np.arange(count) % 2 == 0


def examples(bucket: int, boundary: int, count: int) -> dict[str, Examples]:
    """Examples of both outcomes, of which the labels follow the first feature."""
    features = features_of(bucket, boundary, 7, count=count)
    labels, everyone, buyers = features[:, 0] > 0, np.ones(count, np.bool_), np.arange(count) % 4 < 3
    return {"churn": Examples(features, ~labels, everyone), "buys": Examples(features, labels, buyers)}


def population(bucket: int, boundary: int, count: int) -> Population:
    """The same customers as those of ``sweep``."""
    return Population(features_of(bucket, boundary, count=count), some_buyers(count))


def released(bucket: int, boundaries: Sequence[int], count: int = 4, customers: int = 3) -> Released:
    """At each boundary ``count`` examples and ``customers`` customers."""
    return Released(
        bucket,
        list(boundaries),
        [examples(bucket, boundary, count) for boundary in boundaries],
        [population(bucket, boundary, customers) for boundary in boundaries],
    )


def join_released(parts: Sequence[Released]) -> Released:
    """Several deliveries of one bucket as one message."""
    return Released(
        parts[0].bucket,
        [boundary for part in parts for boundary in part.boundaries],
        [each for part in parts for each in part.examples],
        [each for part in parts for each in part.populations],
    )


def sample(bucket: int, boundary: int, count: int = 3, total: int | None = None) -> VisitorSample:
    return VisitorSample(
        bucket, boundary, total or count, features_of(bucket, boundary, 5, count=count), np.zeros(count, np.bool_)
    )


def sweep(bucket: int, boundaries: Sequence[int], count: int = 3, *, publish: bool = False) -> PeopleBlock:
    """``count`` customers at each of some boundaries; every other one is a buyer."""
    features = [features_of(bucket, boundary, count=count) for boundary in boundaries]
    return people(
        np.concatenate([*features, np.empty((0, len(NAMES)), np.float32)]),
        bucket=bucket,
        kind="sweep",
        boundaries=np.repeat(np.array(boundaries, np.int32), count),
        buyers=np.tile(some_buyers(count), len(boundaries)),
        positions=np.tile(np.arange(count, dtype=np.int32), len(boundaries)),
        publish=publish,
    )


def people(
    features: NDArray[np.float32],
    *,
    bucket: int = 0,
    kind: Literal["sweep", "live", "restated"] = "live",
    table: Literal["customers", "devices", "addresses"] = "customers",
    slot: int = 0,
    boundaries: NDArray[np.int32] | None = None,
    buyers: NDArray[np.bool_] | None = None,
    positions: NDArray[np.int32] | None = None,
    events: int = 1,
    publish: bool = True,
    keys: Sequence[int] | None = None,
) -> PeopleBlock:
    """A block of people with these features, of slot ``slot`` or, a sweep, of its boundaries."""
    count = len(features)
    at = np.full(count, slot, np.int32) if boundaries is None else boundaries
    rows = None if kind == "sweep" else blank_rows(count)
    positions = np.arange(count, dtype=np.int32) if positions is None else positions
    return PeopleBlock(
        bucket=bucket,
        kind=kind,
        table=table,
        ids=np.array([f"p{bucket}-{position}" for position in positions], object),
        versions=(at.astype(np.int64) << 32) + events,
        as_of=at.astype(np.int64),
        boundaries=at,
        features=features,
        buyers=some_buyers(count) if buyers is None else buyers,
        lifecycle=np.zeros(count, np.int8),
        segment=np.zeros(count, np.int8),
        leaving=np.zeros(count, np.bool_),
        positions=positions,
        entered=np.zeros(count, np.int64),
        publish=publish,
        guarded=False,
        rows=rows,
        keys=np.asarray(np.arange(1, count + 1) if keys is None else keys, np.uint64),
    )
