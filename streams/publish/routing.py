"""Between the steps of the dataflow and its sinks: what of a step's outputs goes where, and under which key. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from contracts.blocks import CustomerBlock, LaneBatch, ModelReport, SweepBlock, VisitorSample
from contracts.crossings import Decisions, HandOver, Moved, Overlay, Verdicts
from contracts.outputs import DeadLetter, HashWrites, TableRows
from streams.publish import hashes
from streams.publish import tables as rows
from streams.profiles.bucket import ProfileBlock


def sweep_blocks(item: tuple[str, Any]) -> Iterable[tuple[str, SweepBlock]]:
    """Sweeps for labelling."""
    bucket, block = item
    return [(bucket, block)] if isinstance(block, SweepBlock) else []


def customer_blocks(item: tuple[str, Any]) -> Iterable[tuple[str, CustomerBlock | VisitorSample]]:
    """Sweeps without what only labelling needs, the other blocks of customers, and samples of visitors.

    They are in the order of their bucket.
    """
    bucket, block = item
    if isinstance(block, SweepBlock):
        return [(bucket, block.customers)]
    return [(bucket, block)] if isinstance(block, CustomerBlock | VisitorSample) else []


def letters(batch: LaneBatch) -> Iterable[tuple[str, DeadLetter]]:
    """Dead letters for their topic."""
    return [(str(batch.partition), letter) for letter in batch.dead]


def customers(item: tuple[str, ProfileBlock]) -> Iterable[tuple[str, TableRows]]:
    """Changed profiles as rows."""
    bucket, block = item
    return [] if block.published else [(bucket, rows.customers_rows(block))]


def profile_hashes(
    item: tuple[str, ProfileBlock], currency: str | None, expire: int
) -> Iterable[tuple[str, HashWrites]]:
    """Published profiles for look-ups."""
    bucket, block = item
    return [(bucket, hashes.profile_hashes(block, currency, expire))] if block.published else []


def moved_hashes(item: tuple[str, Any], outcomes: list[str], expire: int) -> Iterable[tuple[str, HashWrites]]:
    """What stands under the ids of visitors who are customers now."""
    key, value = item
    if not isinstance(value, Moved):
        return []
    return [(key, writes) for writes in hashes.moved_hashes(value, outcomes, expire)]


def identity_rows(item: tuple[str, Any], interval: int) -> Iterable[tuple[str, TableRows]]:
    """Decisions about identities, and visitors who are customers now, as rows."""
    key, value = item
    if isinstance(value, Decisions):
        return [(str(value.verdicts[0].boundary), rows.verdict_rows(value.verdicts, interval))]
    return [(key, rows.moved_rows(value))] if isinstance(value, Moved) else []


def verdicts(item: tuple[str, Any]) -> Iterable[tuple[str, Verdicts]]:
    """What the resolver says to buckets of visitors."""
    return [(str(item[1].bucket), item[1])] if isinstance(item[1], Verdicts) else []


def hand_overs(item: tuple[str, Any]) -> Iterable[tuple[str, HandOver]]:
    """What buckets of visitors hand over."""
    return [("hand-over", item[1])] if isinstance(item[1], HandOver) else []


def overlays(item: tuple[str, Any], place: Callable[[str], int]) -> Iterable[tuple[str, Overlay]]:
    """An overlay for each bucket whose customers it concerns."""
    overlay = item[1]
    if not isinstance(overlay, Overlay):
        return []
    homes = np.array([place(person) for person in overlay.persons.tolist()], np.int64)
    return [
        (str(home), replace(overlay, bucket=home, sources=overlay.sources[mine], persons=overlay.persons[mine],
                            rows=overlay.rows[mine], present=overlay.present[mine], entered=overlay.entered[mine]))
        for home in np.unique(homes).tolist() for mine in [homes == home]
    ]  # fmt: skip


def results(item: tuple[str, Any], interval: int) -> Iterable[tuple[str, TableRows]]:
    """Scores and reports as rows; a boundary spreads them over the parts of the sink."""
    value = item[1]
    if isinstance(value, ModelReport):
        return [(str(value.boundary), rows.quality_rows(value, interval))]
    key = str(value.customers.boundary)
    if value.customers.recorded:
        return [(key, rows.daily_rows(value, interval))]
    return [] if value.customers.sweep else [(key, rows.change_rows(value))]


def score_hashes(item: tuple[str, Any], expire: int) -> Iterable[tuple[str, HashWrites]]:
    """Scores for those who look them up: live ones, and sweeps as they are published."""
    value = item[1]
    if isinstance(value, ModelReport) or value.customers.recorded:
        return []
    return [(str(value.customers.bucket), writes) for writes in hashes.score_hashes(value, expire)]
