"""Features and stages are functions of one row alone, finite, and the same in any company."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, Happening, columns, happenings

from contracts.blocks import RowArray
from streams import codes
from streams.profiles.deltas import deltas, fade
from streams.profiles.features import FEATURES, PRIOR_GAP_DAYS, compute_features, days_since_order, rhythm_of
from streams.profiles.rows import blank_rows
from streams.profiles.segments import LIFECYCLES, SEGMENTS, lifecycle_of, segment_of
from streams.profiles.table import ProfileTable

DAYS = 30
END = DAYS * DAY


def rows_of(events: list[Happening], slot: int = DAYS - 1) -> RowArray:
    """The rows of people who did all this, as of the end of a slot."""
    table = ProfileTable()
    customers, array = columns(events)
    at, rows, _ = deltas(table.locate(customers), array, DAY, least=slot)
    table.add(at, rows, DAY)
    return table.rows


def feature(name: str, events: list[Happening], now: int = END) -> float:
    return float(compute_features(rows_of(events), now, DAY)[0, FEATURES.index(name)])


@given(happenings(DAYS), st.integers(0, 4_000))
def test_features_are_finite_whenever_one_looks(events: list[Happening], days_later: int) -> None:
    rows = rows_of(events)
    block = compute_features(rows, END + days_later * DAY, DAY)
    assert block.shape == (len(rows), len(FEATURES))
    assert block.dtype == np.float32
    assert np.isfinite(block).all()


@given(happenings(DAYS, customers="abcdefgh"), st.lists(st.integers(0, 7), max_size=8))
def test_a_customer_has_the_same_features_in_any_block(events: list[Happening], chosen: list[int]) -> None:
    rows = rows_of(events)
    at = np.array([each for each in chosen if each < len(rows)], np.int64)
    now = np.full(len(rows), END) + np.arange(len(rows)) * HOUR
    whole = compute_features(rows, now, DAY)
    assert compute_features(rows[at], now[at], DAY).tobytes() == whole[at].tobytes()
    stage = lifecycle_of(rows, now)
    assert lifecycle_of(rows[at], now[at]).tolist() == stage[at].tolist()
    assert segment_of(rows[at], stage[at]).tolist() == segment_of(rows, stage)[at].tolist()


@given(happenings(DAYS), st.integers(0, 40), st.integers(-DAY, 40 * DAY))
def test_features_do_not_depend_on_the_slot_to_which_a_row_was_faded(
    events: list[Happening], slots: int, later: int
) -> None:
    rows, now = rows_of(events), END + later
    faded = rows.copy()
    fade(faded, np.full(len(rows), DAYS - 1 + slots), DAY)
    tolerance = np.exp(slots / 7) / 32
    assert compute_features(rows, now, DAY) == pytest.approx(compute_features(faded, now, DAY), abs=tolerance)


def test_no_row_gives_no_features() -> None:
    assert compute_features(blank_rows(0), 0, DAY).shape == (0, len(FEATURES))


def test_the_gap_is_shrunk_towards_the_prior() -> None:
    rows = rows_of([Happening("a", 0)] + [Happening("b", day * DAY) for day in (0, 10, 20)])
    assert rhythm_of(rows).mean.tolist() == [PRIOR_GAP_DAYS, (20 + PRIOR_GAP_DAYS) / 3]


def test_orders_less_than_an_hour_apart_are_one_purchase_in_parts() -> None:
    parts = [Happening("a", 0), Happening("a", HOUR - 1), Happening("b", 0), Happening("b", HOUR)]
    rhythm = rhythm_of(rows_of(parts))
    assert rhythm.mean.tolist() == [PRIOR_GAP_DAYS, (1 / 24 + PRIOR_GAP_DAYS) / 2]
    assert rhythm.recent.tolist() == [[0, 0, 0], [1 / 24, 0, 0]]
    assert rhythm.spread[0] == 0


def test_the_spread_is_that_of_the_newest_gaps_around_the_mean_of_all() -> None:
    rows = rows_of([Happening("a", day * DAY) for day in (0, 1, 2, 12, 20)])
    mean = (20 + PRIOR_GAP_DAYS) / 5
    squares = sum((gap - mean) ** 2 for gap in (1, 10, 8, PRIOR_GAP_DAYS)) / 4
    assert rhythm_of(rows).recent.tolist() == [[8, 10, 1]]
    assert rhythm_of(rows).spread == pytest.approx([np.sqrt(squares) / mean])


def test_people_without_orders_have_no_features_of_orders() -> None:
    """Whatever else they do, and however long ago: nothing of theirs can look overdue, or like a recent order."""
    idle = [Happening("a", 0, codes.PAGE_VIEW), Happening("b", 20 * DAY, codes.PRODUCT_ADDED)]
    block = compute_features(rows_of(idle), END, DAY)
    words = ("order", "gap", "overdue", "revenue", "conversion")
    of_orders = [at for at, name in enumerate(FEATURES) if any(word in name for word in words)]
    assert len(of_orders) == 11
    assert not block[:, of_orders].any()


def test_days_since_order_are_none_for_those_who_never_ordered() -> None:
    rows = rows_of([Happening("a", 5 * DAY, codes.PAGE_VIEW), Happening("b", 7 * DAY), Happening("b", 6 * DAY)])
    assert days_since_order(rows, 10 * DAY).tolist() == [0.0, 3.0]
    assert days_since_order(rows, 0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "events", "expected"),
    [
        ("log_orders", [Happening("a", 0)] * 3, np.log1p(3)),
        ("log_days_since_seen", [Happening("a", 20 * DAY, codes.PAGE_VIEW)], np.log1p(10)),
        ("log_tenure_days", [Happening("a", 20 * DAY, codes.PAGE_VIEW)], np.log1p(10)),
        ("log_revenue", [Happening("a", 0, amount=250_000)], np.log1p(25)),
        ("log_average_order", [Happening("a", 0, amount=250_000), Happening("a", 0)], np.log1p(12.5)),
        ("log_overdue", [Happening("a", 0)], np.log1p(30 / PRIOR_GAP_DAYS)),
        ("satisfaction", [Happening("a", 0, codes.SATISFACTION, score=45_000)], 1.5),
        ("satisfaction", [Happening("a", 0)], 0.0),
        ("refund_rate", [Happening("a", 0), Happening("a", 0), Happening("a", 0, codes.REFUND)], 0.5),
        ("conversion", [Happening("a", 0, codes.PAGE_VIEW), Happening("a", 0)], np.log1p(1)),
        ("log_carts", [Happening("a", 0, codes.PRODUCT_ADDED)], np.log1p(1)),
        ("log_orders_7d", [Happening("a", END - 7 * DAY)], np.log1p(np.exp(-1))),
        ("log_tickets_30d", [Happening("a", 0, codes.TICKET_OPENED)], np.log1p(np.exp(-1))),
    ],
)
def test_a_feature_means_what_its_name_says(name: str, events: list[Happening], expected: float) -> None:
    tolerance = 1 / 64 if name.endswith(("_7d", "_30d", "_90d")) else 1e-5
    assert feature(name, events) == pytest.approx(expected, abs=tolerance)


MONTHLY = [Happening("a", day * DAY) for day in range(0, 301, 30)]
"""Eleven orders, the last one on day 300; the gap shrinks to 33 days."""


@pytest.mark.parametrize(
    ("events", "day", "lifecycle", "segment"),
    [
        ([Happening("a", 0, codes.PAGE_VIEW)], 400, "prospect", "prospects"),
        ([Happening("a", 0)], 20, "new", "newcomers"),
        ([Happening("a", 0)], 30, "new", "newcomers"),
        ([Happening("a", 0)], 31, "active", "promising"),
        ([Happening("a", 0)], 121, "at_risk", "needs_attention"),
        ([Happening("a", 0)], 241, "lapsed", "hibernating"),
        ([Happening("a", 0), Happening("a", 5 * DAY)], 10, "active", "loyal"),
        (MONTHLY, 310, "active", "champions"),
        (MONTHLY, 300 + 65, "active", "champions"),
        (MONTHLY, 300 + 66, "at_risk", "cannot_lose"),
        (MONTHLY, 300 + 131, "lapsed", "cannot_lose"),
    ],
)
def test_stages_follow_the_customers_own_rhythm(
    events: list[Happening], day: int, lifecycle: str, segment: str
) -> None:
    rows = rows_of(events, slot=500)
    stage = lifecycle_of(rows, day * DAY)
    assert LIFECYCLES[stage[0]] == lifecycle
    assert SEGMENTS[segment_of(rows, stage)[0]] == segment
