"""Writes the sizing guide from files of figures: python sizing.py RESULTS.json ... > docs/sizing.md.

The prose is in ``sizing.md`` beside this file. Each figure is a function of the results; one that is not measured is a
dash, and everything computed from it too.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from report import DATAFLOW, markdown, merged
from scale_page import machine_line
from tables import Results

TEMPLATE: Final = Path(__file__).with_name("sizing.md")
SCALE: Final = 'make bench BENCH="--scale --save docs/performance/scale.json"'
WHOLE: Final = 'make bench BENCH="--parts whole --save docs/performance/results.json"'
MILLION, MB, GB = 1_000_000, 1e6, 1e9
BUSY: Final = 0.5
"""The part of a core that the live flow may use."""
ROOM: Final = 2
"""The folder of the state may grow to this multiple of what is measured: logs grow until a new base is made."""
LARGE: Final = 100_000
FIXED: Final = 200
"""MB of a worker for what the measured history is too short to fill: training snapshots that wait for long windows."""
Value = float | None


@dataclass(frozen=True)
class Figure:
    """A figure: its name in formulas, its unit, what makes it, and how."""

    name: str
    meaning: str
    unit: str
    command: str
    measure: Callable[[Results], float]


def _largest(results: Results) -> Results:
    found: Results = max(results["scale"]["populations"], key=lambda each: int(each["customers"]))
    return found


def _per_customer(name: str, results: Results) -> float:
    return float(_largest(results)[name]) / float(_largest(results)["customers"])


def _stored(name: str, per: str, results: Results) -> float:
    return max(float(each["store_bytes"][name]) / float(each[per]) for each in _large(results))


def _large(results: Results) -> list[Results]:
    """The populations in which what does not grow with customers is small beside the rest."""
    return [each for each in results["scale"]["populations"] if each["customers"] >= LARGE]


def _most(results: Results) -> tuple[float, float]:
    """The memory of a worker at most, as a line through the two largest populations: MB without customers, and bytes
    for each.
    """
    peaks = [
        (float(each["customers"]), float(max(each["boundary_peak_megabytes"], each["catch_up_peak_megabytes"])))
        for each in results["scale"]["populations"] if "catch_up_peak_megabytes" in each
    ]  # fmt: skip
    points = [(0.0, float(results["scale"]["empty_megabytes"])), *sorted(peaks)]
    (few, least), (many, most) = points[-2:]
    slope = (most - least) / (many - few)
    return least - few * slope, slope * MB


def _whole(workload: str, of: Callable[[Results], float], results: Results) -> float:
    whole = next(each for each in results["whole"] if workload in each["workload"])
    return median(of(run) / whole["total"] for run in whole["runs"][DATAFLOW])


def _efficiency(results: Results) -> float:
    return float(next(each["efficiency"] for each in results["workers"]["workers"] if each["workers"] == 2))


FIGURES: Final = (
    Figure("population", "customers in the largest population: next are its figures, or greater ones of others", "",
           SCALE, lambda of: _largest(of)["customers"]),
    Figure("rate", "its steady rate", "events/s", SCALE, lambda of: of["scale"]["rate"]),
    Figure("empty", "memory of a worker without customers", "MB", SCALE, lambda of: of["scale"]["empty_megabytes"]),
    Figure("bytes", "memory per customer", "bytes", SCALE,
           lambda of: _largest(of)["bytes_per_customer"]),
    Figure("bytes_most", "memory per customer at most: in a catch-up, or while a midnight is crossed", "bytes", SCALE,
           lambda of: _most(of)[1]),
    Figure("fixed_most", "memory of a worker then, beside that of customers", "MB", SCALE, lambda of: _most(of)[0]),
    Figure("state", "state on disk per customer, with its older generation", "bytes", SCALE,
           lambda of: _per_customer("state_bytes", of)),
    Figure("redis", "memory of Redis per customer", "bytes", SCALE, lambda of: _stored("redis", "customers", of)),
    Figure("log", "disk of Kafka per event", "bytes", SCALE, lambda of: _stored("log", "events", of)),
    Figure("fact", "disk of ClickHouse per event: all tables but `customer_daily`", "bytes", SCALE,
           lambda of: _stored("per_event", "events", of)),
    Figure("daily", "disk of ClickHouse per row of a sweep", "bytes", SCALE,
           lambda of: _stored("customer_daily", "daily_rows", of)),
    Figure("cpu_live", "CPU of a worker per event, live at that rate, with small batches", "µs", SCALE,
           lambda of: max(each["cpu_microseconds_per_event"] for each in _large(of))),
    Figure("resume", "from a kill to scores again", "s", SCALE,
           lambda of: float(_largest(of)["resume_seconds"])),
    Figure("efficiency", "speed of two workers against twice that of one", "", SCALE, _efficiency),
    Figure("cpu_full", "CPU of a worker per event, live at full speed, with large batches", "µs", WHOLE,
           lambda of: _whole("live", lambda run: run["cpu_seconds"] * 1e6, of)),
    Figure("cpu_servers", "CPU of the servers per event, at full speed", "µs", WHOLE,
           lambda of: _whole("live", lambda run: run["servers_cpu_seconds"] * 1e6, of)),
    Figure("catch_up", "speed of a catch-up with one worker", "events/s", WHOLE,
           lambda of: 1 / _whole("catch-up", lambda run: run["wall_seconds"], of)),
)  # fmt: skip


def main() -> None:
    """Print the page."""
    print(page(merged([Path(name) for name in sys.argv[1:]])), end="")


def page(results: Results) -> str:
    """The page."""
    values = {each.name: value_of(each, results) for each in FIGURES}
    parts = {
        "machine": _machine(results), "figures": _figure_table(values), "unit table": _unit_table(values),
        "example": _example(values),
    }  # fmt: skip
    return re.sub(r"\{\{(.+?)\}\}", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8"))


def value_of(figure: Figure, results: Results) -> Value:
    """The figure; None where it is not measured."""
    try:
        return float(figure.measure(results))
    except (KeyError, StopIteration, TypeError, ValueError, ZeroDivisionError):
        return None


def _machine(results: Results) -> str:
    measured = [results[part] for part in ("scale",) if part in results] + [results] * ("machine" in results)
    return "; ".join(dict.fromkeys(machine_line(each) for each in measured)) or "-"


def _figure_table(values: Mapping[str, Value]) -> str:
    rows = [
        [f"`{each.name}`", each.meaning, shown(values[each.name], each.unit), f"`{each.command}`"] for each in FIGURES
    ]
    return markdown(("name", "what", "measured", "by"), rows).replace("---: | ---: | ---:", "--- | ---: | ---")


def shown(value: Value, unit: str = "") -> str:
    """A figure with its unit, or a dash."""
    if value is None:
        return "-"
    if not unit and value == round(value):
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def computed(values: Mapping[str, Value], formula: Callable[[Mapping[str, float]], float]) -> Value:
    """A formula's value; None where one of its figures is not measured."""
    try:
        return formula(values)  # type: ignore[arg-type]
    except TypeError:
        return None


