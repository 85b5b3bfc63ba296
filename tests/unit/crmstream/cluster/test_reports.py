"""Workers of a cluster report in the shared folder, and status says how old a report is."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from crmstream.cluster.reports import Reporter, WorkerReport, forget_reports, read_reports
from crmstream.observe.lanes import STALE_SECONDS, read_lanes
from crmstream.observe.workers import ask_workers, read_pages, reported_workers
from crmstream.stack.endpoints import Endpoints

ADDRESSES = ("10.0.0.1:7000", "10.0.0.2:7000")
NOW = 1_750_000_000.0
NOWHERE = Endpoints("127.0.0.1:9", "http://127.0.0.1:9", "redis://127.0.0.1:9", ("http://127.0.0.1:9/metrics",))


def worker(number: int, behind: int, **changes: object) -> WorkerReport:
    page = (
        "# TYPE crm_event_clock_seconds gauge\n"
        f'crm_event_clock_seconds{{partition="{number}"}} {NOW - 3_600 * number}\n'
        f'# TYPE crm_waits_for_partition gauge\ncrm_waits_for_partition{{partition="{number}"}} {behind}\n'
        "# TYPE crm_ahead_events gauge\ncrm_ahead_events 500\n"
        '# TYPE crm_waits_for_store_since_seconds gauge\n'
        f'crm_waits_for_store_since_seconds{{store="Redis"}} {(NOW - 12) * number}\n'
    )  # fmt: skip
    report = WorkerReport(number, ADDRESSES[number], 2, NOW - 1, "", 40.0, page)
    return replace(report, **changes)  # type: ignore[arg-type]


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("crm_waits_for_partition", ".", ["partition"], registry=made).labels(1).set(0)
    Gauge("crm_other", ".", registry=made)
    return made


def test_a_report_has_what_status_shows_and_the_speed_since_the_one_before(
    tmp_path: Path, registry: CollectorRegistry
) -> None:
    events = Counter("crm_events", ".", ["topic"], registry=registry)
    reporter = Reporter(tmp_path, 1, ADDRESSES, registry)
    reporter.report(NOW)
    (first,) = read_reports(tmp_path)
    assert (first.worker, first.address, first.workers, first.at) == (1, ADDRESSES[1], 2, NOW)
    assert first.events_per_second is None
    assert "crm_waits_for_partition" in first.page
    assert "crm_other" not in first.page
    for topic in ("a", "b"):
        events.labels(topic).inc(10)
    reporter.waits_for = "10.0.0.1:7000 (worker 0)"
    reporter.report(NOW + 2)
    (second,) = read_reports(tmp_path)
    assert (second.events_per_second, second.waits_for) == (10, "10.0.0.1:7000 (worker 0)")


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path, registry: CollectorRegistry) -> None:
    (tmp_path / "hosts").write_text("in the way")
    Reporter(tmp_path, 0, ADDRESSES, registry).report(NOW)
    assert read_reports(tmp_path) == ()


def save(folder: Path, *reports: WorkerReport) -> None:
    place = folder / "hosts" / "reports"
    place.mkdir(parents=True, exist_ok=True)
    for report in reports:
        (place / f"worker-{report.worker}.json").write_text(json.dumps(asdict(report)))


def test_what_is_no_report_is_left_out_and_reports_of_former_workers_are_removed(tmp_path: Path) -> None:
    save(tmp_path, worker(0, -1), worker(1, 0))
    (tmp_path / "hosts" / "reports" / "worker-2.json").write_text('{"worker": 2')
    (tmp_path / "hosts" / "reports" / "worker-3.json.x").write_text("half of a file")
    assert [report.worker for report in read_reports(tmp_path)] == [0, 1]
    forget_reports(tmp_path, 1)
    assert [report.worker for report in read_reports(tmp_path)] == [0]
    forget_reports(tmp_path)
    assert read_reports(tmp_path) == ()


def test_lanes_of_all_hosts_say_what_they_wait_for() -> None:
    workers = reported_workers([worker(0, 1), worker(1, -1)], NOW)
    assert [(part.up, part.detail) for part in workers.parts] == [
        (True, "at 10.0.0.1:7000"), (True, "at 10.0.0.2:7000: waits for Redis since 12 s"),
    ]  # fmt: skip
    assert workers.events_per_second == 80
    assert workers.metrics is not None
    assert workers.metrics.clock == NOW - 3_600

    def states(most_waiting: int) -> list[str]:
        return [lane.state for lane in read_lanes(workers.pages, None, NOW, workers.ages, most_waiting)]

    assert states(501) == ["waits for lane 1 (behind by 60 min)", "waits for Redis since 11 s"]
    assert states(500)[0] == "waits for lane 1 (behind by 60 min, 500 events wait for it)"


def test_what_a_worker_said_that_has_gone_is_shown_with_its_age() -> None:
    gone = worker(0, 1, at=NOW - 35)
    workers = reported_workers([gone, worker(1, -1, waits_for="10.0.0.1:7000 (worker 0)", page="")], NOW)
    assert [(part.up, part.detail) for part in workers.parts] == [
        (False, "at 10.0.0.1:7000: no sign of life for 35 s"),
        (True, "at 10.0.0.2:7000: waits for 10.0.0.1:7000 (worker 0)"),
    ]  # fmt: skip
    assert (workers.metrics, workers.events_per_second) == (None, None)
    (lane,) = read_lanes(workers.pages, None, NOW, workers.ages)
    assert (lane.age_seconds, lane.state) == (35, "waits for lane 1; as of 35 s ago")


@pytest.mark.parametrize(("age", "up"), [(STALE_SECONDS, True), (STALE_SECONDS + 0.1, False), (-600, True)])
def test_a_clock_that_is_ahead_makes_no_report_old(age: float, up: bool) -> None:
    (part, missing) = reported_workers([worker(0, -1, at=NOW - age)], NOW).parts
    assert part.up == up
    assert (missing.up, missing.detail) == (False, "has not reported")


def test_of_a_lane_that_another_worker_reads_now_the_newest_report_counts() -> None:
    moved = worker(0, -1).page
    workers = reported_workers([worker(0, -1, at=NOW - 60), worker(1, -1, page=moved)], NOW)
    (lane,) = read_lanes(workers.pages, None, NOW, workers.ages)
    assert (lane.partition, lane.worker, lane.state) == (0, 1, "")


def test_reports_are_read_instead_of_metrics_on_loopback(tmp_path: Path) -> None:
    assert [part.detail for part in ask_workers(NOWHERE, tmp_path).parts] == ["does not answer"]
    save(tmp_path, worker(0, 1, at=time.time()), worker(1, -1, at=time.time() - 60))
    pages = read_pages(NOWHERE, tmp_path)
    assert pages[0]
    assert pages[1] is None
