"""``make bench``: microseconds per event for each step, and the whole beside a hand-written loop on the same log.

Starts local stacks of its own on free ports, in temporary folders. Nothing is asserted: figures are for people.
"""

import argparse
import json
import platform
from dataclasses import asdict
from typing import Any

import psutil
from end_to_end import DATAFLOW, LOOP, Comparison, compare, loaded_stack
from rich.console import Console
from rich.table import Table
from state import StateSize, measure_state
from steps import Step, measure_steps
from workload import FULL, QUICK, Workload

MEASURES = {"CPU": "cpu_seconds", "wall clock": "wall_seconds", "servers' CPU": "servers_cpu_seconds"}
console, notes = Console(), Console(stderr=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Microseconds per event: each step, and the whole beside a loop.")
    parser.add_argument("--quick", action="store_true", help="a small log and one round, to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="passes over each log, each way (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    workloads, rounds = (QUICK, 1) if options.quick else (FULL, options.rounds)
    with notes.status("Starting ...") as status:
        steps, state = _steps(workloads[0]), measure_state()
        comparisons = [compare(workload, rounds, status.update) for workload in workloads]
    if options.json:
        whole = [_figures(comparison) for comparison in comparisons]
        print(json.dumps({"steps": [step._asdict() for step in steps], "state": state._asdict(), "whole": whole}))
        return
    _show_steps(steps, workloads[0])
    _show_state(state)
    for comparison in comparisons:
        _show(comparison)


def _steps(workload: Workload) -> list[Step]:
    with loaded_stack(workload) as (settings, endpoints, _):
        return measure_steps(settings, endpoints)


def _figures(comparison: Comparison) -> dict[str, Any]:
    ratios = {name: comparison.ratios(measure) for name, measure in MEASURES.items()}
    return asdict(comparison) | {"total": comparison.total, "ratios": ratios}


def _show_steps(steps: list[Step], workload: Workload) -> None:
    cores, load = psutil.cpu_count(), psutil.getloadavg()[0]
    console.print(f"\n{platform.machine()}, {cores} cores, load {load:.1f}, Python {platform.python_version()}")
    table = Table("Step", title=f"Each step by itself ({workload.name})", title_justify="left")
    table.add_column("µs of CPU", justify="right")
    table.add_column("per")
    for step in steps:
        table.add_row(step.name, f"{step.microseconds:.2f}", step.unit)
    console.print(table)


def _show_state(state: StateSize) -> None:
    console.print(
        f"\nState, in bytes per customer: {state.profiles:.0f} for profiles, {state.training:.0f} for examples that "
        f"wait for their labels, {state.event_ids:.0f} for event ids. A snapshot of all takes {state.microseconds:.1f} "
        "µs of CPU per customer."
    )


def _show(comparison: Comparison) -> None:
    mix = ", ".join(f"{count:,} {topic}" for topic, count in sorted(comparison.events.items()))
    table = Table("µs per event", title=f"\nThe whole: {comparison.workload}", title_justify="left")
    for name in (DATAFLOW, LOOP, "ratio"):
        table.add_column(f"{name}\nleast / median / greatest", justify="right")
    for name, measure in MEASURES.items():
        ours, loop = (_spread(comparison.per_event(which, measure), 1) for which in (DATAFLOW, LOOP))
        table.add_row(name, ours, loop, _spread(comparison.ratios(measure), 2))
    console.print(table)
    console.print(f"{comparison.total:,} events ({mix}); {comparison.about}.")
    for which, runs in comparison.runs.items():
        stored = ", ".join(f"{count:,} {table}" for table, count in runs[-1].stored.items() if count)
        console.print(f"[dim]In the stores after the {which}: {stored}.[/dim]")


def _spread(values: Any, digits: int) -> str:
    ordered = sorted(values)
    return " / ".join(f"{value:.{digits}f}" for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))


if __name__ == "__main__":
    main()
