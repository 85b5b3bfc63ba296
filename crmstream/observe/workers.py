"""The workers of an installation, on this host or on all hosts of a cluster: what each said last. Reads only.

Workers of this host are asked for their metrics. Workers of a cluster report them in the shared data folder
(:mod:`crmstream.cluster.reports`), so what is known of a worker that has gone grows old.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.samples import Sample

from crmstream.cluster.reports import WorkerReport, read_reports
from crmstream.observe.lanes import STALE_SECONDS, Pages, span, store_waits
from crmstream.observe.metrics import WorkerMetrics, parse_samples, read_samples, sum_metrics
from crmstream.observe.parts import Part
from crmstream.stack.endpoints import Endpoints


@dataclass(frozen=True)
class Workers:
    """What the workers said, by their index.

    ``metrics`` are the figures of all (None if one is silent), ``pages`` the metrics of each, and ``ages`` how old they
    are in seconds, 0 where a worker has answered just now. ``events_per_second`` is what they report (None: they were
    asked, and do not say).
    """

    parts: list[Part]
    metrics: WorkerMetrics | None
    pages: Pages
    ages: tuple[float, ...] = ()
    reported: bool = False
    events_per_second: float | None = None


def ask_workers(endpoints: Endpoints, data_dir: Path) -> Workers:
    """Ask each worker for its metrics, or read what the workers of a cluster have reported."""
    now, reports = time.time(), read_reports(data_dir)
    if reports:
        return reported_workers(reports, now)
    pages = [read_samples(url) for url in endpoints.worker_metrics]
    parts = [
        Part(f"worker {number}", page is not None, "does not answer" if page is None else store_waits(page, now))
        for number, page in enumerate(pages)
    ]
    return Workers(parts, sum_metrics(pages) if pages else None, pages, (0.0,) * len(pages))


def reported_workers(reports: Sequence[WorkerReport], now: float) -> Workers:
    """Return what the workers of a cluster have reported; ``now`` in Unix seconds."""
    newest = max(reports, key=lambda report: report.at)
    of = {report.worker: report for report in reports}
    pages = [parse_samples(of[worker].page) if worker in of else None for worker in range(newest.workers)]
    ages = tuple(of[worker].age(now) if worker in of else 0.0 for worker in range(newest.workers))
    parts = [_part(worker, of.get(worker), page, now) for worker, page in enumerate(pages)]
    current = all(part.up for part in parts)
    speeds = [of[worker].events_per_second for worker in range(newest.workers) if worker in of]
    known = [speed for speed in speeds if speed is not None]
    speed = sum(known) if current and len(known) == newest.workers else None
    return Workers(parts, sum_metrics(pages) if current else None, pages, ages, True, speed)


def read_pages(endpoints: Endpoints, data_dir: Path) -> Pages:
    """Return the metrics of each worker; None for one that gives no sign of life."""
    workers = ask_workers(endpoints, data_dir)
    return [page if part.up else None for part, page in zip(workers.parts, workers.pages, strict=True)]


def _part(worker: int, report: WorkerReport | None, page: Sequence[Sample] | None, now: float) -> Part:
    name = f"worker {worker}"
    if report is None or page is None:
        return Part(name, False, "has not reported")
    if report.age(now) > STALE_SECONDS:
        return Part(name, False, f"at {report.address}: no sign of life for {span(report.age(now))}")
    waits = f"waits for {report.waits_for}" if report.waits_for else store_waits(page, now)
    return Part(name, True, f"at {report.address}{': ' if waits else ''}{waits}")
