"""Figures from metrics pages."""

import math

import pytest

from contracts import metrics as catalogue
from crmstream.observe.metrics import (
    WorkerMetrics,
    observations,
    parse_samples,
    quantile,
    read_metrics,
    since,
    sum_metrics,
)

PAGE = """\
# TYPE crm_events counter
crm_events_total{topic="a"} 5.0
crm_events_total{topic="b"} 7.0
# TYPE crm_scores counter
crm_scores_total{reason="sweep"} 100.0
crm_scores_total{reason="event"} 3.0
# TYPE crm_sweeps counter
crm_sweeps_total 8.0
# TYPE crm_customers gauge
crm_customers{bucket="0"} 20.0
crm_customers{bucket="1"} 22.0
# TYPE crm_event_clock_seconds gauge
crm_event_clock_seconds{partition="0"} 900.5
crm_event_clock_seconds{partition="1"} 800.5
# TYPE crm_end_to_end_seconds histogram
crm_end_to_end_seconds_bucket{le="0.1"} 6.0
crm_end_to_end_seconds_bucket{le="1.0"} 10.0
crm_end_to_end_seconds_bucket{le="+Inf"} 10.0
crm_end_to_end_seconds_sum 2.0
crm_end_to_end_seconds_count 10.0
"""


def test_pages_of_all_workers_are_summed() -> None:
    found = sum_metrics([parse_samples(PAGE), parse_samples(PAGE.replace("800.5", "700.5"))])
    assert found is not None
    assert (found.events, found.sweeps, found.sweep_scores, found.live_scores) == (24, 16, 200, 6)
    assert (found.customers, found.clock) == (84, 700.5)
    assert found.latency == {0.1: 12.0, 1.0: 20.0, math.inf: 20.0}


def test_every_figure_is_in_the_catalogue() -> None:
    names = {metric._name for metric in catalogue.CATALOGUE}
    wanted = {line.split()[2] for line in PAGE.splitlines() if line.startswith("# TYPE")}
    assert wanted <= names


def test_a_worker_that_does_not_answer_gives_none() -> None:
    assert read_metrics(["http://127.0.0.1:1/metrics"]) is None
    assert sum_metrics([parse_samples(PAGE), None]) is None


def test_a_page_without_events_is_zero() -> None:
    assert sum_metrics([parse_samples("")]) == WorkerMetrics()


def test_a_page_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid metric name"):
        parse_samples("<html><body>It works!</body></html>")


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.25, 0.05), (0.5, 0.1), (0.75, 1.0), (0.99, 1.0)],
)
def test_quantiles_are_linear_within_a_bucket_and_end_at_the_last_bound(share: float, expected: float) -> None:
    buckets = {0.1: 2.0, 1.0: 3.0, math.inf: 4.0}
    assert quantile(buckets, share) == pytest.approx(expected)


def test_no_observation_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None


def test_a_histogram_since_a_moment_and_after_a_restart() -> None:
    before = {0.1: 2.0, math.inf: 4.0}
    assert since({0.1: 5.0, math.inf: 9.0}, before) == {0.1: 3.0, math.inf: 5.0}
    restarted = {0.1: 1.0, math.inf: 3.0}
    assert since(restarted, before) == restarted
    assert observations(restarted) == 3
