"""The figures of a benchmark as tables in the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from scale_tables import Rows, scale_tables

MEASURES: Final = {"CPU": "cpu_seconds", "wall clock": "wall_seconds", "servers' CPU": "servers_cpu_seconds"}
Results = Mapping[str, Any]
console = Console()


def show(results: Results) -> None:
    """Print everything that was measured."""
    machine = next(each["machine"] for each in (results, *results.values()) if "machine" in each)
    console.print(
        f"\n{machine['processor']}, {machine['cores']} cores, load {machine['load_before']} before, "
        f"Python {machine['python']}, commit {machine['commit']}"
    )
    for title, header, rows in tables(results):
        table = Table(*header[:1], title=f"\n{title}", title_justify="left")
        for name in header[1:]:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def tables(results: Results) -> Iterable[tuple[str, Sequence[str], Rows]]:
    """Each table as its title, its header and its rows."""
    for whole in results.get("whole", ()):
        yield f"{whole['workload']}: µs per event, least / median / greatest", *whole_table(whole)
        yield f"{whole['workload']}: ratios, round by round", *ratio_table(whole)
    if "latency" in results:
        yield "Milliseconds from the producer's send", *latency_table(results)
        yield "A worker with little to do", *idle_table(results)
    if "demo" in results:
        history = results["demo_history"]
        yield f"{history['workload']}: µs per event, least / median / greatest", *whole_table(history)
        if history["ratios"]:
            yield f"{history['workload']}: ratios, round by round", *ratio_table(history)
        yield "crmstream demo", *demo_table(results)
    if "steps" in results:
        yield "Each step by itself", *step_table(results)
    if "one_event" in results:
        yield "A batch of one event: ms of CPU", *one_event_table(results["one_event"])
    yield from scale_tables(results)


def whole_table(whole: Results) -> tuple[Sequence[str], Rows]:
    """Microseconds per event of everybody who worked the log off."""
    rows = []
    for which, runs in whole["runs"].items():
        values = ([run[measure] / whole["total"] * 1e6 for run in runs] for measure in MEASURES.values())
        rows.append([which, *(_spread(each, 1) for each in values)])
    return ("µs per event", *MEASURES), rows


def ratio_table(whole: Results) -> tuple[Sequence[str], Rows]:
    """The dataflow against the loop, and against older commits."""
    rows = [
        [f"dataflow : {to}", *(_spread(ratios[measure], 2) for measure in MEASURES.values())]
        for to, ratios in whole["ratios"].items()
    ]
    return ("ratio", *MEASURES), rows


def latency_table(results: Results) -> tuple[Sequence[str], Rows]:
    """Latency at each rate, with what worker and servers used of a core."""
    rows = []
    for pace in results["latency"]:
        redis, clickhouse = pace["redis"], pace["clickhouse"]
        rows.append([
            f"{pace['version']}: {pace['workload']}, {pace['name']}", f"{pace['sent_rate']:,.0f}",
            *(_number(redis[name]) for name in ("p50", "p99", "most")),
            *(_number(clickhouse[name]) for name in ("p50", "p99")), f"{redis['seen']} of {redis['sent']}",
            f"{pace['worker_share']:.0%}", f"{sum(pace['servers_share'].values()):.0%}",
        ])  # fmt: skip
    header = (
        "", "events/s", "Redis p50", "p99", "most", "ClickHouse p50", "p99", "probes seen", "worker", "servers",
    )  # fmt: skip
    return header, rows


def idle_table(results: Results) -> tuple[Sequence[str], Rows]:
    """Idle share and what single events cost."""
    rows = [
        [
            f"{each['version']}: {each['workload']}", f"{each['idle_share']:.1%}",
            f"{sum(each['idle_servers'].values()):.1%}", f"{each['milliseconds_per_single_event']:.1f}",
            _number(each.get("milliseconds_per_quiet_event"), 1),
        ]
        for each in results["idle"]
    ]  # fmt: skip
    return ("", "idle worker, of a core", "servers then", "ms of CPU per event", "with an epoch of its own"), rows


def demo_table(results: Results) -> tuple[Sequence[str], Rows]:
    """Every demo in its order, in seconds."""
    rows = [
        [
            each["version"], f"{each['events']:,}", f"{each['history_seconds']:.1f}",
            f"{each['seconds_to_scores']:.1f}",
            _number(each["p50"], 3), _number(each["p99"], 3), f"{each['live_events_per_second']:.0f}",
        ]
        for each in results["demo"]
    ]  # fmt: skip
    return ("", "events", "history", "first live scores", "live p50", "live p99", "live events/s"), rows


def step_table(results: Results) -> tuple[Sequence[str], Rows]:
    """Microseconds of CPU of each step, per event of the log and per thing that it handles, for each workload."""
    by_workload = {each["workload"]: {step["name"]: step for step in each["steps"]} for each in results["steps"]}
    totals = {each["workload"]: each["total"] for each in results["steps"]}
    names = list(dict.fromkeys(name for steps in by_workload.values() for name in steps))
    rows = []
    for name in names:
        thing = next(steps[name]["thing"] for steps in by_workload.values() if name in steps)
        cells = []
        for workload, steps in by_workload.items():
            step = steps.get(name)
            cells += ["-", "-"] if step is None else [
                f"{step['seconds'] / totals[workload] * 1e6:.2f}",
                f"{step['seconds'] / max(1, step['things']) * 1e6:.2f}",
            ]  # fmt: skip
        rows.append([name, *cells, thing])
    header = [text for workload in by_workload for text in (f"{workload}: µs per event", "µs per thing")]
    return ("step", *header, "thing"), rows


def one_event_table(measured: Results) -> tuple[Sequence[str], Rows]:
    """Milliseconds of CPU of each step for a batch of one event, at each pace."""
    paces = measured["paces"]
    names = list(dict.fromkeys(name for pace in paces for name in pace["steps"]))
    rows = [[name, *(f"{pace['steps'].get(name, 0.0):.3f}" for pace in paces)] for name in names]
    return ("step", *(pace["pace"] for pace in paces)), [*rows, ["all", *(f"{p['milliseconds']:.2f}" for p in paces)]]


def _spread(values: Iterable[float], digits: int) -> str:
    ordered = sorted(values)
    return " / ".join(f"{value:.{digits}f}" for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
