"""The quality of forecasts, measured on examples before they are learned (Dawid 1984: the prequential principle).

A window of the newest forecasts and labels gives area under the curve, log loss, Brier score and calibration error.
Forecasts have six digits, so a forecast and its label fit one integer (a *code*). The window is also kept sorted: a
boundary adds and drops few examples, so the measures need no full sort.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.state import Columns

WINDOW: Final = 10_000
"""Examples in the window: enough for an AUC within about .006."""
BINS: Final = 10
ONE: Final = 1_000_000
"""The forecast 1.0 in millionths, the unit of codes."""
FINE: Final = 1_000_000_000
"""Parts of one in which log loss is added up."""
MANY: Final = WINDOW // 8
"""From this number of new examples on, sorting the whole window is cheaper than inserting them."""
_CUTS: Final = np.linspace(0, 1, BINS + 1)[1:-1]
_NAMES: Final = ("base_rate", "auc", "log_loss", "brier", "ece")
Codes = NDArray[np.int32]


def _none() -> Codes:
    return np.empty(0, np.int32)


class Sums(NamedTuple):
    """Sums over codes: positives, squared errors (in squared millionths), and log loss (in billionths).

    All are whole numbers, so adding and taking away codes leaves no trace of rounding.
    """

    positives: int = 0
    squares: int = 0
    losses: int = 0

    def moved(self, added: Codes, gone: Codes) -> "Sums":
        """Return the sums after some codes were added and others removed."""
        codes = np.concatenate((added, gone))
        signs = np.ones(len(codes), np.int64)
        signs[len(added) :] = -1
        labels = codes & 1
        missed = np.abs(labels * np.int32(ONE) - (codes >> 1)).astype(np.int64)
        likely = (ONE - np.minimum(np.maximum(missed, 1), ONE - 1)) / ONE
        losses = np.rint(np.log(likely) * -FINE).astype(np.int64)
        return Sums(
            self.positives + int(labels @ signs),
            self.squares + int(missed**2 @ signs),
            self.losses + int(losses @ signs),
        )


@dataclass
class QualityWindow:
    """The newest forecasts of one model and their labels as codes: oldest first, and in order; and their sums.

    A part: its changes are the codes added; what leaves the window follows from them.
    """

    codes: Codes = field(default_factory=_none)
    ordered: Codes = field(default_factory=_none)
    sums: Sums = field(default_factory=Sums)
    _added: int = 0
    """Codes added since the state was stored last."""

    def add(self, forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        """Add forecasts that were made before their labels were learned."""
        new = encode(forecasts, labels)
        codes = np.concatenate((self.codes, new))
        gone, self.codes = codes[:-WINDOW], codes[-WINDOW:]
        self.sums, self._added = self.sums.moved(new, gone), self._added + len(new)
        if len(new) >= MANY:
            self.ordered = np.sort(self.codes)
        else:
            self.ordered = np.sort(np.concatenate((_without(self.ordered, np.sort(gone)), np.sort(new))), kind="stable")

    def measure(self) -> dict[str, float]:
        """Return the measures over the window; NaN where they are not defined."""
        return measure(self.ordered, self.sums)

    def changes(self) -> Columns:
        """Return the codes added since the last call, and the sums."""
        if not self._added:
            return {}
        added, self._added = min(self._added, len(self.codes)), 0
        return {"codes": self.codes[-added:], "sums": np.array(self.sums, np.int64)}

    def whole(self) -> Columns:
        """Return all codes and the sums."""
        self._added = 0
        return {"codes": self.codes, "sums": np.array(self.sums, np.int64)}

    def apply(self, columns: Columns) -> None:
        """Add codes, and set the sums."""
        self.codes = np.concatenate((self.codes, np.asarray(columns["codes"])))[-WINDOW:]
        self.ordered, self.sums = np.sort(self.codes), Sums(*np.asarray(columns["sums"]).tolist())


def encode(forecasts: NDArray[np.float64], labels: NDArray[np.bool_]) -> Codes:
    """Return forecasts in [0, 1] in millionths and their labels as codes: ``2 * millionths + label``."""
    codes: Codes = np.rint(forecasts * ONE).astype(np.int32) * np.int32(2) + labels
    return codes


def measure(ordered: Codes, sums: Sums) -> dict[str, float]:
    """Return size, base rate, AUC, log loss, Brier score and expected calibration error of ascending codes."""
    n = len(ordered)
    if not n:
        return {"window": 0} | dict.fromkeys(_NAMES, float("nan"))
    return {
        "window": n,
        "base_rate": sums.positives / n,
        "auc": area_under_curve(ordered),
        "log_loss": sums.losses / (FINE * n),
        "brier": sums.squares / (ONE**2 * n),
        "ece": calibration_error(ordered),
    }


def area_under_curve(ordered: Codes) -> float:
    """Return the chance that a positive ranks above a negative (Mann-Whitney); NaN if there are none of one kind.

    Among equal forecasts negatives come first. So the negatives before a positive have a lower forecast, or an equal
    one, which counts half.
    """
    labels = ordered & 1
    positives = int(np.count_nonzero(labels))
    negatives = len(ordered) - positives
    if not positives or not negatives:
        return float("nan")
    places = labels.astype(np.float64) @ np.arange(len(ordered), dtype=np.float64)  # whole numbers: exact in any order
    before = int(places) - positives * (positives - 1) // 2
    return (2 * before - _ties(ordered)) / (2 * positives * negatives)


def _ties(ordered: Codes) -> int:
    """Return the number of pairs of a positive and a negative with equal forecasts: their codes differ in the label."""
    first = (ordered[1:] ^ ordered[:-1] == 1).nonzero()[0] + 1  # the first positives after negatives
    negatives = first - ordered.searchsorted(ordered[first - 1])
    positives = ordered.searchsorted(ordered[first], "right") - first
    return int(negatives @ positives)


def calibration_error(ordered: Codes) -> float:
    """Return the expected calibration error over equal-mass bins (Naeini et al. 2015); ties stay in one bin."""
    millionths = ordered >> 1
    starts = [0, *millionths.searchsorted(np.ceil(_quantiles(millionths)).astype(np.int32)).tolist()]
    starts = [start for start, before in zip(starts, [-1, *starts], strict=False) if before < start < len(ordered)]
    surplus = (ordered & 1) * np.int32(ONE) - millionths
    gaps = np.add.reduceat(surplus, starts, dtype=np.int64)
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
    again = np.arange(len(gone)) - gone.searchsorted(gone)
    kept = np.ones(len(ordered), np.bool_)
    kept[ordered.searchsorted(gone) + again] = False
    return ordered[kept]
