"""Splits a lane's batch by the buckets of the devices step."""

import numpy as np
from numpy.typing import NDArray

from contracts.blocks import DeviceBatch, LaneBatch, PeopleEvents


def split_lane(batch: LaneBatch, buckets: int, partitions: int) -> list[tuple[str, DeviceBatch]]:
    """Return (key, part) pairs.

    The lane's own buckets get its progress: all of them if ``batch.turned``, else those that get events or links. Links
    and known customers of other lanes' buckets go there without progress.
    """
    source = batch.progress.source
    own = range(source, buckets, partitions)
    links: dict[int, list[int]] = {}
    for at, bucket in enumerate(batch.link_buckets):
        links.setdefault(bucket, []).append(at)
    homes = _distinct(batch.people.home)
    concerned = homes | set(links) | _distinct(batch.known_buckets)
    return [
        (str(bucket), DeviceBatch(
            bucket=bucket,
            progress=batch.progress if bucket in own else None,
            people=_people_of(batch.people, bucket, homes),
            links=tuple(batch.links[at] for at in links.get(bucket, ())),
            known_customers=batch.known_customers[batch.known_buckets == bucket],
            known_slots=batch.known_slots[batch.known_buckets == bucket],
        ))
        for bucket in sorted(concerned.union(own) if batch.turned else concerned)
    ]  # fmt: skip


def _distinct(buckets: NDArray[np.int64]) -> set[int]:
    """Return the buckets that occur. For few buckets this is cheaper than sorting."""
    if not len(buckets):
        return set()
    return set(np.flatnonzero(np.bincount(buckets)).tolist())


def _people_of(people: PeopleEvents, bucket: int, homes: set[int]) -> PeopleEvents:
    if bucket not in homes:
        return PeopleEvents()
    if len(homes) == 1:
        return people
    mine = people.home == bucket
    return PeopleEvents(
        people.events[mine], people.customers[mine], people.devices[mine], people.home[mine],
        people.customer_buckets[mine],
    )  # fmt: skip
