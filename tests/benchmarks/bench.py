"""``make bench``: what the dataflow costs and how long a score takes, beside a hand-written loop on the same log.

Starts local stacks of its own on free ports, in temporary folders. Nothing is asserted: figures are for people.
``report.py`` makes ``docs/performance.md`` of the files that ``--save`` writes.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from compare import DATAFLOW, LOOP, MEASURES, Comparison, compare
from demo import measure_demos
from latency import measure_paces
from rich.console import Console
from scale import HISTORY_DAYS, HUGE, SIZES, Plan, measure_scale
from scaling import measure_workers
from soak import CUSTOMERS, measure_soak
from stacks import HEAD, HERE, ROOT, Version, checked_out, loaded_stack, ordinary, read_json
from tables import show
from workload import CATCH_UP, DEMO, EVERYTHING, LARGE, LIVE, PACED, QUICK, SMALL, SMALL_CATCH_UP, Workload

PARTS: Final = ("steps", "one_event", "whole", "latency", "demo")
SCALE_PARTS: Final = ("scale", "workers", "soak")
"""Parts that are measured only when asked for: they take an hour and more."""
SHARES: Final = (0.25, 0.5, 0.9)
"""Parts of the top rate at which latency is measured."""
QUICK_DAYS: Final = 2
DEMO_RATE, LARGE_RATE = 100.0, 1_000.0
notes = Console(stderr=True)
Note = Callable[[str], None]


def main() -> None:
    """Measure and print."""
    options = _options()
    with notes.status("Starting ...") as status, checked_out(options.against) as older:
        results = measure(options, [HEAD, *older], status.update if notes.is_terminal else _line)
    text = json.dumps(results, indent=1)
    if options.save:
        options.save.parent.mkdir(parents=True, exist_ok=True)
        options.save.write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    else:
        show(results)


def _line(what: str) -> None:
    """Tell what is measured next where nobody sees a status line: in a file, in the log of CI."""
    notes.print(f"{datetime.now(UTC):%H:%M:%S}  {what}", highlight=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the dataflow costs, beside a loop; and how long a score takes.")
    parser.add_argument("--quick", action="store_true", help="a small log, one round, no latency, no demo")
    parser.add_argument("--small", action="store_true", help="a small shop, live and catching up, one round, for CI")
    parser.add_argument("--parts", nargs="+", choices=PARTS + SCALE_PARTS, help="measure only these")
    parser.add_argument("--scale", action="store_true", help="only: 1,000 to 1,000,000 customers, and 1, 2, 4 workers")
    parser.add_argument("--huge", action="store_true", help="with --scale: 5,000,000 customers too")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only: 500 events/s for so long, with sign-ins")
    parser.add_argument("--customers", type=int, nargs="+", help="other populations for --scale and --soak")
    parser.add_argument("--days", type=int, help=f"days of history of --scale (default {HISTORY_DAYS})")
    parser.add_argument("--rate", type=float, default=1_000, help="events per second of --scale (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="passes over each log, each way (default 3)")
    parser.add_argument("--seconds", type=float, default=20, help="how long each steady rate lasts (default 20)")
    parser.add_argument("--against", metavar="COMMIT", action="append", default=[], help="an older commit beside it")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all figures to a JSON file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    if options.small:
        options.rounds, options.parts = 1, options.parts or ["whole"]
    if options.quick and not (options.scale or options.soak):
        options.parts = options.parts or ["steps", "one_event", "whole"]
    if options.scale or options.soak:
        options.parts = options.parts or ["scale", "workers"] * options.scale + ["soak"] * bool(options.soak)
    if "soak" in (options.parts or ()) and not options.soak:
        parser.error("--parts soak needs --soak MINUTES")
    options.parts = options.parts or list(PARTS)
    return options


def measure(options: argparse.Namespace, versions: Sequence[Version], note: Note) -> dict[str, Any]:
    """Measure the parts that are asked for; return everything as it goes into the file."""
    results: dict[str, Any] = scale_parts(options, note)
    if "one_event" in options.parts:
        results["one_event"] = _one_event(note)
    if not set(options.parts) & (set(PARTS) - {"one_event"}):
        return results
    results |= {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds}
    if "steps" in options.parts:
        results |= _steps((QUICK,) if options.quick or options.small else (LIVE, CATCH_UP), note)
    if "whole" in options.parts:
        workloads = (QUICK,) if options.quick else (SMALL, SMALL_CATCH_UP) if options.small else (LIVE, CATCH_UP)
        results["whole"] = [figures(compare(each, options.rounds, versions, note)) for each in workloads]
    if "latency" in options.parts:
        results |= _latency(versions, _top_rate(results), options.seconds, note)
    if "demo" in options.parts:
        history = compare(DEMO, options.rounds, versions, note, others=False)
        results["demo_history"] = figures(history)
        results["demo"] = [asdict(each) for each in measure_demos(versions, options.rounds, options.seconds, note)]
    return results | {"ended": _now()}


def scale_parts(options: argparse.Namespace, note: Note) -> dict[str, Any]:
    """Measure what grows with customers, time and workers. Each part tells machine and time of its own."""
    sizes = options.customers or [*SIZES, *[HUGE] * options.huge]
    days = options.days or (QUICK_DAYS if options.quick else HISTORY_DAYS)
    short = {"after_midnight": 5.0, "trimmed_seconds": 2.0} if options.quick else {}
    plan = Plan(options.rate, options.seconds, days, **short)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "scale": lambda: measure_scale(sizes, plan, note),
        "workers": lambda: measure_workers(QUICK if options.quick else CATCH_UP, options.rounds, note),
        "soak": lambda: measure_soak(options.soak, (options.customers or [CUSTOMERS])[-1], note),
    }
    on = machine()
    return {
        name: {"machine": on, **make(), "ended": _now()} for name, make in parts.items() if name in options.parts
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """What the figures were measured on, and the commit they are of."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()  # fmt: skip
    return {
        "processor": platform.machine(), "cores": psutil.cpu_count(), "load_before": round(psutil.getloadavg()[0], 2),
        "python": platform.python_version(), "commit": commit,
    }  # fmt: skip


