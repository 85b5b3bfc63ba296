"""Laws of a bucket of customers: what is recorded, and what readers see in the end, is a function of the log alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.columns import DAY, TOPICS, Happening, columns
from support.laws import law
from support.state import Changes, frozen, thawed
from support.swept import recorded, seen_by_readers

from contracts.blocks import CustomerBatch, MovedRows, Parcel, PeopleBlock, ProfileBlock, Progress
from contracts.currencies import number_of
from contracts.entries import StoredDict
from contracts.model_blocks import Examples, Released, SweptPeople
from contracts.rates import Rates
from streams import codes
from streams.profiles.customers import Customers, CustomersPolicy, Output
from streams.profiles.deltas import deltas
from streams.profiles.labelling import Labeller
from streams.profiles.rows import versions_of
from streams.profiles.sweeps import SweepPolicy
from streams.profiles.table import ProfileTable

END = 8
"""The slot in which all logs end."""
SENDERS = 2
DORMANT = 3
SWEEPS = SweepPolicy(DAY, DORMANT * DAY, training_stride=2, longest_window=DAY)
EURO = number_of("EUR")
RATES = Rates("USD", {"EUR": ((0, 1.5),)})


ALL = slice(None)


def label(state: StoredDict[int, NDArray[np.float32]], swept: SweptPeople) -> dict[str, Examples]:
    """Examples of the boundary before, by what the customers did since; the state holds them by key."""
    features, labels = [], []
    since = (swept.boundary - 1) * DAY
    for key, ordered in zip(swept.keys.tolist(), (swept.last("orders", ALL) >= since).tolist(), strict=True):
        if key in state:
            features.append(state[key])
            labels.append(ordered)
    state.clear()
    state.update(zip(swept.keys[swept.trainable].tolist(), swept.features(ALL), strict=True))
    shaped = np.array(features, np.float32).reshape(-1, swept.features(ALL).shape[1])
    return {"any": Examples(shaped, np.array(labels, np.bool_), np.ones(len(labels), np.bool_))}


LABELLER = Labeller(lambda: StoredDict(int, NDArray[np.float32]), label)


@dataclass(frozen=True)
class Move:
    """A device's history that goes to a customer in a slot."""

    slot: int
    customer: str
    events: tuple[Happening, ...]


Thing = Happening | Move


def slot_of(thing: Thing) -> int:
    slot = thing.slot
    assert slot is not None
    return slot


@st.composite
def happenings(draw: st.DrawFn, customers: str, slot: int | None = None) -> Happening:
    slot = draw(st.integers(0, END)) if slot is None else slot
    late = draw(st.integers(0, 9)) == 0
    return Happening(
        customer=draw(st.sampled_from(customers)),
        occurred=draw(st.integers(0, (slot + 1) * DAY - 1)) if late else slot * DAY + draw(st.integers(0, DAY - 1)),
        code=draw(st.sampled_from([code for topic in TOPICS for code in topic])),
        amount=draw(st.integers(0, 10**9)),
        items=draw(st.integers(0, 9)),
        score=draw(st.integers(10_000, 50_000)),
        id=draw(st.integers(0, 2**40)),
        slot=slot,
        late=late,
        entered=1,
        currency=draw(st.sampled_from([0, 0, 0, EURO])),
        session=draw(st.booleans()),
    )


@st.composite
def moves(draw: st.DrawFn) -> Move:
    slot = draw(st.integers(0, END))
    count = draw(st.integers(0, 3))
    events = tuple(draw(happenings("d", draw(st.integers(0, slot)))) for _ in range(count))
    return Move(slot, draw(st.sampled_from("abxy")), events)


@st.composite
def logs(draw: st.DrawFn) -> list[list[Thing]]:
    """What each sender sends, in the order of slots; some events come twice, by either sender and in a later slot."""
    things: list[list[Thing]] = [[], []]
    for drawn in draw(st.lists(st.one_of(happenings("abcd"), happenings("abcd"), moves()), max_size=25)):
        sender, each = draw(st.integers(0, 1)), drawn
        if isinstance(each, Happening) and draw(st.booleans()):  # reports of one order come from one sender
            each = replace(each, order=2 * draw(st.integers(1, 2)) + sender)
        things[sender].append(each)
        if isinstance(each, Happening) and draw(st.integers(0, 4)) == 0:
            again = replace(each, slot=draw(st.integers(slot_of(each), END)), late=True)
            things[draw(st.integers(0, 1))].append(again)
    return [sorted(some, key=slot_of) for some in things]


