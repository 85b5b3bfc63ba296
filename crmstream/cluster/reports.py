"""What each worker of a cluster reports of itself every two seconds, for ``crmstream status`` on any host.

Reports are files in the shared data folder, so they can be read while Redis or Kafka is away, and no port has to be
opened: metrics are served on loopback only. The time in a report says how old it is. Nothing else reads them.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from contracts.whole_files import replace_file
from crmstream.cluster.addresses import HOSTS

REPORT_SECONDS: Final = 2.0
FOLDER: Final = "reports"
EVENTS: Final = "crm_events_total"
REPORTED: Final = (
    EVENTS, "crm_ahead_events", "crm_boundaries_left", "crm_catching_up", "crm_customers", "crm_event_clock_seconds",
    "crm_scores_total", "crm_sweeps_total", "crm_topic_paused", "crm_waits_for_partition",
    "crm_waits_for_store_since_seconds",
)  # fmt: skip
"""The metrics in a report: what ``crmstream status`` shows."""
_FILE: Final = re.compile(r"worker-\d+\.json")


@dataclass(frozen=True)
class WorkerReport:
    """What a worker reported last. ``at`` is the time in Unix seconds, by the clock of the worker's host."""

    worker: int
    address: str
    workers: int
    """How many workers the cluster has."""
    at: float
    waits_for: str
    """The workers of other hosts without which it cannot start; empty while it runs."""
    events_per_second: float | None
    """Since the report before; None in the first one."""
    page: str
    """Metrics in Prometheus' format."""

    def age(self, now: float) -> float:
        """Return the age in seconds; 0 where the clock of the worker's host is ahead."""
        return max(now - self.at, 0.0)


class Reporter:
    """Reports one worker, in a thread of its own."""

    def __init__(self, data_dir: Path, index: int, addresses: Sequence[str], registry: CollectorRegistry = REGISTRY):
        self._file = _folder(data_dir) / f"worker-{index}.json"
        self._index, self._addresses = index, addresses
        self._metrics = registry.restricted_registry(REPORTED)
        self._before: tuple[float, float] | None = None
        self.waits_for = ""
        """The workers that it waits for; set by the thread that meets them."""

    def begin(self) -> None:
        """Report every two seconds from now on, until the process ends."""
        threading.Thread(target=self._go_on, name="reports", daemon=True).start()

    def _go_on(self) -> None:
        while True:
            self.report(time.time())
            time.sleep(REPORT_SECONDS)

    def report(self, now: float) -> None:
        """Write a report; without room on the disk the one before stays, and grows old."""
        samples = [sample for metric in self._metrics.collect() for sample in metric.samples]
        read = sum(sample.value for sample in samples if sample.name == EVENTS)
        before, self._before = self._before, (now, read)
        speed = None if before is None or now <= before[0] else (read - before[1]) / (now - before[0])
        report = WorkerReport(
            self._index, self._addresses[self._index], len(self._addresses), now, self.waits_for, speed,
            generate_latest(self._metrics).decode(),
        )  # fmt: skip
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._file, json.dumps(asdict(report)))


def read_reports(data_dir: Path) -> tuple[WorkerReport, ...]:
    """Return the newest report of each worker, by worker; none without a cluster."""
    try:
        files = [file for file in _folder(data_dir).iterdir() if _FILE.fullmatch(file.name)]
    except OSError:
        return ()
    reports = [report for report in map(_read, files) if report is not None]
    return tuple(sorted(reports, key=lambda report: report.worker))


def forget_reports(data_dir: Path, workers: int = 0) -> None:
    """Remove the reports of workers that no longer exist: all but the first ``workers``."""
    for report in read_reports(data_dir):
        if report.worker >= workers:
            (_folder(data_dir) / f"worker-{report.worker}.json").unlink(missing_ok=True)


def _folder(data_dir: Path) -> Path:
    return data_dir / HOSTS / FOLDER


def _read(file: Path) -> WorkerReport | None:
    try:
        return WorkerReport(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
