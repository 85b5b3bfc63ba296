"""One bucket of customers: what comes out at boundaries, who is seen live, and what a catch-up leaves out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from support.columns import DAY, HOUR, Happening, columns
from support.state import frozen, thawed

from contracts.blocks import UNCONVERTED_DTYPE, CustomerBatch, MovedRows, Parcel, PeopleBlock, ProfileBlock, Progress
from contracts.currencies import number_of
from contracts.entries import Queue
from contracts.metrics import DUPLICATES, LATE, TOO_LATE
from contracts.model_blocks import Examples, Released, SweptPeople
from contracts.rates import Rates
from streams import codes
from streams.profiles import people_blocks
from streams.profiles import sweeps as sweeping
from streams.profiles.customers import Customers, CustomersPolicy, Output
from streams.profiles.deltas import add_rows, deltas
from streams.profiles.features import FEATURES
from streams.profiles.labelling import Labeller
from streams.profiles.rows import blank_rows, times_of
from streams.profiles.sweeps import SweepPolicy

SWEEPS = SweepPolicy(
    interval=DAY, dormant_after=5 * DAY, training_stride=2, longest_window=2 * DAY
)
POLICY = CustomersPolicy(SWEEPS, senders=1, known_capacity=1_000)
EURO = number_of("EUR")
RATES = Rates("USD", {"EUR": ((0, 2.0),)})


ALL = slice(None)


def label(state: Queue[int], swept: SweptPeople) -> Mapping[str, Examples]:
    """All who are trainable, labelled by whether they ever ordered; the state counts the boundaries."""
    state.append(swept.boundary)
    return {"any": Examples(swept.features(ALL), swept.last("orders", swept.trainable) > 0, swept.buyers)}


LABELLER = Labeller(lambda: Queue(int), label)


@dataclass
class Bucket:
    """A machine with one sender, and everything that it gave out."""

    policy: CustomersPolicy = POLICY
    slot: int = 0
    out: list[Output] = field(default_factory=list)
    machine: Customers = field(init=False)

    def __post_init__(self) -> None:
        self.machine = Customers(self.policy, LABELLER)

    def take(
        self, *happened: Happening, slot: int | None = None, fresh: bool = False, moved: MovedRows | None = None,
        guarded: bool = False,
    ) -> list[Output]:  # fmt: skip
        self.slot = self.slot if slot is None else slot
        owners, events = columns(happened)
        progress = Progress(0, self.slot, 0, fresh, guarded)
        out = self.machine.take([CustomerBatch(3, progress, Parcel(events, owners, moved))])
        self.out += out
        return out

    def resume(self, policy: CustomersPolicy) -> list[Output]:
        self.machine = thawed(Customers(policy, LABELLER), frozen(self.machine))
        return self.machine.resumed()

    def row(self, name: str) -> Any:
        table = self.machine.state.table
        at = table.find(name)
        assert at is not None
        return table.rows[at]


def moved_row(slot: int, owner: str, *happened: Happening, entered: int = 0) -> MovedRows:
    """The row of a device that did all this, on its way to its owner; euros wait."""
    _, events = columns(happened)
    _, rows, entries = deltas(np.zeros(len(events), np.int64), events, DAY)
    whole = blank_rows(1)
    for index in range(len(rows)):
        add_rows(whole, rows[index : index + 1].copy(), DAY)
    return MovedRows(
        np.array([slot]), np.array(["anonymous:d"], object), np.array([owner], object), whole, np.array([entered]),
        entries,
    )


def blocks(out: Sequence[Output], kind: str) -> list[PeopleBlock]:
    return [each for each in out if isinstance(each, PeopleBlock) and each.kind == kind]


def boundaries(out: Sequence[Output]) -> list[int]:
    return [boundary for each in out if isinstance(each, Released) for boundary in each.boundaries]


def swept(out: Sequence[Output]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for block in blocks(out, "sweep"):
        for name, boundary in zip(block.ids.tolist(), block.boundaries.tolist(), strict=True):
            found.setdefault(boundary, set()).add(name)
    return found


def test_without_a_clock_everything_waits() -> None:
    machine = Customers(replace(POLICY, senders=2), LABELLER)
    owners, events = columns([Happening("a", HOUR)])
    first = CustomerBatch(3, Progress(0, 1, 0, fresh=True, guarded=False), Parcel(events, owners))
    assert machine.take([first]) == []
    unknown = CustomerBatch(3, Progress(1, None, None, fresh=True, guarded=False))
    assert machine.take([unknown]) == []
    known = CustomerBatch(3, Progress(1, 1, 0, fresh=True, guarded=False))
    assert boundaries(machine.take([known])) == [0, 1]


def test_every_boundary_is_swept_once_also_in_silence() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), slot=0)
    bucket.take(slot=3)
    assert boundaries(bucket.out) == [0, 1, 2, 3]
    assert swept(bucket.out) == {1: {"a"}, 2: {"a"}, 3: {"a"}}


def test_years_without_customers_are_one_boundary() -> None:
    bucket = Bucket()
    assert boundaries(bucket.take(slot=5_000)) == [0, 5_000]
    bucket.take(Happening("a", 5_000 * DAY))
    assert boundaries(bucket.take(slot=9_000)) == [*range(5_001, 5_006), 9_000]
    assert swept(bucket.out) == {boundary: {"a"} for boundary in range(5_001, 5_006)}


def test_nobody_is_swept_before_the_slot_of_the_first_event() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), Happening("b", 2 * DAY), slot=4)
    assert swept(bucket.out) == {1: {"a"}, 2: {"a"}, 3: {"a", "b"}, 4: {"a", "b"}}


def test_an_event_of_a_later_slot_waits() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", 2 * DAY), slot=1)
    assert len(bucket.machine.state.table) == 0
    bucket.take(slot=2)
    assert bucket.row("a")["orders"] == 1


def test_customers_who_become_dormant_are_published_a_last_time_even_in_a_catch_up() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), Happening("b", 4 * DAY), slot=8)
    assert swept(bucket.out)[5] == {"a", "b"}
    assert swept(bucket.out)[6] == {"b"}
    leavers = [block for block in blocks(bucket.out, "sweep") if block.publish]
    assert [(block.ids.tolist(), block.boundaries.tolist()) for block in leavers] == [(["a"], [5])]
    assert leavers[0].leaving.all()
    assert leavers[0].rows is not None
    assert leavers[0].rows["orders"].tolist() == [1]
    assert boundaries(bucket.out) == list(range(9))


def test_customers_who_come_back_are_swept_again() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), Happening("a", 20 * DAY), slot=22)
    assert sorted(swept(bucket.out)) == [1, 2, 3, 4, 5, 21, 22]


def test_a_dormant_customer_with_a_late_event_is_swept_once_more() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), slot=20)
    bucket.take(Happening("a", 2 * HOUR, slot=20, late=True))
    assert sorted(swept(bucket.take(slot=23))) == [21]


def test_live_people_are_as_of_their_newest_event_or_the_start_of_the_slot() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR, entered=7), slot=0, fresh=True)
    happened = Happening("a", HOUR + 5, slot=1, entered=9), Happening("b", HOUR, slot=1, late=True, entered=8)
    out = bucket.take(*happened, slot=1, fresh=True)
    (live,) = blocks(out, "live")
    found = dict(zip(live.ids.tolist(), zip(live.as_of.tolist(), live.entered.tolist(), strict=True), strict=True))
    assert found == {"a": (DAY, 9), "b": (DAY, 8)}
    assert live.versions.tolist() == [(1 << 32) + int(events) for events in live.rows["events"]]  # type: ignore[index]
    (later,) = blocks(bucket.take(Happening("a", DAY + HOUR), fresh=True), "live")
    assert (later.ids.tolist(), later.as_of.tolist()) == (["a"], [DAY + HOUR])
    assert later.features.shape == (1, len(FEATURES))


def test_whom_events_of_an_earlier_slot_changed_is_swept_and_restated_and_not_live() -> None:
    bucket = Bucket()
    bucket.take(slot=0, fresh=True)
    out = bucket.take(Happening("a", HOUR), Happening("b", DAY), slot=1, fresh=True)
    (profiles,) = [each for each in out if isinstance(each, ProfileBlock)]
    (live,), (restated,) = blocks(out, "live"), blocks(out, "restated")
    assert swept(out) == {1: {"a"}}
    assert (profiles.ids.tolist(), live.ids.tolist(), restated.ids.tolist()) == (["a"], ["b"], ["a"])
    assert (restated.versions.tolist(), restated.as_of.tolist()) == ([(1 << 32) + 1], [DAY])
    assert profiles.versions.tolist() == [1]
    assert bucket.take(slot=1, fresh=True) == []


def test_whom_an_earlier_slot_changed_is_not_restated_once_dormant() -> None:
    bucket = Bucket()
    bucket.take(slot=0, fresh=True)
    out = bucket.take(Happening("a", HOUR), slot=9, fresh=True)
    assert [each.ids.tolist() for each in out if isinstance(each, ProfileBlock)] == [["a"]]
    assert (blocks(out, "live"), blocks(out, "restated")) == ([], [])
    assert max(swept(out)) == 5


def test_only_the_newest_boundary_is_published() -> None:
    bucket = Bucket()
    out = bucket.take(Happening("a", HOUR), slot=3, fresh=True)
    published = [block.boundaries.tolist() for block in blocks(out, "sweep") if block.publish]
    assert published == [[3]]
    assert not any(block.publish for block in blocks(bucket.take(slot=4), "sweep"))


def test_a_catch_up_gives_out_profiles_after_boundaries_and_restates_at_its_end() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", 0), Happening("b", HOUR), slot=0)
    assert [each for each in bucket.out if not isinstance(each, Released)] == []
    profiles = [each for each in bucket.take(Happening("b", 2 * DAY), slot=2) if isinstance(each, ProfileBlock)]
    assert [(each.ids.tolist(), each.versions.tolist()) for each in profiles] == [(["a"], [1])]
    out = bucket.take(Happening("b", 2 * DAY + 1, entered=5), fresh=True)
    (live,), (restated,) = blocks(out, "live"), blocks(out, "restated")
    assert (live.ids.tolist(), live.entered.tolist(), restated.ids.tolist()) == (["b"], [5], ["a"])
    assert restated.rows is not None
    assert blocks(bucket.take(fresh=True), "restated") == []


def test_a_lane_that_falls_back_for_a_moment_makes_nobody_be_restated() -> None:
    """Only a boundary that was crossed meanwhile does: else readers know all but those whom events moved."""
    bucket = Bucket()
    bucket.take(Happening("a", 0), slot=0)
    bucket.take(Happening("b", HOUR), slot=1, fresh=True)
    assert bucket.take(Happening("b", DAY)) == []
    out = bucket.take(fresh=True)
    assert (blocks(out, "live")[0].ids.tolist(), blocks(out, "restated")) == (["b"], [])
    bucket.take(slot=2)
    assert blocks(bucket.take(fresh=True), "restated")[0].ids.tolist() == ["a", "b"]


def test_a_dormant_customer_who_comes_late_with_a_boundary_is_seen_with_the_profile() -> None:
    bucket = Bucket()
    bucket.take(slot=20, fresh=True)
    out = bucket.take(Happening("a", HOUR, slot=20, late=True), slot=21, fresh=True)
    (sweep,) = blocks(out, "sweep")
    assert (sweep.ids.tolist(), sweep.publish, sweep.leaving.tolist()) == (["a"], True, [True])
    assert sweep.rows is not None
    assert sweep.rows["events"].tolist() == [1]


def test_a_small_stack_is_cut_between_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = [Happening(name, HOUR + number * DAY) for number, name in enumerate("abcdefg")]
    whole, cut = Bucket(), Bucket()
    whole.take(*happened, slot=9)
    monkeypatch.setattr(sweeping, "STACK", 3)
    cut.take(*happened, slot=9)
    assert swept(cut.out) == swept(whole.out)
    assert boundaries(cut.out) == boundaries(whole.out)
    assert len(blocks(cut.out, "sweep")) > len(blocks(whole.out, "sweep"))


def test_large_blocks_are_looked_at_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = [Happening(f"c{number}", HOUR * number, amount=number) for number in range(20)]
    whole, cut = Bucket(), Bucket()
    whole.take(*happened, slot=1)
    monkeypatch.setattr(people_blocks, "PORTION", 3)
    cut.take(*happened, slot=1)
    (one,), (other,) = blocks(whole.out, "sweep"), blocks(cut.out, "sweep")
    assert one.features.tobytes() == other.features.tobytes()
    assert one.segment.tolist() == other.segment.tolist()


def test_training_takes_each_customer_every_other_sweep_while_the_window_can_close() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), slot=6)
    taken = [
        boundary
        for each in bucket.out if isinstance(each, Released)
        for boundary, examples in zip(each.boundaries, each.examples, strict=True) if len(examples["any"].labels)
    ]  # fmt: skip
    assert taken in ([2], [1, 3])


def test_labels_are_made_boundary_by_boundary_and_their_state_is_kept() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", HOUR), slot=2)
    bucket.resume(POLICY)
    bucket.take(slot=4)
    assert list(bucket.machine.state.labels.values()) == [0, 1, 2, 3, 4]


def test_the_population_are_the_smallest_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "MOST_POPULATION", 3)
    bucket = Bucket()
    bucket.take(*(Happening(f"c{number}", HOUR * (number % 9)) for number in range(9)), slot=1)
    (released,) = [each for each in bucket.out if isinstance(each, Released)]
    (sweep,) = blocks(bucket.out, "sweep")
    assert released.populations[-1].features.tobytes() == sweep.features[:3].tobytes()


def test_a_moved_row_is_added_in_the_slot_of_its_link() -> None:
    bucket = Bucket()
    device = moved_row(2, "a", Happening("", HOUR, codes.PAGE_VIEW), Happening("", DAY, codes.PRODUCT_VIEW), entered=6)
    bucket.take(Happening("a", DAY + HOUR), slot=1, moved=device)
    assert bucket.row("a")["web_events"] == 0
    (live,) = blocks(bucket.take(slot=2, fresh=True), "live")
    assert live.entered.tolist() == [6]
    assert bucket.row("a")["web_events"] == 2
    assert times_of(np.array([bucket.row("a")["first_seen"]])).tolist() == [HOUR]
    assert bucket.row("a")["slot"] == 2


def test_a_moved_row_may_make_a_customer_but_not_without_events() -> None:
    bucket = Bucket()
    bucket.take(slot=0, moved=moved_row(0, "a", Happening("", HOUR, codes.PAGE_VIEW)))
    bucket.take(slot=0, moved=moved_row(0, "b"))
    bucket.take(slot=1)
    assert swept(bucket.out) == {1: {"a"}}
    assert len(bucket.machine.state.table) == 1


def test_two_devices_of_one_customer_are_both_added() -> None:
    one, other = (moved_row(1, "a", Happening("", HOUR, codes.PAGE_VIEW)) for _ in range(2))
    bucket = Bucket()
    bucket.take(slot=0, moved=one)
    bucket.take(Happening("a", DAY), slot=1, moved=other)
    assert bucket.row("a")["events"] == 3


def test_duplicates_and_late_events_are_counted_in_metrics() -> None:
    before = [metric._value.get() for metric in (DUPLICATES, LATE)]
    bucket = Bucket()
    bucket.take(Happening("a", HOUR, id=1), Happening("a", HOUR, id=1), slot=1)
    bucket.take(Happening("a", HOUR, id=1), Happening("a", HOUR, id=2, slot=1, late=True))
    assert bucket.row("a")["orders"] == 2
    assert [metric._value.get() for metric in (DUPLICATES, LATE)] == [before[0] + 2, before[1] + 1]


def test_events_from_before_the_window_of_ids_are_not_counted_in_profiles() -> None:
    before = TOO_LATE._value.get()
    bucket = Bucket(replace(POLICY, known_capacity=1))
    for day in range(3):
        bucket.take(Happening("a", day * DAY + HOUR, id=day), slot=day + 1)
    bucket.take(Happening("a", 0, id=77, slot=3, late=True))
    assert bucket.row("a")["orders"] == 3
    assert TOO_LATE._value.get() == before + 1


def test_one_batch_of_many_slots_forgets_ids_as_many_batches_do() -> None:
    small = replace(POLICY, known_capacity=1)
    one, many = Bucket(small), Bucket(small)
    happened = [Happening("a", day * DAY + HOUR, id=day % 3, slot=day) for day in range(6)]
    one.take(*happened, slot=6)
    for each in happened:
        many.take(each, slot=each.slot)
    many.take(slot=6)
    assert one.machine.state.table.rows.tobytes() == many.machine.state.table.rows.tobytes()
    assert one.machine.state.known.horizon == many.machine.state.known.horizon


def test_waiting_money_is_added_when_a_later_run_has_a_rate() -> None:
    bucket = Bucket()
    device = moved_row(1, "a", Happening("", DAY, amount=10, currency=EURO))
    bucket.take(Happening("a", 0, amount=100, currency=EURO), slot=1, fresh=True, moved=device)
    assert bucket.row("a")["revenue"] == 0
    assert bucket.resume(POLICY) == []
    (live,) = bucket.resume(replace(POLICY, rates=RATES))
    assert isinstance(live, PeopleBlock)
    assert (live.kind, live.guarded, live.ids.tolist()) == ("live", True, ["a"])
    assert bucket.row("a")["revenue"] == 220
    assert bucket.resume(replace(POLICY, rates=RATES)) == []


def test_money_that_gets_its_rate_in_a_catch_up_is_given_out_with_the_next_boundary() -> None:
    bucket = Bucket()
    bucket.take(Happening("a", 0, amount=100, currency=EURO), slot=20)
    assert bucket.resume(replace(POLICY, rates=RATES)) == []
    out = bucket.take(slot=21)
    (profiles,) = [each for each in out if isinstance(each, ProfileBlock)]
    assert profiles.rows["revenue"].tolist() == [200]
    (leavers,) = blocks(out, "sweep")  # a dormant customer: readers see the money too
    assert leavers.publish
    assert leavers.rows is not None


def test_money_that_waits_for_its_slot_is_converted_when_it_comes() -> None:
    bucket = Bucket()
    device = moved_row(2, "b", Happening("", HOUR, amount=10, currency=EURO))
    assert device.unconverted.dtype == UNCONVERTED_DTYPE
    bucket.take(Happening("a", 2 * DAY, amount=100, currency=EURO), slot=1, moved=device)
    bucket.resume(replace(POLICY, rates=RATES))
    bucket.take(slot=2)
    assert (bucket.row("a")["revenue"], bucket.row("b")["revenue"]) == (200, 20)


def test_blocks_are_guarded_while_any_sender_is() -> None:
    bucket = Bucket()
    assert all(block.guarded for block in blocks(bucket.take(Happening("a", 0), fresh=True, guarded=True), "live"))
    assert not any(block.guarded for block in blocks(bucket.take(Happening("a", 0), fresh=True), "live"))
