"""Hashes are what people read: text in fixed formats, nothing where nothing is known."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.columns import DAY, HOUR, Happening, columns

from contracts.blocks import BucketBatch, CustomerBlock, Explainer, OutcomeScores, ScoredBlock
from contracts.outputs import HashWrites
from streams import codes
from streams.profiles.bucket import BucketPolicy, ProfileBlock, Tally
from streams.profiles.customers import Output, advance, new_bucket
from streams.profiles.features import FEATURES
from streams.identity.handover import nothing_handed
from streams.publish.hashes import profile_hashes
from streams.publish.hashes import score_hashes as all_score_hashes
from streams.profiles.segments import ACTIVE, AT_RISK, LAPSED, LIFECYCLES, SEGMENTS

POLICY = BucketPolicy(DAY, 700 * DAY, 2, ("orders",), 1_000, 90 * DAY)
NAN = float("nan")
NOTHING = Explainer(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.zeros(len(FEATURES)))
ORDERS = replace(NOTHING, weight=np.eye(len(FEATURES))[3])
"""Of a model in which one more unit of ``log_orders`` is one more of log-odds."""


def run(happened: Sequence[Happening], clock: int) -> list[Output]:
    """What a bucket gives out of these events near the log's end."""
    customers, events = columns(happened)
    batch = BucketBatch(0, events, customers, clock, True)
    bucket, tally = new_bucket(0, POLICY), Tally()
    items = (nothing_handed(0, clock // DAY), batch)
    return [output for item in items for output in advance(bucket, item, POLICY, tally)]


def score_hashes(block: ScoredBlock) -> HashWrites:
    (writes,) = all_score_hashes(block, 60)
    return writes


def moved(*happened: Happening) -> CustomerBlock:
    (block,) = [each for each in run(happened, DAY - 1) if isinstance(each, CustomerBlock)]
    return block


def profile(*happened: Happening) -> dict[str, str | None]:
    """The fields of the one customer of these events."""
    (block,) = [each for each in run(happened, DAY) if isinstance(each, ProfileBlock) and each.published]
    return fields(profile_hashes(block, "EUR", 60))[happened[0].customer]


def fields(hashes: HashWrites) -> dict[str, dict[str, str | None]]:
    """By customer, as a reader finds them."""
    rows = zip(*hashes.columns.values(), strict=True)
    return {one: dict(zip(hashes.columns, row, strict=True)) for one, row in zip(hashes.ids, rows, strict=True)}


def scores(*probability: float, percentile: Sequence[float], explainer: Explainer = NOTHING) -> OutcomeScores:
    return OutcomeScores(np.array(probability), np.array(percentile, np.float32), explainer)


def three(**changes: object) -> CustomerBlock:
    """Customers a, b and c, who have just ordered once, twice and three times."""
    block = moved(*[Happening(one, HOUR) for number, one in enumerate("abc", 1) for _ in range(number)])
    return replace(block, **changes)  # type: ignore[arg-type]


# Scores


def test_figures_have_fixed_digits_and_times_are_iso_8601() -> None:
    churn = scores(1 / 3, 0.0, 1.0, percentile=[97.25, 0, 100])
    block = three(as_of=np.array([0, 86_399_999_999, 879_465_600_000_000]))
    told = fields(score_hashes(ScoredBlock(block, {"churn": churn}, "logistic-2@1997-11-14T00")))
    assert [told[one]["churn"] for one in "abc"] == ["0.333333", "0.000000", "1.000000"]
    assert [told[one]["churn_percentile"] for one in "abc"] == ["97.2", "0.0", "100.0"]
    assert [told[one]["as_of"] for one in "abc"] == [
        "1970-01-01T00:00:00Z", "1970-01-01T23:59:59Z", "1997-11-14T00:00:00Z",
    ]  # fmt: skip
    assert {told[one]["model_version"] for one in "abc"} == {"logistic-2@1997-11-14T00"}


def test_a_question_that_is_not_asked_has_no_answer() -> None:
    churn = scores(0.5, NAN, 0.25, percentile=[50, NAN, 20])
    hashes = score_hashes(ScoredBlock(three(), {"churn": churn}, "m"))
    told = fields(hashes)["b"]
    assert (told["churn"], told["churn_percentile"], told["churn_reasons"]) == (None, None, None)
    assert np.isnan(hashes.ranks["churn"]).tolist() == [False, True, False]


def test_who_becomes_dormant_leaves_the_rankings_and_keeps_the_score() -> None:
    """Else a rank would stay for ever, for nobody sweeps a dormant customer."""
    churn = scores(0.5, 0.6, 0.25, percentile=[50, 60, 20])
    hashes = score_hashes(ScoredBlock(three(farewell=np.array([False, True, False])), {"churn": churn}, "m"))
    assert np.isnan(hashes.ranks["churn"]).tolist() == [False, True, False]
    assert fields(hashes)["b"]["churn"] == "0.600000"


def test_every_outcome_has_its_fields_and_ranks() -> None:
    churn = scores(0.1, 0.2, 0.3, percentile=[1, 2, 3], explainer=ORDERS)
    buys = scores(0.9, 0.8, 0.7, percentile=[9, 8, 7])
    hashes = score_hashes(ScoredBlock(three(), {"churn": churn, "buys": buys}, "m"))
    assert list(hashes.columns) == [
        "as_of", "model_version", "segment", "lifecycle",
        "churn", "churn_percentile", "churn_reasons", "buys", "buys_percentile", "buys_reasons",
    ]  # fmt: skip
    assert {name: ranks.tolist() for name, ranks in hashes.ranks.items()} == {
        "churn": [0.1, 0.2, 0.3], "buys": [0.9, 0.8, 0.7],
    }  # fmt: skip
    assert hashes.columns["churn_reasons"] == [f"+ orders: {count}, usually none" for count in (1, 2, 3)]
    assert hashes.columns["buys_reasons"] == ["", "", ""]


def test_lapsed_customers_leave_the_ranks_and_keep_their_scores() -> None:
    stages = np.array([ACTIVE, LAPSED, AT_RISK], np.int8)
    churn = scores(0.1, 0.2, 0.3, percentile=[1, 2, 3])
    hashes = score_hashes(ScoredBlock(three(lifecycle=stages), {"churn": churn}, "m"))
    assert np.isnan(hashes.ranks["churn"]).tolist() == [False, True, False]
    assert hashes.columns["churn"] == ["0.100000", "0.200000", "0.300000"]


def test_every_stage_is_told_by_its_name() -> None:
    block = three(lifecycle=np.array([0, 2, 4], np.int8), segment=np.array([7, 3, 0], np.int8))
    told = score_hashes(ScoredBlock(block, {}, "m")).columns
    assert told["lifecycle"] == [LIFECYCLES[at] for at in (0, 2, 4)]
    assert told["segment"] == [SEGMENTS[at] for at in (7, 3, 0)]


def test_hashes_carry_key_version_and_the_age_of_their_oldest_record() -> None:
    block = three(versions=np.array([5, 6, 7]), oldest_record_at=1.5)
    hashes = score_hashes(ScoredBlock(block, {}, "m"))
    assert (hashes.prefix, list(hashes.ids)) == ("crm:score", ["a", "b", "c"])
    assert (hashes.versions.tolist(), hashes.oldest_record_at) == ([5, 6, 7], 1.5)


# Profiles


def test_a_profile_is_told_in_counts_money_and_times() -> None:
    orders = [Happening("a", HOUR, amount=123_456, items=2), Happening("a", 3 * HOUR, amount=1_000_000, items=1)]
    views = [Happening("a", 5 * HOUR, codes.PRODUCT_VIEW), Happening("a", 2 * HOUR, codes.PRODUCT_ADDED)]
    told = profile(*orders, *views, Happening("a", 4 * HOUR, codes.REFUND, amount=50_000))
    assert told == {
        "first_seen": "1970-01-01T01:00:00Z",
        "last_seen": "1970-01-01T05:00:00Z",
        "first_order": "1970-01-01T01:00:00Z",
        "last_order": "1970-01-01T03:00:00Z",
        "events": "5",
        "orders": "2",
        "items": "3",
        "refunds": "1",
        "web_events": "2",
        "sessions": "1",
        "product_views": "1",
        "carts": "1",
        "checkouts": "0",
        "tickets": "0",
        "revenue": "112.35",
        "refunded": "5.00",
        "currency": "EUR",
    }


def test_who_never_ordered_has_no_times_of_orders() -> None:
    told = profile(Happening("a", HOUR, codes.PAGE_VIEW))
    assert (told["first_order"], told["last_order"]) == (None, None)
    assert (told["first_seen"], told["orders"], told["revenue"]) == ("1970-01-01T01:00:00Z", "0", "0.00")


@pytest.mark.parametrize("amount", [0, 1, 10**13, 2**53 - 1])
def test_money_has_two_digits(amount: int) -> None:
    told = profile(Happening("a", HOUR, amount=amount))["revenue"]
    assert told is not None
    assert re.fullmatch(r"\d+\.\d\d", told)
    assert abs(float(told) * 10_000 - amount) <= 50


def test_a_profile_belongs_to_its_customer_and_version() -> None:
    events = [Happening("a", HOUR), Happening("b", HOUR), Happening("b", 2 * HOUR)]
    (block,) = [each for each in run(events, DAY) if isinstance(each, ProfileBlock) and each.published]
    hashes = profile_hashes(block, "USD", 60)
    assert hashes.prefix == "crm:profile"
    assert {one: told["orders"] for one, told in fields(hashes).items()} == {"a": "1", "b": "2"}
    assert hashes.versions.tolist() == block.versions.tolist()
    assert (hashes.ranks, hashes.oldest_record_at) == ({}, None)
