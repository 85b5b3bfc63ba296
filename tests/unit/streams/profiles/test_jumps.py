"""A jump of the clock over many boundaries: the rows that exist at one time are bounded, and all are as in one go."""

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.columns import DAY, Happening, columns
from support.restarting import Restarting
from support.swept import recorded

from contracts.backlog import SweepBacklog
from contracts.blocks import CustomerBatch, Parcel, PeopleBlock, Progress
from contracts.model_blocks import BoundaryModels, Released, ScoredBlock
from contracts.settings import Settings
from online_models.scoring import Score
from online_models.trainer import Learn
from streams.dataflow import customers_policy, labeller, models_policy
from streams.profiles import sweeps as sweeping
from streams.profiles.customers import Customers, CustomersPolicy, Output
from streams.publish.reasons import explain, explain_briefly

SETTINGS = Settings(base_currency="USD", training_stride_days=3)
LABELLER = labeller(SETTINGS)
START = 100


def policy(most: int, slice_: int = 1_000) -> CustomersPolicy:
    whole = customers_policy(SETTINGS)
    return replace(whole, senders=1, sweeps=replace(whole.sweeps, most=most, slice=slice_))


def batch(slot: int, names: Sequence[str] = (), bucket: int = 0, *, fresh: bool = False) -> CustomerBatch:
    """Everybody buys in the slot, and the clock is there."""
    happened = [Happening(name, slot * DAY + at, amount=10, id=hash((name, slot)) % 2**60 + 1, slot=slot)
                for at, name in enumerate(names)]  # fmt: skip
    owners, events = columns(happened)
    return CustomerBatch(bucket, Progress(0, slot, START, fresh, guarded=False), Parcel(events, owners))


def names(count: int) -> list[str]:
    return [f"customer-{number:05d}" for number in range(count)]


def swept(out: Sequence[Output]) -> int:
    return sum(len(each) for each in out if isinstance(each, PeopleBlock) and each.kind == "sweep")


def activations(machine: Customers, target: int, *, fresh: bool = False) -> list[list[Output]]:
    """The outputs of each activation until the bucket has crossed all boundaries up to a target."""
    out = [machine.take([batch(target, fresh=fresh)])]
    while machine.is_urgent():
        out.append(machine.work())
    return out


@pytest.mark.parametrize("fresh", [False, True])
def test_an_activation_makes_so_many_rows_at_most(fresh: bool) -> None:
    small, large = (Customers(policy(most, 100), LABELLER) for most in (1_000, 10**9))
    for machine in (small, large):
        machine.take([batch(START, names(300), fresh=fresh)])
    out, (whole,) = activations(small, START + 40, fresh=fresh), activations(large, START + 40, fresh=fresh)
    assert max(swept(each) for each in out) <= 1_000
    assert len(out) < 20
    cut = [each for some in out for each in some]
    for machine, out_of in ((small, cut), (large, whole)):
        while machine.has_work():
            out_of.extend(machine.work())
    assert swept(whole) == 300 * 40
    assert recorded(cut) == recorded(whole)


def test_a_boundary_with_more_customers_than_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "STACK", 50)
    small, large = (Customers(policy(most), LABELLER) for most in (200, 10**9))
    for machine in (small, large):
        machine.take([batch(START, names(500))])
    out, (whole,) = activations(small, START + 6), activations(large, START + 6)
    assert max(swept(each) for each in out) <= 250
    while small.has_work():
        out.append(small.work())
    assert not any(each.publish for some in out for each in some if isinstance(each, PeopleBlock))
    assert recorded([each for some in out for each in some]) == recorded(whole)


