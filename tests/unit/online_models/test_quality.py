"""The measures of quality against scikit-learn and against calculations by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score  # type: ignore[import-untyped]
from support.restarting import STEPS, Restarting

from contracts.state import Part
from online_models import quality
from online_models.quality import BINS, MANY, ONE, WINDOW, Codes, QualityWindow, Sums, encode

Forecasts = tuple[NDArray[np.float64], NDArray[np.bool_]]


def forecasts(max_size: int = 60) -> st.SearchStrategy[Forecasts]:
    """Forecasts with many ties, and what came of them."""
    chance = st.one_of(st.integers(0, 10).map(lambda tenths: tenths / 10), st.integers(0, ONE).map(lambda n: n / ONE))
    pairs = st.lists(st.tuples(chance, st.booleans()), min_size=1, max_size=max_size)
    return pairs.map(lambda seen: (np.array([f for f, _ in seen]), np.array([came for _, came in seen], np.bool_)))


def ordered(chances: NDArray[np.float64], labels: NDArray[np.bool_]) -> Codes:
    return np.sort(encode(chances, labels))


def measure(chances: NDArray[np.float64], labels: NDArray[np.bool_]) -> dict[str, float]:
    window = QualityWindow()
    window.add(chances, labels)
    return window.measure()


def area_under_curve(chances: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return quality.area_under_curve(ordered(chances, labels))


def calibration_error(chances: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    return quality.calibration_error(ordered(chances, labels))


@given(forecasts())
def test_the_area_under_the_curve_is_scikit_learns(seen: Forecasts) -> None:
    chances, labels = seen
    if labels.all() or not labels.any():
        assert math.isnan(area_under_curve(chances, labels))
    else:
        assert area_under_curve(chances, labels) == pytest.approx(roc_auc_score(labels, chances))


@given(forecasts())
def test_log_loss_and_brier_score_are_scikit_learns(seen: Forecasts) -> None:
    chances, labels = seen
    found = measure(chances, labels)
    assert found["log_loss"] == pytest.approx(log_loss(labels, np.clip(chances, 1e-6, 1 - 1e-6), labels=[False, True]))
    assert found["brier"] == pytest.approx(brier_score_loss(labels, chances, labels=[False, True], pos_label=True))
    assert found["base_rate"] == pytest.approx(np.mean(labels))
    assert found["window"] == len(labels)


@given(forecasts())
def test_measures_stay_in_their_ranges_and_do_not_depend_on_order(seen: Forecasts) -> None:
    chances, labels = seen
    found, turned = measure(chances, labels), measure(chances[::-1], labels[::-1])
    assert turned == pytest.approx(found, nan_ok=True)
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["brier"] <= 1
    assert 0 <= found["log_loss"] < 14


@given(forecasts())
def test_forecasting_the_opposite_turns_the_area_over(seen: Forecasts) -> None:
    chances, labels = seen
    assert area_under_curve(1 - chances, labels) == pytest.approx(1 - area_under_curve(chances, labels), nan_ok=True)


def test_ranking_every_positive_first_is_an_area_of_one() -> None:
    assert area_under_curve(np.array([0.1, 0.8, 0.3, 0.9]), np.array([False, True, False, True])) == 1.0


def test_even_forecasts_cannot_rank() -> None:
    assert area_under_curve(np.full(4, 0.5), np.array([False, True, True, True])) == 0.5


def test_a_certainty_that_fails_costs_much_but_not_everything() -> None:
    found = measure(np.array([0.0, 1.0]), np.array([True, False]))
    assert found["log_loss"] == pytest.approx(-math.log(1e-6))


@given(st.integers(1, 5), st.lists(st.booleans(), min_size=50, max_size=50), st.permutations(range(50)))
def test_calibration_error_is_the_gap_in_bins_of_equal_mass(size: int, came: list[bool], order: list[int]) -> None:
    """Distinct forecasts, sorted and cut into ten equal parts; the gap of each counts by its share."""
    count = BINS * size
    chances, labels = np.round(np.linspace(0.02, 0.97, count) ** 2, 6), np.array(came[:count])
    bins = [slice(start, start + size) for start in range(0, count, size)]
    expected = sum(abs(labels[part].mean() - chances[part].mean()) * size for part in bins) / count
    mixed = [at for at in order if at < count]
    assert calibration_error(chances[mixed], labels[mixed]) == pytest.approx(expected)


def test_calibration_error_of_one_forecast_for_all_is_its_distance_from_the_base_rate() -> None:
    labels = np.array([True] * 3 + [False] * 7)
    assert calibration_error(np.full(10, 0.3), labels) == pytest.approx(0.0)
    assert calibration_error(np.full(10, 0.9), labels) == pytest.approx(0.6)


@pytest.mark.parametrize("low", [4, 5, 6, 9])
def test_calibration_errors_of_two_forecasts_do_not_cancel(low: int) -> None:
    chances = np.array([0.2] * low + [0.8] * (11 - low))
    assert calibration_error(chances, chances < 0.5) == pytest.approx(0.8)


def test_without_examples_nothing_is_defined() -> None:
    found = QualityWindow().measure()
    assert found.pop("window") == 0
    assert found.keys() == {"base_rate", "auc", "log_loss", "brier", "ece"}
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("came", [True, False])
def test_with_one_class_only_the_area_is_undefined(came: bool) -> None:
    found = measure(np.array([0.2, 0.6]), np.array([came, came]))
    assert [name for name, value in found.items() if math.isnan(value)] == ["auc"]


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 6_000)), min_size=1, max_size=6))
def test_the_window_holds_the_newest_examples_however_they_came(sizes: list[int]) -> None:
    total = sum(sizes)
    chances, labels = np.arange(total) * 7_919 % 1_009 / 1_009, np.arange(total) % 3 == 0
    window, start = QualityWindow(), 0
    for size in sizes:
        window.add(chances[start : start + size], labels[start : start + size])
        start += size
        assert window.ordered.tolist() == sorted(window.codes.tolist())
        assert window.sums == Sums().moved(window.codes, np.empty(0, np.int32))
    assert window.codes.tolist() == encode(chances, labels)[-WINDOW:].tolist()
    assert (WINDOW, MANY < 6_000) == (10_000, True)


@given(forecasts())
def test_a_code_holds_a_forecast_and_its_label(seen: Forecasts) -> None:
    chances, labels = seen
    codes = encode(chances, labels)
    assert ((codes >> 1) / ONE).tolist() == chances.tolist()
    assert (codes & 1).astype(bool).tolist() == labels.tolist()


def test_a_model_is_measured_by_its_newest_examples_only() -> None:
    window = QualityWindow()
    window.add(np.full(500, 1.0), np.zeros(500, np.bool_))
    window.add(np.full(WINDOW, 0.0), np.zeros(WINDOW, np.bool_))
    assert window.measure()["brier"] == 0.0


@given(st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.9]), min_size=2, max_size=60), st.integers(0, 1_000))
def test_ranks_are_those_of_scipy(values: list[float], seed: int) -> None:
    """The area computed with scipy's ranks."""
    forecasts, labels = np.array(values), np.random.default_rng(seed).random(len(values)) < 0.5
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if positives and negatives:
        area = (rankdata(forecasts)[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives)
        assert area_under_curve(forecasts, labels) == pytest.approx(area, rel=1e-14)


class Window:
    """A machine with a window and nothing else."""

    def __init__(self) -> None:
        self.window = QualityWindow()

    def parts(self) -> dict[str, Part]:
        return {"window": self.window}


@given(
    st.lists(st.sampled_from([0, 1, 5, 900, 4_000, WINDOW + 3]), max_size=6),
    st.lists(st.integers(0, STEPS - 1), min_size=6, max_size=6),
)
def test_a_window_restored_from_its_changes_equals_one_that_never_stopped(sizes: list[int], steps: list[int]) -> None:
    random, held, plain = np.random.default_rng(sum(sizes)), Restarting(Window), QualityWindow()
    for size, step in zip(sizes, steps, strict=False):
        forecasts, labels = random.random(size), random.random(size) < 0.3
        for window in (held.machine.window, plain):
            window.add(forecasts, labels)
        held.step(step)
        found = held.machine.window
        assert (found.codes.tobytes(), found.ordered.tobytes(), found.sums) == (
            plain.codes.tobytes(), plain.ordered.tobytes(), plain.sums)  # fmt: skip
        assert repr(found.measure()) == repr(plain.measure())
