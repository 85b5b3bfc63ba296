"""Explains scores by reasons: ``+ 38 days since last order, usually 12; - many carts: 9, usually 2``.

A plus raises the score above the score of an average person of the same kind, a minus lowers it; the strongest reason
comes first. Features that measure the same thing (the orders of a week, a month, a quarter) count as one reason,
phrased by the feature that contributes most. The usual value is the average of the model's training examples; for days
since the last order it is the person's own rhythm. Counts of a week, month or quarter are decayed counters, so they are
estimates.

:func:`explain` encodes reasons as numbers, for whole blocks; :func:`explain_briefly` names only their features.
:mod:`streams.publish.wording` turns the numbers into text, only for scores that are written to Redis or ClickHouse.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.model_blocks import Reasons
from streams.profiles.features import FEATURES, LOGARITHMIC
from streams.publish.phrases import SINGLE

SHOWN: Final = 3
"""Reasons per score."""
NO_REASON: Final = -1
GROUPS: Final = (
    ("log_days_since_order", "log_overdue"), ("log_mean_gap_days", "gap_spread"),
    ("log_orders_7d", "log_orders_30d", "log_orders_90d"), ("log_web_7d", "log_web_30d", "log_web_90d"),
)  # fmt: skip
"""Groups of features that measure the same thing. All other features stand alone."""

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
_SMALLEST: Final = np.float32(0.005)
"""Smaller effects are not given as reasons."""
_ONE_ORDER: Final = np.float32(np.log1p(1.5))
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
_SIGN_AND_FEATURE: Final = 2 ** (1 + _FEATURE_BITS) - 1
"""The bits of a key that tell its feature and direction."""
_SIGNED: Final = np.array([
    (at // 2 + 1) * (1 if at & 1 else -1) if at // 2 < len(FEATURES) else 0 for at in range(_SIGN_AND_FEATURE + 1)
], np.int8)  # fmt: skip
_FIRSTS: Final = np.array([at for at in range(len(FEATURES)) if all(at not in others for _, *others in _GROUPS)])
"""The features that stand for themselves or for a group."""
_LAST: Final = np.int32(2**_FEATURE_BITS - 1)
_MAGNITUDE: Final = np.int32(2**31 - 1) & ~_LAST
"""The bits of a single-precision number without its sign and the last five."""
Numbers = TypeVar("Numbers", int, NDArray[np.int64])
Number = TypeVar("Number", np.float32, np.int64)
Code = TypeVar("Code", np.int8, np.int64)
_LARGEST: Final = 1 << 40


def explain(
    features: NDArray[np.float32],
    means: NDArray[np.floating],
    slopes: NDArray[np.floating],
    of: NDArray[np.int32],
    asked: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return the keys of the strongest reasons of n people, shape (n, 3), strongest first.

    ``features`` is (n, F). ``means`` and ``slopes`` (log-odds per unit of a feature) are (m, F), and ``of`` (n,) says
    which of them a person is compared with. A key is :data:`NO_REASON` if no further feature moves the score, and for
    people not covered by the outcome (``asked`` (n,) is False). A person's keys do not depend on other people
    in the block.
    """
    return _explained(_People(features, means, slopes, of, asked), np.int64(NO_REASON), _keys)


class Key(NamedTuple):
    """The parts of a key: the feature's number, its rounded value, the person's rhythm in days, and the direction."""

    feature: int
    value: int
    rhythm: int
    raises: bool


def parts_of(key: int) -> Key:
    """Take a key apart. It must not be :data:`NO_REASON`."""
    rest, feature = divmod(key >> 1, 1 << _FEATURE_BITS)
    value, rhythm = divmod(rest, 1 << _RHYTHM_BITS)
    return Key(feature, value, rhythm, bool(key & 1))


def features_of(keys: Numbers) -> Numbers:
    """Return the numbers of the features of keys, or of one key."""
    return (keys >> 1) & ((1 << _FEATURE_BITS) - 1)


