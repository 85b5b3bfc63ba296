"""Reasons follow from the numbers: the largest effects first, each with its value and what is usual."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.profiles.features import FEATURES, LOGARITHMIC
from streams.publish.phrases import PHRASES
from streams.publish.reasons import GROUPS, NO_REASON, SHOWN, explain, explain_briefly, signed_features
from streams.publish.wording import FEW, MOST_CHARACTERS, reason_lines, reason_numbers, reason_texts

WIDTH = len(FEATURES)


def raw(values: Mapping[str, float]) -> list[float]:
    """Features of one person, given as plain values (days, counts, money)."""
    named = [(at, values.get(name, 0.0)) for at, name in enumerate(FEATURES)]
    return [float(np.log1p(value)) if at in LOGARITHMIC else value for at, value in named]


def rows(*values: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([raw(one) for one in values], np.float32)


class Model(NamedTuple):
    """A linear model: the means of its features and what each weighs."""

    means: NDArray[np.float64]
    slopes: NDArray[np.float64]


def model(weights: Mapping[str, float], usual: Mapping[str, float] | None = None) -> Model:
    """A model in which some features weigh, as of people with usual values."""
    return Model(np.array(raw(usual or {})), np.array([weights.get(name, 0.0) for name in FEATURES]))


def keys_and_usual(
    features: NDArray[np.float32], of: NDArray[np.int32], asked: NDArray[np.bool_], *models: Model
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    means, slopes = np.stack([each.means for each in models]), np.stack([each.slopes for each in models])
    return explain(features, means, slopes, of, asked), means


def reasons(buyers: Model, *people: Mapping[str, float], others: Model | None = None) -> list[str]:
    """The reasons of people; only those with orders are asked where there is no model of the others."""
    features = rows(*people)
    ordered = features[:, FEATURES.index("log_orders")] > 0
    models = (buyers,) if others is None else (buyers, others)
    of = np.zeros(len(people), np.int32) if others is None else (~ordered).astype(np.int32)
    asked = ordered if others is None else np.ones(len(people), bool)
    keys, usual = keys_and_usual(features, of, asked, *models)
    return reason_lines(keys, usual, of)


def test_every_feature_has_words() -> None:
    assert list(PHRASES) == list(FEATURES)


STEADY = {"log_orders": 5, "log_mean_gap_days": 12}
ONCE = {"log_orders": 1, "log_mean_gap_days": 60}


@pytest.mark.parametrize(
    ("feature", "person", "usual", "text"),
    [
        ("log_orders_90d", STEADY | {"log_orders_90d": 1.0}, 4, "few orders this quarter: 1, usually 4"),
        ("log_orders_90d", STEADY | {"log_orders_90d": 9.2}, 1.5, "many orders this quarter: 9, usually 1.5"),
        ("log_orders_7d", STEADY | {"log_orders_7d": 0.2}, 1, "no orders this week, usually 1"),
        ("log_orders_30d", STEADY | {"log_orders_30d": 0.37}, 2, "few orders this month: 1, usually 2"),
        ("log_days_since_order", STEADY | {"log_days_since_order": 38.0}, 90,
         "38 days since last order, usually 12"),
        ("log_overdue", STEADY | {"log_days_since_order": 1.5, "log_overdue": 0.1}, 1,
         "1 day since last order, usually 12"),
        ("log_days_since_order", STEADY, 90, "ordered today, usually every 12 days"),
        ("log_overdue", ONCE | {"log_days_since_order": 90.0, "log_overdue": 1.5}, 1, "90 days since the only order"),
        ("log_days_since_order", ONCE, 90, "first order today"),
        ("log_mean_gap_days", ONCE, 20, "only one order, so no rhythm yet"),
        ("log_mean_gap_days", STEADY, 55, "often: orders every 12 days, usually 55"),
        ("log_mean_gap_days", STEADY | {"log_mean_gap_days": 70}, 55, "seldom: orders every 70 days, usually 55"),
        ("gap_spread", STEADY | {"gap_spread": 0.8}, 0.3, "uneven gaps between orders: ±80 %"),
        ("gap_spread", STEADY | {"gap_spread": 0.1}, 0.3, "even gaps between orders: ±10 %"),
        ("log_days_since_seen", STEADY | {"log_days_since_seen": 40}, 8, "40 days since last seen, usually 8"),
        ("log_days_since_seen", STEADY, 8, "seen today"),
        ("log_tenure_days", STEADY | {"log_tenure_days": 812}, 200, "known for 810 days, usually 200"),
        ("log_orders", STEADY, 2, "many orders: 5, usually 2"),
        ("log_orders", ONCE, 4, "few orders: 1, usually 4"),
        ("log_revenue", STEADY | {"log_revenue": 1_243}, 90, "high revenue: 1200, usually 90"),
        ("log_revenue", STEADY | {"log_revenue": 9}, 90, "low revenue: 9, usually 90"),
        ("log_average_order", STEADY | {"log_average_order": 20}, 45, "small orders: 20 on average, usually 45"),
        ("log_web_30d", STEADY | {"log_web_30d": 2}, 9, "few web events this month: 2, usually 9"),
        ("log_tickets_30d", STEADY | {"log_tickets_30d": 1}, 0, "tickets this month: 1, usually none"),
        ("log_tickets_30d", STEADY, 1, "no tickets this month, usually 1"),
        ("satisfaction", STEADY | {"satisfaction": -1.5}, 0, "low satisfaction: 1.5 of 5"),
        ("satisfaction", STEADY | {"satisfaction": 2}, 0, "high satisfaction: 5 of 5"),
        ("satisfaction", STEADY, 0.5, "no good or poor rating"),
        ("refund_rate", STEADY | {"refund_rate": 0.5}, 0.05, "many refunds: 50 % of orders, usually 5 %"),
        ("refund_rate", STEADY, 0.05, "no refunds, usually 5 %"),
        ("conversion", STEADY | {"conversion": 0.1}, 0.5, "few orders per visit: 0.1, usually 0.5"),
        ("conversion", STEADY | {"conversion": 0.1}, 4.6, "few orders per visit: 0.1"),
        ("conversion", STEADY, 0.5, "no orders per visit, usually 0.5"),
        ("conversion", STEADY | {"conversion": 5}, 4.6, "orders: 5, usually none"),
        ("log_carts", STEADY | {"log_carts": 12}, 2.4, "many products in carts: 12, usually 2.4"),
        ("log_carts", STEADY, 2.4, "no products in carts, usually 2.4"),
    ],
)  # fmt: skip
def test_a_reason_says_the_value_and_what_is_usual(
    feature: str, person: dict[str, float], usual: float, text: str
) -> None:
    (up, down) = (reasons(model({feature: weight}, {feature: usual}), person)[0] for weight in (1.0, -1.0))
    assert {up[0], down[0]} == {"+", "-"}, "the weight's sign turns the direction round"
    assert (up[2:], down[2:]) == (text, text)


def test_a_plus_raises_the_score_and_a_minus_lowers_it() -> None:
    weighed = model({"log_orders": -0.4, "log_carts": 0.3}, {"log_orders": 2})
    assert reasons(weighed, {"log_orders": 5, "log_carts": 1}) == [
        "- many orders: 5, usually 2; + products in carts: 1, usually none"
    ]


def test_features_that_say_the_same_are_one_reason() -> None:
    """Two of the three windows lower the score, and together they weigh more than the revenue."""
    weighed = model({"log_orders_7d": 0.2, "log_orders_30d": 0.3, "log_orders_90d": -0.1, "log_revenue": 0.4},
                      {"log_orders_7d": 2, "log_orders_30d": 3, "log_orders_90d": 4, "log_revenue": 1})  # fmt: skip
    (text,) = reasons(weighed, {"log_orders": 5, "log_orders_90d": 1})
    assert text == "- no orders this month, usually 3; - low revenue: 0, usually 1"


def test_orders_per_visit_of_people_without_visits_are_their_orders() -> None:
    """Both effects are one reason, so it cannot be that many orders raise the score and lower it."""
    weighed = model({"log_orders": 0.6, "conversion": -0.4}, {"log_orders": 2, "conversion": 2})
    without, twenty = reasons(weighed, STEADY | {"conversion": 5}, STEADY | {"conversion": 0.25})
    assert without == "+ many orders: 5, usually 2"
    assert set(twenty.split("; ")) == {"+ few orders per visit: 0.25", "+ many orders: 5, usually 2"}


def test_people_without_orders_get_reasons_of_their_own_model() -> None:
    buyers = model({"log_days_since_order": 1.0, "log_overdue": 1.0, "log_orders": 1.0}, {"log_days_since_order": 30})
    others = model({"log_carts": 0.9, "log_web_7d": 0.5}, {"log_web_7d": 3})
    viewer = {"log_web_7d": 1.0}
    carter = {"log_web_7d": 2.0, "log_carts": 1.0}
    buyer = STEADY | {"log_days_since_order": 38}
    one, two, three = reasons(buyers, viewer, buyer, carter, others=others)
    assert one == "- few web events this week: 1, usually 3"
    assert two.startswith("+ orders: 5")
    assert three.startswith("+ products in carts: 1, usually none")
    assert "order" not in one + three


def test_a_question_that_is_not_asked_has_no_reasons() -> None:
    assert reasons(model({"log_web_7d": 1.0}), {"log_web_7d": 4}, STEADY | {"log_web_7d": 4})[0] == ""


def test_without_effects_there_are_no_reasons() -> None:
    assert reasons(model({}), STEADY, ONCE) == ["", ""]
    assert reasons(model({"log_orders": 0.002}), ONCE) == [""]


def test_nobody_has_no_reasons() -> None:
    keys, usual = keys_and_usual(rows(), np.empty(0, np.int32), np.empty(0, bool), model({"log_orders": 1.0}))
    assert keys.shape == (0, SHOWN)
    assert reason_texts(keys, usual, np.empty(0, np.int32)).to_pylist() == []


def random_people(seed: int, count: int, size: float) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    features = np.abs(random.normal(size=(count, WIDTH)) * size).astype(np.float32)
    features[:, FEATURES.index("satisfaction")] = random.uniform(-2, 2, count)
    return features


@given(
    weights=st.lists(st.floats(-3, 3), min_size=WIDTH, max_size=WIDTH),
    seed=st.integers(0, 1_000),
    count=st.integers(1, 30),
    size=st.sampled_from([0.3, 2.0, 11.0]),
)
def test_reasons_are_short_and_do_not_depend_on_company(
    weights: list[float], seed: int, count: int, size: float
) -> None:
    features, random = random_people(seed, count, size), np.random.default_rng(seed)
    asked, of = random.random(count) < 0.7, random.integers(0, 2, count).astype(np.int32)
    one = Model(random.normal(1, size=WIDTH).clip(0), np.array(weights))
    two = Model(one.means * 2, one.slopes[::-1].copy())
    before = features.tobytes()
    keys, usual = keys_and_usual(features, of, asked, one, two)
    alone = [
        keys_and_usual(features[at : at + 1], of[at : at + 1], asked[at : at + 1], one, two)[0][0].tolist()
        for at in range(count)
    ]
    assert keys.tolist() == alone
    brief = explain_briefly(features, usual, np.stack([one.slopes, two.slopes]), of, asked)
    assert brief.tolist() == signed_features(keys).tolist()
    lines = reason_lines(keys, usual, of)
    assert max(map(len, lines)) <= MOST_CHARACTERS
    assert all(len(text.split("; ")) <= SHOWN for text in lines)
    assert features.tobytes() == before


@pytest.mark.parametrize("size", [0.3, 2.0, 11.0])
def test_many_people_get_the_lines_that_each_would_get_alone(size: float) -> None:
    count = 3 * FEW
    features, random = random_people(7, count, size), np.random.default_rng(8)
    models = [Model(random.normal(1, size=WIDTH).clip(0), random.normal(size=WIDTH)) for _ in range(3)]
    of = random.integers(0, 3, count).astype(np.int32)
    keys, usual = keys_and_usual(features, of, random.random(count) < 0.8, *models)
    texts = reason_texts(keys, usual, of).to_pylist()
    assert texts == reason_lines(keys, usual, of)
    assert "" in texts
    assert any("±" in text for text in texts) or size != 2.0
    assert any(len(text) > 100 for text in texts)


def test_the_compact_form_names_the_features_and_their_direction() -> None:
    weighed = model({"log_orders": -0.4, "log_carts": 0.3}, {"log_orders": 2})
    features = rows({"log_orders": 5, "log_carts": 1}, {"log_orders": 2}, {"log_orders": 5, "log_carts": 1})
    asked = np.array([True, True, False])
    keys, _ = keys_and_usual(features, np.zeros(3, np.int32), asked, weighed)
    orders, carts = (FEATURES.index(name) + 1 for name in ("log_orders", "log_carts"))
    assert signed_features(keys).tolist() == [[-orders, carts, 0], [0, 0, 0], [0, 0, 0]]
    assert reason_numbers(signed_features(keys)).to_pylist() == [[-orders, carts], [], []]
    assert keys[1].tolist() == [NO_REASON] * SHOWN


def test_the_number_of_every_feature_fits_into_a_key() -> None:
    assert len(FEATURES) <= 32
    assert {name for group in GROUPS for name in group} <= set(FEATURES)
