"""Linear functions of features, and the probabilities that follow from their log-odds."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

DIGITS: Final = 6
"""Decimal digits of a published probability."""
PORTION: Final = 1_024
"""Rows that are summed at a time."""


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

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability for each row of ``features`` (n, features), rounded to six digits."""
        return probabilities(features, self.slope[None], np.array([self.offset]), np.zeros(len(features), np.int32))

    def mix(self, other: "Linear", weight: float) -> "Linear":
        """Mix with another function that weighs ``weight`` of one. The other's reference point weighs as much."""
        mean = (1 - weight) * self.mean + weight * other.mean
        slope = (1 - weight) * self.slope + weight * other.slope
        return Linear(mean, slope, (1 - weight) * self.at(mean) + weight * other.at(mean))

    def at(self, features: NDArray[np.float64]) -> float:
        """Return the log-odds of one row."""
        return self.intercept + float(((features - self.mean) * self.slope).sum())


def probabilities(
    features: NDArray[np.float32], slopes: NDArray[np.float64], offsets: NDArray[np.float64], lines: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the probability for each row of ``features`` (n, F), in [0, 1], rounded to six digits.

    ``slopes`` is (m, F), ``offsets`` (m,). Row i has the log-odds ``features[i] @ slopes[lines[i]]`` plus its line's
    offset, NaN where that is NaN. Each row is summed by itself: the last bits of a matrix product depend on
    neighbouring rows, and a person must get the same score in any block. Rows are processed in portions that fit the
    CPU's cache.
    """
    features = np.ascontiguousarray(features)
    log_odds = offsets.take(lines)
    for start in range(0, len(lines), PORTION):
        part = slice(start, start + PORTION)
        products = slopes.take(lines[part], axis=0)
        products *= features[part].astype(np.float64)
        log_odds[part] += np.einsum("ij->i", products)
    rounded: NDArray[np.float64] = np.round(expit(log_odds), DIGITS)
    return rounded
