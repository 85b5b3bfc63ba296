"""What waits comes when its slot has come, in the order in which it came."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.columns import Happening, columns
from support.restarting import STEPS, Restarting

from contracts.state import Part
from streams.profiles.waiting import Waiting


class Holds:
    """A machine with waiting items and nothing else."""

    def __init__(self) -> None:
        self.waiting = Waiting()

    def parts(self) -> dict[str, Part]:
        return {"waiting": self.waiting}


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=9),
    st.lists(st.integers(-1, 6), max_size=9),
    st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=18),
)
def test_due_are_all_up_to_a_slot_in_their_order(
    batches: list[list[int]], asked: list[int], steps: list[int]
) -> None:
    """Also when the waiting items are restored from their changes in between."""
    holds, expected, number, turns = Restarting(Holds), [], 0, itertools.cycle(steps)
    for batch, slot in zip(batches, asked, strict=False):
        waiting = holds.machine.waiting
        numbers = list(range(number, number + len(batch)))
        number += len(batch)
        waiting.put(np.array(batch, np.int64), np.array(numbers, np.int64), np.array(list(map(str, numbers)), object))
        expected += list(zip(batch, numbers, strict=True))
        holds.step(next(turns))
        waiting = holds.machine.waiting
        assert len(waiting) == len(expected)
        assert waiting.first == min((due for due, _ in expected), default=None)
        due = waiting.due(slot)
        found = [] if due is None else due[0].tolist()
        assert found == [each for at, each in expected if at <= slot]
        assert due is None or due[1].tolist() == list(map(str, found))
        expected = [pair for pair in expected if pair[0] > slot]
        holds.step(next(turns))


def test_events_wait_as_they_are() -> None:
    customers, events = columns([Happening("a", 5, amount=3), Happening("b", 6, slot=2), Happening("c", 7)])
    waiting = Waiting()
    waiting.put(events["slot"], events, customers)
    first, second = waiting.due(1), waiting.due(2)
    assert first is not None
    assert second is not None
    assert first[0].tobytes() == events[[0, 2]].tobytes()
    assert second[1].tolist() == ["b"]