def cores(rate: float, of: Mapping[str, float]) -> float:
    """Cores of the live flow: as measured at a steady rate, and what more events at once add."""
    return (of["rate"] * of["cpu_live"] + max(0.0, rate - of["rate"]) * of["cpu_full"]) / MILLION


def _unit_table(values: Mapping[str, Value]) -> str:
    def row(what: str, unit: str, formula: Callable[[Mapping[str, float]], float]) -> list[str]:
        return [what, shown(computed(values, formula), unit)]

    return markdown(("per million customers", ""), [
        row("memory of workers", "MB", lambda of: of["bytes"] * MILLION / MB),
        row("the same at most, beside `fixed_most`", "MB", lambda of: of["bytes_most"] * MILLION / MB),
        row("memory of Redis", "MB", lambda of: of["redis"] * MILLION / MB),
        row("disk of `recovery/`", "MB", lambda of: of["state"] * ROOM * MILLION / MB),
        row("disk of ClickHouse per day of sweeps", "MB", lambda of: of["daily"] * MILLION / MB),
    ]) + "\n\n" + markdown(("per thousand events/s", ""), [
        row("cores of workers, for the first thousand", "", lambda of: cores(1_000, of)),
        row("cores of workers, for each further thousand", "", lambda of: of["cpu_full"] * 1_000 / MILLION),
        row("cores of the servers, at least", "", lambda of: of["cpu_servers"] * 1_000 / MILLION),
        row("disk of Kafka per day and replica", "GB", lambda of: of["log"] * 86_400_000 / GB),
        row("disk of ClickHouse per day", "GB", lambda of: of["fact"] * 86_400_000 / GB),
    ])  # fmt: skip


def _example(values: Mapping[str, Value]) -> str:
    """Three million customers, 1,500 events/s at noon, 400 on average, workers of 2 GB."""
    customers, peak, average, limit, days = 3 * MILLION, 1_500, 400, 2_000, 365

    def flow(of: Mapping[str, float]) -> float:
        return math.ceil(cores(peak, of) / BUSY)

    def fit(of: Mapping[str, float]) -> float:
        return math.ceil(customers * of["bytes_most"] / MB / (limit - of["fixed_most"] - FIXED))

    def workers(of: Mapping[str, float]) -> float:
        return max(flow(of), fit(of))

    lines: list[tuple[str, str, Callable[[Mapping[str, float]], float]]] = [
        ("workers for the flow", "", flow),
        ("workers for memory", "", fit),
        ("*W*", "", workers),
        ("partitions: at least 4, and twice *W*", "", lambda of: max(4, 2 * workers(of))),
        ("memory of a worker, at most", "MB",
         lambda of: of["fixed_most"] + FIXED + customers / workers(of) * of["bytes_most"] / MB),
        ("cores of the servers, at least", "", lambda of: peak * of["cpu_servers"] / MILLION),
        ("memory of Redis", "GB", lambda of: customers * of["redis"] / GB),
        ("disk of `recovery/`", "GB", lambda of: customers * of["state"] * ROOM / GB),
        ("disk of Kafka, 30 days, one replica", "GB", lambda of: average * 86_400 * 30 * of["log"] / GB),
        ("disk of ClickHouse for a year", "GB",
         lambda of: days * (average * 86_400 * of["fact"] + customers * of["daily"]) / GB),
        ("a catch-up of a day", "minutes",
         lambda of: average * 86_400 / (of["catch_up"] * (1 if workers(of) == 1 else workers(of) * of["efficiency"]))
         / 60),
    ]  # fmt: skip
    table = markdown(
        (f"{customers:,} customers, {peak:,} events/s at the busiest time, {average} on average, workers of "
         f"{limit / 1_000:g} GB", ""),
        [[what, shown(computed(values, formula), unit)] for what, unit, formula in lines],
    )  # fmt: skip
    return table if "-" not in {row.split(" | ")[-1].strip(" |") for row in table.splitlines()[2:]} else (
        f"{table}\n\nRows with a dash need figures that are not measured yet."
    )


if __name__ == "__main__":
    main()
