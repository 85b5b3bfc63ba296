"""The engine's steps keep what the core makes of their batches, also when they are stopped and taken up again."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from bytewax.operators import StatefulBatchLogic
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from streams.identity.handover import nothing_handed
from streams.profiles.bucket import BucketPolicy, ProfileBlock
from support.columns import DAY, HOUR, Happening, columns, happenings

from contracts.blocks import BucketBatch, CustomerBlock, LaneBatch, SweepBlock
from contracts.model_blocks import Examples, Released
from streams import error_boundary as edge
from streams.profiles.customers import Input, Output
from streams.steps import LabelStep, ProfileStep, TrainStep, split_by_bucket

POLICY = BucketPolicy(
    interval=DAY,
    dormant_after=5 * DAY,
    training_stride=2,
    counters=("orders",),
    seen_capacity=1_000,
    longest_window=3 * DAY,
)
DAYS = 6


def batch(happened: Sequence[Happening] = (), *, clock: int, fresh: bool = False) -> BucketBatch:
    customers, events = columns(happened)
    return BucketBatch(3, events, customers, clock, fresh)


def lane_batch(partition: int, buckets: Sequence[int]) -> LaneBatch:
    """One order each of customers in these buckets."""
    customers, events = columns([Happening(f"c{number}", number) for number in range(len(buckets))])
    return LaneBatch(partition, events, customers, np.array(buckets, np.int64), 4, 5 * DAY, True)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# Routing


def test_every_bucket_of_the_lane_gets_a_part_also_without_events() -> None:
    parts = split_by_bucket(lane_batch(1, [5, 1, 5]), buckets=12, partitions=4)
    assert [key for key, _ in parts] == ["1", "5", "9"]
    assert [part.bucket for _, part in parts] == [1, 5, 9]
    assert [part.customers.tolist() for _, part in parts] == [["c1"], ["c0", "c2"], []]
    assert {(part.clock, part.fresh) for _, part in parts} == {(5 * DAY, True)}


@given(st.integers(0, 3), st.lists(st.integers(0, 2), max_size=30))
def test_every_event_goes_to_the_part_of_its_bucket_in_the_order_of_the_log(partition: int, chosen: list[int]) -> None:
    whole = lane_batch(partition, [partition + 4 * each for each in chosen])
    parts = split_by_bucket(whole, buckets=12, partitions=4)
    assert len(parts) == 3
    for _, part in parts:
        mine = whole.buckets == part.bucket
        assert part.customers.tolist() == whole.customers[mine].tolist()
        assert part.events.tobytes() == whole.events[mine].tobytes()
    assert sum(len(part.events) for _, part in parts) == len(chosen)


# Profiles


def told(outputs: Sequence[Output]) -> list[object]:
    """Everything that blocks say, to the last bit."""
    found: list[object] = []
    for output in outputs:
        block = output.customers if isinstance(output, SweepBlock) else output
        bits = block.rows.tobytes() if isinstance(block, ProfileBlock) else block.features.tobytes()
        found.append((type(output).__name__, block.ids.tolist(), block.versions.tolist(), bits))
        if isinstance(output, SweepBlock):
            counters = {name: counter.tolist() for name, counter in output.counters.items()}
            found.append((output.customers.boundary, output.rows.tolist(), output.trainable.tolist(), counters))
    return found


def feed(step: ProfileStep, *batches: BucketBatch) -> list[Output]:
    """Give batches to a step, each after word that no visitor is handed over up to its clock."""
    items: list[Input] = [item for each in batches for item in (nothing_handed(3, (each.clock or 0) // DAY), each)]
    outputs, retained = step.on_batch(items)
    assert retained == StatefulBatchLogic.RETAIN
    return list(outputs)


@given(
    events=happenings(DAYS, max_size=20),
    fresh=st.lists(st.booleans(), min_size=DAYS, max_size=DAYS),
    saved=st.integers(0, DAYS),
)
def test_a_step_that_is_taken_up_from_its_snapshot_goes_on_as_if_nothing_had_been(
    events: list[Happening], fresh: list[bool], saved: int
) -> None:
    """One batch a day; the snapshot is kept while its step goes on, as the engine does."""
    batches = [
        batch([each for each in events if each.occurred // DAY == day], clock=(day + 1) * DAY, fresh=fresh[day])
        for day in range(DAYS)
    ]
    step = ProfileStep(None, POLICY)
    for each in batches[:saved]:
        feed(step, each)
    snapshot = step.snapshot()
    expected = [told(feed(step, each)) for each in batches[saved:]]
    restored = ProfileStep(snapshot, POLICY)
    assert [told(feed(restored, each)) for each in batches[saved:]] == expected


def test_batches_that_come_together_are_taken_one_after_another() -> None:
    days = [batch([Happening("a", day * DAY + HOUR, id=day)], clock=(day + 1) * DAY) for day in range(3)]
    together, alone = ProfileStep(None, POLICY), ProfileStep(None, POLICY)
    assert told(feed(together, *days)) == told([output for day in days for output in feed(alone, day)])


def test_an_empty_sweep_is_given_out_and_other_empty_blocks_are_not() -> None:
    outputs = feed(ProfileStep(None, POLICY), batch(clock=2 * DAY, fresh=True))
    assert [len(each.customers.ids) for each in outputs if isinstance(each, SweepBlock)] == [0, 0]
    assert len(outputs) == 2


def test_what_a_batch_did_is_counted() -> None:
    names = ("crm_duplicate_events_total", "crm_late_events_total", "crm_too_late_events_total", "crm_sweeps_total")
    before = [metric(name) for name in names]
    step = ProfileStep(None, POLICY)
    feed(step, batch([Happening("a", HOUR, id=1), Happening("a", HOUR, id=1), Happening("b", HOUR)], clock=DAY))
    feed(step, batch([Happening("b", 2 * HOUR, slot=1, late=True)], clock=DAY + HOUR))
    assert [metric(name) - was for name, was in zip(names, before, strict=True)] == [1, 1, 0, 2]
    assert metric("crm_customers", bucket="3") == 2


def test_scores_are_counted_by_their_reason() -> None:
    before = [metric("crm_scores_total", reason=reason) for reason in ("sweep", "event")]
    step = ProfileStep(None, POLICY)
    feed(step, batch([Happening(customer, HOUR) for customer in "abc"], clock=HOUR))
    feed(step, batch([Happening("d", HOUR)], clock=HOUR, fresh=True))
    feed(step, batch([Happening("a", 2 * HOUR)], clock=2 * HOUR, fresh=True))
    feed(step, batch(clock=2 * DAY))
    feed(step, batch(clock=2 * DAY, fresh=True))  # publishes the sweep, whose scores were counted
    after = [metric("crm_scores_total", reason=reason) for reason in ("sweep", "event")]
    assert (after[0] - before[0], after[1] - before[1]) == (2 * 4, 4 + 1)


# Labels and models


@dataclass
class Notes:
    """The state of a step, in a test: what it has been given."""

    seen: list[Any] = field(default_factory=list)


def note_sweep(state: Notes, sweep: SweepBlock) -> Released:
    state.seen.append(sweep.customers.boundary)
    return Released(3, sweep.customers.boundary, {})


def note_blocks(state: Notes, blocks: Sequence[CustomerBlock | Released]) -> list[int]:
    state.seen += [block.boundary for block in blocks]
    return list(state.seen)


def released(boundary: int, examples: int = 0) -> Released:
    labels = np.zeros(examples, np.bool_)
    return Released(3, boundary, {"churn": Examples(np.zeros((examples, 2), np.float32), labels, labels)})


def test_sweeps_are_labelled_in_their_order() -> None:
    step = LabelStep(Notes(), note_sweep)
    sweeps = [each for each in feed(ProfileStep(None, POLICY), batch(clock=0)) if isinstance(each, SweepBlock)]
    sweeps += [each for each in feed(ProfileStep(None, POLICY), batch(clock=DAY)) if isinstance(each, SweepBlock)]
    outputs, retained = step.on_batch(sweeps)
    assert [each.boundary for each in outputs] == [0, 0, 1]
    assert retained == StatefulBatchLogic.RETAIN
    assert pickle.loads(step.snapshot()).seen == [0, 0, 1]


def test_models_are_offered_everything_at_once_and_examples_are_counted() -> None:
    before = metric("crm_examples_total", outcome="churn")
    step = TrainStep(Notes(), note_blocks)
    outputs, retained = step.on_batch([released(4, examples=2), released(5, examples=3)])
    assert (outputs, retained) == ([4, 5], StatefulBatchLogic.RETAIN)
    assert metric("crm_examples_total", outcome="churn") - before == 5


@pytest.mark.parametrize("kind", [LabelStep, TrainStep])
def test_a_snapshot_is_not_touched_by_what_comes_later(kind: type[LabelStep] | type[TrainStep]) -> None:
    notes = Notes([1])
    snapshot = kind(notes, lambda state, given: state).snapshot()
    notes.seen.append(2)
    assert pickle.loads(snapshot) == Notes([1])


def test_what_fails_in_a_step_is_kept_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    monkeypatch.setattr(edge, "failures", failures)
    with pytest.raises(AttributeError):
        LabelStep(Notes(), lambda state, sweep: sweep.nothing).on_batch([released(0)])  # type: ignore[list-item, attr-defined]
    assert len(failures) == 1