def _steps(workloads: Sequence[Workload], note: Note) -> dict[str, Any]:
    """Each step's CPU on each workload, and the size of the state."""
    steps = []
    for workload in workloads:
        note(f"{workload.name}: each step by itself")
        steps.append(measure_steps(workload))
    note("the size of the state")
    state = subprocess.run(
        [sys.executable, str(HERE / "state.py")], env=HEAD.environment(ordinary()),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"steps": steps, "state": json.loads(state.stdout)}


def _one_event(note: Note) -> dict[str, Any]:
    """What a batch of one event costs, in a process of its own, with the machine that it was measured on."""
    note("a batch of one event")
    done = subprocess.run(
        [sys.executable, str(HERE / "one_event.py")], env=HEAD.environment(ordinary()),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {"machine": machine(), "paces": json.loads(done.stdout), "ended": _now()}


def measure_steps(workload: Workload) -> dict[str, Any]:
    """Take a workload's log through the machines, step by step."""
    live = workload.live_backlog_events >= EVERYTHING
    with loaded_stack(HEAD, workload.name) as stack:
        process = stack.start("steps.py", str(workload.batch), "fresh" if live else "behind")
        steps = read_json(process)
        process.wait()
        return {"workload": workload.name, "total": stack.total, "steps": steps}


def _top_rate(results: Mapping[str, Any]) -> float | None:
    """Events per second at which the live log was worked off; None where that was not measured."""
    for each in results.get("whole", ()):
        if each["workload"] == LIVE.name:
            return float(each["total"] / median(run["wall_seconds"] for run in each["runs"][DATAFLOW]))
    return None


def _latency(versions: Sequence[Version], top: float | None, seconds: float, note: Note) -> dict[str, Any]:
    idle, paces = [], []
    rates = {"100 events/s": DEMO_RATE}
    if top is not None:
        rates |= {f"{share:.0%} of the top rate": round(top * share) for share in SHARES}
    for version in versions:
        for workload, wanted in ((PACED, rates), (LARGE, {"1,000 events/s": LARGE_RATE})):
            nothing, measured = measure_paces(workload, version, wanted, seconds, note)
            idle.append(asdict(nothing))
            paces += [asdict(each) for each in measured]
    return {"top_rate": top, "idle": idle, "latency": paces}


def figures(comparison: Comparison) -> dict[str, Any]:
    """A comparison with the ratios to the loop and to older commits."""
    others = [which for which in comparison.runs if which != DATAFLOW]
    ratios = {
        to: {measure: comparison.ratios(DATAFLOW, to, measure) for measure in MEASURES}
        for to in others if to == LOOP or to.startswith(DATAFLOW)
    }  # fmt: skip
    return asdict(comparison) | {"ratios": ratios}


if __name__ == "__main__":
    main()
