"""The figures of scale as tables: populations, a midnight, a soak, several workers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
Rows = Sequence[Sequence[str]]
Shown = tuple[Sequence[str], Rows]


def scale_tables(results: Results) -> Iterable[tuple[str, Sequence[str], Rows]]:
    """Each table as its title, its header and its rows."""
    if scale := results.get("scale"):
        yield f"Memory and state; an empty worker takes {scale['empty_megabytes']:,.0f} MB", *memory_table(scale)
        yield f"Live at {scale['rate']:,.0f} events/s: milliseconds to the score in Redis", *live_table(scale)
        yield f"An epoch at {scale['rate']:,.0f} events/s", *epoch_table(scale)
        yield f"A midnight at {scale['rate']:,.0f} events/s", *midnight_table(scale)
    if soak := results.get("soak"):
        yield f"{soak['minutes']:g} minutes at {soak['rate']:,.0f} events/s", *soak_table(soak)
    if workers := results.get("workers"):
        yield f"Several workers: {workers['workload']}", *workers_table(workers)


def memory_table(scale: Results) -> Shown:
    """What each population takes in memory and on disk, and how fast it is there again.

    The worker's memory is measured after some live events, at most in a catch-up and around a midnight, and after a
    restart: then its heap has no gaps from a catch-up.
    """
    return (
        "customers", "memory MB", "bytes per customer", "peak MB, catch-up", "peak MB, midnight", "resumed MB",
        "state on disk MB", "catch-up s", "catch-up CPU s", "resume s",
    ), [
        [
            f"{each['customers']:,}", f"{each['resident_megabytes']:,.0f}", f"{each['bytes_per_customer']:,}",
            f"{each['catch_up_peak_megabytes']:,.0f}", f"{each['boundary_peak_megabytes']:,.0f}",
            number(each.get("resumed_megabytes")), f"{each['state_bytes'] / 1e6:,.0f}",
            f"{each['catch_up_seconds']:,.0f}", f"{each['catch_up_cpu']:,.0f}",
            number(each["resume_seconds"], 1),
        ]
        for each in scale["populations"]
    ]  # fmt: skip


def live_table(scale: Results) -> Shown:
    """Latency and CPU at a steady rate; CPU also against the smallest population."""
    least = scale["populations"][0]["cpu_microseconds_per_event"]
    return ("customers", "p50", "p99", "most", "CPU µs per event", "to the first"), [
        [
            f"{each['customers']:,}", *(number(each["steady"][name]) for name in ("p50", "p99", "most")),
            f"{each['cpu_microseconds_per_event']:,.0f}", f"{each['cpu_microseconds_per_event'] / least:.2f}",
        ]
        for each in scale["populations"]
    ]  # fmt: skip


def epoch_table(scale: Results) -> Shown:
    """What an epoch stores at the steady rate, and how long the flow stands still for it.

    Changes follow the events; copies of whole buckets come now and then. The longest pause is also that of a midnight.
    """
    return (
        "customers", "changes KB", "copies KB", "all that is written KB", "pause ms", "longest", "longest, midnight",
    ), [
        [
            f"{each['customers']:,}", number(kilobytes(each.get("snapshot_bytes"))),
            number(kilobytes(each.get("base_bytes"))), number(kilobytes(each["written_bytes_per_epoch"])),
            number(each.get("snapshot_ms")), number(each.get("snapshot_ms_most")),
            number(each.get("boundary_snapshot_ms_most")),
        ]
        for each in scale["populations"]
    ]  # fmt: skip


def midnight_table(scale: Results) -> Shown:
    """Latency from five seconds before midnight on, and when the sweep is stored."""
    return ("customers", "p50", "p99", "most", "scores seen", "rows of the sweep", "stored after s"), [
        [
            f"{each['customers']:,}", *(number(each["boundary"][name]) for name in ("p50", "p99", "most")),
            f"{each['boundary']['seen']:,} of {each['boundary']['sent']:,}",
            f"{each['swept_rows']:,} of {each['swept_customers']:,}", f"{each['swept_seconds']:.1f}",
        ]
        for each in scale["populations"]
    ]  # fmt: skip


def soak_table(soak: Results) -> Shown:
    """Memory and disk at some moments."""
    series = soak["series"]
    chosen = [series[round(part * (len(series) - 1) / 6)] for part in range(7)] if series else []
    return ("minute", "resident MB", "state on disk MB", "of a core"), [
        [
            f"{each['minute']:.0f}", f"{each['resident_megabytes']:,.0f}", f"{each['state_megabytes']:,.0f}",
            f"{each['cpu_share']:.0%}",
        ]
        for each in chosen
    ]  # fmt: skip


def workers_table(workers: Results) -> Shown:
    """Speed and efficiency of each number of workers."""
    return ("workers", "events/s", "efficiency", "CPU µs per event"), [
        [
            str(each["workers"]), f"{each['events_per_second']:,}", f"{each['efficiency']:.0%}",
            f"{each['cpu_microseconds_per_event']:.1f}",
        ]
        for each in workers["workers"]
    ]  # fmt: skip


def kilobytes(value: float | None) -> float | None:
    """Bytes as kilobytes."""
    return None if value is None else value / 1e3


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"
