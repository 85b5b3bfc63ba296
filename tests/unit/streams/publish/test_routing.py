"""Every output of the steps goes to the stores that readers look into, once, and under its bucket's key."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.scored import random_scored

from contracts.blocks import Departures, LaneBatch, ProfileBlock, Progress, Verdict, Verdicts
from contracts.model_blocks import ModelReport
from contracts.outputs import DeadLetter, TableRows
from streams.profiles.rows import blank_rows
from streams.publish.routing import facts, for_clickhouse, for_redis, letters

LIVE = random_scored(1, ["a"], bucket=3)
SWEEP = random_scored(1, ["a"], bucket=3, kind="sweep", rows=None)
RECORDED = random_scored(1, ["a"], bucket=3, kind="sweep", rows=None, publish=False)
RESTATED = random_scored(1, ["a"], bucket=3, kind="restated")
DEPARTED = random_scored(1, ["a"], bucket=3, kind="live", publish=False)
PROFILES = ProfileBlock(3, np.array(["a"], object), np.array([1]), blank_rows(1))
LEFT = Departures(3, np.array(["anonymous:a"], object), np.array(["c"], object), np.array([1]), False)
GONE = Departures(3, np.array(["anonymous:a"], object), np.array([""], object), np.array([1]), False, forgotten=True)
DECIDED = Verdicts(3, [Verdict("anonymous:a", "c", "linked", 0)])
REPORT = ModelReport("churn", 9_862, "m", 1, 1, 1, {"window": 1})


@pytest.mark.parametrize(
    ("block", "redis", "clickhouse"),
    [
        (LIVE, True, True),
        (SWEEP, True, True),
        (RECORDED, False, True),
        (RESTATED, True, False),
        (DEPARTED, False, True),
        (PROFILES, False, True),
        (LEFT, True, True),
        (GONE, True, False),
        (DECIDED, False, True),
    ],
)
def test_each_block_goes_to_its_stores_under_its_bucket(block: Any, redis: bool, clickhouse: bool) -> None:
    assert [key for key, _ in for_redis(("x", block))] == ["3"] * redis
    assert [key for key, _ in for_clickhouse(("x", block))] == ["3"] * clickhouse


def test_reports_of_models_spread_by_boundary() -> None:
    assert for_clickhouse(("models", REPORT)) == [("9862", REPORT)]
    assert for_redis(("models", REPORT)) == []


def test_what_is_no_output_goes_nowhere() -> None:
    assert for_redis(("3", LIVE.people)) == []
    assert for_clickhouse(("3", LIVE.people)) == []


def test_redis_is_sent_no_features() -> None:
    ((_, block),) = for_redis(("3", LIVE))
    assert not isinstance(block, Departures)
    assert block.people.features.size == 0
    assert block.people.ids is LIVE.people.ids


def test_facts_and_dead_letters_have_the_key_of_their_lane() -> None:
    rows, letter = TableRows("web_events", pa.table({"x": [1]})), DeadLetter("t", 2, 1, 0, None, None, "s", "f", "p")
    batch = LaneBatch(Progress(2, None, None, False, False), facts=(rows,), dead=(letter,))
    dead = pa.table({"reason": ["f: p"]})
    assert facts(batch, lambda found: dead if found == (letter,) else None) == [
        ("2", rows), ("2", TableRows("dead_letters", dead)),
    ]  # fmt: skip
    assert letters(batch) == [("2", letter)]
    assert facts(LaneBatch(batch.progress), lambda _: None) == []
