"""Blocks of people and their scores for tests of publishing, made of random numbers or of a few values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.rows import fill

from contracts.blocks import PeopleBlock, RowArray
from contracts.model_blocks import OutcomeScores, ScoredBlock
from streams.profiles.features import FEATURES
from streams.profiles.rows import COUNTS, NEVER, NOT_YET, blank_rows, times_of, versions_of
from streams.profiles.segments import LIFECYCLES, SEGMENTS
from streams.publish.reasons import explain

DAY = 86_400_000_000
WIDTH = len(FEATURES)


def random_rows(random: np.random.Generator, count: int, slot: int) -> RowArray:
    """Profile rows of people, some of whom have ordered."""
    rows = blank_rows(count)
    for name in COUNTS:
        rows[name] = random.integers(0, 2_000 if name in ("events", "web_events") else 30, count)
    buyers = random.random(count) < 0.6
    rows["orders"] = np.where(buyers, rows["orders"] + 1, 0)
    rows["events"] += 1
    now = (slot + 1) * DAY
    last_seen = now - random.integers(0, 30 * DAY, count)
    first_seen = last_seen - random.integers(0, 300 * DAY, count)
    fill(rows, last_seen=last_seen, first_seen=first_seen)
    fill(rows, first_order=np.where(buyers, first_seen, NOT_YET), last_order=np.where(buyers, last_seen, NEVER))
    rows["revenue"] = np.where(buyers, random.integers(0, 10**8, count), 0)
    rows["refunded"] = random.integers(0, 10**6, count)
    rows["slot"] = slot
    return rows


def random_scored(seed: int, ids: Sequence[str], *, slot: int = 20_000, **changes: Any) -> ScoredBlock:
    """People with random profiles and scores of two outcomes, of which one is asked of buyers only."""
    random, count = np.random.default_rng(seed), len(ids)
    rows = random_rows(random, count, slot)
    buyers = rows["orders"] > 0
    features = np.abs(random.normal(size=(count, WIDTH)) * 2).astype(np.float32)
    people: dict[str, Any] = {
        "bucket": 0, "kind": "live", "table": "customers", "ids": np.array([*ids, ""], object)[:-1],
        "versions": versions_of(slot, rows), "as_of": times_of(rows["last_seen"]),
        "boundaries": np.full(count, slot, np.int32), "features": features, "buyers": buyers,
        "lifecycle": random.integers(0, len(LIFECYCLES), count).astype(np.int8),
        "segment": random.integers(0, len(SEGMENTS), count).astype(np.int8), "leaving": random.random(count) < 0.05,
        "positions": np.arange(count, dtype=np.int32), "entered": np.full(count, 1_000, np.int64), "publish": True,
        "guarded": False, "rows": rows,
    }  # fmt: skip
    notable = changes.pop("notable", np.ones(count, bool))
    people |= changes
    scores = {name: random_scores(random, features, asked) for name, asked in
              (("churn", buyers), ("opportunity", np.ones(count, bool)))}  # fmt: skip
    versions = ("logistic-2@1997-11-14T00", "logistic-2@1997-11-15T00")
    return ScoredBlock(PeopleBlock(**people), scores, versions, random.integers(0, 2, count).astype(np.int32), notable)


def random_scores(
    random: np.random.Generator, features: NDArray[np.float32], asked: NDArray[np.bool_]
) -> OutcomeScores:
    """Scores of one outcome with the reasons of two random models; some are certain, some have no place."""
    count = len(features)
    means, slopes = np.abs(random.normal(1, 0.5, (2, WIDTH))), random.normal(0, 0.5, (2, WIDTH))
    of = random.integers(0, 2, count).astype(np.int32)
    chances = np.round(random.random(count).clip(0.02, 0.98) * 1.05 - 0.02, 6).clip(0, 1)
    places = (random.integers(0, 1_001, count) / 10).astype(np.float32)
    places[random.random(count) < 0.05] = np.nan
    probability = np.where(asked, chances, np.nan)
    percentile = np.where(asked, places, np.float32(np.nan)).astype(np.float32)
    return OutcomeScores(probability, percentile, explain(features, means, slopes, of, asked), means, of)
