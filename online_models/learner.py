"""One online model of one outcome: River's ``StandardScaler | LogisticRegression``, fed in mini-batches.

Predicting is pure; only :meth:`Learner.learn` changes the model. The model is a function of the mini-batches it was
given, in their order, to the last bit.

River's ``learn_many`` takes data frames, and making one costs ten times as much as the arithmetic of a small batch. So
both models learn from arrays here (``learn_array``): the same formulas on the same state.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing
from xxhash import xxh3_64_hexdigest

from contracts.state import Columns
from online_models.linear import Linear

MINI_BATCH: Final = 512
"""Examples per gradient step: one step of the mean gradient."""
LEARNING_RATE: Final = 0.2
ROUNDING: Final = 1e-12
"""A variance below this fraction of the squared mean is a rounding error."""
Floats = NDArray[np.float64]


class Scaler(preprocessing.StandardScaler):  # type: ignore[misc] # River has no types
    """River's scaler, extended by learning from arrays. A constant feature has a variance of exactly zero.

    River computes a batch's variance as the mean square minus the squared mean. For a constant feature rounding leaves
    a tiny positive or negative number, so the deviation would be tiny or NaN and later values would explode.
    """

    _newest: tuple[Floats, Floats] | None = None
    """Mean and variance as arrays after the last learning from arrays."""

    def learn_array(self, names: Sequence[str], features: Floats) -> None:
        """Update with a portion of examples (n, features), as ``learn_many`` does with a frame."""
        old_mean, old_var = self.moments(names)
        old, new = self.counts[names[0]], len(features)
        before, share = old / (old + new), new / (old + new)
        means = np.add.reduce(features, axis=0) / new
        variances = np.einsum("ij,ij->j", features, features) / new - means**2
        mean = before * old_mean + share * means
        var = before * old_var + share * variances + before * share * (old_mean - means) ** 2
        var[var <= ROUNDING * mean**2] = 0.0
        self.means.update(zip(names, mean.tolist(), strict=True))
        self.vars.update(zip(names, var.tolist(), strict=True))
        self.counts.update(dict.fromkeys(names, new))
        self._newest = mean, var

    def restore(self, names: Sequence[str], stored: Mapping[str, Any]) -> None:
        """Set the stored ``means``, ``variances`` and ``counts`` of the features."""
        for column, name in ((self.means, "means"), (self.vars, "variances"), (self.counts, "counts")):
            column.clear()
            dict.update(column, zip(names, stored[name].tolist(), strict=True))

    def moments(self, names: Sequence[str]) -> tuple[Floats, Floats]:
        """Return mean and variance of each feature so far; zeros before any example."""
        if self._newest is not None:
            return self._newest
        if not self.counts:
            return np.zeros(len(names)), np.zeros(len(names))
        return np.array([self.means[name] for name in names]), np.array([self.vars[name] for name in names])


class Regression(linear_model.LogisticRegression):  # type: ignore[misc] # River has no types
    """River's logistic regression, which also learns from arrays."""

    _newest: Floats | None = None
    """The weights as an array after the last learning from arrays."""

    def array(self, names: Sequence[str]) -> Floats:
        """Return the weight of each feature so far; zeros before any example."""
        if self._newest is not None:
            return self._newest
        weights: Floats = self._weights.to_numpy(names)
        return weights

    def learn_array(self, names: Sequence[str], features: Floats, labels: NDArray[np.bool_]) -> None:
        """Take one step of the mean gradient, as ``learn_many`` does with a frame."""
        weights = self.array(names).copy()
        errors = self.loss.gradient(y_true=labels, y_pred=features @ weights + self.intercept)
        errors = np.minimum(np.maximum(errors, -self.clip_gradient), self.clip_gradient)
        self.intercept -= self._get_intercept_update(np.add.reduce(errors) / len(errors))
        gradient = np.einsum("ij,i->j", features, errors) / len(features)
        self.optimizer.step(w=weights, g=gradient)
        self._weights.update(dict(zip(names, weights.tolist(), strict=True)))
        self._newest = weights

    def restore(self, names: Sequence[str], stored: Mapping[str, Any]) -> None:
        """Set the stored ``weights`` of the features, the ``intercept``, and the number of ``steps``."""
        self._newest = None
        self._weights.update(dict(zip(names, stored["weights"].tolist(), strict=True)))
        self.intercept, self.optimizer.n_iterations = stored["intercept"][0], int(stored["steps"][0])