@dataclass(frozen=True)
class Delivery:
    """How a log is delivered: cuts of each sender's, draws of who comes next, sizes of activations, who is fresh."""

    cuts: tuple[frozenset[int], frozenset[int]]
    draws: tuple[int, ...]
    sizes: tuple[int, ...]
    fresh: tuple[bool, ...]
    live: bool
    """Whether all others are fresh."""
    slice: int
    """Customers in a slice."""
    most: int
    """Rows of sweeps in an activation."""
    slices: tuple[int, ...]
    """The number of slices that are made after each activation."""
    restarts: tuple[int, ...]
    """After an activation: 1: a snapshot and a restart, 2: a snapshot, 3: a base, 0: none."""


deliveries = st.builds(
    Delivery,
    cuts=st.tuples(*[st.frozensets(st.integers(1, 24), max_size=6)] * 2),
    draws=st.lists(st.integers(0, 1), max_size=16).map(tuple),
    sizes=st.lists(st.integers(1, 3), max_size=16).map(tuple),
    fresh=st.lists(st.booleans(), max_size=8).map(tuple),
    live=st.booleans(),
    slice=st.sampled_from([1, 1, 2, 100]),
    most=st.sampled_from([1, 2, 5, 1_000]),
    slices=st.lists(st.integers(0, 2), max_size=16).map(tuple),
    restarts=st.lists(st.sampled_from([0, 0, 1, 1, 2, 3]), max_size=16).map(tuple),
)
AT_ONCE = Delivery((frozenset(), frozenset()), (), (2,), (), False, 100, 1_000, (), ())


def parcel_of(things: Sequence[Thing]) -> Parcel:
    owners, events = columns([each for each in things if isinstance(each, Happening)])
    gone = [each for each in things if isinstance(each, Move)]
    if not gone:
        return Parcel(events, owners)
    table = ProfileTable()
    at = table.locate([str(number) for number in range(len(gone))])
    for position, each in enumerate(gone):
        _, happened = columns(each.events)
        where, rows, entries = deltas(np.full(len(happened), at[position]), happened, DAY)
        for index in range(len(rows)):
            table.add(where[index : index + 1], rows[index : index + 1], DAY)
        table.unconverted.add(entries)
    moved = MovedRows(
        slots=np.array([each.slot for each in gone]),
        sources=table.names.take(at),
        owners=np.array([each.customer for each in gone], object),
        rows=table.rows,
        entered=np.ones(len(gone), np.int64),
        unconverted=table.unconverted.entries,
    )
    return Parcel(events, owners, moved)


def batches_of(log: Sequence[Sequence[Thing]], delivery: Delivery) -> list[CustomerBatch]:
    """The batches of all senders in one order; at the end all are fresh."""
    queues, fresh = [], list(delivery.fresh)
    for sender, things in enumerate(log):
        bounds = [0, *sorted(cut for cut in delivery.cuts[sender] if cut < len(things)), len(things)]
        queue = []
        for start, stop in pairwise(bounds):
            slot = slot_of(things[stop]) if stop < len(things) else END
            progress = Progress(sender, slot, 0, fresh.pop() if fresh else delivery.live, guarded=False)
            queue.append(CustomerBatch(0, progress, parcel_of(things[start:stop])))
        queues.append(queue)
    order = []
    for draw in (*delivery.draws, *[0] * 50):
        waiting = [queue for queue in queues if queue]
        if waiting:
            order.append(waiting[draw % len(waiting)].pop(0))
    last = [CustomerBatch(0, Progress(sender, END, 0, fresh=True, guarded=False)) for sender in range(SENDERS)]
    return [*order, *last]


