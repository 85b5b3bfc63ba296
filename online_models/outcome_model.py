"""The model of one outcome: its learners, their measured quality, and the distribution of their scores.

People with orders and people without have separate learners. Scores are ranked among people of the same kind (customers
or visitors) covered by the outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from contracts.model_blocks import Examples, LinearModels, Population, Ranking, VisitorSample
from contracts.outcomes import Outcome
from contracts.state import Part
from online_models.labels import no_examples
from online_models.learner import Learner
from online_models.linear import Linear, probabilities
from online_models.quality import QualityWindow
from online_models.without_orders import WithoutOrders

QUANTILES: Final = 1_000
PREFIX: Final = "no_orders."
"""The prefix of the weights, in reports, of the model of people without orders."""
BUYERS: Final = 0
"""The line of people with orders in ``LinearModels``."""
OTHERS: Final = 1
"""The line of people without orders, and the offset of customers without orders."""
VISITORS: Final = 2
"""The offset of visitors without orders."""
EMPTY_RANKING: Final = Ranking(np.empty(0), np.zeros(1))


@dataclass
class OutcomeModel:
    """One outcome's learners and their quality.

    ``others`` is the model of people without orders; None if the outcome applies to buyers only.
    """

    buyers: Learner
    others: WithoutOrders | None
    quality: QualityWindow = field(default_factory=QualityWindow)
    _lines: LinearModels | None = None

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name. They are applied to an untrained model."""
        others: dict[str, Part] = {} if self.others is None else {"others": self.others.learner}
        return {"buyers": self.buyers, **others, "quality": self.quality}

    @property
    def learned(self) -> int:
        """Examples learned so far."""
        return self.buyers.learned + (self.others.learner.learned if self.others else 0)

    def learn(self, examples: Examples) -> None:
        """Measure the forecasts of examples, then learn them."""
        self.quality.add(forecast(self.lines(), examples.features, examples.buyers), examples.labels)
        have = examples.buyers
        self.buyers.learn(examples.features[have], examples.labels[have])
        if self.others is not None:
            self.others.learner.learn(examples.features[~have], examples.labels[~have])
        self._lines = None

    def lines(self) -> LinearModels:
        """Return the model as arrays, without quantiles; made once after each learning."""
        if self._lines is None:
            self._lines = self._make_lines()
        return self._lines

    def weights(self) -> dict[str, float]:
        """Return the weights on standardised features and the intercept; a prefix marks people without orders."""
        if self.others is None:
            return self.buyers.weights()
        others = {PREFIX + name: value for name, value in self.others.learner.weights().items()}
        return self.buyers.weights() | others

    def digest(self) -> str:
        """Return a fingerprint of everything that a customer's prediction depends on, to the last bit."""
        if self.others is None:
            return self.buyers.digest()
        return xxh3_64_hexdigest(f"{self.buyers.digest()} {self.others.learner.digest()}".encode())

    def _make_lines(self) -> LinearModels:
        buyers = self.buyers.line()
        if self.others is None:
            nobody = Linear(np.zeros_like(buyers.mean), np.zeros_like(buyers.slope), float("nan"))
            lines = (buyers, nobody, nobody)
        else:
            lines = (buyers, self.others.line(visitors=False), self.others.line(visitors=True))
        return LinearModels(
            means=np.stack([line.mean for line in lines[:VISITORS]]),
            slopes=np.stack([line.slope for line in lines[:VISITORS]]),
            offsets=np.array([line.offset for line in lines]),
            quantiles=np.empty(0),
        )


def new_model(outcome: Outcome, features: Sequence[str]) -> OutcomeModel:
    """Return the untrained model of an outcome."""
    others = WithoutOrders(outcome, Learner(features)) if outcome.of == "everyone" else None
    return OutcomeModel(Learner(features), others)


def forecast(
    model: LinearModels, features: NDArray[np.float32], buyers: NDArray[np.bool_], *, visitors: bool = False
) -> NDArray[np.float64]:
    """Return the probability for each row, NaN where the outcome does not apply to the person."""
    offsets = model.offsets[[BUYERS, VISITORS if visitors else OTHERS]]
    return probabilities(features, model.slopes, offsets, lines_of(buyers))


def lines_of(buyers: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the line of each person in the arrays of a model: :data:`BUYERS` or :data:`OTHERS`."""
    lines: NDArray[np.int32] = (~buyers).astype(np.int32)
    return lines


def quantiles_of(model: LinearModels, population: Population) -> NDArray[np.float64]:
    """Return the distribution of customers' scores: at most :data:`QUANTILES` ascending values, without NaN."""
    ascending = np.sort(forecast(model, population.features, population.buyers))
    asked = len(ascending) - int(np.isnan(ascending).sum())
    if asked <= QUANTILES:
        return ascending[:asked]
    return ascending[np.linspace(0, asked - 1, QUANTILES).astype(np.int64)]


def ranking_of(model: LinearModels, samples: Sequence[VisitorSample]) -> Ranking:
    """Return the distribution of visitors' scores, from one sample per bucket, weighted by the bucket's visitors."""
    samples = [one for one in samples if len(one.features)]
    if not samples:
        return EMPTY_RANKING
    scores = np.concatenate([forecast(model, one.features, one.buyers, visitors=True) for one in samples])
    weights = np.concatenate([np.full(len(one.features), one.count / len(one.features)) for one in samples])
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.argsort(scores[known], kind="stable")]
    below = np.cumsum(np.concatenate([np.zeros(1), weights[order]]))
    return Ranking(scores[order], below / (below[-1] or 1.0))


def join_populations(parts: Sequence[Population]) -> Population:
    """Return the samples of several buckets as one."""
    some = [part for part in parts if len(part.buyers)]
    if len(some) < 2:
        return some[0] if some else parts[0]
    return Population(np.concatenate([part.features for part in some]), np.concatenate([part.buyers for part in some]))


def join_examples(parts: Sequence[Examples], width: int) -> Examples:
    """Return the examples of several buckets as one, in their order."""
    parts = [part for part in parts if len(part.labels)]
    if len(parts) < 2:
        return parts[0] if parts else no_examples(width)
    return Examples(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        buyers=np.concatenate([part.buyers for part in parts]),
    )
