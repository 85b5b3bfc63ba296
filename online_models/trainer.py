"""The models of all outcomes, advanced boundary by boundary: score, then learn, in an order that the data fixes.

Models advance at sweep boundaries only. When every bucket has delivered boundary ``k``, the examples released there
are forecast, measured, learned in bucket order, and that is model ``k``; then the sweep of ``k`` is scored by it. A
live block is scored by the model of the newest boundary that its bucket has swept, and waits for it if need be. So
every score is a function of the data, never of timing, batch bounds or the number of workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import (
    CustomerBlock,
    Examples,
    LabelledSweep,
    ModelReport,
    OutcomeScores,
    ScoredBlock,
)
from contracts.outcomes import Outcome
from online_models.learner import Learner
from online_models.quality import QualityWindow

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
KEPT_MODELS: Final = 3
"""Past models kept for live blocks that lag behind the sweep of their own bucket."""
QUANTILES: Final = 1_000
Output = ScoredBlock | ModelReport


@dataclass(frozen=True)
class TrainerPolicy:
    """What training must know of the settings. ``buckets`` is how many must deliver each boundary."""

    outcomes: tuple[Outcome, ...]
    buckets: int
    interval_hours: int

    def model_version(self, boundary: int) -> str:
        """The name of the models made at a boundary: family and time."""
        return f"logistic-1@{EPOCH + timedelta(hours=boundary * self.interval_hours):%Y-%m-%dT%H}"


@dataclass
class OutcomeModel:
    """One outcome's learner, and how the scores of the newest sweep were distributed (quantiles, ascending)."""

    learner: Learner
    quality: QualityWindow = field(default_factory=QualityWindow)
    quantiles: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass
class TrainerState:
    """The models as of ``boundary``, and what waits for a boundary that not every bucket has reached.

    ``frontier`` is the newest boundary that each bucket has delivered; ``past`` the newest models by boundary.
    """

    models: dict[str, OutcomeModel]
    boundary: int | None = None
    frontier: dict[int, int] = field(default_factory=dict)
    sweeps: dict[int, dict[int, LabelledSweep]] = field(default_factory=dict)
    live: list[CustomerBlock] = field(default_factory=list)
    past: dict[int, dict[str, OutcomeModel]] = field(default_factory=dict)


def new_trainer(outcomes: Sequence[Outcome], features: Sequence[str]) -> TrainerState:
    """Return untrained models, one per outcome."""
    return TrainerState({outcome.name: OutcomeModel(Learner(features)) for outcome in outcomes})


def offer(state: TrainerState, block: LabelledSweep | CustomerBlock, policy: TrainerPolicy) -> Iterator[Output]:
    """Take in one block and yield what it completes."""
    if isinstance(block, CustomerBlock):
        state.live.append(block)
        return
    bucket, boundary = block.customers.bucket, block.customers.boundary
    state.sweeps.setdefault(boundary, {})[bucket] = block
    state.frontier[bucket] = boundary
    if len(state.frontier) == policy.buckets:
        complete = min(state.frontier.values())
        for due in sorted(boundary for boundary in state.sweeps if boundary <= complete):
            yield from _advance(state, due, policy)


def score_live(state: TrainerState, policy: TrainerPolicy) -> Iterator[ScoredBlock]:
    """Score the live blocks whose model is there, all blocks of a boundary in one go; keep the others."""
    ready: dict[int, list[CustomerBlock]] = {}
    for block in state.live:
        if block.boundary in state.past:
            ready.setdefault(block.boundary, []).append(block)
    current = -1 if state.boundary is None else state.boundary
    state.live = [block for block in state.live if block.boundary > current]
    for boundary, blocks in sorted(ready.items()):
        yield _score(state.past[boundary], boundary, join_blocks(blocks), policy)


