"""Probabilities of rows: each is a function of its own row to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from online_models.linear import PORTION, Linear, probabilities

WIDTH = 20
ROWS = 2 * PORTION + 17
RANDOM = np.random.default_rng(5)
FEATURES = RANDOM.normal(size=(ROWS, WIDTH)).astype(np.float32)
SLOPES, OFFSETS = RANDOM.normal(size=(6, WIDTH)), RANDOM.normal(size=6)
LINES = RANDOM.integers(0, 6, ROWS).astype(np.int32)
WHOLE = probabilities(FEATURES, SLOPES, OFFSETS, LINES)


def test_they_are_those_of_a_matrix_product() -> None:
    expected = expit((FEATURES.astype(np.float64) * SLOPES[LINES]).sum(axis=1) + OFFSETS[LINES])
    assert pytest.approx(expected, abs=1e-6) == WHOLE


@given(st.lists(st.integers(0, ROWS - 1), max_size=40), st.integers(0, 2 * PORTION), st.sampled_from("CF"))
def test_a_row_is_scored_alike_in_any_company(chosen: list[int], before: int, order: str) -> None:
    """Some rows after many others, so that they stand elsewhere in their portion."""
    at = np.concatenate((np.arange(before), np.array(chosen, np.int64)))
    features = np.array(FEATURES[at], order=order)  # type: ignore[call-overload]
    assert probabilities(features, SLOPES, OFFSETS, LINES[at]).tobytes() == WHOLE[at].tobytes()


@given(st.integers(0, ROWS - 1))
def test_one_row_alone_is_scored_alike(at: int) -> None:
    line = int(LINES[at])
    alone = probabilities(
        FEATURES[at : at + 1], SLOPES[line : line + 1], OFFSETS[line : line + 1], np.zeros(1, np.int32)
    )
    assert alone[0] == WHOLE[at]


def test_an_offset_that_is_nan_gives_nan() -> None:
    found = probabilities(FEATURES[:2], SLOPES, np.array([0.0, np.nan] * 3), np.array([0, 1], np.int32))
    assert np.isnan(found).tolist() == [False, True]


@given(st.floats(0, 1))
def test_a_mixture_lies_between_two_lines_and_keeps_both_log_odds_in_proportion(weight: float) -> None:
    first, second = Linear(SLOPES[2], SLOPES[0], 1.0), Linear(SLOPES[3], SLOPES[1], -2.0)
    mixed, row = first.mix(second, weight), SLOPES[4]
    assert mixed.at(row) == pytest.approx((1 - weight) * first.at(row) + weight * second.at(row))
    assert mixed.offset == pytest.approx(mixed.at(np.zeros(WIDTH)))
