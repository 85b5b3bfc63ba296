"""Why a score is what it is, in words: ``+ 38 days since last order, usually 12; - many carts: 9, usually 2``.

A plus raises the score above that of an average person of the same kind, a minus lowers it; the strongest comes first.
Features that say the same (the orders of a week, a month, a quarter) count as one reason, worded by the one that
contributes most. What is usual is the average of those from whom the model learned; in days since the last order
it is the person's own rhythm. Counts of a week, month or quarter are decayed counters, so they are estimates.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import Explainer, OutcomeScores
from streams.profiles.features import FEATURES, LOGARITHMIC
from streams.publish.phrases import PHRASES, SINGLE, Said

SHOWN: Final = 3
MOST_CHARACTERS: Final = 119
GROUPS: Final = (
    ("log_days_since_order", "log_overdue"), ("log_mean_gap_days", "gap_spread"),
    ("log_orders_7d", "log_orders_30d", "log_orders_90d"), ("log_web_7d", "log_web_30d", "log_web_90d"),
)  # fmt: skip
"""Features that say the same. Each of the others stands alone."""

_AT: Final = {name: at for at, name in enumerate(FEATURES)}
_GROUPS: Final = [[_AT[name] for name in group] for group in GROUPS]
_MEMBERS: Final = np.repeat(np.arange(len(FEATURES))[:, None], max(map(len, GROUPS)), axis=1)
"""The features for which the first feature of a group stands, and, for all others, they themselves."""
for _group in _GROUPS:
    _MEMBERS[_group[0], : len(_group)] = _group
_LEADS: Final = _MEMBERS[:, 0] != _MEMBERS[:, 1]
"""Which features stand first in a group."""
_RECENCY, _OVERDUE, _ORDERS, _GAP, _CONVERSION = (
    _AT[name] for name in ("log_days_since_order", "log_overdue", "log_orders", "log_mean_gap_days", "conversion")
)
_SMALLEST: Final = 0.005
"""Effects below this are no reason."""
_IS_LOG: Final = np.isin(np.arange(len(FEATURES)), LOGARITHMIC)
_SCALE: Final = np.array([
    100.0 if name in ("gap_spread", "refund_rate", "conversion") else 10.0 if name == "satisfaction" else 1.0
    for name in FEATURES
])  # fmt: skip
_ADDED: Final = np.array([
    0.635 if name.endswith(("_7d", "_30d", "_90d")) else 30.5 if name == "satisfaction"
    else 0.001 if "days_since" in name or "tenure" in name else 0.5
    for name in FEATURES
])  # fmt: skip
"""What is added before rounding down: whole days have passed, and one event within a decayed counter's time counts."""
_DIGITS: Final = 2
"""Digits that a large value keeps, so that people share phrases."""
_FEATURE_BITS, _RHYTHM_BITS = 5, 13
_LARGEST: Final = 1 << 40


def reasons_of(scores: OutcomeScores, features: NDArray[np.float32], buyers: NDArray[np.bool_]) -> list[str]:
    """One line per person, at most :data:`MOST_CHARACTERS` long.

    Empty where no feature moves the score, as before the first examples, and where the question is not asked.
    """
    lines = np.full(len(features), "", object)
    for kind, explainer in ((buyers, scores.explainer), (~buyers, scores.without_orders)):
        if explainer is not None and kind.any():
            lines[kind] = _lines(explainer, features if kind.all() else features[kind])
    texts: list[str] = lines.tolist()
    return texts


def _lines(explainer: Explainer, features: NDArray[np.float32]) -> NDArray[np.object_]:
    effects = _without_visits(explainer.effects(features), features)
    groups = _joined(effects)
    strengths = np.abs(groups)
    lines, lengths = np.full(len(effects), "", object), np.zeros(len(effects), np.int64)
    usual = np.where(_IS_LOG, np.expm1(explainer.mean), explainer.mean).tolist()
    for place in range(SHOWN):
        strongest = strengths.argmax(axis=1)[:, None]
        sizes = np.take_along_axis(groups, strongest, axis=1).ravel()
        speaking = _spokesmen(effects, strongest.ravel(), sizes)
        keys = np.where(np.abs(sizes) < _SMALLEST, -1, _keys(features, speaking, sizes))
        _append(lines, lengths, keys, usual, "; " if place else "")
        np.put_along_axis(strengths, strongest, -1.0, axis=1)
    return lines


