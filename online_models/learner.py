"""One online model of one outcome: River's ``StandardScaler | LogisticRegression``, fed in mini-batches.

Predicting is pure; learning happens only in :meth:`Learner.learn`. The model is a function of the portions of examples
it was given, in their order, to the last bit.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing
from scipy.special import expit
from xxhash import xxh3_64_hexdigest

from contracts.blocks import Explainer

MINI_BATCH: Final = 512
"""Examples per gradient step. River's ``learn_many`` takes one step of the mean gradient, and
pays off from a few hundred rows on."""
LEARNING_RATE: Final = 0.2
ROUNDING: Final = 1e-12
"""A variance below this part of the squared mean is one of rounding alone."""


class Scaler(preprocessing.StandardScaler):  # type: ignore[misc] # River has no types
    """River's scaler, for which a constant feature has a variance of zero.

    It takes a portion's variance as the mean square less the squared mean, which rounding leaves a little beside zero,
    on either side: a deviation made of that would blow up the first other value, or be no number at all.
    """

    def learn_many(self, X: pa.Table) -> None:  # noqa: N803 - River's own name
        """Update with a portion of examples."""
        super().learn_many(X)
        for name, mean in self.means.items():
            if self.vars[name] <= ROUNDING * mean**2:
                self.vars[name] = 0.0


class Learner:
    """A logistic regression on standardised features.

    >>> learner = Learner(["x"])
    >>> features = np.array([[-1.0], [1.0]] * 200, np.float32)
    >>> for _ in range(20):
    ...     learner.learn(features, features[:, 0] > 0)
    >>> bool(learner.predict(features)[1] > 0.8)
    True
    """

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        self.learned = 0
        self.positives = 0
        self._model = compose.Pipeline(
            ("StandardScaler", Scaler()),
            linear_model.LogisticRegression(optimizer=optim.SGD(LEARNING_RATE), intercept_lr=LEARNING_RATE),
        )

    def learn(self, features: NDArray[np.float32], labels: NDArray[np.bool_]) -> None:
        """Take gradient steps over the examples in their order; features (n, f), labels (n,)."""
        for start in range(0, len(labels), MINI_BATCH):
            chunk = slice(start, start + MINI_BATCH)
            self._model.learn_many(self._frame(features[chunk]), pa.chunked_array([labels[chunk]]))
        self.learned += len(labels)
        self.positives += int(labels.sum())

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of the outcome for each row, in [0, 1], rounded to six digits; .5 before any learning.

        This is what the pipeline's ``predict_proba_many`` gives, computed in one product: twenty times as fast, and
        every customer is scored at every sweep. Rows are summed one by one, not by a matrix product, whose last bit
        depends on a row's neighbours: the same customer must get the same score in any block.
        """
        if not self.learned:
            return np.full(len(features), 0.5)
        parts = self.explainer()
        slope = parts.weight / parts.deviation
        log_odds = (features * slope).sum(axis=1) + (self.intercept - float(parts.mean @ slope))
        probability: NDArray[np.float64] = np.round(expit(log_odds), 6)
        return probability

    def weights(self) -> dict[str, float]:
        """The weights on standardised features, and the intercept."""
        known = self._model["LogisticRegression"].weights
        return {name: float(known.get(name, 0.0)) for name in self.names} | {"intercept": self.intercept}

    @property
    def intercept(self) -> float:
        """The log-odds of an average example."""
        return float(self._model["LogisticRegression"].intercept)

    def digest(self) -> str:
        """A fingerprint of everything that a prediction depends on, to the last bit."""
        parts = self.explainer()
        rest = np.array([self.intercept, self.learned])
        return xxh3_64_hexdigest(np.concatenate((parts.mean, parts.deviation, parts.weight, rest)).tobytes())

    def explainer(self) -> Explainer:
        """What scores are made of; a feature that has been constant so far has deviation one and no effect."""
        scaler, weights = self._model["StandardScaler"], self.weights()
        mean = np.array([scaler.means.get(name, 0.0) for name in self.names])
        deviation = np.sqrt(np.array([scaler.vars.get(name, 0.0) for name in self.names]))
        weight = np.where(deviation > 0, [weights[name] for name in self.names], 0.0)
        return Explainer(mean, np.where(deviation > 0, deviation, 1.0), weight)

    def _frame(self, features: NDArray[np.float32]) -> pa.Table:
        columns = np.ascontiguousarray(features.T, np.float64)
        return pa.table(list(columns), names=self.names)
