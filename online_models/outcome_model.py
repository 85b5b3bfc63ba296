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

from contracts.blocks import CustomerBlock, Examples, OutcomeScores
from contracts.outcomes import Outcome
from online_models.learner import Learner
from online_models.quality import QualityWindow
from online_models.without_orders import WithoutOrders

QUANTILES: Final = 1_000
VISITOR_QUANTILES: Final = 200
"""For each bucket of visitors; together they make the ranking."""
PREFIX: Final = "no_orders."
"""Stands in reports before the weights of the model of people without orders."""


@dataclass
class VisitorRanking:
    """How the scores of visitors were distributed in the newest sweep of each bucket: count and quantiles."""

    buckets: dict[int, tuple[int, NDArray[np.float64]]] = field(default_factory=dict)

    def note(self, bucket: int, probability: NDArray[np.float64]) -> None:
        """Replace what is known of a bucket."""
        known = np.sort(probability[~np.isnan(probability)])
        self.buckets[bucket] = (len(known), _quantiles(known, VISITOR_QUANTILES))

    def percentile(self, probability: NDArray[np.float64]) -> NDArray[np.float32]:
        """The share of visitors with a lower score, in per cent with one digit; NaN while no sweep is known."""
        parts = [(count, values) for _, (count, values) in sorted(self.buckets.items()) if count]
        if not parts:
            return np.full(len(probability), np.nan, np.float32)
        values = np.concatenate([values for _, values in parts])
        weights = np.concatenate([np.full(len(values), count / len(values)) for count, values in parts])
        order = np.argsort(values, kind="stable")
        below = np.concatenate(([0.0], np.cumsum(weights[order])))
        place = below[np.searchsorted(values[order], probability)] / below[-1] * 100.0
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
    visitors: VisitorRanking = field(default_factory=VisitorRanking)

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
        self.quantiles = _quantiles(np.sort(known[~np.isnan(known)]), QUANTILES)

    def score(self, block: CustomerBlock, parts: Sequence[CustomerBlock]) -> OutcomeScores:
        """Score a block that was joined from ``parts``; a sweep of visitors becomes their distribution."""
        probability = self.forecast(block.features, block.buyers, visitors=block.visitors)
        if block.visitors and block.sweep:
            bounds = np.cumsum([len(part.ids) for part in parts])[:-1]
            for part, some in zip(parts, np.split(probability, bounds), strict=True):
                self.visitors.note(part.bucket, some)
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


def _quantiles(ascending: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """A distribution as at most ``most`` ascending values."""
    if not len(ascending):
        return ascending
    return ascending[np.linspace(0, len(ascending) - 1, min(most, len(ascending))).astype(np.int64)]


def _percentile(quantiles: NDArray[np.float64], probability: NDArray[np.float64]) -> NDArray[np.float32]:
    """The share of the population with a lower score, in per cent with one digit; 50 where nothing is known yet."""
    below = np.full(len(probability), 50.0)
    if len(quantiles):
        below = np.searchsorted(quantiles, probability) / len(quantiles) * 100.0
    return np.where(np.isnan(probability), np.nan, np.round(below, 1)).astype(np.float32)