def run(log: Sequence[Sequence[Thing]], delivery: Delivery, capacity: int) -> tuple[list[Output], Customers]:
    """Everything that comes out, and the machine at the end, when it has a rate for all that waits."""
    policy = CustomersPolicy(replace(SWEEPS, slice=delivery.slice, most=delivery.most), SENDERS, capacity)
    machine, batches, sizes = Customers(policy, LABELLER), batches_of(log, delivery), list(delivery.sizes)
    saved, slices, restarts = Changes(machine), list(delivery.slices), list(delivery.restarts)
    out: list[Output] = []
    while batches:
        size = sizes.pop(0) if sizes else 2
        out += machine.take(batches[:size])
        batches = batches[size:]
        for _ in range(slices.pop(0) if slices else 0):
            out += machine.work()
            machine, saved = restarted(machine, saved, policy, restarts.pop(0) if restarts else 0)
        machine, saved = restarted(machine, saved, policy, restarts.pop(0) if restarts else 0)
    while machine.is_urgent():
        out += machine.work()
        machine, saved = restarted(machine, saved, policy, restarts.pop(0) if restarts else 0)
    machine = thawed(Customers(replace(policy, rates=RATES), LABELLER), frozen(machine))
    out += machine.resumed()
    while machine.has_work():
        out += machine.work()
    return out, machine


def restarted(
    machine: Customers, saved: Changes, policy: CustomersPolicy, how: int
) -> tuple[Customers, Changes]:
    """Save the state, whole or by its changes, and start again from it."""
    if how == 3:
        saved.rebase()
    elif how:
        saved.save()
    if how != 1:
        return machine, saved
    machine = saved.restore(Customers(policy, LABELLER))
    assert machine.resumed() == []
    return machine, Changes(machine)


def released(out: Sequence[Output]) -> list[Any]:
    """All examples and populations of boundaries with customers."""
    found = []
    for each in out:
        if isinstance(each, Released):
            for boundary, examples, population in zip(each.boundaries, each.examples, each.populations, strict=True):
                one = examples["any"]
                if len(population.features):
                    found.append((boundary, one.features.tobytes(), one.labels.tolist(), population.features.tobytes()))
    return found


def stored(out: Sequence[Output]) -> dict[str, bytes]:
    """The newest stored row of each customer."""
    found: dict[str, tuple[int, bytes]] = {}
    for each in out:
        if isinstance(each, ProfileBlock | PeopleBlock) and each.rows is not None:
            versions = versions_of(each.rows["slot"], each.rows).tolist()
            for name, version, row in zip(each.ids.tolist(), versions, each.rows, strict=True):
                if version >= found.get(name, (-1, b""))[0]:
                    found[name] = version, row.tobytes()
    return {name: row for name, (_, row) in found.items()}


def content(machine: Customers) -> dict[str, bytes]:
    table = machine.state.table
    order = table.in_order()
    return {name: table.rows[at].tobytes() for name, at in zip(table.names.take(order), order, strict=True)}


@law()
@given(log=logs(), delivery=deliveries, capacity=st.sampled_from([2, 5, 1_000]))
@example(log=[[], []], delivery=AT_ONCE, capacity=2)
def test_everything_is_a_function_of_the_log(log: list[list[Thing]], delivery: Delivery, capacity: int) -> None:
    (whole, expected), (out, machine) = run(log, AT_ONCE, capacity), run(log, delivery, capacity)
    assert recorded(out) == recorded(whole)
    assert released(out) == released(whole)
    assert content(machine) == content(expected)
    assert not len(machine.state.table.unconverted)
    assert machine.state.known.horizon == expected.state.known.horizon
    assert seen_by_readers(out) == seen_by_readers(whole)
    assert stored(out) == stored(whole) == content(machine)


@law()
@given(log=logs(), delivery=deliveries)
def test_customers_are_swept_from_their_first_event_until_they_are_dormant(
    log: list[list[Thing]], delivery: Delivery
) -> None:
    out, _ = run(log, delivery, 1_000)
    swept = {(row[0], row[1]) for row in recorded(out)}
    known: set[int] = set()
    orders: set[tuple[str, int]] = set()
    done: list[tuple[int, str, int]] = []
    for thing in sorted((each for some in log for each in some), key=slot_of):
        for each in (thing,) if isinstance(thing, Happening) else thing.events:
            order = (thing.customer, each.order)
            again = each.code == codes.ORDER and each.order and order in orders
            if isinstance(thing, Move) or (each.id not in known and not again):
                done.append((slot_of(thing), thing.customer, each.occurred))
                orders |= {order} if isinstance(thing, Happening) and each.code == codes.ORDER else set()
            known |= {each.id} if isinstance(thing, Happening) and each.id is not None else set()
    expected = set()
    for boundary in range(1, END + 1):
        for slot, customer, occurred in done:
            fits = occurred >= (boundary - DORMANT) * DAY or slot == boundary - 1
            if slot < boundary and fits:
                expected.add((boundary, customer))
    assert swept == expected