def _advance(state: TrainerState, boundary: int, policy: TrainerPolicy) -> Iterator[Output]:
    """Make the models of ``boundary`` from its examples and score its sweep with them."""
    sweeps = [sweep for _, sweep in sorted(state.sweeps.pop(boundary).items())]
    for outcome in policy.outcomes:
        examples = _join_examples([sweep.examples[outcome.name] for sweep in sweeps])
        model = state.models[outcome.name]
        if len(examples.labels):
            model.quality.add(model.learner.predict(examples.features), examples.labels)
            model.learner.learn(examples.features, examples.labels)
        if model.learner.learned:
            yield _report(outcome.name, boundary, model, examples, policy)
    scored = _score(state.models, boundary, join_blocks([sweep.customers for sweep in sweeps]), policy)
    for outcome in policy.outcomes:
        state.models[outcome.name].quantiles = _quantiles(scored.scores[outcome.name].probability)
    state.boundary = boundary
    state.past[boundary] = deepcopy({name: _frozen(model) for name, model in state.models.items()})
    for old in sorted(state.past)[:-KEPT_MODELS]:
        del state.past[old]
    if len(scored.customers.ids):
        yield scored


def _frozen(model: OutcomeModel) -> OutcomeModel:
    """What scoring needs of a model, without its window of forecasts."""
    return OutcomeModel(model.learner, QualityWindow(), model.quantiles)


def _report(
    outcome: str, boundary: int, model: OutcomeModel, examples: Examples, policy: TrainerPolicy
) -> ModelReport:
    return ModelReport(
        outcome=outcome,
        boundary=boundary,
        model_version=policy.model_version(boundary),
        examples=len(examples.labels),
        positives=int(examples.labels.sum()),
        examples_total=model.learner.learned,
        quality=model.quality.measure(),
        weights=model.learner.weights(),
        digest=model.learner.digest(),
    )


def _score(
    models: Mapping[str, OutcomeModel], boundary: int, block: CustomerBlock, policy: TrainerPolicy
) -> ScoredBlock:
    scores = {outcome.name: _score_outcome(models[outcome.name], outcome, block) for outcome in policy.outcomes}
    return ScoredBlock(block, scores, policy.model_version(boundary))


def _score_outcome(model: OutcomeModel, outcome: Outcome, block: CustomerBlock) -> OutcomeScores:
    probability = model.learner.predict(block.features)
    if outcome.of == "buyers":
        probability = np.where(block.buyers, probability, np.nan)
    quantiles = _quantiles(probability) if block.sweep else model.quantiles
    return OutcomeScores(probability, _percentile(quantiles, probability), model.learner.explainer())


def _quantiles(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distribution of a sweep's scores as at most QUANTILES ascending values."""
    known = probability[~np.isnan(probability)]
    if not len(known):
        return known
    known.sort()
    return known[np.linspace(0, len(known) - 1, min(QUANTILES, len(known))).astype(np.int64)]


def _percentile(quantiles: NDArray[np.float64], probability: NDArray[np.float64]) -> NDArray[np.float32]:
    """The share of the population with a lower score, in per cent with one digit; 50 where nothing is known yet."""
    if not len(quantiles):
        return np.full(len(probability), 50.0, np.float32)
    below = np.searchsorted(quantiles, probability) / len(quantiles) * 100.0
    return np.where(np.isnan(probability), np.nan, np.round(below, 1)).astype(np.float32)


def _join_examples(parts: Sequence[Examples]) -> Examples:
    return Examples(
        np.concatenate([part.features for part in parts]), np.concatenate([part.labels for part in parts])
    )


def join_blocks(blocks: Sequence[CustomerBlock]) -> CustomerBlock:
    """One block out of several of the same boundary, in their order. Its bucket is the first one's."""
    oldest = [block.oldest_record_at for block in blocks if block.oldest_record_at is not None]
    return CustomerBlock(
        bucket=blocks[0].bucket,
        boundary=blocks[0].boundary,
        sweep=blocks[0].sweep,
        ids=np.concatenate([block.ids for block in blocks]),
        versions=np.concatenate([block.versions for block in blocks]),
        as_of=np.concatenate([block.as_of for block in blocks]),
        features=np.concatenate([block.features for block in blocks]),
        buyers=np.concatenate([block.buyers for block in blocks]),
        lifecycle=np.concatenate([block.lifecycle for block in blocks]),
        segment=np.concatenate([block.segment for block in blocks]),
        farewell=np.concatenate([block.farewell for block in blocks]),
        oldest_record_at=min(oldest, default=None),
    )
