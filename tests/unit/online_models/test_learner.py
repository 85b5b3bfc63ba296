"""The learner against River's own pipeline, and the laws of models: pure, repeatable, the same when restored."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing
from river.checks import check_estimator
from scipy.special import expit

from online_models.learner import LEARNING_RATE, MINI_BATCH, Learner, Regression, Scaler

NAMES = ["recency", "frequency", "money"]
Portion = tuple[NDArray[np.float32], NDArray[np.bool_]]


def portion(seed: int, size: int) -> Portion:
    """Examples of features on different scales, of which two have to do with the label."""
    random = np.random.default_rng(seed)
    features = random.normal([0.0, 5.0, -300.0], [1.0, 0.1, 40.0], (size, 3)).astype(np.float32)
    log_odds = features[:, 0] - (features[:, 2] + 300) / 40
    return features, random.random(size) < expit(log_odds)


def portions(seed: int, *sizes: int) -> list[Portion]:
    return [portion(1_000 * seed + number, size) for number, size in enumerate(sizes)]


def trained(examples: Iterable[Portion]) -> Learner:
    learner = Learner(NAMES)
    for features, labels in examples:
        learner.learn(features, labels)
    return learner


def table(features: NDArray[np.float32]) -> pa.Table:
    return pa.table(list(np.ascontiguousarray(features.T, np.float64)), names=NAMES)


@pytest.mark.parametrize("sizes", [(1,), (40,), (3, 700, 20), (2 * MINI_BATCH, 1), (300,) * 12])
def test_predictions_are_those_of_rivers_pipeline(sizes: tuple[int, ...]) -> None:
    regression = linear_model.LogisticRegression(optimizer=optim.SGD(LEARNING_RATE), intercept_lr=LEARNING_RATE)
    river = compose.Pipeline(preprocessing.StandardScaler(), regression)
    learner = Learner(NAMES)
    for features, labels in portions(1, *sizes):
        learner.learn(features, labels)
        for start in range(0, len(labels), MINI_BATCH):
            part = slice(start, start + MINI_BATCH)
            river.learn_many(table(features[part]), pa.chunked_array([labels[part]]))
    asked, _ = portion(77, 500)
    expected = river.predict_proba_many(table(asked)).column("True").to_numpy()
    assert learner.predict(asked) == pytest.approx(expected, abs=1e-6)
    weights = dict(regression.weights) | {"intercept": regression.intercept}
    assert learner.weights() == pytest.approx(weights, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("model", [Scaler(), Regression(optimizer=optim.SGD(LEARNING_RATE))])
def test_rivers_own_checks_pass(model: Scaler | Regression) -> None:
    check_estimator(model)


def test_it_learns_which_features_matter_and_how() -> None:
    weights = trained(portions(2, *[MINI_BATCH] * 60)).weights()
    assert weights["recency"] > 0.5
    assert weights["money"] < -0.5
    assert abs(weights["frequency"]) < 0.2


def test_before_learning_every_chance_is_even() -> None:
    assert Learner(NAMES).predict(portion(3, 4)[0]).tolist() == [0.5] * 4


def test_no_row_has_no_prediction() -> None:
    learner = trained(portions(3, 50))
    assert learner.predict(np.empty((0, 3), np.float32)).shape == (0,)


def test_an_empty_portion_teaches_nothing() -> None:
    learner = trained(portions(3, 50))
    digest = learner.digest()
    learner.learn(np.empty((0, 3), np.float32), np.empty(0, np.bool_))
    assert learner.digest() == digest
    assert learner.learned == 50


def test_examples_and_positives_are_counted() -> None:
    features, labels = portion(4, 700)
    learner = trained([(features, labels), (features[:5], np.ones(5, np.bool_))])
    assert (learner.learned, learner.positives) == (705, int(labels.sum()) + 5)


def test_the_same_portions_make_the_same_model_also_when_restored_in_their_middle() -> None:
    examples = portions(5, 100, 600, 7, 512)
    whole, part = trained(examples), trained(examples[:2])
    assert part.changes()
    assert not part.changes()
    restored = Learner(NAMES)
    restored.apply(part.whole())
    assert restored.digest() == part.digest()
    assert not restored.changes()
    for features, labels in examples[2:]:
        restored.learn(features, labels)
    asked, _ = portion(6, 200)
    assert restored.digest() == whole.digest() == trained(examples).digest()
    assert restored.predict(asked).tobytes() == whole.predict(asked).tobytes()
    assert restored.weights() == whole.weights()


def test_the_digest_tells_other_portions_and_another_order_apart() -> None:
    examples = portions(7, 100, 100)
    features, labels = examples[1]
    others = [examples[::-1], examples[:1], [*examples, (features[:1], labels[:1])], [examples[0], (features, ~labels)]]
    digests = {trained(each).digest() for each in [examples, *others]}
    assert len(digests) == 1 + len(others)


def test_the_digest_tells_models_apart_that_differ_in_weights_or_intercept_alone() -> None:
    """One step from nothing: who is positive moves the weights, how many are moves the intercept."""
    features, _ = portion(7, 100)
    few, others, many = (np.arange(100) < 20, np.arange(100) >= 80, np.arange(100) < 50)
    assert trained([(features, few)]).digest() != trained([(features, others)]).digest()
    same = np.ones_like(features)
    assert trained([(same, few)]).digest() == trained([(same, others)]).digest() != trained([(same, many)]).digest()


def test_predicting_changes_nothing() -> None:
    learner = trained(portions(8, 300))
    asked, _ = portion(9, 50)
    digest, before = learner.digest(), asked.copy()
    first = learner.predict(asked)
    assert learner.predict(asked).tobytes() == first.tobytes()
    assert (learner.digest(), asked.tobytes()) == (digest, before.tobytes())


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30))
def test_a_row_is_scored_alike_in_any_company(chosen: list[int]) -> None:
    learner = trained(portions(10, 200, 200))
    asked, _ = portion(11, 100)
    assert learner.predict(asked[chosen]).tobytes() == learner.predict(asked)[chosen].tobytes()


def test_the_line_adds_up_to_the_log_odds() -> None:
    learner = trained(portions(12, 512, 512, 512))
    asked, _ = portion(13, 60)
    line = learner.line()
    assert (len(line.mean), len(line.slope)) == (3, 3)
    log_odds = ((asked - line.mean) * line.slope).sum(axis=1) + learner.weights()["intercept"]
    assert learner.predict(asked) == pytest.approx(expit(log_odds), abs=1e-6)


def test_the_line_holds_the_mean_of_the_examples_and_weights_per_deviation() -> None:
    examples = portions(14, 300, 900)
    seen = np.concatenate([features for features, _ in examples]).astype(np.float64)
    learner = trained(examples)
    line, weights = learner.line(), learner.weights()
    assert line.mean == pytest.approx(seen.mean(axis=0))
    assert line.slope * seen.std(axis=0) == pytest.approx([weights[name] for name in NAMES], rel=1e-5)


def test_before_learning_weights_are_zero_and_nothing_has_an_effect() -> None:
    learner = Learner(NAMES)
    assert learner.weights() == dict.fromkeys([*NAMES, "intercept"], 0.0)
    assert not learner.line().slope.any()
    assert learner.line().offset == 0.0


def constant(value: float, *sizes: int) -> list[Portion]:
    """Portions in which the last feature never changes."""
    examples = portions(16, *sizes)
    for features, _ in examples:
        features[:, 2] = value
    return examples


@pytest.mark.parametrize("value", [3.3, 0.1, -0.7, 1e-6, 123_456.789, 0.0])
def test_a_constant_feature_has_no_effect(value: float) -> None:
    slope = trained(constant(value, *[300, 17, 512, 1] * 25)).line().slope
    assert slope[2] == 0.0
    assert slope[:2].all()


@given(
    st.floats(-1e4, 1e4, width=32),
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.floats(-1e4, 1e4, width=32),
)
def test_a_constant_feature_that_takes_another_value_leaves_the_model_sound(
    value: float, sizes: list[int], other: float
) -> None:
    learner = trained(constant(value, *sizes))
    asked, labels = portion(17, 50)
    asked[:, 2] = value
    settled = learner.predict(asked)
    asked[7, 2] = other
    assert learner.predict(asked) == pytest.approx(settled)  # a value never seen has no weight yet
    learner.learn(asked, labels)
    assert np.isfinite([*learner.weights().values(), *learner.line().slope]).all()
    assert max(map(abs, learner.weights().values())) < 10
    assert np.isfinite(learner.predict(asked)).all()


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=6, max_size=6))
def test_a_prediction_is_a_chance_whatever_the_features(values: list[float]) -> None:
    predicted = trained(portions(18, 100)).predict(np.array(values, np.float32).reshape(2, 3))
    assert ((predicted >= 0) & (predicted <= 1)).all()