def signed_features(keys: Reasons) -> NDArray[np.int8]:
    """The features of keys, counted from 1, negative where they lower the score; 0 where there is no reason.

    Those that come as features only are returned as they are.
    """
    if keys.dtype == np.int8:
        return keys.astype(np.int8, copy=False)
    signed: NDArray[np.int8] = _SIGNED.take(keys & _SIGN_AND_FEATURE)
    return signed


def explain_briefly(
    features: NDArray[np.float32],
    means: NDArray[np.floating],
    slopes: NDArray[np.floating],
    of: NDArray[np.int32],
    asked: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """Return the :func:`signed_features` of what :func:`explain` would return, at less cost."""
    return _explained(_People(features, means, slopes, of, asked), np.int8(0), _signed)


class _People(NamedTuple):
    """The arguments of :func:`explain`."""

    features: NDArray[np.float32]
    means: NDArray[np.floating]
    slopes: NDArray[np.floating]
    of: NDArray[np.int32]
    asked: NDArray[np.bool_]


def _explained(
    people: _People, none: Code, encode: "Callable[[NDArray[np.float32], _Found], NDArray[Code]]"
) -> NDArray[Code]:
    """Return the codes of the strongest reasons of n people, shape (n, 3): ``none`` for people who are not asked.

    ``encode`` makes the codes of the others, three each, from their features, shape (F, n), and what was found.
    """
    features, means, slopes, of, asked = people
    codes = np.full((len(features), SHOWN), none)
    count = np.count_nonzero(asked)
    if count:
        chosen: NDArray[np.bool_] | slice = asked if count < len(asked) else slice(None)
        columns = np.ascontiguousarray(features[chosen].T)
        codes[chosen] = encode(columns, _Found.of(columns, means, slopes, of[chosen])).reshape(-1, SHOWN)
    return codes


class _Found(NamedTuple):
    """The strongest features of n people, three each: entry i is of person ``people[i]``.

    ``speaking`` are the features named in reasons, ``sizes`` their effects on the log-odds.
    """

    people: NDArray[np.int64]
    speaking: NDArray[np.int64]
    sizes: NDArray[np.float32]

    @classmethod
    def of(
        cls, columns: NDArray[np.float32], means: NDArray[np.floating], slopes: NDArray[np.floating],
        of: NDArray[np.int32],
    ) -> "_Found":  # fmt: skip
        """Find them. Single precision is enough and twice as fast.

        ``columns`` and all that follows have a row per feature, shape (F, n): sums over groups and maxima are then over
        whole rows.
        """
        effects = _effects(columns, means.astype(np.float32, copy=False), slopes.astype(np.float32, copy=False), of)
        groups = _joined(effects)
        people, firsts = np.repeat(np.arange(columns.shape[1]), SHOWN), _largest(groups).ravel()
        sizes = _cells(groups, firsts, people)
        return cls(people, _spokesmen(effects, people, firsts, sizes), sizes)

    @property
    def small(self) -> NDArray[np.bool_]:
        """Which effects are too small to be reasons."""
        small: NDArray[np.bool_] = np.abs(self.sizes) < _SMALLEST
        return small


def _cells(table: NDArray[Number], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Number]:
    """Return ``table[rows, columns]`` of a table without gaps, at a third of its cost."""
    cells: NDArray[Number] = table.ravel().take(rows * table.shape[1] + columns)
    return cells


def _largest(groups: NDArray[np.float32]) -> NDArray[np.int64]:
    """The features of the largest magnitudes of each person, shape (n, 3), largest first; of equal ones the first.

    A magnitude and its feature are one integer here: the bits of a positive float ascend with it, and its last five,
    a millionth part of it, make way for the feature. So the largest of all people are found a feature at a time.
    """
    codes = groups[_FIRSTS].view(np.int32)
    codes &= _MAGNITUDE
    codes |= (_LAST - np.arange(len(_FIRSTS), dtype=np.int32))[:, None]
    largest = np.empty((groups.shape[1], SHOWN), np.int64)
    for place in range(SHOWN):
        found = codes.max(axis=0)
        largest[:, place] = _FIRSTS[_LAST - (found & _LAST)]
        codes *= codes != found
    return largest


def _effects(
    columns: NDArray[np.float32], means: NDArray[np.float32], slopes: NDArray[np.float32], of: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Return how much each feature moves each person's log-odds from the average person's, shape (F, n).

    For people with at most one visit, orders per visit equal orders: the effect of the former is added to the effect of
    the latter.
    """
    one = len(means) == 1
    effects = columns - (means.T if one else means.T.take(of, axis=1))
    effects *= slopes.T if one else slopes.T.take(of, axis=1)
    same = columns[_CONVERSION] == columns[_ORDERS]
    effects[_ORDERS] += np.where(same, effects[_CONVERSION], np.float32(0))
    effects[_CONVERSION, same] = 0.0
    return effects


def _joined(effects: NDArray[np.float32]) -> NDArray[np.float32]:
    """The effects with the sum of each group in the place of its first feature."""
    joined = effects.copy()
    for first, *others in _GROUPS:
        for each in others:
            joined[first] += effects[each]
            joined[each] = 0.0
    return joined


def _spokesmen(
    effects: NDArray[np.float32], people: NDArray[np.int64], firsts: NDArray[np.int64], sizes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """For each pair of person and group (by its first feature) the member that contributes most to its effect."""
    found = firsts.copy()
    led = np.flatnonzero(_LEADS.take(firsts))
    members = _MEMBERS.take(firsts.take(led), axis=0)
    signed = _cells(effects, members, people.take(led)[:, None])
    signed *= np.sign(sizes.take(led))[:, None]
    found[led] = _cells(members, np.arange(len(led)), signed.argmax(axis=1))
    found[found == _OVERDUE] = _RECENCY
    return found


def _signed(_: NDArray[np.float32], found: _Found) -> NDArray[np.int8]:
    """Encode features and directions only."""
    signs = np.sign(found.sizes).astype(np.int8)
    signs[found.small] = 0
    signed: NDArray[np.int8] = (found.speaking + 1).astype(np.int8) * signs
    return signed


def _keys(columns: NDArray[np.float32], found: _Found) -> NDArray[np.int64]:
    """Encode the content of a phrase as one number: value, rhythm, feature, direction."""
    people, speaking, sizes = found
    exact = _cells(columns, speaking, people).astype(np.float64)
    exact = np.where(_IS_LOG.take(speaking), np.expm1(exact), exact) * _SCALE.take(speaking) + _ADDED.take(speaking)
    values = np.clip(exact, 0, _LARGEST).astype(np.int64)
    large = np.flatnonzero(values >= 10**_DIGITS)
    step = 10 ** (np.log10(values[large]).astype(np.int64) + 1 - _DIGITS)
    values[large] = (values[large] + step // 2) // step * step
    rhythms = _cells(_rhythms(columns), (speaking == _RECENCY).astype(np.int64), people)
    keys: NDArray[np.int64] = (values << _RHYTHM_BITS) + rhythms
    keys = ((keys << _FEATURE_BITS) + speaking) * 2 + (sizes > 0)
    keys[found.small] = NO_REASON
    return keys


def _rhythms(columns: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rhythm of each person for features of recency (second row) and all others (first), shape (2, n)."""
    gaps = np.clip(np.rint(np.expm1(columns[_GAP].astype(np.float64))), 1, (1 << _RHYTHM_BITS) - 1)
    several = columns[_ORDERS] >= _ONE_ORDER
    rhythms = np.empty((2, columns.shape[1]), np.int64)
    rhythms[0] = np.where(several, 1, SINGLE)
    rhythms[1] = np.where(several, gaps, SINGLE)
    return rhythms
