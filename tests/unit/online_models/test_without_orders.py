"""People without orders: scores by what they do, below those of recent buyers; visitors are ranked among visitors."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.columns import DAY, Happening, columns

from contracts.blocks import CustomerBlock, Examples, Released, ScoredBlock, VisitorSample
from contracts.outcomes import CHURN, OPPORTUNITY, Outcome
from online_models.trainer import TrainerPolicy, TrainerState, new_trainer, offer
from online_models.without_orders import CONVERSION, PRIOR_EXAMPLES
from streams import codes
from streams.profiles.features import FEATURES, compute_features
from streams.profiles.table import ProfileTable, apply_events
from streams.publish.reasons import reasons_of

POLICY = TrainerPolicy((CHURN, OPPORTUNITY), buckets=1, interval_hours=24)
NOW = 400 * DAY


def features(*people: list[Happening]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features of people by what happened to them, and who has ordered."""
    table = ProfileTable()
    for at, happened in enumerate(people):
        apply_events(table, *columns([replace(each, customer=f"c{at}") for each in happened]), NOW)
    return compute_features(table.used, NOW, NOW), table.used["orders"] > 0


def block(
    people: list[list[Happening]], boundary: int, *, visitors: bool = False, sweep: bool = True
) -> CustomerBlock:
    seen, buyers = features(*people)
    count = len(people)
    prefix = "anonymous:" if visitors else ""
    return CustomerBlock(
        bucket=0, boundary=boundary, sweep=sweep, ids=np.array([f"{prefix}{at}" for at in range(count)], object),
        versions=np.arange(count), as_of=np.full(count, boundary), features=seen, buyers=buyers,
        lifecycle=np.zeros(count, np.int8), segment=np.zeros(count, np.int8), farewell=np.zeros(count, np.bool_),
        recorded=sweep and not visitors, visitors=visitors,
    )  # fmt: skip


def seen(days_ago: float, code: int = codes.PAGE_VIEW) -> Happening:
    return Happening("x", int(NOW - days_ago * DAY), code)


def ordered(*days_ago: float) -> list[Happening]:
    return [seen(days, codes.ORDER) for days in sorted(days_ago, reverse=True)]


BUYERS = [ordered(*range(last, 300, 20 + last)) for last in range(1, 200, 2)]
"""Customers with all kinds of rhythms; those who ordered lately order again."""
PROSPECTS = [[seen(days / 3)] for days in range(1, 200)]
NOBODY: list[list[Happening]] = []


