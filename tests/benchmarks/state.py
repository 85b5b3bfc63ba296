"""How large the dataflow's state is, and what a snapshot of it costs: a made-up shop, without any server."""

import pickle
import time
from typing import Final, NamedTuple

import numpy as np

from contracts.blocks import EVENT_DTYPE, BucketBatch, EventArray, SweepBlock
from contracts.settings import Settings
from online_models.labels import LabelState, label
from streams import codes
from streams.dataflow import bucket_policy
from streams.identity.handover import nothing_handed
from streams.profiles.bucket import BucketPolicy, Tally
from streams.profiles.customers import advance, new_bucket

CUSTOMERS: Final = 5_000
EVENTS_PER_DAY: Final = 1_000
DAYS: Final = 180
"""Longer than the longest window, so that as many snapshots wait for their labels as ever will."""


class StateSize(NamedTuple):
    """Bytes per customer in a snapshot, by what they hold, and microseconds of CPU per customer to pickle them all."""

    profiles: float
    training: float
    event_ids: float
    microseconds: float


def measure_state() -> StateSize:
    """Fill one bucket and pickle it as a snapshot does."""
    settings = Settings()
    policy = bucket_policy(settings)
    state, labels, tally, draw = new_bucket(0, policy), LabelState(), Tally(), np.random.default_rng(1)
    for day in range(DAYS):
        events = _events(draw, day, policy)
        customers = np.array([f"c-{number:06}" for number in draw.integers(0, CUSTOMERS, len(events))], object)
        batch = BucketBatch(0, events, customers, (day + 1) * policy.interval, fresh=False)
        for item in (nothing_handed(0, day + 1), batch):
            for output in advance(state, item, policy, tally):
                if isinstance(output, SweepBlock):
                    label(labels, output, settings.outcomes, settings.sweep_hours)
    ids = state.seen.older.nbytes + state.seen.younger.nbytes
    began = time.process_time()
    profiles, training = len(pickle.dumps(state, 5)) - ids, len(pickle.dumps(labels, 5))
    seconds, known = time.process_time() - began, len(state.table)
    return StateSize(profiles / known, training / known, ids / known, seconds / known * 1e6)


def _events(draw: np.random.Generator, day: int, policy: BucketPolicy) -> EventArray:
    events = np.zeros(EVENTS_PER_DAY, EVENT_DTYPE)
    events["id_hash"] = draw.integers(0, 2**63, len(events))
    events["occurred"] = np.sort(draw.integers(day * policy.interval, (day + 1) * policy.interval, len(events)))
    events["slot"], events["amount"], events["items"] = day, 50_0000, 2
    events["code"] = draw.choice([codes.ORDER, codes.PAGE_VIEW, codes.PRODUCT_VIEW, codes.TICKET_OPENED], len(events))
    return events
