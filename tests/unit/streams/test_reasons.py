"""Reasons follow from the numbers: weight times deviations from the mean, the largest first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.blocks import Explainer, OutcomeScores
from streams.features import FEATURES
from streams.reasons import SHOWN, WORDS, reasons_of

WIDTH = len(FEATURES)


def scores(weights: dict[str, float], mean: float = 0.0, deviation: float = 1.0) -> OutcomeScores:
    """Scores of a model in which only some features weigh."""
    weight = np.array([weights.get(name, 0.0) for name in FEATURES])
    explainer = Explainer(np.full(WIDTH, mean), np.full(WIDTH, deviation), weight)
    return OutcomeScores(np.empty(0), np.empty(0, np.float32), explainer)


def rows(*values: dict[str, float]) -> NDArray[np.float32]:
    return np.array([[row.get(name, 0.0) for name in FEATURES] for row in values], np.float32)


def test_every_feature_has_words_of_its_own() -> None:
    assert list(WORDS) == list(FEATURES)
    assert len(set(WORDS.values())) == WIDTH


def test_the_largest_effect_comes_first_whatever_its_sign() -> None:
    weighed = scores({"log_orders": -0.4, "log_revenue": 0.3, "satisfaction": 0.1})
    assert reasons_of(weighed, rows({"log_orders": 1, "log_revenue": 1, "satisfaction": 1})) == [
        "orders -0.40; revenue +0.30; satisfaction +0.10"
    ]


def test_an_effect_is_the_weight_of_so_many_deviations_from_the_mean() -> None:
    """(8 - 2) / 4 = 1.5 deviations of weight 0.5; the other features stand half a deviation below the mean."""
    weighed = scores({"log_orders": 0.5, "conversion": 0.2}, mean=2.0, deviation=4.0)
    assert reasons_of(weighed, rows({"log_orders": 8.0})) == ["orders +0.75; orders per visit -0.10"]


def test_no_more_than_some_reasons_are_given() -> None:
    everything = scores(dict.fromkeys(FEATURES, 1.0))
    (told,) = reasons_of(everything, rows({name: position + 1.0 for position, name in enumerate(FEATURES)}))
    assert told == "products put in carts +20.00; orders per visit +19.00; refunds per order +18.00"
    assert len(told.split("; ")) == SHOWN


def test_what_rounds_to_nothing_is_no_reason() -> None:
    weighed = scores({"log_orders": 0.004, "log_revenue": 0.006})
    assert reasons_of(weighed, rows({"log_orders": 1}, {"log_revenue": 1}, {"log_orders": -1})) == [
        "", "revenue +0.01", "",
    ]  # fmt: skip


def test_a_model_that_has_not_learned_gives_no_reasons() -> None:
    assert reasons_of(scores({}), rows({"log_orders": 3}, {})) == ["", ""]


def test_of_equal_effects_the_first_feature_is_told_first() -> None:
    weighed = scores({"log_orders": 1.0, "log_revenue": -1.0, "log_carts": 1.0})
    (told,) = reasons_of(weighed, rows({"log_carts": 1, "log_orders": 1, "log_revenue": 1}))
    assert told == "orders +1.00; revenue -1.00; products put in carts +1.00"


def test_nobody_has_no_reasons() -> None:
    assert reasons_of(scores({"log_orders": 1.0}), np.empty((0, WIDTH), np.float32)) == []


def by_hand(effects: NDArray[np.float64]) -> str:
    """The reasons of one customer, told one at a time."""
    strongest = sorted(range(WIDTH), key=lambda at: -abs(effects[at]))[:SHOWN]
    sizes = [(WORDS[FEATURES[at]], int(np.rint(effects[at] * 100)) / 100) for at in strongest]
    return "; ".join(f"{words} {size:+.2f}" for words, size in sizes if size)


@given(
    weights=st.lists(st.floats(-3, 3), min_size=WIDTH, max_size=WIDTH),
    seed=st.integers(0, 1_000),
    count=st.integers(1, 30),
)
def test_reasons_are_those_found_by_hand_in_any_company(weights: list[float], seed: int, count: int) -> None:
    weighed = scores(dict(zip(FEATURES, weights, strict=True)), mean=0.5, deviation=2.0)
    features = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    before = features.copy()
    told = reasons_of(weighed, features)
    assert told == [by_hand(effects) for effects in weighed.explainer.effects(features)]
    assert reasons_of(weighed, features[:1]) == told[:1]
    assert features.tobytes() == before.tobytes()
