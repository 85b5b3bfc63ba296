"""Features and stages are functions of one row alone, finite, and the same in any company."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, Happening, columns, happenings

from streams import codes
from streams.profiles.features import FEATURES, PRIOR_GAP_DAYS, compute_features, days_since_order, mean_gap_days
from streams.profiles.segments import LIFECYCLES, SEGMENTS, lifecycle_of, segment_of
from streams.profiles.table import ProfileTable, apply_events, fade

DAYS = 30
END = DAYS * DAY


def table_of(events: list[Happening], end: int = END) -> ProfileTable:
    table = ProfileTable()
    customers, array = columns(events)
    apply_events(table, customers, array, end)
    return table


def feature(name: str, events: list[Happening], now: int = END) -> float:
    rows = table_of(events).used
    return float(compute_features(rows, now, END)[0, FEATURES.index(name)])


@given(happenings(DAYS), st.integers(0, 4_000))
def test_features_are_finite_whenever_one_looks(events: list[Happening], days_later: int) -> None:
    table = table_of(events)
    block = compute_features(table.used, END + days_later * DAY, END + days_later * DAY)
    assert block.shape == (len(table), len(FEATURES))
    assert block.dtype == np.float32
    assert np.isfinite(block).all()


@given(happenings(DAYS, customers="abcdefgh"), st.lists(st.integers(0, 7), max_size=8))
def test_a_customer_has_the_same_features_in_any_block(events: list[Happening], chosen: list[int]) -> None:
    rows = table_of(events).used
    at = np.array([each for each in chosen if each < len(rows)], np.int64)
    now = np.full(len(rows), END) + np.arange(len(rows)) * HOUR
    whole = compute_features(rows, now, END)
    assert compute_features(rows[at], now[at], END).tobytes() == whole[at].tobytes()
    stage = lifecycle_of(rows, now)
    assert lifecycle_of(rows[at], now[at]).tolist() == stage[at].tolist()
    assert segment_of(rows[at], stage[at]).tolist() == segment_of(rows, stage)[at].tolist()


@given(happenings(DAYS), st.integers(0, DAY))
def test_looking_ahead_and_looking_back_agree(events: list[Happening], ahead: int) -> None:
    """Decayed counters kept as of a later boundary say the same of ``now`` as those kept as of ``now``."""
    now = END
    kept_now, kept_later = table_of(events, end=now), table_of(events, end=now + ahead)
    here = compute_features(kept_now.used, now, now)
    later = compute_features(kept_later.used, now, now + ahead)
    assert here == pytest.approx(later, abs=1e-4)


@given(happenings(DAYS))
def test_fading_a_slot_is_having_looked_a_slot_later(events: list[Happening]) -> None:
    faded, later = table_of(events), table_of(events, end=END + DAY)
    fade(faded, DAY)
    one, other = (compute_features(table.used, END + DAY, END + DAY) for table in (faded, later))
    assert one == pytest.approx(other, abs=1e-4)


def test_no_row_gives_no_features() -> None:
    assert compute_features(ProfileTable().used, 0, 0).shape == (0, len(FEATURES))


def test_the_gap_is_shrunk_towards_the_prior() -> None:
    rows = table_of([Happening("a", 0)] + [Happening("b", day * DAY) for day in (0, 10, 20)]).used
    assert mean_gap_days(rows).tolist() == [PRIOR_GAP_DAYS, (20 + PRIOR_GAP_DAYS) / 3]


def test_people_without_orders_have_no_features_of_orders() -> None:
    """Whatever else they do, and however long ago: nothing of theirs can look overdue, or like a recent order."""
    idle = [Happening("a", 0, codes.PAGE_VIEW), Happening("b", 20 * DAY, codes.PRODUCT_ADDED)]
    block = compute_features(table_of(idle).used, END, END)
    words = ("order", "gap", "overdue", "revenue", "conversion")
    of_orders = [at for at, name in enumerate(FEATURES) if any(word in name for word in words)]
    assert len(of_orders) == 11
    assert not block[:, of_orders].any()


def test_days_since_order_are_none_for_those_who_never_ordered() -> None:
    rows = table_of([Happening("a", 5 * DAY, codes.PAGE_VIEW), Happening("b", 7 * DAY), Happening("b", 6 * DAY)]).used
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
    assert feature(name, events) == pytest.approx(expected, abs=1e-5)


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
    rows = table_of(events, end=500 * DAY).used
    stage = lifecycle_of(rows, day * DAY)
    assert LIFECYCLES[stage[0]] == lifecycle
    assert SEGMENTS[segment_of(rows, stage)[0]] == segment
