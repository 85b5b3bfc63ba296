"""The model of people without orders: a prior that loses weight as examples come in.

Customers without orders have no rhythm and no revenue, so they have a learner of their own. Many shops have few such
customers, so its log-odds are mixed with the log-odds of a fixed prior: with n examples the learner weighs
``n / (n + PRIOR_EXAMPLES)``. For outcomes that watch orders, the prior knows a shop's usual conversion rate
(:data:`CONVERSION`), and that carts and recent activity raise it; for others it is the outcome's base rate so far.

Visitors train no model: most of them are never identified, so their outcomes stay unknown. The same model scores them
with the base rate of the prior, since people with an account order far more often than visitors (correction for prior
shift: Saerens, Latinne & Decaestecker 2002).
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from contracts.outcomes import Outcome
from online_models.learner import Learner
from online_models.linear import Linear

CONVERSION: Final = 0.02
"""The share of a shop's visitors who order within :data:`CONVERSION_DAYS`; most shops report 1 to 4 %."""
CONVERSION_DAYS: Final = 30
PRIOR_EXAMPLES: Final = 1_000
"""The number of examples at which learner and prior have equal weight."""
_PRIOR: Final = {"log_carts": (0.9, 0.0), "log_web_7d": (0.5, 0.4), "log_days_since_seen": (-0.5, 1.4)}
"""Slope and usual value of the prior's features: products in carts, activity, silence."""


@dataclass
class WithoutOrders:
    """The model of one outcome for people without orders; ``learner`` has seen only customers."""

    outcome: Outcome
    learner: Learner

    def predict(self, features: NDArray[np.float32], *, visitors: bool) -> NDArray[np.float64]:
        """Return the probability of the outcome for each row, in [0, 1], rounded to six digits."""
        return self.line(visitors=visitors).predict(features)

    def line(self, *, visitors: bool) -> Linear:
        """Return the log-odds as a function of features; customers and visitors differ in the intercept alone."""
        prior, count = self._prior(), self.learner.learned
        learned = self.learner.line()
        if visitors:
            learned = replace(learned, intercept=learned.intercept + (prior.intercept - _log_odds(self.learner)))
        return prior.mix(learned, count / (count + PRIOR_EXAMPLES))

    def _prior(self) -> Linear:
        if self.outcome.counter == "orders":
            return _belief(tuple(self.learner.names), self.outcome.within_days, happens=self.outcome.happens)
        nothing = np.zeros(len(self.learner.names))
        return Linear(nothing, nothing, _log_odds(self.learner))


@cache
def _belief(names: tuple[str, ...], within_days: int, *, happens: bool) -> Linear:
    """Return the prior: log-odds before any example."""
    known = np.array([_PRIOR.get(name, (0.0, 0.0)) for name in names])
    ordered = 1 - (1 - CONVERSION) ** (within_days / CONVERSION_DAYS)
    sign = 1.0 if happens else -1.0
    return Linear(known[:, 1], sign * known[:, 0], sign * float(logit(ordered)))


def _log_odds(learner: Learner) -> float:
    """Return the log-odds of the labels that a learner has seen, with one imagined example of either kind."""
    return float(logit((learner.positives + 1) / (learner.learned + 2)))
