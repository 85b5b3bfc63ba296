"""Writes the page of performance from a file of figures: python report.py RESULTS.json > docs/performance.md.

The prose is in ``docs/performance/page.md``; each ``{{name}}`` in it becomes a table, a plot or a figure of the
results, so the page says only what one run of ``bench.py --save`` showed. Plots are written beside the results.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from plots import bars, stacks
from tables import MEASURES, Results, Rows, demo_table, idle_table, latency_table, ratio_table, step_table, whole_table

ROOT: Final = Path(__file__).parents[2]
TEMPLATE: Final = ROOT / "docs" / "performance" / "page.md"
NOT_MEASURED: Final = "*Not measured in this run.*"
DATAFLOW, LOOP = "dataflow", "hand-written loop"


def main() -> None:
    """Print the page, write the plots."""
    source = Path(sys.argv[1])
    print(page(json.loads(source.read_text(encoding="utf-8")), source), end="")


def page(results: Results, source: Path) -> str:
    """The page; plots go beside ``source``."""
    made = _parts(results, source)

    def filled(found: re.Match[str]) -> str:
        return made[found[1]]()

    return re.sub(r"\{\{(.+?)\}\}", filled, TEMPLATE.read_text(encoding="utf-8"))


def _parts(results: Results, source: Path) -> Mapping[str, Callable[[], str]]:
    """What each placeholder stands for."""
    wholes = {each["workload"]: each for each in results.get("whole", ())}
    live, catch_up = (next((wholes[name] for name in wholes if what in name), None) for what in ("live", "catch-up"))
    history = results.get("demo_history")

    def plot(name: str, svg: str) -> str:
        (source.parent / f"{name}.svg").write_text(svg, encoding="utf-8")
        return f"![{name}](performance/{name}.svg)"

    def when(there: object, make: Callable[[], str]) -> Callable[[], str]:
        return make if there else lambda: NOT_MEASURED

    return {
        "machine": lambda: _machine(results),
        "command": lambda: f"`{source.name}` holds the figures",
        "live table": when(live, lambda: markdown(*whole_table(live))),
        "live ratios": when(live, lambda: markdown(*ratio_table(live))),
        "live events": when(live, lambda: f"{live['total']:,}"),
        "live plot": when(live, lambda: plot("live", _whole_plot(live))),
        "catch-up table": when(catch_up, lambda: markdown(*whole_table(catch_up))),
        "catch-up ratios": when(catch_up, lambda: markdown(*ratio_table(catch_up))),
        "catch-up events": when(catch_up, lambda: f"{catch_up['total']:,}"),
        "catch-up rows": when(catch_up, lambda: f"{_stored(catch_up, 'customer_daily'):,}"),
        "catch-up plot": when(catch_up, lambda: plot("catch-up", _whole_plot(catch_up))),
        "demo history table": when(history, lambda: markdown(*whole_table(history))),
        "demo history ratios": when(history and history["ratios"], lambda: markdown(*ratio_table(history))),
        "demo table": when(results.get("demo"), lambda: markdown(*demo_table(results))),
        "latency table": when(results.get("latency"), lambda: markdown(*latency_table(results))),
        "latency plot": when(results.get("latency"), lambda: plot("latency", _latency_plot(results))),
        "top rate": when(results.get("top_rate"), lambda: f"{results['top_rate']:,.0f}"),
        "idle table": when(results.get("idle"), lambda: markdown(*idle_table(results))),
        "step table": when(results.get("steps"), lambda: markdown(*step_table(results))),
        "step plot": when(results.get("steps"), lambda: plot("steps", _step_plot(results))),
        "state": when(results.get("state"), lambda: _state(results["state"])),
    }


def markdown(header: Sequence[str], rows: Rows) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _machine(results: Results) -> str:
    machine = results["machine"]
    return (
        f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, the servers on the same "
        f"cores, commit {machine['commit']}, {results['ended'][:10]}"
    )


def _stored(whole: Results, table: str) -> int:
    return int(whole["runs"][DATAFLOW][-1]["stored"][table])


def _whole_plot(whole: Results) -> str:
    return bars(f"{whole['workload']}: µs per event, median", {
        measure: {
            which: median(run[name] for run in runs) / whole["total"] * 1e6 for which, runs in whole["runs"].items()
        }
        for measure, name in MEASURES.items()
    })  # fmt: skip


def _latency_plot(results: Results) -> str:
    return bars("Milliseconds from the producer's send to the score in Redis", {
        f"{pace['name']}{'' if pace['version'] == DATAFLOW else ' (' + pace['version'] + ')'}": {
            name: pace["redis"][name] or 0.0 for name in ("p50", "p99")
        }
        for pace in results["latency"]
    })  # fmt: skip


def _step_plot(results: Results) -> str:
    return stacks("µs of CPU per event, by step", {
        each["workload"]: {step["name"]: step["seconds"] / each["total"] * 1e6 for step in each["steps"]}
        for each in results["steps"]
    })  # fmt: skip


def _state(state: Mapping[str, Any]) -> str:
    return (
        f"{state['profiles']:.0f} bytes per customer for profiles, {state['training']:.0f} for examples that wait for "
        f"their labels, {state['event_ids']:.0f} for event ids; a snapshot takes {state['microseconds']:.1f} µs of CPU "
        "per customer"
    )


if __name__ == "__main__":
    main()
