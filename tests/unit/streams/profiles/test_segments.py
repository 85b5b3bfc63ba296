"""Lifecycle and segment as tables of cases, on both sides of every limit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rows import fill

from contracts.blocks import RowArray
from contracts.times import DAY
from streams.profiles.features import rhythm_of
from streams.profiles.rows import RECENT, blank_rows
from streams.profiles.segments import (
    ACTIVE,
    AT_RISK,
    LAPSED,
    LIFECYCLES,
    NEW,
    PROSPECT,
    SEGMENTS,
    lifecycle_of,
    segment_of,
)

MONTHLY = tuple(range(0, 301, 30))
"""Eleven orders in 300 days: the gap shrinks to 360 / 11, or 32.7 days."""
WEEKLY = tuple(range(0, 71, 7))
"""Eleven orders in 70 days: the gap shrinks to 130 / 11, or 11.8 days, so the least limits hold."""


def row_of(*order_days: int) -> RowArray:
    """The profile of a customer who ordered on these days."""
    row = blank_rows(1)
    row["orders"] = len(order_days)
    if order_days:
        newest = sorted(order_days, reverse=True)[:RECENT]
        fill(row, first_order=min(order_days) * DAY, recent_orders=[day * DAY for day in newest])
    return row


def stage(days: tuple[int, ...], now: float) -> tuple[str, str]:
    row = row_of(*days)
    lifecycle = lifecycle_of(row, int(now * DAY))
    return LIFECYCLES[lifecycle[0]], SEGMENTS[segment_of(row, lifecycle)[0]]


CASES = [
    ((), 0, "prospect", "prospects"),
    ((), 5_000, "prospect", "prospects"),
    ((0,), 0, "new", "newcomers"),
    ((0,), 30, "new", "newcomers"),
    ((0,), 30.01, "active", "promising"),
    ((0,), 120, "active", "promising"),
    ((0,), 120.01, "at_risk", "needs_attention"),
    ((0,), 240, "at_risk", "needs_attention"),
    ((0,), 240.01, "lapsed", "hibernating"),
    ((0, 1), 1, "active", "loyal"),
    ((0, 1, 2), 2, "active", "loyal"),
    ((0, 1, 2), 50, "at_risk", "needs_attention"),
    ((0, 1, 2), 100, "lapsed", "hibernating"),
    ((0, 1, 2, 3), 3, "active", "champions"),
    (WEEKLY, 70 + 30, "active", "champions"),
    (WEEKLY, 70 + 30.01, "at_risk", "cannot_lose"),
    (WEEKLY, 70 + 90, "at_risk", "cannot_lose"),
    (WEEKLY, 70 + 90.01, "lapsed", "cannot_lose"),
    (MONTHLY, 300 + 65.4, "active", "champions"),
    (MONTHLY, 300 + 65.5, "at_risk", "cannot_lose"),
    (MONTHLY, 300 + 130.9, "at_risk", "cannot_lose"),
    (MONTHLY, 300 + 131, "lapsed", "cannot_lose"),
]  # fmt: skip


@pytest.mark.parametrize(("days", "now", "lifecycle", "segment"), CASES)
def test_stages_change_at_their_limits(days: tuple[int, ...], now: float, lifecycle: str, segment: str) -> None:
    assert stage(days, now) == (lifecycle, segment)


def test_every_lifecycle_and_every_segment_can_be_reached() -> None:
    assert {lifecycle for *_, lifecycle, _ in CASES} == set(LIFECYCLES)
    assert {segment for *_, segment in CASES} == set(SEGMENTS)


@pytest.mark.parametrize(
    ("lifecycle", "by_orders"),
    [
        (PROSPECT, ["prospects", "prospects", "prospects", "prospects", "prospects"]),
        (NEW, ["newcomers", "newcomers", "newcomers", "newcomers", "newcomers"]),
        (ACTIVE, ["promising", "loyal", "loyal", "champions", "champions"]),
        (AT_RISK, ["needs_attention", "needs_attention", "needs_attention", "cannot_lose", "cannot_lose"]),
        (LAPSED, ["hibernating", "hibernating", "hibernating", "cannot_lose", "cannot_lose"]),
    ],
)
def test_segments_are_a_grid_of_lifecycle_and_orders(lifecycle: int, by_orders: list[str]) -> None:
    rows = np.concatenate([row_of(*range(orders)) for orders in range(1, 6)])
    found = segment_of(rows, np.full(5, lifecycle, np.int8))
    assert [SEGMENTS[each] for each in found] == by_orders


@given(st.sets(st.integers(0, 400)), st.lists(st.integers(0, 3_000), min_size=2, max_size=6))
def test_in_silence_nobody_goes_back_a_stage(days: set[int], later: list[int]) -> None:
    row, last = row_of(*days), max(days, default=0)
    stages = [int(lifecycle_of(row, (last + after) * DAY)[0]) for after in sorted(later)]
    assert stages == sorted(stages)
    assert (stages[0] == PROSPECT) == (not days)


@given(st.sets(st.integers(0, 400), min_size=2), st.integers(0, 3_000))
def test_lapsed_is_silent_for_four_of_the_customers_own_gaps_and_at_least_ninety_days(
    days: set[int], after: int
) -> None:
    row = row_of(*days)
    gap = float(rhythm_of(row).mean[0])
    lapsed = lifecycle_of(row, (max(days) + after) * DAY)[0] == LAPSED
    assert lapsed == (after > max(90.0, 4 * gap))