def taught(prospects: int = 0, ordering: float = 0.3) -> TrainerState:
    """Models that have learned from buyers, and from some customers without orders of whom a share orders."""
    state = new_trainer(POLICY.outcomes, FEATURES)
    people = BUYERS * 20 + (PROSPECTS * (1 + prospects // len(PROSPECTS)))[:prospects]
    known, buyers = features(*people)
    soon = known[:, FEATURES.index("log_days_since_order")] < np.log1p(40)
    some = np.random.default_rng(1).random(len(people)) < ordering
    labels = np.where(buyers, soon, some)
    examples = {"opportunity": Examples(known, labels, buyers),
                "churn": Examples(known[buyers], ~labels[buyers], buyers[buyers])}  # fmt: skip
    for _ in offer(state, [block(BUYERS, 0), Released(0, 0, examples)], POLICY):
        pass
    return state


def scored(state: TrainerState, people: CustomerBlock) -> ScoredBlock:
    (one,) = offer(state, [people], POLICY)
    assert isinstance(one, ScoredBlock)
    return one


ONE_VIEW, ONE_CART, OLD_VIEW = [seen(0.1)], [seen(0.1), seen(0.1, codes.PRODUCT_ADDED)], [seen(20)]


@pytest.mark.parametrize("prospects", [0, 10, 199, 5_000])
def test_visitors_with_one_event_do_not_outrank_recent_buyers_and_differ_by_what_they_did(prospects: int) -> None:
    state = taught(prospects)
    (buyer,) = scored(state, block([ordered(5, 25, 45)], 0, sweep=False)).scores["opportunity"].probability
    view, cart, old = scored(state, block([ONE_VIEW, ONE_CART, OLD_VIEW], 0, visitors=True)).scores[
        "opportunity"
    ].probability
    assert buyer > 2 * cart
    assert max(view, cart, old) < 0.25
    if prospects < PRIOR_EXAMPLES:
        assert cart > 1.5 * view > 1.5 * old, "later the shop's own customers say what matters"
    assert len({view, cart, old}) == 3


@pytest.mark.parametrize("people", [[ONE_VIEW], [OLD_VIEW], [ONE_CART], [ONE_VIEW, ONE_CART, OLD_VIEW]])
def test_their_reasons_speak_of_no_orders(people: list[list[Happening]]) -> None:
    for visitors in (True, False):
        found = scored(taught(), block(people, 0, visitors=visitors, sweep=False))
        texts = reasons_of(found.scores["opportunity"], found.customers.features, found.customers.buyers)
        assert all(texts)
        assert not [text for text in texts if "order" in text or "revenue" in text]
        assert reasons_of(found.scores["churn"], found.customers.features, found.customers.buyers) == [""] * len(people)


def sample(boundary: int, bucket: int, people: list[list[Happening]], count: int | None = None) -> VisitorSample:
    seen, buyers = features(*people)
    return VisitorSample(bucket, boundary, count or len(people), seen, buyers)


def ranks(state: TrainerState, people: list[list[Happening]], boundary: int = 1) -> list[float]:
    found = scored(state, block(people, boundary, visitors=True, sweep=False)).scores["opportunity"].percentile
    return [round(float(each), 1) for each in found]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([[ONE_VIEW, ONE_CART, OLD_VIEW, [seen(9)]], NOBODY], [50.0, 75.0, 0.0]),
        ([[ONE_VIEW, ONE_CART], [OLD_VIEW, [seen(9)]]], [50.0, 75.0, 0.0]),
        ([[ONE_CART], [ONE_CART, ONE_CART]], [0.0, 0.0, 0.0]),
    ],
)
def test_visitors_are_ranked_among_visitors(samples: list[list[list[Happening]]], expected: list[float]) -> None:
    policy = replace(POLICY, visitor_buckets=2)
    state = taught()
    assert np.isnan(ranks(state, [ONE_VIEW], 0)).all(), "no visitor is known yet"
    given = [block(BUYERS, 1), Released(0, 1, no_examples())]
    assert list(offer(state, given, policy)) == [], "the models wait for the visitors of the boundary"
    for bucket, people in enumerate(samples):
        list(offer(state, [sample(1, bucket, people)], policy))
    assert ranks(state, [ONE_VIEW, ONE_CART, OLD_VIEW]) == expected
    customer = scored(state, block([ordered(30, 60, 90)], 1, sweep=False)).scores["opportunity"]
    assert 0 < customer.percentile[0] < 100, "among the buyers of the sweep"


def test_a_sample_counts_for_its_whole_bucket() -> None:
    state = taught()
    given = [sample(1, 0, [ONE_CART], 30), sample(1, 1, [OLD_VIEW], 70), block(BUYERS, 1)]
    for _ in offer(state, [*given, Released(0, 1, no_examples())], replace(POLICY, visitor_buckets=2)):
        pass
    assert ranks(state, [ONE_VIEW, ONE_CART]) == [70.0, 70.0]


def no_examples() -> dict[str, Examples]:
    nobody = np.empty(0, np.bool_)
    return dict.fromkeys(("churn", "opportunity"), Examples(np.empty((0, len(FEATURES)), np.float32), nobody, nobody))


def test_an_account_counts_for_more_than_a_visit() -> None:
    """A shop of which a third of the customers without orders order soon: visitors keep the usual conversion rate."""
    state = taught(20_000, ordering=0.33)
    customer = scored(state, block([ONE_VIEW], 0, sweep=False)).scores["opportunity"].probability[0]
    visitor = scored(state, block([ONE_VIEW], 0, visitors=True, sweep=False)).scores["opportunity"].probability[0]
    assert customer == pytest.approx(0.33, abs=0.08)
    assert visitor == pytest.approx(CONVERSION, abs=0.02)


@pytest.mark.parametrize(
    ("outcome", "chance"),
    [
        (Outcome(name="a", within_days=30, happens=True), 0.02),
        (Outcome(name="a", within_days=60, happens=True), 0.0396),
        (Outcome(name="a", within_days=30, happens=False), 0.98),
        (Outcome(name="a", counter="sessions", within_days=30, happens=True), 0.5),
    ],
)
def test_the_prior_follows_from_the_question(outcome: Outcome, chance: float) -> None:
    model = new_trainer([outcome], ("recency", "frequency")).models["a"]
    nobody = np.zeros(1, np.bool_)
    for visitors in (True, False):
        found = model.forecast(np.zeros((1, 2), np.float32), nobody, visitors=visitors)
        assert found == pytest.approx(chance)
