"""What of the page of performance is about scale: each placeholder, the part of the results it needs, and its text."""

from collections.abc import Callable, Sequence
from typing import Any

from line_plots import lines
from plots import bars
from scale_tables import Results, Rows, epoch_table, live_table, memory_table, midnight_table, soak_table, workers_table

Plot = Callable[[str, str], str]
Markdown = Callable[[Sequence[str], Rows], str]


def scale_parts(plot: Plot, markdown: Markdown) -> dict[str, tuple[str, Callable[[Any], str]]]:
    """Return, by placeholder, the name of a part of the results and what makes text of it."""
    return {
        "scale machine": ("scale", machine_line),
        "scale rate": ("scale", lambda scale: f"{scale['rate']:,.0f}"),
        "scale days": ("scale", lambda scale: str(scale["history_days"])),
        "scale empty": ("scale", lambda scale: f"{scale['empty_megabytes']:,.0f}"),
        "memory table": ("scale", lambda scale: markdown(*memory_table(scale))),
        "memory plot": ("scale", lambda scale: plot("memory", _memory_plot(scale))),
        "scale live table": ("scale", lambda scale: markdown(*live_table(scale))),
        "epoch table": ("scale", lambda scale: markdown(*epoch_table(scale))),
        "midnight table": ("scale", lambda scale: markdown(*midnight_table(scale))),
        "midnight plot": ("scale", lambda scale: plot("midnight", _midnight_plot(scale))),
        "soak machine": ("soak", machine_line),
        "soak about": ("soak", _soak_about),
        "soak table": ("soak", lambda soak: markdown(*soak_table(soak))),
        "soak plot": ("soak", lambda soak: plot("soak", _soak_plot(soak))),
        "workers machine": ("workers", machine_line),
        "workers table": ("workers", lambda workers: markdown(*workers_table(workers))),
        "workers plot": ("workers", lambda workers: plot("workers", _workers_plot(workers))),
    }


def machine_line(part: Results) -> str:
    """What something was measured on."""
    machine = part["machine"]
    return (
        f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}, the servers on the same "
        f"cores, commit {machine['commit']}, {part['ended'][:10]}"
    )


def _memory_plot(scale: Results) -> str:
    return bars("Resident megabytes of a worker", {
        f"{each['customers']:,} customers": {
            "after its history": each["resident_megabytes"], "most, with a midnight": each["boundary_peak_megabytes"],
        }
        for each in scale["populations"]
    })  # fmt: skip


def _midnight_plot(scale: Results) -> str:
    return lines("Longest ms to the score in Redis, of the events of each second around midnight", "seconds", {
        f"{each['customers']:,} customers": each["boundary_series"] for each in scale["populations"]
    })  # fmt: skip


def _soak_plot(soak: Results) -> str:
    return lines(f"MB at {soak['rate']:,.0f} events/s", "minutes", {
        title: [(each["minute"], each[name]) for each in soak["series"]]
        for title, name in (("worker's memory", "resident_megabytes"), ("state on disk", "state_megabytes"))
    })  # fmt: skip


def _soak_about(soak: Results) -> str:
    growth = soak["growth"]
    window = f", a midnight halfway, `CRM_DUPLICATE_WINDOW_EVENTS={soak['window']}`" if "window" in soak else ""
    memory, disk = growth["resident_megabytes"], growth["state_megabytes"]
    return (
        f"{soak['sent']:,} events in {soak['minutes']:g} minutes, {soak['customers']:,} customers{window}. After the "
        f"first 20 minutes memory was {memory:.2f} and disk {disk:.2f} times at the end what it was at the beginning"
    )


def _workers_plot(workers: Results) -> str:
    return bars("Events per second", {
        f"{each['workers']} worker{'s' * (each['workers'] > 1)}": {"events/s": each["events_per_second"]}
        for each in workers["workers"]
    })  # fmt: skip
