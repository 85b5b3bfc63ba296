"""``docs/segments.md`` says the rules of the code: every name, every threshold, and what its tables decide."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.rows import fill

from contracts.times import DAY
from streams.profiles import segments
from streams.profiles.features import PRIOR_GAP_DAYS
from streams.profiles.rows import RECENT, blank_rows
from streams.profiles.segments import LIFECYCLES, SEGMENTS, lifecycle_of, segment_of
from streams.publish.wording import MOST_CHARACTERS

PAGE = (Path(__file__).parents[2] / "docs" / "segments.md").read_text(encoding="utf-8")
NOW = 3_000 * DAY


def rules(heading: str) -> dict[str, str]:
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))


def test_every_lifecycle_and_segment_has_its_rule() -> None:
    assert sorted(rules("Lifecycle")) == sorted(LIFECYCLES)
    assert sorted(rules("Segment")) == sorted(SEGMENTS)


def test_thresholds_are_those_of_the_code() -> None:
    lifecycle, segment = rules("Lifecycle"), rules("Segment")
    assert f"at most {segments.NEW_DAYS:g} days ago" in lifecycle["new"]
    assert f"more than {segments.LATE_FACTOR:g} gaps, and for more than 30 days" in lifecycle["at_risk"]
    assert f"more than {segments.LAPSED_FACTOR:g} gaps, and for more than 90 days" in lifecycle["lapsed"]
    for name in ("champions", "cannot_lose", "needs_attention", "hibernating"):
        assert str(segments.FREQUENT_ORDERS) in segment[name]
    assert f"{segments.REPEAT_ORDERS} or {segments.FREQUENT_ORDERS - 1} orders" in segment["loyal"]
    assert f"shrunk towards {PRIOR_GAP_DAYS:g} days" in PAGE
    assert f"{MOST_CHARACTERS} characters" in PAGE


def customer(orders: int, gap: float, silent: float) -> NDArray[np.void]:
    """A customer whose gap after shrinking is ``gap`` days, silent for so many."""
    row = blank_rows(1)
    row["orders"] = orders
    last = NOW - int(silent * DAY)
    first = last - int((gap * orders - PRIOR_GAP_DAYS) * DAY)
    times = np.linspace(last, first, orders).astype(np.int64)[:RECENT]
    fill(row, last_seen=last, first_seen=first, first_order=first, recent_orders=times)
    return row


@pytest.mark.parametrize(
    ("orders", "gap", "silent", "lifecycle", "segment"),
    [
        (1, 60, 30, "new", "newcomers"), (1, 60, 31, "active", "promising"), (1, 60, 120, "active", "promising"),
        (1, 60, 121, "at_risk", "needs_attention"), (1, 60, 240, "at_risk", "needs_attention"),
        (1, 60, 241, "lapsed", "hibernating"), (9, 12, 30, "active", "champions"),
        (9, 12, 31, "at_risk", "cannot_lose"), (9, 12, 90, "at_risk", "cannot_lose"),
        (9, 12, 91, "lapsed", "cannot_lose"), (3, 40, 80, "active", "loyal"), (4, 40, 80, "active", "champions"),
        (3, 40, 81, "at_risk", "needs_attention"),
    ],
)  # fmt: skip
def test_customers_are_where_the_page_says(
    orders: int, gap: float, silent: float, lifecycle: str, segment: str
) -> None:
    row = customer(orders, gap, silent)
    stage = lifecycle_of(row, NOW)
    assert (LIFECYCLES[int(stage[0])], SEGMENTS[int(segment_of(row, stage)[0])]) == (lifecycle, segment)