def _without_visits(effects: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The effects with those of orders per visit added to those of orders, for people with at most one visit.

    Their orders per visit are their orders, so both features say the same.
    """
    same = np.flatnonzero(features[:, _CONVERSION] == features[:, _ORDERS])
    moved = effects.copy()
    moved[same, _ORDERS] += effects[same, _CONVERSION]
    moved[same, _CONVERSION] = 0.0
    return moved


def _joined(effects: NDArray[np.float32]) -> NDArray[np.float32]:
    """The effects with the sum of each group in the place of its first feature."""
    joined = effects.copy()
    for first, *others in _GROUPS:
        for each in others:
            joined[:, first] += effects[:, each]
            joined[:, each] = 0.0
    return joined


def _spokesmen(
    effects: NDArray[np.float32], firsts: NDArray[np.int64], sizes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The feature of each row's group that contributes most to its effect."""
    found = firsts.copy()
    rows = np.flatnonzero(_LEADS[firsts])
    members = _MEMBERS[firsts[rows]]
    signed = effects[rows[:, None], members] * np.sign(sizes[rows])[:, None]
    found[rows] = members[np.arange(len(rows)), signed.argmax(axis=1)]
    found[found == _OVERDUE] = _RECENCY
    return found


def _keys(
    features: NDArray[np.float32], speaking: NDArray[np.int64], sizes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """What a phrase says as one number: value, rhythm, feature, direction."""
    values = features[np.arange(len(features)), speaking].astype(np.float64)
    values = np.where(_IS_LOG[speaking], np.expm1(values), values) * _SCALE[speaking] + _ADDED[speaking]
    values = np.clip(values, 0, _LARGEST).astype(np.int64)
    large = np.flatnonzero(values >= 10**_DIGITS)
    step = 10 ** (np.log10(values[large]).astype(np.int64) + 1 - _DIGITS)
    values[large] = (values[large] + step // 2) // step * step
    gap = np.clip(np.rint(np.expm1(features[:, _GAP].astype(np.float64))), 1, (1 << _RHYTHM_BITS) - 1).astype(np.int64)
    rhythm = np.where(features[:, _ORDERS] < np.float32(np.log1p(1.5)), SINGLE, np.where(speaking == _RECENCY, gap, 1))
    keys: NDArray[np.int64] = ((((values << _RHYTHM_BITS) + rhythm) << _FEATURE_BITS) + speaking) * 2 + (sizes > 0)
    return keys


def _append(
    lines: NDArray[np.object_],
    lengths: NDArray[np.int64],
    keys: NDArray[np.int64],
    usual: list[float],
    before: str,
) -> None:
    """Add a phrase to each line that has room for it. Many people share a phrase, so each is written once."""
    encoded = pa.array(keys).dictionary_encode()
    phrases = np.array(["", *(before + _phrase(key, usual) for key in encoded.dictionary.to_pylist())], object)
    at = encoded.indices.to_numpy() + 1
    at[keys < 0] = 0
    sizes = np.array([len(phrase) for phrase in phrases])[at]
    fits = lengths + sizes <= MOST_CHARACTERS
    at[~fits] = 0
    lines += phrases[at]
    lengths += np.where(fits, sizes, 0)


def _phrase(key: int, usual: list[float]) -> str:
    if key < 0:
        return ""
    rest, feature = divmod(key >> 1, 1 << _FEATURE_BITS)
    value, rhythm = divmod(rest, 1 << _RHYTHM_BITS)
    return f"{'+' if key & 1 else '-'} {PHRASES[FEATURES[feature]](Said(value, usual[feature], rhythm))}"
