"""Laws of sweeps in slices: whatever comes between two slices, what is recorded equals the sweep in one go."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, Happening, columns
from support.state import Changes, frozen, thawed
from support.swept import recorded, seen_by_readers

from contracts.blocks import CustomerBatch, Parcel, PeopleBlock, Progress
from contracts.currencies import number_of
from contracts.entries import StoredDict
from contracts.model_blocks import Examples, Released, SweptPeople
from contracts.rates import Rates
from streams.profiles.customers import Customers, CustomersPolicy, Output
from streams.profiles.labelling import Labeller
from streams.profiles.sweeps import SweepPolicy

SWEEPS = SweepPolicy(DAY, 3 * DAY, training_stride=2, longest_window=DAY)
EURO = number_of("EUR")
RATES = Rates("USD", {"EUR": ((0, 2.0),)})


def label(state: StoredDict[int, int], swept: SweptPeople) -> dict[str, Examples]:
    """The trainable customers, by whether they ever ordered."""
    state[swept.boundary] = len(swept.keys)
    ordered = swept.last("orders", swept.trainable) > 0
    return {"any": Examples(swept.features(slice(None)), ordered, swept.buyers)}


LABELLER = Labeller(lambda: StoredDict(int, int), label)


@dataclass
class Bucket:
    """A live bucket with one sender, and everything that it returned."""

    policy: CustomersPolicy
    slot: int = 0
    out: list[Output] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = Customers(self.policy, LABELLER)
        self.saved = Changes(self.machine)

    def take(self, *happened: Happening, fresh: bool = True) -> None:
        owners, events = columns(happened)
        progress = Progress(0, self.slot, 0, fresh, guarded=False)
        self.out += self.machine.take([CustomerBatch(0, progress, Parcel(events, owners))])

    def work(self, most: int = 1_000) -> None:
        for _ in range(most):
            if self.machine.has_work():
                self.out += self.machine.work()

    def restart(self, rates: Rates | None = None) -> None:
        self.saved.save()
        policy = self.policy if rates is None else replace(self.policy, rates=rates)
        self.machine = self.saved.restore(Customers(policy, LABELLER))
        self.out += self.machine.resumed()
        self.saved = Changes(self.machine)


def bucket(slice_: int = 2, most: int = 10_000) -> Bucket:
    return Bucket(CustomersPolicy(replace(SWEEPS, slice=slice_, most=most), 1, 1_000))


def released(out: Sequence[Output]) -> list[Any]:
    """The boundaries with customers; which others are delivered depends on how far an activation goes."""
    return [
        (boundary, examples["any"].features.tobytes(), examples["any"].labels.tolist(), population.features.tobytes())
        for each in out if isinstance(each, Released)
        for boundary, examples, population in zip(each.boundaries, each.examples, each.populations, strict=True)
        if len(population.buyers)
    ]  # fmt: skip


def buying(name: str, slot: int, *, id: int, late: bool = False, **more: Any) -> Happening:  # noqa: A002
    occurred = slot * DAY + 5 + id if not late else max(0, slot - 2) * DAY + 5
    return Happening(name, occurred, amount=10, id=id, slot=slot, late=late, **more)


actions = st.one_of(
    st.tuples(st.just("event"), st.sampled_from("abcdefgh"), st.booleans()),
    st.tuples(st.just("event"), st.sampled_from("abcdefgh"), st.booleans()),
    st.tuples(st.just("slices"), st.integers(1, 2)),
    st.tuples(st.just("boundary")),
    st.tuples(st.just("jump"), st.integers(2, 6)),
    st.tuples(st.just("late-boundary"), st.sampled_from("abcdefgh")),
    st.tuples(st.just("save")),
    st.tuples(st.just("base")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("stale")),
)


def play(script: Sequence[tuple[Any, ...]], slice_: int, most: int = 10_000) -> Bucket:
    made = bucket(slice_, most)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcd")))
    for number, (what, *how) in enumerate(script, start=10):
        if what == "event":
            made.take(buying(how[0], made.slot, id=number, late=how[1]))
        elif what == "boundary":
            made.slot += 1
            made.take()
        elif what == "jump":
            made.slot += how[0]
            made.take()
        elif what == "late-boundary":  # one activation with an event of the slot that ends
            made.slot += 1
            made.take(buying(how[0], made.slot - 1, id=number), buying("x", made.slot, id=1_000 + number))
        elif what == "slices":
            made.work(how[0])
        elif what == "save":
            made.saved.save()
        elif what == "base":
            made.saved.rebase()
        elif what == "restart":
            made.restart()
        else:
            made.take(fresh=False)
    made.take()
    made.work()
    return made


@given(script=st.lists(actions, max_size=30), slice_=st.integers(1, 4), most=st.sampled_from([1, 2, 5, 10_000]))
def test_slices_record_what_one_go_records(script: list[tuple[Any, ...]], slice_: int, most: int) -> None:
    sliced, whole = play(script, slice_, most), play(script, 10_000)
    assert recorded(sliced.out) == recorded(whole.out)
    assert released(sliced.out) == released(whole.out)
    assert seen_by_readers(sliced.out) == seen_by_readers(whole.out)
    assert not len(sliced.machine.state.pending)
    assert not sliced.machine.makes_rows()


def test_a_large_sweep_is_made_between_batches() -> None:
    made = bucket(2)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcdef")))
    made.slot, made.out = 1, []
    made.take()
    assert [type(each) for each in made.out] == [Released]
    sizes = []
    while made.machine.has_work():
        sizes += [len(each.ids) for each in made.machine.work() if isinstance(each, PeopleBlock) and each.publish]
    assert sizes == [2, 2, 2]


def test_only_rows_that_change_before_their_turn_are_kept() -> None:
    made = bucket(2)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcdefgh")))
    made.slot = 1
    made.take()
    assert made.machine.makes_rows()
    made.work(1)  # a and b are swept
    made.take(buying("a", 1, id=20), buying("h", 1, id=21), buying("h", 1, id=22), buying("new", 1, id=23))
    assert len(made.machine.state.pending) == 1
    made.take(buying("h", 1, id=24))
    assert len(made.machine.state.pending) == 1
    made.work()
    made.saved.save()
    assert len(made.machine.state.pending) == 0


def test_money_converted_at_a_restart_is_not_in_the_sweep_before() -> None:
    made = bucket(1)
    made.take(*(buying(name, 0, id=number, currency=EURO) for number, name in enumerate("abc")))
    made.slot = 1
    made.take()
    made.work(1)
    made.restart(RATES)
    made.restart(RATES)
    made.work()
    features = {row[-1] for row in recorded(made.out)}
    assert len(recorded(made.out)) == 3
    whole = bucket(100)
    whole.take(*(buying(name, 0, id=number, currency=EURO) for number, name in enumerate("abc")))
    whole.slot = 1
    whole.take()
    assert features == {row[-1] for row in recorded(whole.out)}


def test_readers_see_money_that_is_converted_while_a_sweep_is_made() -> None:
    sliced, whole = bucket(1), bucket(100)
    for made in (sliced, whole):
        made.take(*(buying(name, 0, id=number, currency=EURO) for number, name in enumerate("abc")))
        made.slot = 1
        made.take()
        made.work(1)
        made.restart(RATES)
        made.work()
    assert seen_by_readers(sliced.out) == seen_by_readers(whole.out)


def test_the_rest_of_a_sweep_is_made_at_the_next_boundary_and_readers_get_the_newer_one() -> None:
    made = bucket(1)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abc")))
    made.slot = 1
    made.take()
    made.slot, made.out = 2, []
    made.take()
    (rest, following) = made.out
    assert isinstance(rest, PeopleBlock)
    assert (rest.boundaries.tolist(), rest.publish) == ([1, 1, 1], False)
    assert isinstance(following, Released)


def test_after_a_catch_up_customers_are_published_in_portions_that_go_on_after_a_restart() -> None:
    made = bucket(2)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcdef")), fresh=False)
    made.slot = 1
    made.take(fresh=False)
    made.take(buying("a", 1, id=10))
    made.work(1)
    made.restart()
    made.work()
    restated = [each.ids.tolist() for each in made.out if isinstance(each, PeopleBlock) and each.kind == "restated"]
    assert restated == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_a_state_restored_as_a_whole_goes_on_as_well() -> None:
    made = bucket(1)
    made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcd")))
    made.slot = 1
    made.take()
    made.work(1)
    made.take(buying("c", 1, id=10))
    other = thawed(Customers(made.policy, LABELLER), frozen(made.machine))
    rest = [*other.work(), *other.work(), *other.work()]
    made.out = []
    made.work()
    assert recorded(rest) == recorded(made.out)
    assert np.array_equal(other.state.table.rows, made.machine.state.table.rows)


def test_who_is_forgotten_in_the_middle_of_a_sweep_is_in_no_slice_of_it() -> None:
    """Some are swept already, some are not, and the rows of some were kept because they changed since."""
    swept = []
    nobody: set[str] = set()
    for people in (nobody, {"b", "e", "g"}):
        made = bucket(slice_=2)
        made.take(*(buying(name, 0, id=number) for number, name in enumerate("abcdefgh")))
        made.slot = 1
        made.take()
        made.work(1)
        made.take(buying("e", 1, id=20), buying("h", 1, id=21))
        made.restart()
        made.machine.forget(people)
        made.restart()
        made.take(buying("new", 1, id=22))
        made.work()
        made.slot = 2
        made.take()
        made.work()
        swept.append(recorded(made.out))
        assert not people & {name for name in made.machine.state.table.names.take(np.arange(9)).tolist() if name}
    everybody, others = (
        [row for row in rows if not {"b", "e", "g"} & {str(field) for field in row}] for rows in swept
    )
    assert others == everybody
    assert len(swept[1]) < len(swept[0])
