"""top, score and identity show fit 80 columns with ids of usual length, and never cut or wrap an id."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from crmstream.commands.aligned import aligned, indented
from crmstream.commands.identity import identity_lines
from crmstream.commands.score import score_lines
from crmstream.commands.top import top_lines
from crmstream.identity.lookup import Identity, Link

UUID_ID = str(UUID(int=2**127 - 1))
REASONS = "+ 38 days since last order, usually 12; - many products in carts: 9, usually 2; - few orders: 1, usually 4"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(customer_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id, "probability": 0.571, "percentile": 81.2, "reasons": REASONS,
        "segment": "needs_attention", "lifecycle": "at_risk", "as_of": "2026-05-01T00:00:00Z", **changes,
    }  # fmt: skip


IDS = ["c-000042", "17850", UUID_ID, f"anonymous:{UUID_ID}", "x" * 100, "顾客-1", "[b]"]


@pytest.mark.parametrize("customer_id", IDS)
def test_top_has_one_line_per_customer_with_the_whole_id(customer_id: str) -> None:
    rows = [row(customer_id), row("c-2", percentile=None, segment=None, lifecycle=None)] * 5
    lines = top_lines("opportunity", rows, 80)
    assert len(lines) == 11
    assert sum(customer_id in line.split() for line in lines) == 5
    if len(customer_id) < 60:
        assert max(map(len, lines)) <= 80
    assert not any("since last order" in line for line in lines)


def test_columns_give_way_to_ids() -> None:
    assert "needs_attention" in top_lines("churn", [row("c-000042")], 80)[1]
    assert "needs_attention" not in top_lines("churn", [row(UUID_ID)], 80)[1]
    assert "81.2" in top_lines("churn", [row("x" * 100)], 80)[1]


def test_wide_has_the_reasons_in_the_same_line() -> None:
    (_, line) = top_lines("churn", [row("c-1")], 80, wide=True)
    assert REASONS in line


@pytest.mark.parametrize("customer_id", ["c-000042", f"anonymous:{UUID_ID}"])
def test_score_fits_80_columns(customer_id: str) -> None:
    score = {"probability": 0.571, "percentile": 81.2, "reasons": REASONS}
    outcomes: dict[str, dict[str, Any]] = {"churn": score, "opportunity": score}
    outcomes["calls"] = {"probability": 0.2, "percentile": None, "reasons": None}
    found = {"customer_id": customer_id, "segment": "loyal", "outcomes": outcomes, "profile": {"orders": "12"}}
    lines = score_lines(found, "as of 2026-05-01 00:00 UTC, catching up", 80)
    assert max(map(len, lines)) <= 80
    kind = "customers" if customer_id == "c-000042" else "visitors"
    assert f"churn: 57.1%, higher than 81.2 % of {kind}" in lines
    assert "    - few orders: 1, usually 4" in lines
    assert lines[1] == "as of 2026-05-01 00:00 UTC, catching up"
    assert "calls: 20.0%" in lines


def test_identity_fits_80_columns() -> None:
    links = [Link(f"anonymous:{UUID_ID}", UUID_ID, outcome, NOON)
             for outcome in ("linked", "unlinked", "belongs_to_another", "is_a_customer", "merge_limit")]  # fmt: skip
    profiles = [
        {"customer_id": UUID_ID, "merged_into": "", "events": 1, "orders": 12, "first_seen": NOON, "last_seen": NOON},
        {"customer_id": f"anonymous:{UUID_ID}", "merged_into": UUID_ID},
        {"customer_id": "anonymous:undone", "merged_into": "", "events": 0},
    ]
    owners = {f"anonymous:{UUID_ID}": UUID_ID}
    lines = identity_lines(Identity(UUID_ID, UUID_ID, f"email:{UUID_ID}", links, owners, profiles))
    assert max(map(len, lines[1:])) <= 80
    assert f"  anonymous:{UUID_ID}" in lines
    assert "    no events since it was unlinked" in lines
    assert "    1 event, 12 orders, seen 2026-05-01 12:00 to 2026-05-01 12:00" in lines


def test_text_wraps_at_words_and_keeps_long_ones_whole() -> None:
    assert indented("a few words " * 3, 20, "  ") == ["  a few words a few", "  words a few words"]
    assert indented("x" * 90, 80) == [f"    {'x' * 90}"]
    assert aligned(["a", "b"], [["1", "x"], ["22", "yy"]], right=frozenset({0})) == [" a  b", " 1  x", "22  yy"]
