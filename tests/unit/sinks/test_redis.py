"""The Redis writer's own part: what it sends, what it holds back, what it refuses. No server."""

import numpy as np
import pytest
import redis

from contracts.outputs import HashWrites
from contracts.stored import profile_key, score_key
from sinks.redis import ABSENT, CHUNK_CUSTOMERS, check, redis_is_out, script_arguments


def block(count: int = 2, **changes: object) -> HashWrites:
    parts: dict[str, object] = {
        "prefix": "crm:score",
        "ids": [f"c{i}" for i in range(count)],
        "versions": np.arange(count),
        "columns": {"a": [f"a{i}" for i in range(count)], "b": [None] * count},
        "ranks": {"churn": np.full(count, 0.5)},
    }
    return HashWrites(**{**parts, **changes})  # type: ignore[arg-type]


def test_arguments_are_keys_shape_and_columns() -> None:
    assert list(script_arguments(block())) == [
        [3, "crm:score:{c0}", "crm:score:{c1}", "crm:top:churn", 2, 1, 12, 0, "version", "a", "b",
         0, 1, "a0", "a1", ABSENT, ABSENT, 0.5, 0.5]
    ]  # fmt: skip


def test_keys_are_those_of_the_contract() -> None:
    assert next(script_arguments(block()))[1] == score_key("c0")
    assert next(script_arguments(block(prefix="crm:profile")))[1] == profile_key("c0")


def test_large_blocks_are_cut_into_chunks() -> None:
    chunks = list(script_arguments(block(2 * CHUNK_CUSTOMERS + 1)))
    assert [chunk[0] - 1 for chunk in chunks] == [CHUNK_CUSTOMERS, CHUNK_CUSTOMERS, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": np.arange(3)}, "versions has 3 values for 2 customers"),
        ({"columns": {"a": ["x"]}}, "a has 1 values for 2 customers"),
        ({"ranks": {"churn": np.zeros(5)}}, r"ranks\[churn\] has 5 values for 2 customers"),
        ({"columns": {"version": ["1", "2"]}}, "field 'version' is the writer's own"),
        ({"versions": np.array([0, -1])}, "versions must lie between 0 and 2\\^53"),
        ({"versions": np.array([0, 2**53])}, "versions must lie between 0 and 2\\^53"),
    ],
)
def test_blocks_that_do_not_fit_together_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(block(**changes))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (redis.ConnectionError("refused"), True),
        (redis.TimeoutError("slow"), True),
        (redis.BusyLoadingError("LOADING"), True),
        (redis.ReadOnlyError("READONLY"), True),
        (redis.ResponseError("MISCONF cannot write"), True),
        (redis.OutOfMemoryError("OOM command not allowed"), True),
        (redis.AuthenticationError("WRONGPASS"), False),
        (redis.ResponseError("WRONGTYPE"), False),
        (ValueError("ours"), False),
    ],
)
def test_outages_are_told_from_refusals(error: Exception, passes: bool) -> None:
    assert redis_is_out(error) is passes