class Made(NamedTuple):
    """Values derived from a learner's state, for predictions and reports."""

    line: Linear
    digest: str


class Learner:
    """A logistic regression on standardised features. A part: it is stored whole after it has learned.

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
        self._scaler = Scaler()
        self._regression = Regression(optimizer=optim.SGD(LEARNING_RATE), intercept_lr=LEARNING_RATE)
        self._made: Made | None = None
        self._stored = 0
        """The number of examples that the stored state has learned."""

    def learn(self, features: NDArray[np.float32], labels: NDArray[np.bool_]) -> None:
        """Take gradient steps over the examples in their order; features (n, f), labels (n,)."""
        if not len(labels):
            return
        for start in range(0, len(labels), MINI_BATCH):
            chunk = slice(start, start + MINI_BATCH)
            self._step(np.ascontiguousarray(features[chunk], np.float64), labels[chunk])
        self.learned += len(labels)
        self.positives += int(np.count_nonzero(labels))
        self._made = None

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """Return the probability of the outcome for each row, rounded to six digits; .5 before any learning.

        This is what the ``predict_proba_many`` of River's pipeline gives, computed from one linear function.
        """
        return self.line().predict(features)

    def line(self) -> Linear:
        """Return the log-odds as a function of features as they are, not standardised.

        A feature that has been constant so far has a slope of zero.
        """
        return self._make().line

    def weights(self) -> dict[str, float]:
        """Return the weights on standardised features, and the intercept."""
        weights = self._regression.array(self.names).tolist()
        return dict(zip(self.names, weights, strict=True)) | {"intercept": self.intercept}

    @property
    def intercept(self) -> float:
        """The log-odds of an average example."""
        return float(self._regression.intercept)

    def digest(self) -> str:
        """Return a fingerprint of everything that a prediction depends on, to the last bit."""
        return self._make().digest

    def changes(self) -> Columns:
        """Return everything if the model has learned since the last call."""
        return self.whole() if self.learned != self._stored else {}

    def whole(self) -> Columns:
        """Return the values of each feature, in the order of ``names``, and the values of the whole model."""
        self._stored = self.learned
        if not self.learned:
            return {}
        mean, variance = self._scaler.moments(self.names)
        return {
            "names": "\n".join(self.names).encode(),
            "means": mean,
            "variances": variance,
            "counts": np.array([self._scaler.counts[name] for name in self.names], np.int64),
            "weights": self._regression.array(self.names),
            "intercept": np.array([self._regression.intercept], np.float64),
            "steps": np.array([self._regression.optimizer.n_iterations], np.int64),
            "learned": np.array([self.learned, self.positives], np.int64),
        }

    def apply(self, columns: Columns) -> None:
        """Set the model."""
        names = bytes(columns["names"]).decode().split("\n")
        self._scaler.restore(names, columns)
        self._regression.restore(names, columns)
        self.learned, self.positives = np.asarray(columns["learned"]).tolist()
        self._stored, self._made = self.learned, None

    def _step(self, features: Floats, labels: NDArray[np.bool_]) -> None:
        self._scaler.learn_array(self.names, features)
        mean, variance = self._scaler.moments(self.names)
        scaled = features - mean
        np.divide(scaled, np.sqrt(variance), where=variance > 0, out=scaled)
        self._regression.learn_array(self.names, scaled, labels)

    def _make(self) -> Made:
        """Derive values from the state, once after each learning. A constant feature has deviation 1 and weight 0."""
        if self._made is None:
            mean, variance = self._scaler.moments(self.names)
            varied = variance > 0
            deviation = np.where(varied, np.sqrt(variance), 1.0)
            weight = np.where(varied, self._regression.array(self.names), 0.0)
            rest = np.array([self.intercept, self.learned])
            digest = xxh3_64_hexdigest(np.concatenate((mean, deviation, weight, rest)).tobytes())
            self._made = Made(Linear(mean, weight / deviation, self.intercept), digest)
        return self._made
