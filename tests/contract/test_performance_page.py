"""The page of performance says what the committed figures say, and nothing else."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

from report import page  # noqa: E402 - programs beside the benchmarks, not a package

FIGURES = ROOT / "docs" / "performance"


def test_the_page_and_its_plots_are_made_from_the_committed_figures() -> None:
    results = json.loads((FIGURES / "results.json").read_text(encoding="utf-8"))
    text, plots = page(results)
    assert (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == text, "make bench-docs"
    for name, svg in plots.items():
        assert (FIGURES / name).read_text(encoding="utf-8") == svg, "make bench-docs"


def test_a_page_of_a_run_that_measured_little_says_so() -> None:
    machine = {"processor": "x86_64", "cores": 2, "python": "3.11.0", "commit": "abc", "load_before": 0.0}
    text, plots = page({"machine": machine, "ended": "2026-01-01T00:00:00"})
    assert "Not measured in this run" in text
    assert "{{" not in text
    assert plots == {}
