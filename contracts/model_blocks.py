"""The blocks that pass between customers, models and scores: training examples, models by boundary, scored people.

As in :mod:`contracts.blocks`, a block is a few numpy arrays of equal length, and immutable by convention.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import PeopleBlock


@dataclass(frozen=True)
class VisitorSample:
    """A sample of one bucket's visitors at a boundary, for ranking visitors. ``count`` is the number of all of them.

    ``features`` has shape (sample, len(FEATURES)), float32. The sample is empty if the bucket has no visitors.
    """

    bucket: int
    boundary: int
    count: int
    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]


Some = NDArray[np.intp] | slice
"""Chosen elements."""


@dataclass(frozen=True)
class SweptPeople:
    """The part of a boundary's sweep that labelling needs: n customers, ``keys`` ascending.

    ``keys`` are the customers' keys (hashes of their ids): unlike positions they do not depend on the order of arrival,
    so the order of examples is a function of the log. ``last(name, at)`` returns the times (microseconds) of the newest
    events of a counter (:data:`contracts.outcomes.Counter`) of some of the n. Dormant customers are missing: they had
    no event within any outcome's window. ``trainable`` marks the m customers to snapshot for training; ``features(at)``
    of some of these m and ``buyers`` (m,), who had ordered, are in their order. What is not asked for costs nothing,
    but a table may change: ask at once.
    """

    bucket: int
    boundary: int
    keys: NDArray[np.uint64]
    trainable: NDArray[np.bool_]
    features: Callable[[Some], NDArray[np.float32]]
    buyers: NDArray[np.bool_]
    last: Callable[[str, Some], NDArray[np.int64]]


@dataclass(frozen=True)
class Examples:
    """Labelled examples whose whole window has closed: features (n, features), labels (n,), who had ordered (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    buyers: NDArray[np.bool_]


@dataclass(frozen=True)
class Population:
    """A sample of the customers of one bucket at a boundary, by hash of the id, for percentiles."""

    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]


@dataclass(frozen=True)
class Released:
    """The training data of one bucket: for each of ``boundaries`` (ascending) examples by outcome, and a sample.

    Boundaries without customers have empty examples, so that the learn step knows how far the bucket is. A population
    is empty if and only if the bucket sweeps no customers at that boundary.
    """

    bucket: int
    boundaries: Sequence[int]
    examples: Sequence[Mapping[str, Examples]]
    populations: Sequence[Population]


class LinearModels(NamedTuple):
    """The models of one outcome at one boundary, for scoring: log-odds are ``features @ slope + offset``.

    ``means`` and ``slopes`` (2, features) belong to people with orders and to people without: the usual values, and the
    change of the log-odds per unit. ``offsets`` (3,) belong to people with orders, customers without and visitors
    without, NaN where the outcome does not apply. ``quantiles`` are ascending scores that divide the customers into
    equal parts.
    """

    means: NDArray[np.float64]
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    quantiles: NDArray[np.float64]


class BoundaryModel(NamedTuple):
    """The models of all outcomes as of one boundary, by outcome."""

    boundary: int
    version: str
    outcomes: Mapping[str, LinearModels]


class Ranking(NamedTuple):
    """The distribution of visitors' scores: ascending ``values`` (n,), and the share below each, ``below`` (n + 1,)."""

    values: NDArray[np.float64]
    below: NDArray[np.float64]


@dataclass(frozen=True)
class BoundaryModels:
    """From the learn step to one bucket of the score step: the models of one or more boundaries.

    ``models`` ascend: those of boundaries at which the bucket sweeps customers. ``newest`` scores live people from now
    on; ``rankings`` rank visitors by outcome.
    """

    bucket: int
    models: Sequence[BoundaryModel]
    newest: BoundaryModel
    rankings: Mapping[str, Ranking]


Reasons: TypeAlias = NDArray[np.signedinteger[Any]]
"""Keys of reasons, or their features: :class:`OutcomeScores`."""
REASON_CODE: Final = 63
"""The bits of a reason's key that hold the feature and the direction of its effect."""


@dataclass(frozen=True)
class OutcomeScores:
    """The scores of one outcome for the people of a block; NaN where the outcome does not apply to the person.

    ``probability`` lies in [0, 1], rounded to six digits. ``percentile`` is the share in per cent of people with a
    lower probability, among people of the same kind (customers or visitors) covered by the outcome. ``reasons``
    (n, 3) are keys of phrases, strongest first, -1 where there is none (:mod:`streams.publish.reasons`). A sweep
    that is not published has only their features, in ``int8``: counted from 1, negative where they lower the score, 0
    where there is no reason. ``usual`` (m, features) are usual values; row i is compared with ``usual[usual_of[i]]``.
    """

    probability: NDArray[np.float64]
    percentile: NDArray[np.float32]
    reasons: Reasons
    usual: NDArray[np.float64]
    usual_of: NDArray[np.int32]

    @property
    def keys(self) -> NDArray[np.int64]:
        """The reasons as keys. Raises ``TypeError`` if they are features only."""
        if self.reasons.dtype != np.int64:
            raise TypeError("a sweep that is not published has no keys of reasons")
        return self.reasons.astype(np.int64, copy=False)

    def take(self, at: NDArray[np.int64]) -> "OutcomeScores":
        """Return the scores of the people at some positions."""
        return OutcomeScores(self.probability[at], self.percentile[at], self.reasons[at], self.usual, self.usual_of[at])


@dataclass(frozen=True)
class ScoredBlock:
    """People and their scores by outcome. ``model_of[i]`` says which of ``model_versions`` scored row i.

    ``notable`` marks the rows of a published sweep that are written to Redis: the others changed too little.
    """

    people: PeopleBlock
    scores: Mapping[str, OutcomeScores]
    model_versions: Sequence[str]
    model_of: NDArray[np.int32]
    notable: NDArray[np.bool_]


@dataclass(frozen=True)
class ModelReport:
    """The state of one model at one boundary: the examples it learned, the quality of its forecasts, its weights."""

    outcome: str
    boundary: int
    model_version: str
    examples: int
    positives: int
    examples_total: int
    quality: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""
