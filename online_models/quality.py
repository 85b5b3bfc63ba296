"""How good the forecasts are, measured on examples before they are learned (Dawid 1984: the prequential principle).

A window of the newest forecasts and labels gives area under the curve, log loss, Brier score and calibration error.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 10_000
"""Examples in the window: enough for an AUC within about .006."""
BINS: Final = 10


@dataclass
class QualityWindow:
    """The newest forecasts of one model and what came of them, oldest first."""

    forecasts: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    labels: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def add(self, forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        """Take in forecasts that were made before their labels were learned."""
        self.forecasts = np.concatenate((self.forecasts, forecasts))[-WINDOW:]
        self.labels = np.concatenate((self.labels, labels))[-WINDOW:]

    def measure(self) -> dict[str, float]:
        """The measures over the window; NaN where they are not defined."""
        return measure(self.forecasts, self.labels)


def measure(forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> dict[str, float]:
    """Window size, base rate, AUC, log loss, Brier score and expected calibration error of n forecasts."""
    n = len(labels)
    if not n:
        nan = float("nan")
        return {"window": 0, "base_rate": nan, "auc": nan, "log_loss": nan, "brier": nan, "ece": nan}
    clipped = np.clip(forecasts, 1e-6, 1 - 1e-6)
    return {
        "window": n,
        "base_rate": float(labels.mean()),
        "auc": area_under_curve(forecasts, labels),
        "log_loss": float(-np.where(labels, np.log(clipped), np.log1p(-clipped)).mean()),
        "brier": float(((forecasts - labels) ** 2).mean()),
        "ece": calibration_error(forecasts, labels),
    }


def area_under_curve(forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The chance that a positive is ranked above a negative (Mann-Whitney); NaN if one of them is missing."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = _average_ranks(forecasts)
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _average_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 on; ties share their average. Workers leave ``scipy.stats``, which has the same, out of memory."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def calibration_error(forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Expected calibration error over equal-mass bins (Naeini et al. 2015); ties stay in one bin."""
    edges = np.unique(np.quantile(forecasts, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, forecasts, side="right")
    gap = np.bincount(bins, labels) - np.bincount(bins, forecasts)
    return float(np.abs(gap).sum() / len(labels))
