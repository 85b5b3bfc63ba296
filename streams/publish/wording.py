"""Turns the keys of reasons into texts, and their features into the compact column of ``customer_daily``.

Many people share a phrase, so each phrase is made once per block, and recent ones are cached.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.caches import cached
from streams.profiles.features import FEATURES, LOGARITHMIC
from streams.publish.columns import offsets_of
from streams.publish.phrases import PHRASES, Observed
from streams.publish.reasons import SHOWN, features_of, parts_of

MOST_CHARACTERS: Final = 119
FEW: Final = 100
"""Below this number of rows plain Python is cheaper than Arrow."""
_BETWEEN: Final = "; "
_REMEMBERED: Final = 65_536


def reason_texts(keys: NDArray[np.int64], usual: NDArray[np.float64], usual_of: NDArray[np.int32]) -> pa.StringArray:
    """Return one line for each of n people, at most :data:`MOST_CHARACTERS` long; empty without a reason.

    ``keys`` (n, 3) come from :func:`streams.publish.reasons.explain`. ``usual`` (m, F) are the means of features as
    models keep them (features on a log scale as logarithms). Row i is compared with ``usual[usual_of[i]]``.
    """
    if len(keys) < FEW:
        return pa.array(reason_lines(keys, usual, usual_of), pa.string())
    codes, phrases = _vocabulary(keys, usual, usual_of)
    sizes = np.array([len(phrase) for phrase in phrases])
    lengths, columns = np.zeros(len(keys), np.int64), []
    for place in range(SHOWN):
        before, at = _BETWEEN if place else "", codes[:, place]
        words = pa.array([phrase and before + phrase for phrase in phrases], pa.string())
        added = np.where(at > 0, sizes[at] + len(before), 0)
        fits = lengths + added <= MOST_CHARACTERS
        lengths += np.where(fits, added, 0)
        columns.append(words.take(pa.array(np.where(fits, at, 0))))
    return pc.binary_join_element_wise(*columns, "")


def reason_lines(keys: NDArray[np.int64], usual: NDArray[np.float64], usual_of: NDArray[np.int32]) -> list[str]:
    """The same lines as :func:`reason_texts`, for few people."""
    values = _plain_rows(_Means(usual))
    return [_line(row, values[of]) for row, of in zip(keys.tolist(), usual_of.tolist(), strict=True)]


class _Means:
    """Means of features, told from others by identity: arrays in blocks never change."""

    def __init__(self, means: NDArray[np.float64]):
        self.means = means

    def __hash__(self) -> int:
        return id(self.means)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Means) and self.means is other.means


@lru_cache(8)
def _plain_rows(means: _Means) -> list[list[float]]:
    """Plain values, row by row. The people of many small blocks are compared with the same means."""
    rows: list[list[float]] = plain_values(means.means).tolist()
    return rows


def plain_values(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of features as days, counts and money."""
    values = means.copy()
    values[:, LOGARITHMIC] = np.expm1(means[:, LOGARITHMIC])
    return values


def reason_numbers(signed: NDArray[np.int8]) -> pa.ListArray:
    """Per person the signed numbers (n, 3) of the features that are reasons, strongest first."""
    there = signed != 0
    return pa.ListArray.from_arrays(pa.array(offsets_of(there)), pa.array(signed[there]))


def _line(keys: Sequence[int], usual: Sequence[float]) -> str:
    line = ""
    for key in keys:
        if key < 0:
            break
        phrase = _phrase(key, usual[features_of(key)])
        longer = f"{line}{_BETWEEN}{phrase}" if line else phrase
        if len(longer) <= MOST_CHARACTERS:
            line = longer
    return line


def _vocabulary(
    keys: NDArray[np.int64], usual: NDArray[np.float64], usual_of: NDArray[np.int32]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the number of each key's phrase, shape (n, 3), and the phrases by number; 0 means no reason."""
    encoded = pa.array(keys.ravel()).dictionary_encode()
    pairs = encoded.indices.to_numpy().astype(np.int64) * len(usual) + np.repeat(usual_of, SHOWN)
    paired = pa.array(pairs).dictionary_encode()
    different, of = np.divmod(paired.dictionary.to_numpy(), len(usual))
    said = encoded.dictionary.to_numpy()[different]
    values = plain_values(usual)[of, features_of(np.maximum(said, 0))]
    phrases = ["" if key < 0 else _phrase(key, each) for key, each in zip(said.tolist(), values.tolist(), strict=True)]
    phrases.insert(0, "")
    codes = paired.indices.to_numpy().astype(np.int64).reshape(-1, SHOWN) + 1
    codes[keys < 0] = 0
    return codes, phrases


@cached(_REMEMBERED)
def _phrase(key: int, usual: float) -> str:
    parts = parts_of(key)
    words = PHRASES[FEATURES[parts.feature]](Observed(parts.value, usual, parts.rhythm))
    return f"{'+' if parts.raises else '-'} {words}"
