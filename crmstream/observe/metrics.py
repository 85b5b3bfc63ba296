"""What the workers count, read from their metrics pages and summed. Reads only."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_TIMEOUT_SECONDS: Final = 2.0
Buckets = Mapping[float, float]
"""A histogram: how many observations were at most so many seconds, by bound; the last bound is infinite."""


@dataclass(frozen=True)
class WorkerMetrics:
    """Figures over all workers since their start. ``clock`` is the slowest event clock in Unix seconds."""

    events: int = 0
    sweeps: int = 0
    sweep_scores: int = 0
    live_scores: int = 0
    customers: int = 0
    clock: float | None = None
    latency: Buckets = field(default_factory=dict)


def read_metrics(urls: Sequence[str]) -> WorkerMetrics | None:
    """Read the pages of all workers; None if one does not answer."""
    return sum_metrics([read_samples(url) for url in urls])


def read_samples(url: str) -> list[Sample] | None:
    """Read one worker's page; None if no worker answers."""
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the URL is our own stack's
            return parse_samples(answer.read().decode())
    except (OSError, ValueError):
        return None


def parse_samples(page: str) -> list[Sample]:
    """The samples on a metrics page. Raises ValueError if it is none."""
    return [sample for family in text_string_to_metric_families(page) for sample in family.samples]


def sum_metrics(pages: Sequence[list[Sample] | None]) -> WorkerMetrics | None:
    """Sum the figures of all workers; None if one of them is missing."""
    if any(page is None for page in pages):
        return None
    samples = [sample for page in pages if page is not None for sample in page]
    clocks = [sample.value for sample in samples if sample.name == "crm_event_clock_seconds"]
    return WorkerMetrics(
        events=_total(samples, "crm_events_total"),
        sweeps=_total(samples, "crm_sweeps_total"),
        sweep_scores=_total(samples, "crm_scores_total", reason="sweep"),
        live_scores=_total(samples, "crm_scores_total", reason="event"),
        customers=_total(samples, "crm_customers"),
        clock=min(clocks, default=None),
        latency=_buckets(samples, "crm_end_to_end_seconds_bucket"),
    )


def _total(samples: Iterable[Sample], name: str, **labels: str) -> int:
    return int(sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items()))


def _buckets(samples: Iterable[Sample], name: str) -> Buckets:
    buckets: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        if sample.name == name:
            buckets[float(sample.labels["le"])] += sample.value
    return dict(sorted(buckets.items()))


def since(now: Buckets, before: Buckets) -> Buckets:
    """What a histogram gained; all of it if it has been reset by a restart."""
    gained = {bound: count - before.get(bound, 0) for bound, count in now.items()}
    return now if min(gained.values(), default=0) < 0 else gained


def observations(buckets: Buckets) -> int:
    """How many observations a histogram holds."""
    return int(buckets.get(math.inf, 0))


def quantile(buckets: Buckets, share: float) -> float | None:
    """Estimate the value below which ``share`` of the observations lie; None without observations.

    Linear within a bucket, like PromQL's ``histogram_quantile``; beyond the last finite bound it is that bound.
    """
    rank = share * observations(buckets)
    if not rank:
        return None
    low, below = 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
