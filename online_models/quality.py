"""The quality of forecasts, measured on examples before they are learned (Dawid 1984: the prequential principle).

A window of the newest forecasts and labels gives area under the curve, log loss, Brier score and calibration error.
Forecasts have six digits, so a forecast and its label fit one integer (a *code*). The window is also kept sorted: a
boundary adds and drops few examples, so the measures need no full sort.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 10_000
"""Examples in the window: enough for an AUC within about .006."""
BINS: Final = 10
ONE: Final = 1_000_000
"""The forecast 1.0 in millionths, the unit of codes."""
MANY: Final = WINDOW // 8
"""From this number of new examples on, sorting the whole window is cheaper than inserting them."""
_CUTS: Final = np.linspace(0, 1, BINS + 1)[1:-1]
_NAMES: Final = ("base_rate", "auc", "log_loss", "brier", "ece")
Codes = NDArray[np.int32]


def _none() -> Codes:
    return np.empty(0, np.int32)


@dataclass
class QualityWindow:
    """The newest forecasts of one model and their labels as codes: oldest first, and in order."""

    codes: Codes = field(default_factory=_none)
    ordered: Codes = field(default_factory=_none)

    def add(self, forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        """Add forecasts that were made before their labels were learned."""
        new = encode(forecasts, labels)
        codes = np.concatenate((self.codes, new))
        gone, self.codes = codes[:-WINDOW], codes[-WINDOW:]
        if len(new) >= MANY:
            self.ordered = np.sort(self.codes)
        else:
            self.ordered = _with(_without(self.ordered, np.sort(gone)), np.sort(new))

    def measure(self) -> dict[str, float]:
        """Return the measures over the window; NaN where they are not defined."""
        return measure(self.ordered)


def encode(forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> Codes:
    """Return forecasts in [0, 1] in millionths and their labels as codes: ``2 * millionths + label``."""
    codes: Codes = np.rint(forecasts * ONE).astype(np.int32) * np.int32(2) + labels
    return codes


def measure(ordered: Codes) -> dict[str, float]:
    """Return window size, base rate, AUC, log loss, Brier score and expected calibration error of ascending codes."""
    n = len(ordered)
    if not n:
        return {"window": 0} | dict.fromkeys(_NAMES, float("nan"))
    labels, millionths = ordered & 1, ordered >> 1
    missed = np.abs(labels * np.int32(ONE) - millionths)
    return {
        "window": n,
        "base_rate": int(labels.sum()) / n,
        "auc": area_under_curve(ordered),
        "log_loss": float(-np.log((ONE - np.clip(missed, 1, ONE - 1)) / ONE).mean()),
        "brier": float(((missed / ONE) ** 2).mean()),
        "ece": calibration_error(ordered),
    }


def area_under_curve(ordered: Codes) -> float:
    """Return the chance that a positive ranks above a negative (Mann-Whitney); NaN if there are none of one kind.

    Among equal forecasts negatives come first, so a positive beats or ties with all negatives before it; a tie counts
    half.
    """
    labels, millionths = ordered & 1, ordered >> 1
    positives = int(labels.sum())
    negatives = len(ordered) - positives
    if not positives or not negatives:
        return float("nan")
    before = int(labels @ np.arange(len(ordered))) - positives * (positives - 1) // 2
    return (2 * before - _ties(labels, millionths)) / (2 * positives * negatives)


def _ties(labels: Codes, millionths: Codes) -> int:
    """Return the number of pairs of a positive and a negative with equal forecasts."""
    tied = np.flatnonzero(millionths[1:] == millionths[:-1])
    if not len(tied):
        return 0
    gaps = np.flatnonzero(tied[1:] - tied[:-1] > 1)
    starts = tied[np.concatenate((np.zeros(1, np.int64), gaps + 1))]
    stops = tied[np.concatenate((gaps, np.array([len(tied) - 1])))] + 2
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(labels)))
    positives = before[stops] - before[starts]
    return int((positives * (stops - starts - positives)).sum())


def calibration_error(ordered: Codes) -> float:
    """Return the expected calibration error over equal-mass bins (Naeini et al. 2015); ties stay in one bin."""
    millionths = ordered >> 1
    edges = _quantiles(millionths)
    starts = np.unique(np.concatenate((np.zeros(1, np.int64), np.searchsorted(millionths, edges))))
    surplus = (ordered & 1) * np.int64(ONE) - millionths
    gaps = np.add.reduceat(surplus, starts[starts < len(ordered)])
    return int(np.abs(gaps).sum()) / (ONE * len(ordered))


def _quantiles(ascending: Codes) -> NDArray[np.float64]:
    """Return the values that cut ascending ones into bins of equal mass, interpolated as ``np.quantile`` does."""
    at = _CUTS * (len(ascending) - 1)
    below = at.astype(np.int64)
    above = np.minimum(below + 1, len(ascending) - 1)
    low = ascending[below]
    between: NDArray[np.float64] = low + (ascending[above] - low) * (at - below)
    return between


def _without(ordered: Codes, gone: Codes) -> Codes:
    """Return ordered codes without the codes in ``gone`` (ordered), each removed as often as it occurs there."""
    if not len(gone):
        return ordered
    again = np.arange(len(gone)) - np.searchsorted(gone, gone)
    return np.delete(ordered, np.searchsorted(ordered, gone) + again)


def _with(ordered: Codes, new: Codes) -> Codes:
    """Merge two arrays of ordered codes."""
    return np.insert(ordered, np.searchsorted(ordered, new), new)
