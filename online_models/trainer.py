"""The models of all outcomes, advanced boundary by boundary: score, then learn, in an order that the data fixes.

Models advance at sweep boundaries only. When every bucket has delivered boundary ``k``, the examples released there
are forecast, measured, learned in bucket order, and that is model ``k``; then the sweep of ``k`` is scored by it. A
live block is scored by the model of the newest boundary that its bucket has swept, and waits for it if need be. So
every score is a function of the data, never of timing, batch bounds or the number of workers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final

import numpy as np

from contracts.blocks import CustomerBlock, Examples, ModelReport, Released, ScoredBlock
from contracts.outcomes import Outcome
from online_models.outcome_model import OutcomeModel, new_model

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Output = ScoredBlock | ModelReport


@dataclass(frozen=True)
class TrainerPolicy:
    """What training must know of the settings. ``buckets`` is how many must deliver each boundary."""

    outcomes: tuple[Outcome, ...]
    buckets: int
    interval_hours: int

    def model_version(self, boundary: int) -> str:
        """The name of the models made at a boundary: family and time."""
        return f"logistic-2@{EPOCH + timedelta(hours=boundary * self.interval_hours):%Y-%m-%dT%H}"


@dataclass
class TrainerState:
    """The models as of ``boundary``, and what waits for a boundary that not every bucket has reached.

    ``sweeps`` and ``released`` are by boundary and bucket; the frontiers say which boundary came last of each bucket.
    """

    models: dict[str, OutcomeModel]
    boundary: int | None = None
    sweeps: dict[int, dict[int, CustomerBlock]] = field(default_factory=dict)
    released: dict[int, dict[int, Released]] = field(default_factory=dict)
    swept: dict[int, int] = field(default_factory=dict)
    labelled: dict[int, int] = field(default_factory=dict)
    live: list[CustomerBlock] = field(default_factory=list)


def new_trainer(outcomes: Sequence[Outcome], features: Sequence[str]) -> TrainerState:
    """Return untrained models, one per outcome."""
    return TrainerState({outcome.name: new_model(outcome, features) for outcome in outcomes})


def offer(state: TrainerState, blocks: Iterable[CustomerBlock | Released], policy: TrainerPolicy) -> Iterator[Output]:
    """Take in blocks and yield what they complete.

    The blocks of a bucket come in their order, so no block is offered after the models have passed its boundary.
    """
    for block in blocks:
        if isinstance(block, Released):
            state.released.setdefault(block.boundary, {})[block.bucket] = block
            state.labelled[block.bucket] = block.boundary
        elif block.recorded:
            state.sweeps.setdefault(block.boundary, {})[block.bucket] = block
            state.swept[block.bucket] = block.boundary
        else:
            state.live.append(block)
    yield from _score_ready(state, policy)
    for due in _complete(state, policy.buckets):
        yield from _advance(state, due, policy)
        yield from _score_ready(state, policy)


def _complete(state: TrainerState, buckets: int) -> list[int]:
    """The boundaries that every bucket has delivered, with examples and customers."""
    if len(state.swept) < buckets or len(state.labelled) < buckets:
        return []
    frontier = min(*state.swept.values(), *state.labelled.values())
    return sorted(boundary for boundary in state.sweeps if boundary <= frontier)


def _score_ready(state: TrainerState, policy: TrainerPolicy) -> Iterator[ScoredBlock]:
    """Score the blocks whose models are there, live ones and published sweeps in one go each; keep the others."""
    if state.boundary is None or not state.live:
        return
    ready = [block for block in state.live if block.boundary <= state.boundary]
    state.live = [block for block in state.live if block.boundary > state.boundary]
    for kind in product((True, False), (False, True)):
        if some := [block for block in ready if (block.sweep, block.visitors) == kind]:
            yield _score(state, some, policy)


def _advance(state: TrainerState, boundary: int, policy: TrainerPolicy) -> Iterator[Output]:
    """Make the models of ``boundary`` from its examples and score its sweep with them."""
    released = [each for _, each in sorted(state.released.pop(boundary).items())]
    block = join_blocks([each for _, each in sorted(state.sweeps.pop(boundary).items())])
    state.boundary = boundary
    for outcome in policy.outcomes:
        examples = _join_examples([each.examples[outcome.name] for each in released])
        model = state.models[outcome.name]
        if len(examples.labels):
            model.learn(examples)
            yield _report(outcome.name, boundary, model, examples, policy)
        model.rank_sweep(block)
    if len(block.ids):
        yield _score(state, [block], policy)


def _report(outcome: str, boundary: int, model: OutcomeModel, examples: Examples, policy: TrainerPolicy) -> ModelReport:
    return ModelReport(
        outcome=outcome,
        boundary=boundary,
        model_version=policy.model_version(boundary),
        examples=len(examples.labels),
        positives=int(examples.labels.sum()),
        examples_total=model.learned,
        quality=model.quality.measure(),
        weights=model.weights(),
        digest=model.digest(),
    )


def _score(state: TrainerState, parts: Sequence[CustomerBlock], policy: TrainerPolicy) -> ScoredBlock:
    """Score blocks of one kind by the newest models, which may be newer than a visitors' block that came late."""
    block = join_blocks(parts)
    scores = {outcome.name: state.models[outcome.name].score(block, parts) for outcome in policy.outcomes}
    boundary = block.boundary if state.boundary is None else state.boundary
    return ScoredBlock(block, scores, policy.model_version(boundary))


def _join_examples(parts: Sequence[Examples]) -> Examples:
    return Examples(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        buyers=np.concatenate([part.buyers for part in parts]),
    )


def join_blocks(blocks: Sequence[CustomerBlock]) -> CustomerBlock:
    """One block out of several of the same boundary and kind, in their order. Its bucket is the first one's."""
    if len(blocks) == 1:
        return blocks[0]
    oldest = [block.oldest_record_at for block in blocks if block.oldest_record_at is not None]
    return CustomerBlock(
        bucket=blocks[0].bucket,
        boundary=blocks[0].boundary,
        sweep=blocks[0].sweep,
        recorded=blocks[0].recorded,
        visitors=blocks[0].visitors,
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
