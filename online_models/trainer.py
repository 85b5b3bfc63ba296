"""The learn step: it advances the models of all outcomes boundary by boundary, in an order that the data fixes.

When every bucket has delivered boundary ``k``, the examples released there are forecast, measured and learned in bucket
order. The result is model ``k``, which goes to every bucket of the score step. So models, reports and scores of sweeps
are functions of the data, never of timing, batch bounds or the number of workers. Visitors are ranked by the newest
sample of each bucket; the learn step does not wait for samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.entries import Replaced, StoredDict
from contracts.machine import Machine
from contracts.metrics import EXAMPLES, labelled
from contracts.model_blocks import (
    BoundaryModel,
    BoundaryModels,
    Examples,
    LinearModels,
    ModelReport,
    Population,
    Released,
    VisitorSample,
)
from contracts.state import Part
from online_models.outcome_model import (
    OutcomeModel,
    join_examples,
    join_populations,
    new_model,
    quantiles_of,
    ranking_of,
)
from online_models.policy import ModelsPolicy

Input = Released | VisitorSample
Output = BoundaryModels | ModelReport


@dataclass(frozen=True)
class Delivery:
    """One bucket's data for one boundary: examples by outcome, and a sample of its customers."""

    examples: Mapping[str, Examples]
    population: Population


class LearnState:
    """The models as of the newest boundary, and deliveries that wait for other buckets.

    ``waiting`` is by boundary and bucket, ``delivered`` the newest boundary of each bucket, ``samples`` the newest
    sample of each bucket's visitors.
    """

    def __init__(self, models: dict[str, OutcomeModel]):
        self.models = models
        self.newest: BoundaryModel | None = None
        self.waiting: StoredDict[tuple[int, int], Delivery] = StoredDict(tuple[int, int], Delivery)
        self.delivered: StoredDict[int, int] = StoredDict(int, int)
        self.samples: StoredDict[int, VisitorSample] = StoredDict(int, VisitorSample)

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name."""
        models = {f"{name}.{part}": each for name, model in self.models.items() for part, each in model.parts().items()}
        newest = Replaced(BoundaryModel | None, lambda: self.newest, lambda model: setattr(self, "newest", model))
        others: dict[str, Part] = {
            "newest": newest,
            "waiting": self.waiting,
            "delivered": self.delivered,
            "samples": self.samples,
        }
        return models | others


class Learn(Machine[Input, Output]):
    """Makes the models of boundaries."""

    def __init__(self, policy: ModelsPolicy):
        self._policy = policy
        self.state = _untrained(policy)
        self._parts = self.state.parts()

    def take(self, items: Sequence[Input]) -> list[Output]:
        """Take deliveries; return the reports and models of all boundaries that they complete.

        A bucket delivers its boundaries in order, so no delivery is for a past boundary.
        """
        ranked = self._keep(items)
        outputs: list[Output] = []
        swept: list[tuple[BoundaryModel, frozenset[int]]] = []
        for boundary, deliveries in self._complete():
            version = self._policy.model_version(boundary)
            outputs += self._learn(boundary, version, deliveries)
            self.state.newest = self._model(boundary, version, deliveries)
            swept.append((self.state.newest, _buckets_with_customers(deliveries)))
        if swept or (ranked and self.state.newest is not None):
            outputs += self._broadcast(swept)
        return outputs

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state by name."""
        return self._parts

    def _keep(self, items: Sequence[Input]) -> bool:
        """Keep deliveries by boundary and the newest samples; return whether visitors' ranks may change."""
        state, ranked = self.state, False
        for item in items:
            if isinstance(item, VisitorSample):
                known = state.samples.get(item.bucket)
                if known is None or item.boundary >= known.boundary:
                    state.samples[item.bucket] = item
                    ranked |= len(item.buyers) > 0 or (known is not None and len(known.buyers) > 0)
                continue
            for boundary, examples, population in zip(item.boundaries, item.examples, item.populations, strict=True):
                state.waiting[boundary, item.bucket] = Delivery(examples, population)
                state.delivered[item.bucket] = boundary
        return ranked

    def _complete(self) -> list[tuple[int, dict[int, Delivery]]]:
        """Remove and return the waiting boundaries that every bucket has reached, ascending, by bucket."""
        state = self.state
        if len(state.delivered) < self._policy.buckets:
            return []
        frontier = min(state.delivered.data.values())
        complete: dict[int, dict[int, Delivery]] = {}
        for boundary, bucket in sorted(key for key in state.waiting.data if key[0] <= frontier):
            complete.setdefault(boundary, {})[bucket] = state.waiting.pop((boundary, bucket))
        return list(complete.items())

    def _learn(self, boundary: int, version: str, deliveries: Mapping[int, Delivery]) -> list[ModelReport]:
        """Learn the examples of one boundary in bucket order; return the report of each model that had any."""
        reports = []
        for outcome in self._policy.outcomes:
            parts = [deliveries[bucket].examples[outcome.name] for bucket in sorted(deliveries)]
            examples = join_examples(parts, len(self._policy.features))
            if len(examples.labels):
                model = self.state.models[outcome.name]
                model.learn(examples)
                labelled(EXAMPLES, outcome.name).inc(len(examples.labels))
                reports.append(_report(outcome.name, boundary, version, model, examples))
        return reports

    def _model(self, boundary: int, version: str, deliveries: Mapping[int, Delivery]) -> BoundaryModel:
        """Return the models as they are now, with the distribution of the boundary's customers."""
        population = join_populations([deliveries[bucket].population for bucket in sorted(deliveries)])
        outcomes = {}
        for outcome in self._policy.outcomes:
            lines = self.state.models[outcome.name].lines()
            outcomes[outcome.name] = lines._replace(quantiles=quantiles_of(lines, population))
        return BoundaryModel(boundary, version, outcomes)

    def _broadcast(self, swept: Sequence[tuple[BoundaryModel, frozenset[int]]]) -> list[BoundaryModels]:
        """Return one message for each bucket: the models of its sweeps, the newest ones, and the visitors' ranking."""
        newest = self.state.newest
        if newest is None:
            raise RuntimeError("no models have been made yet")
        samples = [self.state.samples[bucket] for bucket in sorted(self.state.samples)]
        rankings = {name: ranking_of(lines, samples) for name, lines in newest.outcomes.items()}
        return [
            BoundaryModels(bucket, [model for model, buckets in swept if bucket in buckets], newest, rankings)
            for bucket in range(self._policy.buckets)
        ]


def untrained(policy: ModelsPolicy) -> Mapping[str, LinearModels]:
    """Return the models before any example: a probability of .5 for buyers, the prior for others."""
    return {outcome.name: new_model(outcome, policy.features).lines() for outcome in policy.outcomes}


def _untrained(policy: ModelsPolicy) -> LearnState:
    return LearnState({outcome.name: new_model(outcome, policy.features) for outcome in policy.outcomes})


def _buckets_with_customers(deliveries: Mapping[int, Delivery]) -> frozenset[int]:
    return frozenset(bucket for bucket, each in deliveries.items() if len(each.population.buyers))


def _report(outcome: str, boundary: int, version: str, model: OutcomeModel, examples: Examples) -> ModelReport:
    return ModelReport(
        outcome=outcome,
        boundary=boundary,
        model_version=version,
        examples=len(examples.labels),
        positives=int(np.count_nonzero(examples.labels)),
        examples_total=model.learned,
        quality=model.quality.measure(),
        weights=model.weights(),
        digest=model.digest(),
    )
