"""How large the dataflow's state is, and what a base costs: a made-up shop, without any server. Prints JSON."""

import json
import time
from typing import Final, NamedTuple

import numpy as np

from contracts.blocks import EVENT_DTYPE, CustomerBatch, EventArray, Parcel, Progress
from contracts.settings import Settings
from streams import codes
from streams.dataflow import customers_policy, labeller
from streams.profiles.customers import Customers
from streams.state.frames import copied

CUSTOMERS: Final = 5_000
EVENTS_PER_DAY: Final = 1_000
DAYS: Final = 180
"""Longer than the longest window, so that as many snapshots wait for their labels as ever will."""


class StateSize(NamedTuple):
    """Bytes per customer in a snapshot, by what they hold, and microseconds of CPU per customer to copy a base."""

    profiles: float
    training: float
    event_ids: float
    microseconds: float


def measure_state() -> StateSize:
    """Fill one bucket and copy it as a base."""
    settings = Settings(partitions=1, buckets=1)
    policy, draw = customers_policy(settings), np.random.default_rng(1)
    bucket = Customers(policy, labeller(settings))
    for day in range(DAYS):
        events = _events(draw, day, policy.sweeps.interval)
        customers = np.array([f"c-{number:06}" for number in draw.integers(0, CUSTOMERS, len(events))], object)
        progress = Progress(0, day + 1, 0, fresh=False, guarded=False)
        bucket.take([CustomerBatch(0, progress, Parcel(events, customers))])
    began = time.process_time()
    parts = {name: part.whole() for name, part in bucket.parts().items()}
    whole = len(copied(parts))
    seconds, known = time.process_time() - began, len(bucket.state.table)
    training = len(copied({"labels": parts["labels"]}))
    ids = len(copied({"known_ids": parts["known_ids"]}))
    return StateSize((whole - training - ids) / known, training / known, ids / known, seconds / known * 1e6)


def _events(draw: np.random.Generator, day: int, interval: int) -> EventArray:
    events = np.zeros(EVENTS_PER_DAY, EVENT_DTYPE)
    events["id_hash"] = draw.integers(0, 2**63, len(events))
    events["occurred"] = np.sort(draw.integers(day * interval, (day + 1) * interval, len(events)))
    events["slot"], events["amount"], events["items"] = day, 50_0000, 2
    events["code"] = draw.choice([codes.ORDER, codes.PAGE_VIEW, codes.PRODUCT_VIEW, codes.TICKET_OPENED], len(events))
    return events


if __name__ == "__main__":
    print(json.dumps(measure_state()._asdict()))
