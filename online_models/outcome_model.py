"""The model of one outcome: learners by kind of person, their measured quality, and how their scores are distributed.

People with orders and people without have learners of their own. Scores are ranked among people of the same kind
(customers or visitors) who are asked the same question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from contracts.blocks import CustomerBlock, Examples, OutcomeScores, VisitorSample
from contracts.outcomes import Outcome
from online_models.learner import Learner
from online_models.quality import QualityWindow
from online_models.without_orders import WithoutOrders

QUANTILES: Final = 1_000
PREFIX: Final = "no_orders."
"""Stands in reports before the weights of the model of people without orders."""


@dataclass(frozen=True)
class Ranking:
    """How the scores of visitors are distributed: ascending values, and the part of visitors below each, up to 1."""

    values: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    below: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    def percentile(self, probability: NDArray[np.float64]) -> NDArray[np.float32]:
        """The share of visitors with a lower score, in per cent with one digit; NaN where no visitor is known."""
        if not len(self.values):
            return np.full(len(probability), np.nan, np.float32)
        place = self.below[np.searchsorted(self.values, probability)] * 100.0
        return np.where(np.isnan(probability), np.nan, np.round(place, 1)).astype(np.float32)


@dataclass
class OutcomeModel:
    """One outcome's learners, their quality, and the distribution of the newest sweep's scores (ascending quantiles).

    ``others`` is the model of people without orders; None where only buyers are asked.
    """

    buyers: Learner
    others: WithoutOrders | None
    quality: QualityWindow = field(default_factory=QualityWindow)
    quantiles: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    visitors: Ranking = field(default_factory=Ranking)

    @property
    def learned(self) -> int:
        """Examples learned so far."""
        return self.buyers.learned + (self.others.learner.learned if self.others else 0)

    def learn(self, examples: Examples) -> None:
        """Measure the forecasts of examples, then learn them."""
        self.quality.add(self.forecast(examples.features, examples.buyers), examples.labels)
        have = examples.buyers
        self.buyers.learn(examples.features[have], examples.labels[have])
        if self.others is not None:
            self.others.learner.learn(examples.features[~have], examples.labels[~have])

    def forecast(
        self, features: NDArray[np.float32], buyers: NDArray[np.bool_], *, visitors: bool = False
    ) -> NDArray[np.float64]:
        """The probability for each person who is asked the question, NaN for the others."""
        probability = np.full(len(features), np.nan)
        probability[buyers] = self.buyers.predict(features[buyers])
        if self.others is not None and not buyers.all():
            probability[~buyers] = self.others.predict(features[~buyers], visitors=visitors)
        return probability

    def rank_sweep(self, block: CustomerBlock) -> None:
        """Take the scores of a sweep of all customers as the distribution from now on."""
        known = self.forecast(block.features, block.buyers)
        self.quantiles = _quantiles(np.sort(known[~np.isnan(known)]))

    def rank_visitors(self, samples: Sequence[VisitorSample]) -> None:
        """Take the scores of visitors, sampled from every bucket, as their distribution from now on."""
        samples = [one for one in samples if len(one.features)]
        if not samples:
            self.visitors = Ranking()
            return
        scores = np.concatenate([self.forecast(one.features, one.buyers, visitors=True) for one in samples])
        weights = np.concatenate([np.full(len(one.features), one.count / len(one.features)) for one in samples])
        known = np.flatnonzero(~np.isnan(scores))
        order = known[np.argsort(scores[known], kind="stable")]
        below = np.cumsum(np.concatenate([np.zeros(1), weights[order]]))
        self.visitors = Ranking(scores[order], below / (below[-1] or 1.0))

    def score(self, block: CustomerBlock) -> OutcomeScores:
        """Score a block and rank it among people of its kind."""
        probability = self.forecast(block.features, block.buyers, visitors=block.visitors)
        place = self.visitors.percentile(probability) if block.visitors else _percentile(self.quantiles, probability)
        others = None if self.others is None else self.others.explainer()
        return OutcomeScores(probability, place, self.buyers.explainer(), others)

    def weights(self) -> dict[str, float]:
        """The weights on standardised features, and the intercept; those of people without orders have a prefix."""
        if self.others is None:
            return self.buyers.weights()
        others = {PREFIX + name: value for name, value in self.others.learner.weights().items()}
        return self.buyers.weights() | others

    def digest(self) -> str:
        """A fingerprint of everything that a customer's prediction depends on, to the last bit."""
        if self.others is None:
            return self.buyers.digest()
        return xxh3_64_hexdigest(f"{self.buyers.digest()} {self.others.learner.digest()}".encode())


def new_model(outcome: Outcome, features: Sequence[str]) -> OutcomeModel:
    """Return the untrained model of an outcome."""
    others = WithoutOrders(outcome, Learner(features)) if outcome.of == "everyone" else None
    return OutcomeModel(Learner(features), others)


def _quantiles(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """A distribution as at most :data:`QUANTILES` ascending values."""
    if not len(ascending):
        return ascending
    return ascending[np.linspace(0, len(ascending) - 1, min(QUANTILES, len(ascending))).astype(np.int64)]


def _percentile(quantiles: NDArray[np.float64], probability: NDArray[np.float64]) -> NDArray[np.float32]:
    """The share of the population with a lower score, in per cent with one digit; 50 where nothing is known yet."""
    below = np.full(len(probability), 50.0)
    if len(quantiles):
        below = np.searchsorted(quantiles, probability) / len(quantiles) * 100.0
    return np.where(np.isnan(probability), np.nan, np.round(below, 1)).astype(np.float32)
