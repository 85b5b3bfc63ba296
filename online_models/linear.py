"""Linear functions of features, and the probabilities that follow from their log-odds."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

DIGITS: Final = 6
"""Digits of a probability, as readers see it."""


@dataclass(frozen=True)
class Linear:
    """Log-odds as a linear function: ``intercept + (features - mean) @ slope``, with mean and slope (features,)."""

    mean: NDArray[np.float64]
    slope: NDArray[np.float64]
    intercept: float

    @property
    def offset(self) -> float:
        """The log-odds where all features are zero."""
        return self.intercept - float((self.mean * self.slope).sum())

    def mix(self, other: "Linear", weight: float) -> "Linear":
        """Mix with another function that weighs ``weight`` of one. The other's reference point weighs as much."""
        mean = (1 - weight) * self.mean + weight * other.mean
        slope = (1 - weight) * self.slope + weight * other.slope
        return Linear(mean, slope, (1 - weight) * self.at(mean) + weight * other.at(mean))

    def at(self, features: NDArray[np.float64]) -> float:
        """Return the log-odds of one row."""
        return self.intercept + float(((features - self.mean) * self.slope).sum())


def probabilities(
    features: NDArray[np.float32], slopes: NDArray[np.float64], offsets: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Return the probability for each row of ``features`` (n, features), in [0, 1], rounded to six digits.

    ``slopes`` is (features,) or (n, features), ``offsets`` a number or (n,); NaN where the offset is. Rows are summed
    one by one, not by a matrix product, whose last bits depend on a row's neighbours: the same person gets the same
    score in any block.
    """
    log_odds = (np.ascontiguousarray(features) * slopes).sum(axis=1) + offsets
    rounded: NDArray[np.float64] = np.round(expit(log_odds), DIGITS)
    return rounded