def test_new_customers_on_the_way_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not in the table yet when the way of an activation is chosen."""
    monkeypatch.setattr(sweeping, "STACK", 50)
    machine = Customers(policy(1_000), LABELLER)
    machine.take([batch(START, names(1))])
    out = [machine.take([batch(START + 1, names(400)), batch(START + 60)])]
    while machine.is_urgent():
        out.append(machine.work())
    assert max(swept(each) for each in out) <= 1_000
    assert sum(swept(each) for each in out) == 1 + 400 * 59


def test_a_jump_of_few_customers_is_one_activation() -> None:
    machine = Customers(customers_policy(replace_senders()), LABELLER)
    machine.take([batch(START, names(500))])
    assert len(activations(machine, START + 128)) == 1


def replace_senders() -> Settings:
    return SETTINGS.model_copy(update={"buckets": 1})


def test_memory_of_a_long_jump_is_bounded() -> None:
    """8,000 customers and 128 boundaries are a million rows, 220 MB."""
    machine = Customers(replace(customers_policy(SETTINGS), senders=1), LABELLER)
    machine.take([batch(START, names(8_000))])
    gc.collect()
    tracemalloc.start()
    try:
        rows = swept(machine.take([batch(START + 128)]))
        while machine.is_urgent():
            rows += swept(machine.work())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 8_000 * 128
    assert peak < 70e6


# What waits for models


class Flow:
    """Buckets of customers, the learn step and the buckets of scores, in one process, with all that is under way."""

    def __init__(self, buckets: int, most: int):
        self.backlog, self.most = SweepBacklog(), most
        models = replace(models_policy(SETTINGS), buckets=buckets)
        self.customers = [
            Restarting(lambda: Customers(policy(most), LABELLER, self.backlog)) for _ in range(buckets)
        ]
        self.learn = Learn(models)
        self.scores = [
            Restarting(lambda: Score(models, explain, explain_briefly, self.backlog)) for _ in range(buckets)
        ]
        self.scored: list[ScoredBlock] = []
        self.largest = 0

    def put(self, bucket: int, out: Sequence[Output]) -> None:
        people = [each for each in out if isinstance(each, PeopleBlock)]
        self._score(bucket, people)
        for each in self.learn.take([each for each in out if isinstance(each, Released)]):
            if isinstance(each, BoundaryModels):
                self._score(each.bucket, [each])

    def work(self, bucket: int) -> bool:
        machine = self.customers[bucket].machine
        if not machine.has_work() or machine.is_held():
            return False
        self.put(bucket, machine.work())
        return True

    def restart(self, bucket: int) -> None:
        self.backlog.wait(bucket, 0)
        for each in (self.customers[bucket], self.scores[bucket]):
            each.restart()
            assert not each.machine.resumed()

    def _score(self, bucket: int, items: Sequence[PeopleBlock | BoundaryModels]) -> None:
        machine = self.scores[bucket].machine
        self.scored += machine.take(items)
        waiting = sum(len(each) for each in machine.state.waiting.values())
        assert not items or self.backlog.rows(bucket) == waiting
        self.largest = max(self.largest, waiting)

    def rows(self) -> list[tuple[object, ...]]:
        """The recorded scores."""
        return sorted(
            (name, version, block.scores["churn"].probability[at].tobytes())
            for block in self.scored if block.people.kind == "sweep"
            for at, (name, version) in enumerate(
                zip(block.people.ids.tolist(), block.people.versions.tolist(), strict=True))
        )  # fmt: skip


SIZES = (30, 7, 50)


def crossed(most: int, order: Sequence[int] = ()) -> Flow:
    """Three buckets jump over 60 boundaries, in an order of turns: 3 and more restart a bucket; then the first goes on
    that can."""
    flow = Flow(len(SIZES), most)
    for slot in (START, START + 60):
        for bucket, size in enumerate(SIZES):
            people = [f"{bucket}-{name}" for name in names(size)] if slot == START else []
            flow.put(bucket, flow.customers[bucket].machine.take([batch(slot, people, bucket)]))
    assert flow.backlog.is_behind == (most < 50 * 60)
    assert (flow.backlog.boundaries > 0) == flow.backlog.is_behind
    for turn in order:
        if turn < len(SIZES):
            flow.work(turn)
        else:
            flow.restart(turn - len(SIZES))
    while any(flow.work(bucket) for bucket in range(len(SIZES))):
        pass
    return flow


@settings(max_examples=15, deadline=None)
@given(most=st.sampled_from([1, 60, 200]), order=st.lists(st.integers(0, 5), max_size=40))
def test_rows_that_wait_for_models_are_bounded_and_no_bucket_waits_for_ever(most: int, order: list[int]) -> None:
    flow = crossed(most, order)
    assert not flow.backlog.is_behind
    assert flow.largest <= most + max(SIZES)
    assert not any(each.machine.state.waiting for each in flow.scores)
    assert flow.rows() == crossed(10**9).rows()
    assert len(flow.rows()) == 60 * sum(SIZES)
