"""People without orders: scores by what they do, below those of recent buyers; visitors keep the prior's base rate."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.model_blocks import Examples
from contracts.outcomes import CHURN, OPPORTUNITY, Outcome
from online_models.outcome_model import OTHERS, OutcomeModel, forecast, new_model
from online_models.without_orders import CONVERSION, PRIOR_EXAMPLES

NAMES = (
    "log_days_since_order", "log_orders", "log_mean_gap_days", "log_revenue",
    "log_days_since_seen", "log_web_7d", "log_web_90d", "log_carts",
)  # fmt: skip
OF_ORDERS = 4
"""The first of these features are of orders: 0 for people without."""
Person = dict[str, float]


def visitor(days_ago: float, *, carts: int = 0) -> Person:
    """Somebody with one visit."""
    visits = {f"log_web_{days}d": np.log1p((1 + carts) * np.exp(-days_ago / days)) for days in (7, 90)}
    return {"log_days_since_seen": np.log1p(days_ago), "log_carts": np.log1p(carts), **visits}


def buyer(days_ago: float, every: float, orders: int = 8) -> Person:
    """Somebody with a rhythm, who ordered last some days ago."""
    return {
        "log_days_since_order": np.log1p(days_ago), "log_orders": np.log1p(orders),
        "log_mean_gap_days": np.log1p(every), "log_revenue": np.log1p(50 * orders),
        "log_days_since_seen": np.log1p(days_ago),
    }  # fmt: skip


def features(people: Sequence[Person]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Their features, and who has ordered."""
    table = np.array([[person.get(name, 0.0) for name in NAMES] for person in people], np.float32)
    return table.reshape(len(people), len(NAMES)), np.array(["log_orders" in person for person in people], np.bool_)


BUYERS = [buyer(last, 20 + last, 300 // (20 + last)) for last in range(1, 200, 2)]
"""Customers with all kinds of rhythms; those who ordered lately order again."""
PROSPECTS = [visitor(days / 3) for days in range(1, 200)]
ONE_VIEW, ONE_CART, OLD_VIEW = visitor(0.1), visitor(0.1, carts=1), visitor(20)


def trained(outcome: Outcome, prospects: int = 0, ordering: float = 0.3) -> OutcomeModel:
    """A model that has learned from buyers, and from some customers without orders of whom a share orders."""
    model = new_model(outcome, NAMES)
    known, buyers = features(BUYERS * 20 + (PROSPECTS * (1 + prospects // len(PROSPECTS)))[:prospects])
    soon = known[:, 0] < np.log1p(40)
    some = np.random.default_rng(1).random(len(known)) < ordering
    labels = np.where(buyers, soon, some) == outcome.happens
    asked = buyers | (outcome.of == "everyone")
    model.learn(Examples(known[asked], labels[asked], buyers[asked]))
    return model


def chances(model: OutcomeModel, people: Sequence[Person], *, visitors: bool = False) -> list[float]:
    found: list[float] = forecast(model.lines(), *features(people), visitors=visitors).tolist()
    return found


@pytest.mark.parametrize("prospects", [0, 10, 199, 5_000])
def test_visitors_with_one_event_do_not_outrank_recent_buyers_and_differ_by_what_they_did(prospects: int) -> None:
    model = trained(OPPORTUNITY, prospects)
    (recent,) = chances(model, [buyer(5, 20)])
    view, cart, old = chances(model, [ONE_VIEW, ONE_CART, OLD_VIEW], visitors=True)
    assert recent > 2 * cart
    assert max(view, cart, old) < 0.25
    if prospects < PRIOR_EXAMPLES:
        assert cart > 1.5 * view > 1.5 * old, "later the shop's own customers say what matters"
    assert len({view, cart, old}) == 3


@pytest.mark.parametrize("prospects", [0, 199, 5_000])
def test_features_of_orders_have_no_effect_on_people_without(prospects: int) -> None:
    slopes = trained(OPPORTUNITY, prospects).lines().slopes[OTHERS]
    assert not slopes[:OF_ORDERS].any()
    assert slopes[OF_ORDERS:].any()


def test_a_question_about_buyers_is_not_asked_of_them() -> None:
    assert np.isnan(chances(trained(CHURN), [ONE_VIEW, OLD_VIEW])).all()
    assert np.isnan(chances(trained(CHURN), [ONE_VIEW], visitors=True)).all()


def test_an_account_counts_for_more_than_a_visit() -> None:
    """A shop of which a third of the customers without orders order soon: visitors keep the usual conversion rate."""
    model = trained(OPPORTUNITY, 20_000, ordering=0.33)
    assert chances(model, [ONE_VIEW]) == [pytest.approx(0.33, abs=0.08)]
    assert chances(model, [ONE_VIEW], visitors=True) == [pytest.approx(CONVERSION, abs=0.02)]


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
    model = new_model(outcome, ("recency", "frequency"))
    nobody = np.zeros(1, np.bool_)
    for visitors in (True, False):
        found = forecast(model.lines(), np.zeros((1, 2), np.float32), nobody, visitors=visitors)
        assert found == pytest.approx(chance)
