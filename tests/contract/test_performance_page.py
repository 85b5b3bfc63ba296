"""The page of performance says what the committed figures say, and nothing else."""

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

from line_plots import lines, marks  # noqa: E402 - programs beside the benchmarks, not a package
from pauses import together  # noqa: E402
from report import merged, page  # noqa: E402
from soak import growth  # noqa: E402
from tables import tables  # noqa: E402

FIGURES = ROOT / "docs" / "performance"
MACHINE = {"processor": "x86_64", "cores": 2, "python": "3.11.0", "commit": "abc", "load_before": 0.0}
MEASURED = {"machine": MACHINE, "ended": "2026-01-01T00:00:00"}
NONE_SEEN = {"p50": None, "p99": None, "most": None, "sent": 50, "seen": 0}


def population(customers: int, **changes: Any) -> dict[str, Any]:
    return {
        "customers": customers, "events": 5 * customers, "publishing_seconds": 3.0, "catch_up_seconds": 9.0,
        "catch_up_cpu": 3.0, "resident_megabytes": 250.0, "catch_up_peak_megabytes": 300.0, "bytes_per_customer": 432,
        "steady": {"p50": 81.0, "p99": 210.0, "most": 250.0, "sent": 50, "seen": 50},
        "cpu_microseconds_per_event": customers / 10, "written_bytes_per_epoch": 1_500_000, "state_bytes": 2_000_000,
        "boundary": NONE_SEEN, "boundary_series": [[-1, 90.0], [0, 200.0], [1, 150.5]],
        "boundary_peak_megabytes": 400.0, "swept_rows": customers, "swept_customers": customers, "swept_seconds": 3.25,
        "resume_seconds": None, "resumed_state_bytes": 1_000,
    } | changes  # fmt: skip


SCALE: dict[str, Any] = {
    "scale": MEASURED | {
        "rate": 1000.0, "history_days": 15, "empty_megabytes": 190.0,
        "populations": [population(1_000), population(100_000, snapshot_bytes=2_500_000.0, snapshot_ms=12.0)],
    },
    "soak": MEASURED | {
        "customers": 100_000, "minutes": 120.0, "rate": 500.0, "sent": 3_600_000, "window": 100_000,
        "growth": {"resident_megabytes": 1.01, "state_megabytes": 0.97},
        "series": [
            {"minute": at / 2, "resident_megabytes": 300.0, "state_megabytes": 40.0, "read": 9.0, "cpu_share": 0.2}
            for at in range(1, 241)
        ],
    },
    "workers": MEASURED | {"workload": "a log", "events": 1_000, "workers": [
        {"workers": count, "events_per_second": 1_000 * count, "efficiency": 0.9, "cpu_microseconds_per_event": 20.0}
        for count in (1, 2, 4)
    ]},
}  # fmt: skip


def test_the_page_and_its_plots_are_made_from_the_committed_figures() -> None:
    files = [FIGURES / f"{name}.json" for name in ("results", "one-event", "scale", "soak")]
    text, plots = page(merged([file for file in files if file.exists()]))
    assert (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == text, "make bench-docs"
    for name, svg in plots.items():
        assert (FIGURES / name).read_text(encoding="utf-8") == svg, "make bench-docs"


def test_a_page_of_a_run_that_measured_little_says_so() -> None:
    text, plots = page(MEASURED)
    assert "Not measured in this run" in text
    assert "{{" not in text
    assert "## Scale" not in text
    assert plots == {}


def test_figures_of_scale_have_sections_of_their_own() -> None:
    text, plots = page(MEASURED | SCALE)
    assert "{{" not in text
    assert "| 100,000 | 81 | 210 | 250 | 10,000 | 100.00 |" in text
    assert "| 100,000 | - | - | - | 0 of 50 | 100,000 of 100,000 | 3.2 |" in text
    assert "| 1,000 | - | - | 1,500 | - | - | - |\n| 100,000 | 2,500 | - | 1,500 | 12 | - | - |" in text
    assert "memory was 1.01 and disk 0.97 times" in text
    assert "| 4 | 4,000 | 90% | 20.0 |" in text
    assert set(plots) == {"memory.svg", "midnight.svg", "soak.svg", "workers.svg"}
    for svg in plots.values():
        ET.fromstring(svg)


def test_the_terminal_shows_the_same_tables() -> None:
    titles = [title for title, header, rows in tables(SCALE) if all(len(row) == len(header) for row in rows)]
    assert len(titles) == 6
    assert "120 minutes at 500 events/s" in titles


def test_a_line_chart_is_as_high_as_its_largest_value() -> None:
    root = ET.fromstring(lines("A & B", "seconds", {"a": [(-10, 0), (0, 50), (30, 100)], "b": []}))
    first = next(iter(root.iter("{http://www.w3.org/2000/svg}polyline"))).attrib["points"].split()
    assert first[0].startswith("70.0,260")
    assert first[-1] == "700.0,40.0"


def test_marks_are_round_and_within_bounds() -> None:
    assert marks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert marks(-10, 60) == [0, 20, 40, 60]
    assert marks(0, 33_000) == [0, 10_000, 20_000, 30_000]
    assert [round(mark, 3) for mark in marks(0, 1)] == [0, 0.2, 0.4, 0.6, 0.8, 1]


def test_growth_leaves_the_first_minutes_out() -> None:
    series = [
        {"minute": float(at), "resident_megabytes": 100.0 + (at > 60) * 50 + (at < 20) * 900, "state_megabytes": 7.0}
        for at in range(121)
    ]
    assert growth(series) == {"resident_megabytes": 1.5, "state_megabytes": 1.0}


def test_looks_that_see_one_snapshot_in_two_halves_see_one_pause() -> None:
    assert together([0, 0, 0.1, 0.15, 0.15, 0.15, 0.4, 0.4]) == pytest.approx([0.15, 0.25])
    assert together([1, 1, 1]) == together([]) == []
