"""Blocks as Redis hashes: all fields are text, times ISO 8601 in UTC."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import ScoredBlock
from contracts.crossings import Moved
from contracts.identity import ANONYMOUS
from contracts.outputs import HashWrites
from contracts.stored import MERGED_FIELD, PROFILE_PREFIX, SCORE_PREFIX
from streams.profiles.bucket import ProfileBlock
from streams.profiles.table import NEVER, NOT_YET
from streams.publish.reasons import reasons_of
from streams.profiles.segments import LAPSED, LIFECYCLES, SEGMENTS

_PROFILE_TIMES: Final = ("first_seen", "last_seen", "first_order", "last_order")
_PROFILE_COUNTS: Final = (
    "events", "orders", "items", "refunds", "web_events", "sessions", "product_views", "carts", "checkouts", "tickets",
)  # fmt: skip
_PROFILE_MONEY: Final = ("revenue", "refunded")


def score_hashes(block: ScoredBlock, visitors_expire: int) -> list[HashWrites]:
    """The scores of a block; visitors' expire after so many seconds and have no rank."""
    scores = _score_hashes(block)
    if not block.customers.visitors:
        return [scores]
    columns = {**scores.columns, MERGED_FIELD: [None] * len(scores.ids)}
    return [replace(scores, columns=columns, ranks={}, expires_seconds=visitors_expire)]


def moved_hashes(moved: Moved, outcomes: Sequence[str], expires_seconds: int) -> list[HashWrites]:
    """What stands under the ids of visitors who are customers now: whose they are, and nothing else."""
    ids, persons = moved.ids.tolist(), moved.persons.tolist()
    scores = [name for each in outcomes for name in (each, f"{each}_percentile", f"{each}_reasons")]
    fields = {
        SCORE_PREFIX: ("as_of", "model_version", "segment", "lifecycle", *scores),
        PROFILE_PREFIX: (*_PROFILE_TIMES, *_PROFILE_COUNTS, *_PROFILE_MONEY, "currency"),
    }
    writes = []
    for prefix, names in fields.items():
        columns: dict[str, Sequence[str | None]] = {name: [None] * len(ids) for name in names}
        columns[MERGED_FIELD] = persons
        writes.append(HashWrites(prefix, ids, moved.versions, columns, expires_seconds=expires_seconds))
    return writes


def _score_hashes(block: ScoredBlock) -> HashWrites:
    """The scores of a block, with the ranks of all but lapsed customers and those who become dormant."""
    customers = block.customers
    columns: dict[str, Sequence[str | None]] = {
        "as_of": _times(customers.as_of),
        "model_version": [block.model_version] * len(customers.ids),
        "segment": [SEGMENTS[at] for at in customers.segment.tolist()],
        "lifecycle": [LIFECYCLES[at] for at in customers.lifecycle.tolist()],
    }
    ranks, gone = {}, (customers.lifecycle == LAPSED) | customers.farewell
    for name, scores in block.scores.items():
        columns[name] = [_digits(value, 6) for value in scores.probability.tolist()]
        columns[f"{name}_percentile"] = [_digits(value, 1) for value in scores.percentile.tolist()]
        unasked = np.isnan(scores.probability).tolist()
        texts = reasons_of(scores, customers.features, customers.buyers)
        columns[f"{name}_reasons"] = [None if no else text for no, text in zip(unasked, texts, strict=True)]
        ranks[name] = np.where(gone, np.nan, scores.probability)
    ids = customers.ids.tolist()
    return HashWrites(SCORE_PREFIX, ids, customers.versions, columns, ranks, customers.oldest_record_at)


def profile_hashes(block: ProfileBlock, currency: str | None, visitors_expire: int) -> HashWrites:
    """The profiles of a block, of visitors or customers only; money is in the base currency (None: undecided)."""
    rows = block.rows
    columns: dict[str, Sequence[str | None]] = {name: _times(rows[name]) for name in _PROFILE_TIMES}
    columns |= {name: [str(count) for count in rows[name].tolist()] for name in _PROFILE_COUNTS}
    columns |= {name: [f"{amount / 10_000:.2f}" for amount in rows[name].tolist()] for name in _PROFILE_MONEY}
    columns["currency"] = [currency] * len(rows)
    if not len(block.ids) or not block.ids[0].startswith(ANONYMOUS):
        return HashWrites(PROFILE_PREFIX, block.ids.tolist(), block.versions, columns)
    columns[MERGED_FIELD] = [None] * len(rows)
    return HashWrites(PROFILE_PREFIX, block.ids.tolist(), block.versions, columns, expires_seconds=visitors_expire)


def _times(times: NDArray[np.int64]) -> list[str | None]:
    known = (times != NEVER) & (times != NOT_YET)
    texts = np.datetime_as_string(np.where(known, times, 0).astype("datetime64[us]"), unit="s", timezone="UTC")
    return [text if is_known else None for text, is_known in zip(texts.tolist(), known.tolist(), strict=True)]


def _digits(value: float, digits: int) -> str | None:
    return None if math.isnan(value) else f"{value:.{digits}f}"
