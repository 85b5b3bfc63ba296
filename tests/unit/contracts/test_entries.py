"""Parts of whole values: what changed is stored once, and nothing is if nothing did."""

import itertools
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.restarting import STEPS, Restarting

from contracts.entries import Group, Queue, Replaced, StoredDict
from contracts.state import Part


class Item(NamedTuple):
    name: str
    numbers: NDArray[np.int64]


def item(number: int) -> Item:
    return Item(str(number), np.arange(number))


class Holder:
    """A machine with every kind of part."""

    def __init__(self) -> None:
        self.entries: StoredDict[int, Item] = StoredDict(int, Item)
        self.queue: Queue[Item] = Queue(Item)
        self.value: Item | None = None
        replaced = Replaced(Item | None, lambda: self.value, lambda value: setattr(self, "value", value))
        self._parts: dict[str, Part] = {"both": Group(entries=self.entries, queue=self.queue), "value": replaced}

    def parts(self) -> dict[str, Part]:
        return self._parts

    def content(self) -> str:
        return repr((list(self.entries.items()), list(self.queue.data.values()), self.value))


def act(holder: Holder, what: int, number: int) -> None:
    match what:
        case 0:
            holder.entries[number] = item(number)
        case 1:
            holder.entries.pop(number, None)
        case 2:
            holder.queue.append(item(number))
        case 3:
            holder.queue.remove(lambda each: len(each.numbers) <= number)
        case _:
            holder.value = item(number) if number else None


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=25),
    st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=25),
)
def test_a_machine_restored_from_its_changes_equals_one_that_never_stopped(
    acts: list[tuple[int, int]], steps: list[int]
) -> None:
    """Also the order of entries is the same."""
    holder, plain, turns = Restarting(Holder), Holder(), itertools.cycle(steps)
    for what, number in acts:
        act(holder.machine, what, number)
        act(plain, what, number)
        holder.step(next(turns))
        assert holder.machine.content() == plain.content()


def test_nothing_is_stored_of_an_item_that_came_and_went() -> None:
    queue: Queue[Item] = Queue(Item)
    queue.append(item(1))
    queue.remove(lambda _: True)
    assert queue.changes() == {}
    queue.append(item(1))
    assert queue.changes().keys() == {"keys", "values"}
    assert queue.changes() == {}
    queue.remove(lambda _: True)
    assert queue.changes().keys() == {"gone"}


def test_a_value_is_packed_only_if_it_was_replaced() -> None:
    holder = Holder()
    part = holder.parts()["value"]
    holder.value = item(3)
    assert part.changes()
    assert not part.changes()
    holder.value = item(3)
    assert part.changes()
