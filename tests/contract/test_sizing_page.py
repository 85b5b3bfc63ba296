"""The sizing guide says what the committed figures say; a figure that is not measured is a dash."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

from report import merged  # noqa: E402 - programs beside the benchmarks, not a package
from sizing import FIGURES, page, value_of  # noqa: E402

MACHINE = {"processor": "x86_64", "cores": 2, "python": "3.11.0", "commit": "abc"}
WHEN: dict[str, Any] = {"machine": MACHINE, "ended": "2026-01-01T00:00:00"}
RUN = {"wall_seconds": 2.0, "servers_cpu_seconds": 3.0, "cpu_seconds": 2.0}
MEASURED: dict[str, Any] = WHEN | {
    "scale": WHEN | {"empty_megabytes": 200.0, "rate": 1_000.0, "populations": [
        {"customers": 1_000, "bytes_per_customer": 9_999},
        {
            "customers": 1_000_000, "events": 5_000_000, "bytes_per_customer": 400, "resident_megabytes": 600.0,
            "boundary_peak_megabytes": 700.0, "catch_up_peak_megabytes": 800.0, "state_bytes": 200_000_000,
            "cpu_microseconds_per_event": 800.0,
            "store_bytes": {"log": 1e9, "per_event": 5e8, "customer_daily": 3e8, "redis": 1e9},
            "daily_rows": 15_000_000, "resume_seconds": 12.0,
        },
    ]},
    "workers": {"workers": [{"workers": 1, "efficiency": 1.0}, {"workers": 2, "efficiency": 0.8}]},
    "whole": [
        {"workload": name, "total": 100_000, "runs": {"dataflow": [RUN]}}
        for name in ("four busy days, live", "two years, catch-up")
    ],
}  # fmt: skip


def test_the_page_is_made_from_the_committed_figures() -> None:
    folder = ROOT / "docs" / "performance"
    files = [folder / f"{name}.json" for name in ("results", "scale", "soak")]
    text = page(merged([file for file in files if file.exists()]))
    assert (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8") == text, "make bench-docs"


def test_a_page_of_nothing_has_dashes_and_commands() -> None:
    text = page({})
    assert "{{" not in text
    for figure in FIGURES:
        assert value_of(figure, {}) is None
        assert f"| `{figure.name}` | {figure.meaning} | - | `{figure.command}` |" in text
    assert "| memory of workers | - |" in text
    assert "Rows with a dash" in text


def test_every_figure_comes_from_the_largest_population() -> None:
    text = page(MEASURED)
    assert all(value_of(figure, MEASURED) is not None for figure in FIGURES)
    assert "| 400 bytes |" in text
    assert "| - |" not in text
    assert "Rows with a dash" not in text


def test_the_example_follows_the_formulas() -> None:
    text = page(MEASURED)
    assert "| cores of workers, for the first thousand | 0.80 |" in text
    assert "| cores of workers, for each further thousand | 0.02 |" in text
    assert "| workers for the flow | 2 |" in text  # 0.81 cores, half of each free
    assert "| workers for memory | 2 |" in text  # 3,000,000 x 600 bytes in 1.6 GB
    several = MEASURED["scale"] | {"populations": [
        *MEASURED["scale"]["populations"],
        MEASURED["scale"]["populations"][1] | {"customers": 3_000_000, "catch_up_peak_megabytes": 1_600.0},
    ]}  # fmt: skip
    assert "| memory of a worker, at most | 1,200 MB |" in page(MEASURED | {"scale": several})  # 400 + 200 + 1.5 x 400
    assert "| memory of a worker, at most | 1,300 MB |" in text  # 200 + 200 + 1,500,000 x 600 bytes
    assert "| partitions: at least 4, and twice *W* | 4 |" in text
    assert "| memory of Redis | 3.00 GB |" in text
    assert "| a catch-up of a day | 7.20 minutes |" in text  # 34,560,000 events at 50,000 x 2 x 0.8 a second
