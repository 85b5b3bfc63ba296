"""Writes the page of performance from files of figures: python report.py RESULTS.json ... > docs/performance.md.

The prose is in ``page.md`` beside this file; each ``{{name}}`` in it becomes a table, a plot or a figure of the
results, so the page says only what runs of ``bench.py --save`` showed. Plots are written beside the first file.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from plots import bars, stacks
from scale_page import machine_line, scale_parts
from tables import (
    MEASURES,
    Results,
    Rows,
    demo_table,
    idle_table,
    latency_table,
    one_event_table,
    ratio_table,
    step_table,
    whole_table,
)

TEMPLATE: Final = Path(__file__).with_name("page.md")
SECTION: Final = re.compile(r"\{\{#(\w+)\}\}\n(.*?)\{\{/\1\}\}\n", re.DOTALL)
"""A section that is there only if the results have the part of its name."""
NOT_MEASURED: Final = "*Not measured in this run.*"
DATAFLOW, LOOP = "dataflow", "hand-written loop"


def main() -> None:
    """Print the page, write the plots."""
    sources = [Path(name) for name in sys.argv[1:]]
    text, plots = page(merged(sources))
    for name, svg in plots.items():
        (sources[0].parent / name).write_text(svg, encoding="utf-8")
    print(text, end="")


def merged(sources: Sequence[Path]) -> dict[str, Any]:
    """The figures of several files; each part is in one of them."""
    results: dict[str, Any] = {}
    for source in sources:
        results |= json.loads(source.read_text(encoding="utf-8"))
    return results


def page(results: Results) -> tuple[str, dict[str, str]]:
    """The page, and its plots by file name."""
    plots: dict[str, str] = {}
    made = _parts(results, plots)
    kept = SECTION.sub(lambda found: found[2] if found[1] in results else "", TEMPLATE.read_text(encoding="utf-8"))
    return re.sub(r"\{\{(.+?)\}\}", lambda found: made[found[1]](), kept), plots


def _parts(results: Results, plots: dict[str, str]) -> Mapping[str, Callable[[], str]]:
    """What each placeholder stands for; making a plot adds it to ``plots``."""
    wholes = {each["workload"]: each for each in results.get("whole", ())}
    live, catch_up = (next((wholes[name] for name in wholes if what in name), None) for what in ("live", "catch-up"))

    def plot(name: str, svg: str) -> str:
        plots[f"{name}.svg"] = svg
        return f"![{name}](performance/{name}.svg)"

    def when(part: Any, make: Callable[[Any], str]) -> Callable[[], str]:
        return (lambda: make(part)) if part else lambda: NOT_MEASURED

    def whole(name: str, part: Results | None) -> dict[str, Callable[[], str]]:
        return {
            f"{name} table": when(part, lambda each: markdown(*whole_table(each))),
            f"{name} ratios": when(part and part["ratios"], lambda _: markdown(*ratio_table(part or {}))),
            f"{name} events": when(part, lambda each: f"{each['total']:,}"),
            f"{name} rows": when(part, lambda each: f"{_stored(each, 'customer_daily'):,}"),
            f"{name} plot": when(part, lambda each: plot(name.replace(" ", "-"), _whole_plot(each))),
        }

    return whole("live", live) | whole("catch-up", catch_up) | whole("demo history", results.get("demo_history")) | {
        "machine": lambda: machine_line(results),
        "demo table": when(results.get("demo"), lambda _: markdown(*demo_table(results))),
        "latency table": when(results.get("latency"), lambda _: markdown(*latency_table(results))),
        "latency plot": when(results.get("latency"), lambda _: plot("latency", _latency_plot(results))),
        "top rate": when(results.get("top_rate"), lambda rate: f"{rate:,.0f}"),
        "idle table": when(results.get("idle"), lambda _: markdown(*idle_table(results))),
        "step table": when(results.get("steps"), lambda _: markdown(*step_table(results))),
        "step plot": when(results.get("steps"), lambda _: plot("steps", _step_plot(results))),
        "one event table": when(results.get("one_event"), lambda each: markdown(*one_event_table(each))),
        "one event machine": when(results.get("one_event"), machine_line),
        "state": when(results.get("state"), _state),
    } | {
        name: when(results.get(part), make) for name, (part, make) in scale_parts(plot, markdown).items()
    }  # fmt: skip


def markdown(header: Sequence[str], rows: Rows) -> str:
    """A table."""
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


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
