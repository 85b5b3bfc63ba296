"""Rates per key, with time handed in."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.collector.limits import RateLimits


def test_a_key_without_a_limit_never_waits() -> None:
    assert RateLimits().wait("k", None, 1_000_000, 0) == 0


def test_a_burst_then_the_rate() -> None:
    limits = RateLimits()
    waits = [limits.wait("k", 10, 1, 0) for _ in range(12)]
    assert waits[:10] == [0] * 10
    assert all(0 < wait <= 0.2 for wait in waits[10:])
    assert limits.wait("k", 10, 1, 0.15) == 0
    assert limits.wait("other", 10, 1, 0) == 0


def test_a_batch_larger_than_the_rate_passes_and_is_paid_for() -> None:
    limits = RateLimits()
    assert limits.wait("k", 10, 100, 0) == 0
    assert 8.9 < limits.wait("k", 10, 1, 0) < 9.1
    assert limits.wait("k", 10, 1, 9.01) == 0


def test_a_new_rate_holds_at_once() -> None:
    limits = RateLimits()
    limits.wait("k", 10, 100, 0)
    assert limits.wait("k", 1_000, 1, 0) == 0


def test_a_limit_that_is_lifted_leaves_no_debt() -> None:
    limits = RateLimits()
    limits.wait("k", 10, 100, 0)
    assert limits.wait("k", None, 1, 0) == 0
    limits.take("k", 1_000)
    assert limits.wait("k", 10, 1, 0) == 0


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=60))
def test_never_more_than_the_rate_a_burst_and_one_request(requests: list[tuple[int, float]]) -> None:
    limits, now, let_through, largest = RateLimits(), 0.0, 0, 0
    for events, pause in requests:
        now += pause
        if limits.wait("k", 10, events, now) == 0:
            let_through, largest = let_through + events, max(largest, events)
    assert let_through <= 10 * now + 10 + largest + 1e-6
